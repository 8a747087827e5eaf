"""Brings callers to humans and ends calls, by jambonz' REST API and by what its webhooks then say.

Blind only: the caller's leg is sent to `/jambonz/transfer`, which takes it off our stream and dials the number; the
dial's own hook asks what follows.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import assert_never

from gateway.carriers.base import CallOffer, Switchboard
from gateway.carriers.errands import Errands
from gateway.carriers.front import WE_HANG_UP
from gateway.carriers.jambonz.rest import JambonzRest
from gateway.carriers.jambonz.verbs import Verb, Verbs
from gateway.carriers.transfers import Stage, Transfer, Transfers, is_e164
from gateway.core.commands import CancelTransfer, CompleteTransfer, ControlCommand, StartTransfer
from gateway.core.events import TransferProgress, TransferState
from gateway.core.plan import TransferMode
from gateway.errors import CarrierError

__all__ = ["JambonzControl"]

logger = logging.getLogger(__name__)

HANG_UP_AFTER_S = 2.0
"""The answer to the stream's hook ends the call sooner; this is for when that request is lost."""
KEPT_DIALS = 2000


class JambonzControl:
    """The `Control` of one account. `running` must be entered before calls are offered."""

    def __init__(self, rest: JambonzRest | None, calls: Switchboard, verbs: Verbs) -> None:
        """Without `rest` every transfer is refused, and calls end by the answers to hooks alone."""
        self._rest = rest
        self._calls = calls
        self._verbs = verbs
        self._transfers = Transfers()
        self._dials: OrderedDict[str, list[Verb]] = OrderedDict()
        """What a transfer's webhook answers, by its ticket: numbers stand in no URL."""
        self._errands = Errands()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Own the requests."""
        try:
            async with self._errands.running():
                yield
        finally:
            if self._rest is not None:
                await self._rest.close()

    async def carry_out(self, offer: CallOffer, command: ControlCommand) -> None:
        """See `Control.carry_out`."""
        match command:
            case StartTransfer():
                transfer = self._begin(offer, command)
                await self._errands.lasting(self._request(offer.carrier_call_id, transfer))
            case CompleteTransfer():
                raise _no_warm()
            case CancelTransfer():
                newest = self._transfers.of_call(offer.carrier_call_id)
                if newest is not None and newest.transfer_id == command.transfer_id:
                    newest.stage = Stage.OVER
            case _:
                assert_never(command)

    def call_over(self, carrier_call_id: str) -> None:
        """See `Control.call_over`."""
        transfer = self._transfers.of_call(carrier_call_id)
        if transfer is not None:
            transfer.stage = Stage.OVER
        ended = self._calls.outcome(carrier_call_id)
        if self._rest is not None and ended is not None and ended.reason in WE_HANG_UP:
            self._errands.soon(self._hang_up(self._rest, carrier_call_id))

    def newest(self, carrier_call_id: str, ticket: str | None = None) -> Transfer | None:
        """Return the newest transfer of a call; None when the ticket names another."""
        return self._transfers.newest(carrier_call_id, ticket)

    def dial(self, carrier_call_id: str, ticket: str) -> list[Verb] | None:
        """Return what brings the caller to the human; None when nobody wants that any more."""
        transfer = self.newest(carrier_call_id, ticket)
        return self._dials.get(ticket) if transfer is not None and transfer.stage is Stage.CALLING else None

    def tell(self, transfer: Transfer, state: TransferState) -> None:
        """Tell the call, once each and only forward; everything but ringing settles a blind transfer."""
        if transfer.tells(state):
            if state is not TransferState.RINGING:
                transfer.stage = Stage.OVER if state is not TransferState.ANSWERED else Stage.TOGETHER
            self._calls.transfer_progress(transfer.carrier_call_id, TransferProgress(transfer.transfer_id, state))

    def _begin(self, offer: CallOffer, command: StartTransfer) -> Transfer:
        if self._rest is None:
            raise CarrierError(
                "transfers need jambonz' API address, account and key", permanent=True, code="no_credentials"
            )
        if command.mode is TransferMode.WARM:
            raise _no_warm()
        if is_e164(command.number) is None:
            raise CarrierError("a transfer target is + and digits", permanent=True, code="not_e164")
        transfer = self._transfers.open(offer.carrier_call_id, command)
        ours = offer.from_number if offer.direction == "outbound" else offer.to_number
        dial = self._verbs.dial(command.number, command.ring_s, ours, transfer.ticket, offer.attempt_id)
        self._dials[transfer.ticket] = dial
        while len(self._dials) > KEPT_DIALS:
            self._dials.popitem(last=False)
        return transfer

    async def _request(self, carrier_call_id: str, transfer: Transfer) -> None:
        rest = self._rest
        if rest is None or transfer.stage is Stage.OVER:
            return
        try:
            await rest.redirect(carrier_call_id, self._verbs.url("transfer", {"ticket": transfer.ticket}))
        except CarrierError as failed:
            # One that may have begun is kept: its hooks still bring the caller back.
            if failed.permanent or failed.code in ("not_sent", "429"):
                transfer.stage = Stage.OVER
            raise

    async def _hang_up(self, rest: JambonzRest, carrier_call_id: str) -> None:
        await asyncio.sleep(HANG_UP_AFTER_S)
        await rest.hang_up(carrier_call_id)


def _no_warm() -> CarrierError:
    return CarrierError(
        "warm transfers are not made over jambonz: give the target mode: blind", permanent=True, code="no_warm"
    )
