"""How callers go on in Asterisk's dialplan when our channel is closed: told over ARI, in a global variable.

`Dial(WebSocket/…,g)` and `AudioSocket(…)` return when our channel is gone, and the dialplan reads what was said before:
`GATEWAY_NEXT_<call>` is `again`, `apology:<number or nothing>` or `transfer:<number>:<seconds>:<context>`; empty means
that nobody has said anything: the gateway was not reached, refused the call, or died. Who has nothing more to hear is
hung up. A global one, because ARI does not let a channel's variables be set outside of Stasis (`rest.py`); letters and
digits of the call's id make its name. The dialplan empties it, and a while later we remove it.

A transfer that fails brings the caller back: the dialplan calls us again with the same `call` and its `result`, on
whichever node. Meanwhile the caller's channel is watched: whether it still lives, and whether somebody has answered.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import assert_never

from gateway.carriers.asterisk.caller import Caller
from gateway.carriers.asterisk.rest import Ari
from gateway.carriers.base import CallOffer, LiveCall, Over, TokenRefused
from gateway.carriers.errands import Errands
from gateway.carriers.front import Again, Apologise, Front, after
from gateway.carriers.transfers import Stage, Transfer, Transfers, is_e164
from gateway.core.commands import CancelTransfer, CompleteTransfer, ControlCommand, EndReason, StartTransfer
from gateway.core.events import TransferProgress, TransferState
from gateway.core.plan import TransferMode
from gateway.errors import CarrierError

__all__ = ["DialplanControl", "variable_of"]

logger = logging.getLogger(__name__)

VARIABLE = "GATEWAY_NEXT_"
WATCH_S = 1.0
"""How often a caller who is being transferred is looked at."""
WATCH_LONGER_S = 12.0
"""How long beyond the ringing."""
FORGET_S = 3.0
"""How long the dialplan has for reading what was said."""
RESULTS = {"BUSY": TransferState.BUSY, "NOANSWER": TransferState.NO_ANSWER}
"""`DIALSTATUS` of a transfer to what the agent learns; anything else has failed."""

_strange = re.compile(r"[^A-Za-z0-9]")


def variable_of(carrier_call_id: str) -> str:
    """Return the name of the global variable that tells how a call goes on."""
    return VARIABLE + _strange.sub("", carrier_call_id)


class DialplanControl:
    """The `Control` of one Asterisk. `running` must be entered before calls are offered."""

    def __init__(self, front: Front, ari: Ari | None, dial_context: str) -> None:
        """Without `ari` transfers are refused, and the dialplan is not told how to go on."""
        self._front = front
        self._ari = ari
        self._dial_context = dial_context
        self._callers: dict[str, Caller] = {}
        """By the carrier's id of the call: who is on a stream of ours."""
        self._transfers = Transfers()
        self._errands = Errands()
        self.supersede: Callable[[str], None] = lambda carrier_call_id: None
        """Ends a call's old stream. Set once, before calls are offered."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Own the requests; on the way out wait for those under way."""
        try:
            async with self._errands.running():
                yield
        finally:
            if self._ari is not None:
                await self._ari.close()

    def tells(self, channel_id: str) -> bool:
        """Whether the dialplan can be told how this caller goes on."""
        return self._ari is not None and channel_id != ""

    # --- callers come and go --------------------------------------------------------------------

    def caller(self, live: LiveCall, offer: CallOffer, again: int, channel_id: str, *, fills: bool) -> Caller:
        """Take a caller, who has a stream from now on."""
        caller = Caller(live, self, offer, again, channel_id, fills=fills)
        self._callers[offer.carrier_call_id] = caller
        return caller

    def come_back(self, offer: CallOffer, result: str) -> str | None:
        """Give a caller whose transfer failed back to the agent, who learns why: return the token of the new stream.

        None when the call is not here, or was not being transferred.

        The old stream is over by Asterisk's own word, so the call hears of that first.
        """
        call_id = offer.carrier_call_id
        try:
            resumed = self._front.calls.resume(call_id)
        except (Over, TokenRefused):
            return None
        self.supersede(call_id)
        transfer = self._transfers.of_call(call_id)
        if transfer is not None:
            self._tell(transfer, RESULTS.get(result, TransferState.FAILED))
        return resumed.token

    def let_go(self, caller: Caller, reason: EndReason) -> None:
        """See `Dialplan.let_go`."""
        if reason is EndReason.TRANSFERRED or not self.tells(caller.channel_id):
            caller.leave()
        elif self._errands.soon(self._let_go(caller)) is None:
            caller.leave()

    def hung_up(self, caller: Caller) -> None:
        """See `Dialplan.hung_up`."""
        self._front.calls.hung_up(caller.offer.carrier_call_id)

    async def _let_go(self, caller: Caller) -> None:
        assert self._ari is not None, "the dialplan can be told"
        offer = caller.offer
        what = after(self._front, offer.carrier_call_id, offer.to_number, caller.again)
        try:
            match what:
                case Again():
                    await self._say(offer, "again")
                case Apologise(_, dial):
                    await self._say(offer, f"apology:{dial if dial is not None and is_e164(dial) else ''}")
                case _:
                    await self._ari.hang_up(caller.channel_id)
        except CarrierError as failed:
            logger.warning("the dialplan is not told how a call goes on: %s", failed)
        finally:
            caller.leave()
            self._front.calls.hung_up(offer.carrier_call_id)
        if isinstance(what, Again | Apologise):
            await asyncio.sleep(FORGET_S)
            await self._forget(offer)

    async def _forget(self, offer: CallOffer) -> None:
        assert self._ari is not None, "the dialplan was told"
        await self._ari.forget_global(variable_of(offer.carrier_call_id))

    async def _say(self, offer: CallOffer, word: str) -> None:
        assert self._ari is not None, "the dialplan can be told"
        await self._ari.set_global(variable_of(offer.carrier_call_id), word)

    # --- what the call wants --------------------------------------------------------------------

    async def carry_out(self, offer: CallOffer, command: ControlCommand) -> None:
        """See `Control.carry_out`."""
        match command:
            case StartTransfer():
                caller = self._checked(offer, command)
                # At once, so that a cancellation which follows on its heels finds what it cancels.
                transfer = self._transfers.open(offer.carrier_call_id, command)
                await self._errands.lasting(self._move(caller, command, transfer))
            case CompleteTransfer():
                raise CarrierError("a transfer in the dialplan is blind", permanent=True, code="no_warm")
            case CancelTransfer():
                transfer_now = self._transfers.of_call(offer.carrier_call_id)
                if transfer_now is not None and transfer_now.transfer_id == command.transfer_id:
                    transfer_now.stage = Stage.OVER
            case _:
                assert_never(command)

    def call_over(self, carrier_call_id: str) -> None:
        """See `Control.call_over`."""
        self._callers.pop(carrier_call_id, None)
        transfer = self._transfers.of_call(carrier_call_id)
        if transfer is not None:
            transfer.stage = Stage.OVER

    def _checked(self, offer: CallOffer, command: StartTransfer) -> Caller:
        """Return who is to be transferred. Raises `CarrierError` when that cannot be."""
        caller = self._callers.get(offer.carrier_call_id)
        if command.mode is TransferMode.WARM:
            raise CarrierError(
                "warm transfers are not made with asterisk: set mode: blind", permanent=True, code="no_warm"
            )
        if self._ari is None:
            raise CarrierError("transfers need GATEWAY_ASTERISK_ARI_URL", permanent=True, code="no_ari")
        if caller is None or not caller.channel_id:
            raise CarrierError("the dialplan did not tell the caller's channel", permanent=True, code="no_channel")
        if is_e164(command.number) is None:
            raise CarrierError("a transfer target is + and digits", permanent=True, code="not_e164")
        return caller

    async def _move(self, caller: Caller, command: StartTransfer, transfer: Transfer) -> None:
        word = f"transfer:{command.number}:{max(5, min(120, round(command.ring_s)))}:{self._dial_context}"
        try:
            await self._say(caller.offer, word)
        except CarrierError as failed:
            transfer.stage = Stage.OVER
            if not failed.permanent and failed.code != "not_sent":  # it may have been carried out
                self._errands.soon(self._forget(caller.offer))
            raise
        if transfer.stage is Stage.OVER:
            await self._forget(caller.offer)
            return
        transfer.stage = Stage.MOVING
        caller.leave()
        self._errands.soon(self._watch(caller, transfer, command.ring_s))

    async def _watch(self, caller: Caller, transfer: Transfer, ring_s: float) -> None:
        """Learn whether somebody answers, or the caller hangs up; nothing else would tell."""
        clock = asyncio.get_running_loop().time
        until_s = clock() + ring_s + WATCH_LONGER_S
        while transfer.stage is Stage.MOVING and clock() < until_s:
            await asyncio.sleep(WATCH_S)
            try:
                state = await self._state(caller)
            except CarrierError as failed:
                if failed.permanent:
                    raise
                continue
            if state == "gone":
                transfer.stage = Stage.OVER
                self._front.calls.hung_up(transfer.carrier_call_id)
            elif state == "ANSWER":
                self._tell(transfer, TransferState.ANSWERED)
        await self._forget(caller.offer)

    async def _state(self, caller: Caller) -> str:
        """Return "gone", or the `DIALSTATUS` of the transfer; "" while the dialplan has not read what we said."""
        assert self._ari is not None, "the dialplan was told"
        if not await self._ari.lives(caller.channel_id):
            return "gone"
        if await self._ari.global_variable(variable_of(caller.offer.carrier_call_id)):
            return ""
        return await self._ari.variable(caller.channel_id, "DIALSTATUS")

    def _tell(self, transfer: Transfer, state: TransferState) -> None:
        if transfer.stage is not Stage.OVER and transfer.tells(state):
            transfer.stage = Stage.OVER
            self._front.calls.transfer_progress(transfer.carrier_call_id, TransferProgress(transfer.transfer_id, state))
