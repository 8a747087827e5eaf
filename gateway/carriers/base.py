"""What a carrier's adapter offers the rest: a leg per media stream.

The leg contract: marks and clear always work, exactly one `MarkPlayed` per mark that was not cleared. A carrier
without them brings its own pacer and mark book; the core has no capability flags.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.core.commands import LegCommand
from gateway.core.events import Event

__all__ = ["CallOffer", "Feed", "Leg"]

Feed = Callable[[Event], None]
"""The owner's `feed`: synchronous, may be called from any callback of the owner's event loop."""


@dataclass(frozen=True, slots=True)
class CallOffer:
    """A call that a carrier's signed webhook offers, or answers one that we placed."""

    carrier: str
    """Name of the carrier's folder, for instance "twilio"."""
    carrier_call_id: str
    account_id: str
    direction: str
    """"inbound" or "outbound"."""
    from_number: str
    to_number: str
    attempt_id: str = ""
    """Our id of an outbound attempt."""
    agent: str = ""
    """The agent asked for by name; "" lets the dialled number decide."""


class Leg(Protocol):
    """The carrier's side of one live call."""

    def send(self, command: LegCommand) -> None:
        """Carry out a command: queue it, never wait. Told by `LegEnded` when it cannot."""

    async def close(self) -> None:
        """Close the stream; safe to call twice."""
