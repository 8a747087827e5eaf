"""One call whose media OpenAI carries: accepted, watched over its sideband socket, sent elsewhere, hung up.

Stages. OFFERED → ACCEPTING → UP → LEAVING (a REFER was relayed) → GONE; from each of them to GONE. A call that has been
accepted goes on at OpenAI whatever becomes of us, so whoever ends it here hangs it up there, again when that fails. The
sideband tells that the call is over: it closes, and then there is no such call any more (404).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from enum import Enum

from gateway.carriers.base import LiveCall, Switchboard
from gateway.carriers.openai_sip.rest import GONE, TAKEN, CallsRest
from gateway.core.commands import HangUp, LegCommand, StartTransfer
from gateway.core.events import Event, LegEnd, LegEnded, ModelClosed, TransferProgress, TransferState
from gateway.errors import CarrierError, ModelError
from gateway.wire import TextSocket

__all__ = ["Dial", "SipCall", "Stage"]

logger = logging.getLogger(__name__)

Dial = Callable[[str, Mapping[str, str]], Awaitable[TextSocket]]
"""Opens a socket to a URL with headers; raises `ModelError`."""

NOT_YET_S = 3.0
"""How long a call that was just accepted may be unknown to the sideband."""
NO_MORE_S = 0.6
"""The same of a call that we have been connected to: it is over."""
RECONNECT_S = 8.0
"""How long a lost sideband is tried for in one go; the media goes on meanwhile."""
FIRST_PAUSE_S = 0.1
LAST_PAUSE_S = 1.0
AGAIN_S = (1.0, 4.0)
"""Pauses before the call is hung up, or declined, once more."""
CLEAN_CLOSE = "1000"
OVER_CODES = frozenset({CLEAN_CLOSE, "session_expired"})
"""How a sideband ends with its call: closed in order, or after the longest time that a session may last."""
DECLINE = 603


class Stage(Enum):
    OFFERED = "offered"
    ACCEPTING = "accepting"
    UP = "up"
    LEAVING = "leaving"
    GONE = "gone"


class SipCall:
    """The leg of one call, and its life. `live` is the call that it was admitted as."""

    def __init__(
        self,
        call_id: str,
        live: LiveCall,
        rest: CallsRest,
        calls: Switchboard,
        spawn: Callable[[Coroutine[None, None, None]], asyncio.Task[None] | None],
    ) -> None:
        """`spawn` starts what outlives the call: requests that nobody waits for. It refuses (None) when we stop."""
        self.call_id = call_id
        self.stage = Stage.OFFERED
        self._live = live
        self._rest = rest
        self._calls = calls
        self._spawn = spawn
        self._accepting: asyncio.Task[None] | None = None
        self._unwanted = False
        """Nobody here wants the call any more: it is hung up as soon as that is possible."""
        self._connected = False
        self._transfer_id = ""
        self._way: tuple[Dial, str, Mapping[str, str]] | None = None
        """How the sideband was reached last."""

    # --- the leg ------------------------------------------------------------------------------

    def send(self, command: LegCommand) -> None:
        """See `Leg.send`. There is nothing here to play, mark or clear: the core sends none of these."""
        if isinstance(command, HangUp):
            self.let_go()

    async def close(self) -> None:
        """See `Leg.close`."""
        self.let_go()

    def let_go(self) -> None:
        """End the telephone call, unless it is over or has left us. Safe to call twice."""
        if self._unwanted or self.stage is Stage.GONE:
            return
        self._unwanted = True
        if self.stage is Stage.OFFERED:
            self.gone()
            self._spawn(self._end(lambda: self._rest.reject(self.call_id, DECLINE)))
        elif self.stage is not Stage.ACCEPTING:
            self._spawn(self._end(lambda: self._rest.hang_up(self.call_id)))

    # --- the sideband -------------------------------------------------------------------------

    async def open(self, session: Mapping[str, object], dial: Dial, url: str, headers: Mapping[str, str]) -> TextSocket:
        """Accept the call if that was not done, and return its sideband socket. Raises `ModelError`."""
        if self.stage in (Stage.OFFERED, Stage.ACCEPTING):
            if self._accepting is None:
                # It runs to its end although whoever waits may be cancelled: a call that was accepted must be let go.
                self.stage = Stage.ACCEPTING
                self._accepting = self._spawn(self._accept(session))
            if self._accepting is not None:
                await asyncio.shield(self._accepting)
        if self.stage not in (Stage.UP, Stage.LEAVING):
            raise ModelError("the call is over", permanent=True, code="call_over")
        self._way = (dial, url, headers)
        return await self._connect(dial, url, headers)

    def tell(self, event: Event, feed: Callable[[Event], None]) -> None:
        """Pass on what the sideband says; its end may be that of the call."""
        if isinstance(event, ModelClosed) and self.stage in (Stage.UP, Stage.LEAVING):
            if self.stage is Stage.LEAVING and event.code == CLEAN_CLOSE:
                self._left()
                return
            if self.stage is Stage.LEAVING and self._spawn(self._look(event, feed)) is not None:
                return
            if event.code in OVER_CODES and self.stage is Stage.UP:
                # Asked for all the same: a call that only seems to be over must not go on without us.
                self.let_go()
                self.gone()
                return
        feed(event)

    async def _accept(self, session: Mapping[str, object]) -> None:
        try:
            await self._accepted(session)
        except CarrierError as failed:
            self._not_accepted(failed)
            return
        self.stage = Stage.UP
        if self._unwanted:
            self._spawn(self._end(lambda: self._rest.hang_up(self.call_id)))
            return
        self._live.attach(self, self.call_id)

    async def _accepted(self, session: Mapping[str, object]) -> None:
        """Accept, once more where it may not have arrived; then "taken" means that the first one was ours."""
        try:
            await self._rest.accept(self.call_id, session)
        except CarrierError as failed:
            if failed.permanent:
                raise
            logger.info("call %s: accept failed (%s), trying once more", self.call_id, failed.code)
            try:
                await self._rest.accept(self.call_id, session)
            except CarrierError as again:
                if again.code != TAKEN or failed.code == "not_sent":
                    raise

    def _not_accepted(self, failed: CarrierError) -> None:
        if failed.code == GONE:
            self.gone()
        elif failed.code == TAKEN:
            logger.warning("call %s was accepted or rejected by somebody else", self.call_id)
            self._lost("taken by another application")
        else:
            logger.warning("call %s was not accepted: %s", self.call_id, failed)
            if failed.code != "401":
                self._spawn(self._end(lambda: self._rest.reject(self.call_id, DECLINE)))
            self._lost(f"not accepted: {failed.code}")

    async def _connect(self, dial: Dial, url: str, headers: Mapping[str, str]) -> TextSocket:
        clock = asyncio.get_running_loop().time
        began_s, pause_s, unknown_s = clock(), FIRST_PAUSE_S, NO_MORE_S if self._connected else NOT_YET_S
        while True:
            try:
                socket = await dial(url, headers)
            except ModelError as refused:
                unknown = refused.code == "404"
                spent_s = clock() - began_s
                if unknown and spent_s + pause_s > unknown_s:
                    self._vanished()
                    raise ModelError("the call is over", permanent=True, code="call_over") from None
                if not unknown and (refused.permanent or spent_s + pause_s > RECONNECT_S):
                    raise
            else:
                self._connected = True
                return socket
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LAST_PAUSE_S)

    async def _look(self, lost: ModelClosed, feed: Callable[[Event], None]) -> None:
        """The sideband broke while the call was to leave: find out whether it has left, or is still here."""
        assert self._way is not None, "it was open"
        try:
            socket = await self._connect(*self._way)
        except ModelError:
            if self.stage is Stage.LEAVING:
                feed(lost)
            return
        await socket.close()
        feed(lost)

    def _vanished(self) -> None:
        """There is no such call any more: the caller has gone, or a transfer has taken them."""
        if self.stage is Stage.LEAVING:
            self._left()
        else:
            self.gone()

    # --- transfer and end ---------------------------------------------------------------------

    async def refer(self, command: StartTransfer) -> None:
        """Have the caller's network bring them to somebody. Raises `CarrierError`."""
        if self.stage is not Stage.UP:
            raise CarrierError("the call is over", permanent=True, code=GONE)
        try:
            await self._rest.refer(self.call_id, f"tel:{command.number}")
        except CarrierError as failed:
            if failed.code == GONE:
                self.gone()
            raise
        if self.stage is Stage.UP:
            self.stage, self._transfer_id = Stage.LEAVING, command.transfer_id
            relayed = TransferProgress(command.transfer_id, TransferState.RINGING, "REFER relayed")
            self._calls.transfer_progress(self.call_id, relayed)

    def stays(self, transfer_id: str) -> None:
        """The transfer is given up: whatever ends now is the call."""
        if self.stage is Stage.LEAVING and transfer_id == self._transfer_id:
            self.stage = Stage.UP

    def _left(self) -> None:
        self.stage = Stage.GONE
        self._calls.transfer_progress(
            self.call_id, TransferProgress(self._transfer_id, TransferState.ANSWERED, "the call has left us")
        )

    def gone(self) -> None:
        """The telephone call is over."""
        self.stage = Stage.GONE
        self._calls.hung_up(self.call_id)

    def _lost(self, why: str) -> None:
        self.stage = Stage.GONE
        self._live.feed(LegEnded(LegEnd.BROKEN, why, call_over=True))
        self._calls.hung_up(self.call_id)

    async def _end(self, ask: Callable[[], Awaitable[None]]) -> None:
        for pause_s in (*AGAIN_S, None):
            try:
                await ask()
                break
            except CarrierError as failed:
                if failed.permanent or pause_s is None:
                    logger.warning("call %s could not be ended: %s", self.call_id, failed)
                    break
            await asyncio.sleep(pause_s)
        if self.stage is not Stage.GONE:
            self.gone()
