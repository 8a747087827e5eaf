"""All calls whose media OpenAI carries: their legs, their sidebands, and transfers by REFER.

Requests outlive the calls that asked for them: a call that was accepted and is not wanted any more must be hung up.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import assert_never
from urllib.parse import quote, urlsplit, urlunsplit

from gateway.carriers.base import CallOffer, Switchboard
from gateway.carriers.openai_sip.leg import Dial, SipCall
from gateway.carriers.openai_sip.rest import CallsRest
from gateway.core.commands import CancelTransfer, CompleteTransfer, ControlCommand, StartTransfer
from gateway.core.events import Event
from gateway.core.plan import TransferMode
from gateway.errors import CarrierError, ModelError
from gateway.wire import TextSocket

__all__ = ["CARRIER", "SipCalls", "sideband_url"]

logger = logging.getLogger(__name__)

CARRIER = "openai_sip"
STOP_S = 5.0
"""How long requests may still take when the gateway stops."""


def sideband_url(model_url: str, call_id: str) -> str:
    """Return where the sideband socket of a call is; `model` and other parameters of the endpoint are left out."""
    parts = urlsplit(model_url)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, f"call_id={quote(call_id, safe='')}", ""))


class SipCalls:
    """The `Control` of this carrier. `running` must be entered before calls are offered."""

    def __init__(self, rest: CallsRest, calls: Switchboard) -> None:
        self._rest = rest
        self._calls = calls
        self._live: dict[str, SipCall] = {}
        self._group: asyncio.TaskGroup | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Own the requests. On the way out those under way get `STOP_S`."""
        try:
            async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as group:
                self._group = group
                try:
                    yield
                finally:
                    self._group = None
                    limit.reschedule(asyncio.get_running_loop().time() + STOP_S)
        except TimeoutError:
            logger.warning("stopped without waiting for openai's answer")
        finally:
            await self._rest.close()

    def knows(self, call_id: str) -> bool:
        """Whether a call is live here."""
        return call_id in self._live

    def offer(self, offer: CallOffer) -> None:
        """Admit a call. What follows happens by itself: its model accepts it. Raises what `Switchboard.offer` does."""
        if offer.carrier_call_id in self._live:
            return
        token = self._calls.offer(offer)
        live = self._calls.claim(token, offer.carrier_call_id, offer.account_id)
        self._live[offer.carrier_call_id] = SipCall(offer.carrier_call_id, live, self._rest, self._calls, self._spawn)

    def reject(self, call_id: str, status: int) -> None:
        """Decline a call with a SIP status, soon."""

        async def decline() -> None:
            try:
                await self._rest.reject(call_id, status)
            except CarrierError as failed:
                logger.warning("call %s could not be declined: %s", call_id, failed)

        self._spawn(decline())

    def sideband(self, call_id: str, session: Mapping[str, object], dial: Dial) -> Dial:
        """Return what opens a call's sideband socket; the first time it accepts the call with `session`."""

        async def open_socket(url: str, headers: Mapping[str, str]) -> TextSocket:
            call = self._live.get(call_id)
            if call is None:
                raise ModelError("the call is over", permanent=True, code="call_over")
            return await call.open(session, dial, url, headers)

        return open_socket

    def listener(self, call_id: str, feed: Callable[[Event], None]) -> Callable[[Event], None]:
        """Return what takes the events of a call's sideband, and tells `feed` those that are the call's matter."""

        def tell(event: Event) -> None:
            call = self._live.get(call_id)
            if call is None:
                feed(event)
            else:
                call.tell(event, feed)

        return tell

    async def carry_out(self, offer: CallOffer, command: ControlCommand) -> None:
        """See `Control.carry_out`."""
        call = self._live.get(offer.carrier_call_id)
        match command:
            case StartTransfer(mode=TransferMode.WARM) | CompleteTransfer():
                raise CarrierError("openai sip transfers are blind", permanent=True, code="not_possible")
            case StartTransfer():
                if call is None:
                    raise CarrierError("the call is over", permanent=True, code="gone")
                await self._lasting(call.refer(command))
            case CancelTransfer():
                # A REFER cannot be taken back.
                if call is not None:
                    call.stays(command.transfer_id)
            case _:
                assert_never(command)

    def call_over(self, carrier_call_id: str) -> None:
        """See `Control.call_over`."""
        call = self._live.pop(carrier_call_id, None)
        if call is not None:
            call.let_go()

    async def _lasting(self, work: Coroutine[None, None, None]) -> None:
        """Wait for work that is done all the same when nobody waits for it any more."""
        failed: list[CarrierError] = []

        async def kept() -> None:
            try:
                await work
            except CarrierError as error:
                failed.append(error)

        task = self._spawn(kept())
        if task is None:
            work.close()
            raise CarrierError("the gateway stops", code="stopping")
        await asyncio.shield(task)
        if failed:
            raise failed[0]

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None] | None:
        if self._group is None:
            work.close()
            return None
        return self._group.create_task(work)
