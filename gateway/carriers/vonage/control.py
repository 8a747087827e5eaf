"""Brings callers to humans and ends calls, by Vonage's REST API and by what its events then say.

Blind only: the caller's leg gets a `connect` to the number, which takes it off our stream; when nobody answers, the
answer to the event of that brings it back.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import assert_never

from gateway.carriers.base import CallOffer, Switchboard
from gateway.carriers.errands import Errands
from gateway.carriers.front import WE_HANG_UP
from gateway.carriers.transfers import Stage, Transfer, Transfers, is_e164
from gateway.carriers.vonage.context import Context
from gateway.carriers.vonage.ncco import Ncco
from gateway.carriers.vonage.rest import VonageRest
from gateway.carriers.vonage.streams import Streams
from gateway.core.commands import CancelTransfer, CompleteTransfer, ControlCommand, StartTransfer
from gateway.core.events import TransferProgress, TransferState
from gateway.core.plan import TransferMode
from gateway.errors import CarrierError

__all__ = ["VonageControl"]

logger = logging.getLogger(__name__)

HANG_UP_AFTER_S = 2.0
"""The answer to the stream's `disconnected` event ends the call sooner; this is for when that event is lost."""


class VonageControl:
    """The `Control` of one application. `running` must be entered before calls are offered."""

    def __init__(self, rest: VonageRest | None, calls: Switchboard, ncco: Ncco, streams: Streams) -> None:
        """Without `rest` every transfer is refused, and calls end by the answers to events alone."""
        self._rest = rest
        self._calls = calls
        self._ncco = ncco
        self._streams = streams
        self._transfers = Transfers()
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
                await self._errands.lasting(self._request(offer, command, transfer))
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

    def controlled_at(self, carrier_call_id: str, region_url: str) -> None:
        """A webhook says which regional API a call is controlled by."""
        if self._rest is not None:
            self._rest.controlled_at(carrier_call_id, region_url)

    def newest(self, carrier_call_id: str, ticket: str | None = None) -> Transfer | None:
        """Return the newest transfer of a call; None when the ticket names another."""
        return self._transfers.newest(carrier_call_id, ticket)

    def moving(self, carrier_call_id: str) -> bool:
        """Tell whether a transfer has taken the call off its stream, or is about to."""
        transfer = self._transfers.of_call(carrier_call_id)
        return transfer is not None and transfer.stage is not Stage.OVER

    def tell(self, transfer: Transfer, state: TransferState) -> None:
        """Tell the call, once each and only forward; everything but ringing settles a blind transfer."""
        if transfer.tells(state):
            if state is not TransferState.RINGING:
                transfer.stage = Stage.OVER if state is not TransferState.ANSWERED else Stage.TOGETHER
            self._calls.transfer_progress(transfer.carrier_call_id, TransferProgress(transfer.transfer_id, state))

    def _begin(self, offer: CallOffer, command: StartTransfer) -> Transfer:
        if self._rest is None:
            raise CarrierError(
                "transfers need the Vonage application's id and private key", permanent=True, code="no_credentials"
            )
        if command.mode is TransferMode.WARM:
            raise _no_warm()
        if is_e164(command.number) is None:
            raise CarrierError("a transfer target is + and digits", permanent=True, code="not_e164")
        return self._transfers.open(offer.carrier_call_id, command)

    async def _request(self, offer: CallOffer, command: StartTransfer, transfer: Transfer) -> None:
        rest = self._rest
        if rest is None or transfer.stage is Stage.OVER:
            return
        context = self._streams.newest(offer.carrier_call_id) or Context(
            offer.carrier_call_id, offer.from_number, offer.to_number, offer.direction, offer.attempt_id
        )
        ncco = self._ncco.dial(command.number, command.ring_s, context.but(ticket=transfer.ticket))
        try:
            await rest.transfer(offer.carrier_call_id, ncco)
        except CarrierError as failed:
            # One that may have begun is kept: its events still bring the caller back.
            if failed.permanent or failed.code in ("not_sent", "429"):
                transfer.stage = Stage.OVER
            raise

    async def _hang_up(self, rest: VonageRest, carrier_call_id: str) -> None:
        await asyncio.sleep(HANG_UP_AFTER_S)
        await rest.hang_up(carrier_call_id)


def _no_warm() -> CarrierError:
    return CarrierError(
        "warm transfers are not made over Vonage: give the target mode: blind", permanent=True, code="no_warm"
    )
