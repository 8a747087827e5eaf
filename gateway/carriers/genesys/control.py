"""Transfers by Genesys: the session ends with output variables, and the Architect flow brings the caller to the target.

What comes of that nobody tells us: the call's record ends with the session, as transferred.
"""

import asyncio
from typing import assert_never

from gateway.carriers.base import CallOffer
from gateway.carriers.front import MOST_AGAIN, Apologise, Front, after
from gateway.carriers.genesys.leg import PART_S, AudioHookLeg
from gateway.core.commands import CancelTransfer, CompleteTransfer, ControlCommand, EndReason, StartTransfer
from gateway.core.events import TransferProgress, TransferState
from gateway.core.plan import TransferMode
from gateway.errors import CarrierError

__all__ = ["GenesysControl"]


class GenesysControl:
    """The `Control` of one integration; knows the live sessions by `CallOffer.carrier_call_id`."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._legs: dict[str, AudioHookLeg] = {}

    def joined(self, carrier_call_id: str, leg: AudioHookLeg) -> None:
        """A call has this session."""
        self._legs[carrier_call_id] = leg

    async def carry_out(self, offer: CallOffer, command: ControlCommand) -> None:
        """See `Control.carry_out`."""
        match command:
            case StartTransfer(mode=TransferMode.WARM) | CompleteTransfer():
                raise CarrierError("transfers by genesys are blind", permanent=True, code="no_warm")
            case StartTransfer():
                await self._transfer(offer.carrier_call_id, command)
            case CancelTransfer():
                pass  # the flow has the caller: it cannot be taken back
            case _:
                assert_never(command)

    def call_over(self, carrier_call_id: str) -> None:
        """See `Control.call_over`."""
        self._legs.pop(carrier_call_id, None)

    def variables(self, offer: CallOffer, reason: EndReason) -> dict[str, str]:
        """Return what the flow is told when a call ends: hang up, or look after a caller whom we could not serve."""
        step = after(self._front, offer.carrier_call_id, offer.to_number, MOST_AGAIN)
        if not isinstance(step, Apologise):
            return {"action": "hangup", "reason": reason.value}
        return {"action": "fallback", "reason": reason.value, "say": step.say, "target": step.dial or ""}

    async def _transfer(self, carrier_call_id: str, command: StartTransfer) -> None:
        leg = self._legs.get(carrier_call_id)
        if leg is None or leg.over.is_set():
            raise CarrierError("the session is over", permanent=True, code="gone")
        leg.part(
            {"action": "transfer", "target": command.target, "number": command.number, "summary": command.brief[:512]}
        )
        try:
            async with asyncio.timeout(PART_S):
                await leg.over.wait()
        except TimeoutError:
            raise CarrierError("genesys did not end the session", code="timeout") from None
        self._front.calls.transfer_progress(
            carrier_call_id, TransferProgress(command.transfer_id, TransferState.ANSWERED)
        )
