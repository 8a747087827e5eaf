"""Brings callers to humans, by the carrier's REST API and by what its webhooks then say.

Blind: the caller's leg gets a `<Dial>`, which ends our stream; its `action` asks what follows. Warm: the human is
called apart, hears the brief and presses a key; then the caller's leg is put into the conference where the human
already waits. No human is left ringing, and none left waiting: whoever is being called when the call ends is hung up,
and so is the one who stays behind in the conference.

A call that ends while its human is being called cannot take the request back, so the request runs to its end as an
errand, and its human is then let go.
"""

import asyncio
import logging
from contextlib import AbstractAsyncContextManager
from typing import assert_never
from urllib.parse import urlencode

from gateway.carriers.base import CallOffer, Switchboard
from gateway.carriers.errands import Errands
from gateway.carriers.transfers import Stage, Transfer, Transfers, is_e164
from gateway.carriers.twilio import verbs
from gateway.carriers.twilio.dialect import TWILIO, Dialect
from gateway.carriers.twilio.rest import TwilioRest
from gateway.core.commands import CancelTransfer, CompleteTransfer, ControlCommand, StartTransfer
from gateway.core.events import TransferProgress, TransferState
from gateway.errors import CarrierError

__all__ = ["TwilioControl"]

logger = logging.getLogger(__name__)

HANG_UP_AGAIN_S = (1.0, 4.0)
"""Pauses before the line of a human is put down once more, when the carrier could not."""
FAILURES = {"busy": TransferState.BUSY, "no-answer": TransferState.NO_ANSWER, "completed": TransferState.REJECTED}
"""Ends of a human's leg before they accepted; a voicemail that presses no key is one that completes."""
SURELY_NOT_DONE = frozenset({"not_sent", "429", "20429"})
"""Temporary errors of the REST client that prove that nothing happened."""


class TwilioControl:
    """The `Control` of one account. `running` must be entered before calls are offered."""

    def __init__(
        self,
        rest: TwilioRest | None,
        calls: Switchboard,
        public_url: str,
        from_number: str | None,
        dialect: Dialect = TWILIO,
    ) -> None:
        """Without `rest` every transfer is refused. `from_number` is for calls that have no number of ours."""
        self._rest = rest
        self._calls = calls
        self._name = dialect.name
        self._webhooks = f"{public_url}/{dialect.name}"
        self._from_number = from_number
        self._transfers = Transfers()
        self._errands = Errands()

    def running(self) -> AbstractAsyncContextManager[None]:
        """Own the requests; see `Errands.running`."""
        return self._errands.running()

    # --- what the call wants ------------------------------------------------------------------

    async def carry_out(self, offer: CallOffer, command: ControlCommand) -> None:
        """See `Control.carry_out`."""
        match command:
            case StartTransfer():
                # At once, so that a cancellation which follows on its heels finds what it cancels.
                transfer = self._begin(offer, command)
                await self._errands.lasting(self._request(offer, command, transfer))
            case CompleteTransfer():
                await self._errands.lasting(self._complete(offer.carrier_call_id, command.transfer_id))
            case CancelTransfer():
                newest = self._transfers.of_call(offer.carrier_call_id)
                if newest is not None and newest.transfer_id == command.transfer_id:
                    self._give_up(newest)
            case _:
                assert_never(command)

    def call_over(self, carrier_call_id: str) -> None:
        """See `Control.call_over`."""
        transfer = self._transfers.of_call(carrier_call_id)
        if transfer is not None:
            transfer.left = True
            self._give_up(transfer)

    # --- what the webhooks say ----------------------------------------------------------------

    def caller_gone(self, carrier_call_id: str) -> None:
        """The caller's leg is over: nobody comes to whoever waits for it."""
        transfer = self._transfers.of_call(carrier_call_id)
        if transfer is not None and transfer.stage is not Stage.OVER:
            self._let_go_human(transfer)

    def newest(self, carrier_call_id: str, ticket: str | None = None) -> Transfer | None:
        """Return the newest transfer of a live call; None when the ticket names another."""
        return self._transfers.newest(carrier_call_id, ticket)

    def tell(self, transfer: Transfer, state: TransferState) -> None:
        """Tell the call, once each and only forward; a failure settles a transfer."""
        if transfer.tells(state):
            settles = state not in (TransferState.RINGING, TransferState.ANSWERED, TransferState.ACCEPTED)
            if settles or (state is TransferState.ANSWERED and not transfer.warm):
                transfer.stage = Stage.OVER
            self._calls.transfer_progress(transfer.carrier_call_id, TransferProgress(transfer.transfer_id, state))

    def human_state(self, ticket: str, human_call_id: str, status: str) -> None:
        """Take a status callback of the leg to a human."""
        transfer = self._transfers.find(ticket)
        if transfer is None:
            return
        if not transfer.warm:
            if status in ("answered", "in-progress"):
                self.tell(transfer, TransferState.ANSWERED)
            return
        if not self._is_human(transfer, human_call_id):
            return
        if status in ("completed", "busy", "no-answer", "failed", "canceled"):
            self._human_gone(transfer, status)
        elif transfer.stage is Stage.OVER:
            self._errands.soon(self._hang_up(human_call_id))
        elif status == "ringing":
            self.tell(transfer, TransferState.RINGING)
        elif status in ("answered", "in-progress"):
            self.tell(transfer, TransferState.ANSWERED)

    def human_key(self, ticket: str, human_call_id: str, digits: str) -> str:
        """Take the key of a human who was told the brief; return what follows for them, as TwiML."""
        transfer = self._transfers.find(ticket)
        if transfer is None or not transfer.warm or not self._is_human(transfer, human_call_id):
            return verbs.caller_gone()
        if transfer.stage is Stage.CALLING:
            if transfer.accept_key in ("", digits):
                transfer.stage = Stage.ACCEPTED
                self.tell(transfer, TransferState.ACCEPTED)
            else:
                self.tell(transfer, TransferState.REJECTED)
        if transfer.stage is not Stage.OVER:
            return verbs.meet(transfer.room)
        return verbs.hang_up() if transfer.told is TransferState.REJECTED else verbs.caller_gone()

    # --- legs ---------------------------------------------------------------------------------

    def _begin(self, offer: CallOffer, command: StartTransfer) -> Transfer:
        if self._rest is None:
            raise CarrierError(f"transfers need {self._name}'s REST credentials", permanent=True, code="no_credentials")
        if is_e164(command.number) is None:
            raise CarrierError("a transfer target is + and digits", permanent=True, code="not_e164")
        previous = self._transfers.of_call(offer.carrier_call_id)
        if previous is not None:
            self._give_up(previous)
        return self._transfers.open(offer.carrier_call_id, command)

    async def _request(self, offer: CallOffer, command: StartTransfer, transfer: Transfer) -> None:
        rest = self._rest
        if rest is None or transfer.stage is Stage.OVER:
            return
        try:
            if transfer.warm:
                await self._call_human(rest, offer, command, transfer)
            else:
                await rest.redirect(offer.carrier_call_id, self._dial(offer, command, transfer))
        except CarrierError as failed:
            # A blind one that may have begun is kept: its webhooks still bring the caller back.
            if transfer.warm or not _may_be_done(failed):
                transfer.stage = Stage.OVER
            raise

    def _dial(self, offer: CallOffer, command: StartTransfer, transfer: Transfer) -> str:
        attempt = {"attempt": offer.attempt_id} if offer.attempt_id else {}
        return verbs.dial(
            command.number,
            command.ring_s,
            action=self._url("transferred", transfer, **attempt),
            progress=self._url("transfer/status", transfer),
            caller_id=_shown_to_human(offer),
        )

    async def _call_human(self, rest: TwilioRest, offer: CallOffer, command: StartTransfer, transfer: Transfer) -> None:
        ours = offer.from_number if offer.direction == "outbound" else offer.to_number
        from_ = ours if is_e164(ours) else self._from_number
        if from_ is None:
            raise CarrierError("no number of ours to call the human from", permanent=True, code="no_from_number")
        brief = verbs.offer_caller(command.brief, command.accept_key, self._url("transfer/key", transfer))
        status = self._url("transfer/status", transfer)
        human = await rest.ring(command.number, from_, brief, status, timeout_s=verbs.ring_seconds(command.ring_s))
        transfer.human_call_id = human
        if transfer.stage is Stage.OVER:
            await self._hang_up(human)

    async def _complete(self, carrier_call_id: str, transfer_id: str) -> None:
        transfer = self._transfers.of_call(carrier_call_id)
        rest = self._rest
        if rest is None or transfer is None or transfer.transfer_id != transfer_id:
            raise CarrierError("there is no such transfer", permanent=True, code="unknown_transfer")
        if transfer.stage is not Stage.ACCEPTED:
            raise CarrierError("the human is not there any more", permanent=True, code="human_gone")
        transfer.stage = Stage.MOVING
        try:
            await rest.redirect(carrier_call_id, verbs.meet(transfer.room))
        except CarrierError as failed:
            # The stream has ended meanwhile, so the request was carried out although its answer is missing.
            if not (transfer.left and _may_be_done(failed)):
                self._let_go_human(transfer)
                raise
        if transfer.stage is Stage.MOVING:
            transfer.stage = Stage.TOGETHER
        else:
            await self._comfort(carrier_call_id)

    async def _comfort(self, carrier_call_id: str) -> None:
        """The human went while the caller was brought: say so, rather than leave the caller in an empty room."""
        assert self._rest is not None, "a transfer was begun"
        try:
            await self._rest.redirect(carrier_call_id, verbs.apologise())
        except CarrierError as failed:
            logger.info("the caller of a failed transfer is not told: %s", failed)
            await self._hang_up(carrier_call_id)

    def _is_human(self, transfer: Transfer, human_call_id: str) -> bool:
        """A webhook may come before the API's answer that tells the id."""
        transfer.human_call_id = transfer.human_call_id or human_call_id
        return transfer.human_call_id == human_call_id

    def _human_gone(self, transfer: Transfer, status: str) -> None:
        stage = transfer.stage
        if stage is Stage.TOGETHER:
            # The conference has ended for the caller too, unless the caller had not got there yet.
            self._errands.soon(self._hang_up(transfer.carrier_call_id))
        failure = FAILURES.get(status, TransferState.FAILED)
        if stage is Stage.CALLING:
            self.tell(transfer, failure)
        elif stage is Stage.ACCEPTED:
            self.tell(transfer, TransferState.FAILED)
        transfer.stage = Stage.OVER

    def _give_up(self, transfer: Transfer) -> None:
        """Nobody waits for the human. One whom the caller is joining, or has joined, is not disturbed."""
        if transfer.stage in (Stage.CALLING, Stage.ACCEPTED):
            self._let_go_human(transfer)

    def _let_go_human(self, transfer: Transfer) -> None:
        transfer.stage = Stage.OVER
        if transfer.human_call_id:
            self._errands.soon(self._hang_up(transfer.human_call_id))

    # --- requests -----------------------------------------------------------------------------

    async def _hang_up(self, call_sid: str) -> None:
        assert self._rest is not None, "a transfer was begun"
        for pause_s in (*HANG_UP_AGAIN_S, None):
            try:
                return await self._rest.hang_up(call_sid)
            except CarrierError as failed:
                if failed.permanent or pause_s is None:
                    logger.warning("a leg of a transfer was not hung up: %s", failed)
                    return
                await asyncio.sleep(pause_s)

    def _url(self, path: str, transfer: Transfer, **more: str) -> str:
        return f"{self._webhooks}/{path}?{urlencode({'ticket': transfer.ticket} | more)}"


def _may_be_done(failed: CarrierError) -> bool:
    return not failed.permanent and failed.code not in SURELY_NOT_DONE


def _shown_to_human(offer: CallOffer) -> str | None:
    """Return the number that a dialled human sees; None: the caller's own, Twilio's default for a call that came in."""
    if offer.direction == "outbound":
        return offer.from_number
    return None if is_e164(offer.from_number) else offer.to_number
