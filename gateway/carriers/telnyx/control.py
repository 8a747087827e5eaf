"""Brings callers to humans: a transfer, or a call of its own and a bridge, and what Telnyx then tells of the human.

Blind: `transfer`. It does not end our stream, and when nobody answers the caller is where they were: with the agent.
Once both are bridged the stream is stopped. Warm: the human is called apart, is told the brief and presses a key; then
both legs are bridged. Every event of a human's leg names the transfer by a ticket in its `client_state`; one that is
late, repeated or replayed finds a transfer that has moved on. Nobody is left ringing and nobody left waiting: whoever
is being called when the call ends is hung up.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import assert_never

from gateway.carriers.base import CallOffer, Switchboard
from gateway.carriers.errands import Errands
from gateway.carriers.telnyx.callers import VOICE, Callers
from gateway.carriers.telnyx.events import Event, pack
from gateway.carriers.telnyx.rest import TelnyxRest
from gateway.carriers.transfers import Stage, Transfer, Transfers, is_e164
from gateway.core.commands import CancelTransfer, CompleteTransfer, ControlCommand, StartTransfer
from gateway.core.events import TransferProgress, TransferState
from gateway.errors import CarrierError

__all__ = ["TelnyxControl"]

logger = logging.getLogger(__name__)

HANG_UP_AGAIN_S = (1.0, 4.0)
"""Pauses before the line of a human is put down once more, when Telnyx could not."""
LEAST_RING_S, LONGEST_RING_S = 5, 600
MOST_BRIEF = 1000
KEY_MS = 8000
"""How long a human may think before they are asked once more."""
FAILURES = {
    "user_busy": TransferState.BUSY,
    "no_answer": TransferState.NO_ANSWER,
    "timeout": TransferState.NO_ANSWER,
    "originator_cancel": TransferState.NO_ANSWER,
    "call_rejected": TransferState.REJECTED,
    "normal_clearing": TransferState.REJECTED,
}
"""Ends of a human's leg before they had the caller (`hangup_cause`); any other has failed."""
NOBODY = frozenset({TransferState.BUSY, TransferState.NO_ANSWER, TransferState.REJECTED, TransferState.FAILED})
SPOKEN_KEYS = {"*": "star", "#": "pound"}


class TelnyxControl:
    """The `Control` of one account. `running` must be entered before calls are offered."""

    def __init__(self, rest: TelnyxRest, callers: Callers, calls: Switchboard, errands: Errands) -> None:
        self._rest = rest
        self._callers = callers
        self._calls = calls
        self._errands = errands
        self._transfers = Transfers()
        self._briefs: dict[str, str] = {}
        """What humans who are being called are to be told, by ticket."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Own the requests, and the connections."""
        try:
            async with self._errands.running():
                yield
        finally:
            await self._rest.close()

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
        """See `Control.call_over`. What the caller hears then follows here too."""
        transfer = self._transfers.of_call(carrier_call_id)
        if transfer is not None:
            transfer.left = True
            self._give_up(transfer)
        self._callers.over(carrier_call_id)

    # --- what the events say ------------------------------------------------------------------

    def caller_gone(self, carrier_call_id: str) -> None:
        """The caller's leg is over: nobody comes to whoever waits for it."""
        transfer = self._transfers.of_call(carrier_call_id)
        if transfer is not None and transfer.stage in (Stage.CALLING, Stage.ACCEPTED, Stage.MOVING):
            self._let_go_human(transfer)

    def human(self, event: Event, ticket: str) -> None:
        """Take an event of a human's leg."""
        transfer = self._transfers.find(ticket)
        if transfer is None:
            return
        transfer.human_call_id = transfer.human_call_id or event.call_id
        if transfer.human_call_id != event.call_id:
            return
        match event.kind:
            case "call.initiated":
                if not self._unwanted(transfer) and transfer.warm:
                    self._tell(transfer, TransferState.RINGING)
            case "call.answered" if transfer.warm:
                self._human_answered(transfer)
            case "call.gather.ended":
                self._decided(transfer, event.get("digits")[:1])
            case "call.speak.ended" if not transfer.accept_key and event.get("status") != "call_hangup":
                self._decided(transfer, "")
            case "call.bridged":
                self.bridged(transfer)
            case "call.hangup":
                self._human_gone(transfer, event.get("hangup_cause"))

    def caller_bridged(self, carrier_call_id: str) -> None:
        """Telnyx says that the caller has the human; the human's own event says the same."""
        transfer = self._transfers.of_call(carrier_call_id)
        if transfer is not None:
            self.bridged(transfer)

    def bridged(self, transfer: Transfer) -> None:
        if transfer.warm:
            if transfer.stage is Stage.MOVING:
                transfer.stage = Stage.TOGETHER
        elif transfer.stage is Stage.CALLING:
            self._tell(transfer, TransferState.ANSWERED)
            transfer.stage = Stage.TOGETHER

    # --- a transfer ---------------------------------------------------------------------------

    def _begin(self, offer: CallOffer, command: StartTransfer) -> Transfer:
        if is_e164(command.number) is None:
            raise CarrierError("a transfer target is + and digits", permanent=True, code="not_e164")
        previous = self._transfers.of_call(offer.carrier_call_id)
        if previous is not None:
            self._give_up(previous)
        return self._transfers.open(offer.carrier_call_id, command)

    async def _request(self, offer: CallOffer, command: StartTransfer, transfer: Transfer) -> None:
        if transfer.stage is Stage.OVER:
            return
        ours = offer.from_number if offer.direction == "outbound" else offer.to_number
        shown: dict[str, object] = {"from": ours} if is_e164(ours) else {}
        asked = {
            "to": command.number,
            "timeout_secs": min(max(round(command.ring_s), LEAST_RING_S), LONGEST_RING_S),
            **shown,
        }
        ticket = pack(ticket=transfer.ticket)
        try:
            if transfer.warm:
                await self._call_human(offer, command, transfer, {**asked, "client_state": ticket})
            else:
                await self._rest.command(offer.carrier_call_id, "transfer", **asked, target_leg_client_state=ticket)
        except CarrierError as failed:
            # One that may have begun is kept: its events still find it, and end it.
            if failed.permanent:
                transfer.stage = Stage.OVER
            else:
                self._let_go_human(transfer)
            raise

    async def _call_human(
        self, offer: CallOffer, command: StartTransfer, transfer: Transfer, asked: dict[str, object]
    ) -> None:
        line = self._callers.find(offer.carrier_call_id)
        if line is None or not line.connection_id or "from" not in asked:
            raise CarrierError("no connection or number of ours to call the human from", permanent=True, code="no_from")
        self._briefs[transfer.ticket] = command.brief
        human = await self._rest.dial(connection_id=line.connection_id, **asked)
        transfer.human_call_id = human
        self._unwanted(transfer)

    def _human_answered(self, transfer: Transfer) -> None:
        if self._unwanted(transfer):
            return
        self._tell(transfer, TransferState.ANSWERED)
        self._errands.soon(self._tell_brief(transfer))

    async def _tell_brief(self, transfer: Transfer) -> None:
        told = "".join(filter(str.isprintable, " ".join(self._briefs.pop(transfer.ticket, "").split())))[:MOST_BRIEF]
        state, key = pack(ticket=transfer.ticket), transfer.accept_key
        try:
            if key:
                prompt = f"Press {SPOKEN_KEYS.get(key, key)} to take the call."
                await self._rest.command(
                    transfer.human_call_id,
                    "gather_using_speak",
                    payload=f"{told or 'There is a caller for you.'} {prompt}",
                    maximum_digits=1,
                    maximum_tries=2,
                    timeout_millis=KEY_MS,
                    terminating_digit="",  # `#` may be the key
                    client_state=state,
                    **VOICE,
                )
            elif told:
                await self._rest.command(transfer.human_call_id, "speak", payload=told, client_state=state, **VOICE)
            else:
                self._decided(transfer, "")
        except CarrierError:
            self._tell(transfer, TransferState.FAILED)
            self._let_go_human(transfer)
            raise

    def _decided(self, transfer: Transfer, key: str) -> None:
        """The human has pressed a key, or none; where none is asked for, the brief was told."""
        if not transfer.warm or transfer.stage is not Stage.CALLING:
            return
        if transfer.accept_key in ("", key):
            transfer.stage = Stage.ACCEPTED
            self._tell(transfer, TransferState.ACCEPTED)
        else:
            self._tell(transfer, TransferState.REJECTED)
            self._let_go_human(transfer)

    async def _complete(self, carrier_call_id: str, transfer_id: str) -> None:
        transfer = self._transfers.of_call(carrier_call_id)
        if transfer is None or transfer.transfer_id != transfer_id:
            raise CarrierError("there is no such transfer", permanent=True, code="unknown_transfer")
        if transfer.stage is not Stage.ACCEPTED:
            raise CarrierError("the human is not there any more", permanent=True, code="human_gone")
        transfer.stage = Stage.MOVING
        try:
            await self._rest.command(carrier_call_id, "bridge", call_control_id=transfer.human_call_id)
        except CarrierError as failed:
            # A stream that has ended meanwhile says that it was done although its answer is missing.
            if failed.permanent or not transfer.left:
                self._let_go_human(transfer)
                raise
        if transfer.stage is Stage.MOVING:
            transfer.stage = Stage.TOGETHER
        if transfer.stage is Stage.TOGETHER:
            # The end of our stream says that the caller has left us.
            await self._callers.leave(carrier_call_id)

    def _human_gone(self, transfer: Transfer, cause: str) -> None:
        stage, transfer.stage = transfer.stage, Stage.OVER
        self._briefs.pop(transfer.ticket, None)
        if stage is Stage.CALLING:
            self._tell(transfer, FAILURES.get(cause, TransferState.FAILED))
        elif stage in (Stage.ACCEPTED, Stage.MOVING):
            self._tell(transfer, TransferState.FAILED)
        elif stage is Stage.TOGETHER and transfer.warm:
            # Telnyx ends the other leg of a bridge too, unless the bridge was not yet made.
            self._errands.soon(self._hang_up(transfer.carrier_call_id))

    def _tell(self, transfer: Transfer, state: TransferState) -> None:
        """Tell the call, once each and only forward."""
        if transfer.tells(state):
            if state in NOBODY:
                self._callers.bring_back(transfer.carrier_call_id)
            self._calls.transfer_progress(transfer.carrier_call_id, TransferProgress(transfer.transfer_id, state))

    # --- letting go ---------------------------------------------------------------------------

    def _give_up(self, transfer: Transfer) -> None:
        """Nobody waits for the human. One whom the caller is joining, or has joined, is not disturbed."""
        if transfer.stage in (Stage.CALLING, Stage.ACCEPTED):
            self._let_go_human(transfer)

    def _let_go_human(self, transfer: Transfer) -> None:
        transfer.stage = Stage.OVER
        self._unwanted(transfer)

    def _unwanted(self, transfer: Transfer) -> bool:
        """Whether nobody wants this human any more, who is then let go as soon as their leg is known."""
        unwanted = transfer.stage is Stage.OVER
        if unwanted:
            self._briefs.pop(transfer.ticket, None)
        if unwanted and transfer.human_call_id:
            self._errands.soon(self._hang_up(transfer.human_call_id))
        return unwanted

    async def _hang_up(self, call_id: str) -> None:
        for pause_s in (*HANG_UP_AGAIN_S, None):
            try:
                return await self._rest.end(call_id)
            except CarrierError as failed:
                if failed.permanent or pause_s is None:
                    logger.warning("a leg of a transfer was not hung up: %s", failed)
                    return
                await asyncio.sleep(pause_s)
