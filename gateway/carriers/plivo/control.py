"""Brings callers to humans, and sees to it that no caller is left behind after a stream, by Plivo's REST API.

A blind transfer redirects the caller's leg to XML with a `<Dial>`, which ends our stream; its `action` asks what
follows.

After a stream Plivo goes on with the `<Redirect>` behind the `<Stream>`, if `keepCallAlive` means what one page of
Plivo says. If it means what the other says, the caller hears silence for ever. So a call whose stream is over and of
which Plivo does not say a word is redirected, or put down, by REST.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import assert_never
from urllib.parse import urlencode

from gateway.carriers.base import CallOffer
from gateway.carriers.errands import Errands
from gateway.carriers.front import SPOKEN_END, Front
from gateway.carriers.jsonrest import GONE
from gateway.carriers.plivo import verbs
from gateway.carriers.plivo.rest import PlivoRest
from gateway.carriers.transfers import Stage, Transfer, Transfers, is_e164
from gateway.core.commands import CancelTransfer, CompleteTransfer, ControlCommand, EndReason, StartTransfer
from gateway.core.events import TransferProgress, TransferState
from gateway.core.plan import TransferMode
from gateway.errors import CarrierError

__all__ = ["PlivoControl"]

logger = logging.getLogger(__name__)

LEFT_ALONE_S = 2.0
"""How long a caller may hear nothing after a stream before Plivo is told what follows."""
MOST_REMEMBERED = 4096


class PlivoControl:
    """The `Control` of one account. `running` must be entered before calls are offered."""

    def __init__(self, rest: PlivoRest | None, front: Front) -> None:
        """Without `rest` every transfer is refused, and nobody looks after callers that Plivo leaves alone."""
        self._rest = rest
        self._front = front
        self._webhooks = f"{front.public_url}/plivo"
        self._transfers = Transfers()
        self._dials: dict[str, str] = {}
        """XML of the transfers that Plivo has not asked for, by ticket."""
        self._errands = Errands()
        self._heard_of: OrderedDict[str, None] = OrderedDict()
        """Calls of which Plivo has said something since their last stream began."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Own the requests."""
        try:
            async with self._errands.running():
                yield
        finally:
            if self._rest is not None:
                await self._rest.close()

    # --- what the call wants ------------------------------------------------------------------

    async def carry_out(self, offer: CallOffer, command: ControlCommand) -> None:
        """See `Control.carry_out`."""
        match command:
            case StartTransfer(mode=TransferMode.WARM) | CompleteTransfer():
                raise CarrierError("transfers by plivo are blind", permanent=True, code="no_warm")
            case StartTransfer():
                transfer = self._begin(offer, command)
                await self._errands.lasting(self._request(transfer))
            case CancelTransfer():
                newest = self._transfers.of_call(offer.carrier_call_id)
                if newest is not None and newest.transfer_id == command.transfer_id:
                    self._forget(newest)
            case _:
                assert_never(command)

    def call_over(self, carrier_call_id: str) -> None:
        """See `Control.call_over`: the caller, who may still be there, must not be left in silence."""
        ended = self._front.calls.outcome(carrier_call_id)
        if self._rest is None or ended is None or ended.reason is EndReason.TRANSFERRED:
            return
        self._errands.soon(self._look_after(self._rest, carrier_call_id, ended.again))

    # --- what the webhooks say ----------------------------------------------------------------

    def stream_begins(self, carrier_call_id: str) -> None:
        """Plivo was told to open a stream."""
        self._heard_of.pop(carrier_call_id, None)

    def heard_of(self, carrier_call_id: str) -> None:
        """Plivo has asked what follows a stream, or has said that the call is over."""
        self._heard_of[carrier_call_id] = None
        while len(self._heard_of) > MOST_REMEMBERED:
            self._heard_of.popitem(last=False)

    def newest(self, carrier_call_id: str, ticket: str | None = None) -> Transfer | None:
        """Return the newest transfer of a call; None when the ticket names another."""
        return self._transfers.newest(carrier_call_id, ticket)

    def dial(self, ticket: str) -> str | None:
        """Return the XML that brings the caller to the human; None when nobody waits for that any more."""
        return self._dials.get(ticket)

    def tell(self, transfer: Transfer, state: TransferState) -> None:
        """Tell the call, once each and only forward."""
        if transfer.tells(state):
            if state is not TransferState.RINGING:
                self._forget(transfer)
            self._front.calls.transfer_progress(transfer.carrier_call_id, TransferProgress(transfer.transfer_id, state))

    # --- requests -----------------------------------------------------------------------------

    def _begin(self, offer: CallOffer, command: StartTransfer) -> Transfer:
        if self._rest is None:
            raise CarrierError("transfers need GATEWAY_PLIVO_AUTH_ID", permanent=True, code="no_credentials")
        if is_e164(command.number) is None:
            raise CarrierError("a transfer target is + and digits", permanent=True, code="not_e164")
        transfer = self._transfers.open(offer.carrier_call_id, command)
        self._dials[transfer.ticket] = verbs.dial(
            command.number,
            command.ring_s,
            action=self._url("transferred", transfer),
            progress=self._url("transfer/status", transfer),
            caller_id=_shown_to_human(offer),
        )
        return transfer

    async def _request(self, transfer: Transfer) -> None:
        assert self._rest is not None, "a transfer was begun"
        if transfer.stage is Stage.OVER:
            return
        try:
            await self._rest.redirect(transfer.carrier_call_id, self._url("transfer", transfer))
        except CarrierError as failed:
            # One that may have begun is kept: its webhooks still bring the caller back.
            if failed.permanent or failed.code in ("not_sent", "429"):
                self._forget(transfer)
            raise

    async def _look_after(self, rest: PlivoRest, call_uuid: str, again: int) -> None:
        await asyncio.sleep(LEFT_ALONE_S)
        ended = self._front.calls.outcome(call_uuid)
        if ended is None or call_uuid in self._heard_of:
            return
        try:
            if ended.reason in SPOKEN_END:
                await rest.hang_up(call_uuid)
            else:
                logger.info("plivo did not ask what follows a stream")
                await rest.redirect(call_uuid, f"{self._webhooks}/after?{urlencode({'again': again})}")
        except CarrierError as failed:
            if failed.code != GONE:
                raise

    def _forget(self, transfer: Transfer) -> None:
        transfer.stage = Stage.OVER
        self._dials.pop(transfer.ticket, None)

    def _url(self, path: str, transfer: Transfer) -> str:
        return f"{self._webhooks}/{path}?{urlencode({'ticket': transfer.ticket})}"


def _shown_to_human(offer: CallOffer) -> str:
    """Return the number that a dialled human sees: ours, for Plivo shows no others; "" where the call has none."""
    ours = offer.from_number if offer.direction == "outbound" else offer.to_number
    return ours if is_e164(ours) else ""
