"""What a carrier's adapter offers the rest, a leg per media stream, and what it needs of it, a switchboard.

The leg contract: marks and clear always work, exactly one `MarkPlayed` per mark that was not cleared. A carrier
without them plays through `pacer.py`; the core has no capability flags.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.core.audio import AudioFormat
from gateway.core.commands import ControlCommand, EndReason, LegCommand
from gateway.core.events import Event, TransferProgress
from gateway.errors import GatewayError

__all__ = [
    "CallOffer",
    "Control",
    "RESUMABLE",
    "Draining",
    "Ended",
    "Feed",
    "Full",
    "Leg",
    "LiveCall",
    "Over",
    "Resumed",
    "Switchboard",
    "TokenRefused",
]

MAX_NUMBER = 64
"""Longest text that is kept as a number."""

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
    audio: AudioFormat = AudioFormat.PCMU
    """What the carrier was asked to speak; its stream has the last word, see `LiveCall.attach`."""
    comes_back: bool = True
    """Whether the carrier asks for its next instruction when the stream is over, so that a call can be handed over."""

    def __post_init__(self) -> None:
        # Whoever calls may write anything as their number, and it goes into records, requests and pages: no database
        # takes a NUL, no request half a surrogate pair, and a line break may be an instruction.
        object.__setattr__(self, "from_number", _printable(self.from_number))
        object.__setattr__(self, "to_number", _printable(self.to_number))


def _printable(number: str) -> str:
    return "".join(filter(str.isprintable, number[:MAX_NUMBER]))


class Leg(Protocol):
    """The carrier's side of one live call."""

    def send(self, command: LegCommand) -> None:
        """Carry out a command: queue it, never wait. Told by `LegEnded` when it cannot."""

    async def close(self) -> None:
        """Close the stream; safe to call twice."""


class Control(Protocol):
    """What a carrier does with a call beside its stream. One serves all calls of an account."""

    async def carry_out(self, offer: CallOffer, command: ControlCommand) -> None:
        """Do it; what becomes of it is told by `Switchboard.transfer_progress`.

        Who waits for it may be cancelled: it is done all the same. Raises `CarrierError`: nothing came of it, and a
        caller who was on our stream still is.
        """

    def call_over(self, carrier_call_id: str) -> None:
        """Our part in this call is over: forget it, and let go whoever is still being called for it."""


class LiveCall(Protocol):
    """One call, as its carrier sees it."""

    def attach(self, leg: Leg, stream_id: str, audio: AudioFormat = AudioFormat.PCMU) -> None:
        """Give the call its media stream; a second one, after `Switchboard.resume`, takes the place of the first.

        `audio` is what the leg takes and feeds.
        """

    def feed(self, event: Event) -> None:
        """Tell the call what happened; see `Feed`."""


@dataclass(slots=True, frozen=True)
class Ended:
    """How a call's stream ended."""

    agent: str
    reason: EndReason
    again: int = 0
    """How often the call had been offered again."""


@dataclass(slots=True, frozen=True)
class Resumed:
    """How a call that left its stream gets a new one."""

    token: str
    """One-use, for the new stream."""
    again: int
    """How often the call had been offered again."""


RESUMABLE = frozenset({EndReason.HANDED_OVER, EndReason.LEG_LOST, EndReason.LEG_BROKEN})
"""Ends of a stream after which the call can go on with a new one."""


class Full(GatewayError):
    """No more calls are admitted."""


class Draining(GatewayError):
    """The process is going away and takes no new calls."""


class Over(GatewayError):
    """The call has ended; a webhook that is replayed does not begin it again."""


class TokenRefused(GatewayError):
    """A stream token is unknown, used, late, or belongs to another call."""


class Switchboard(Protocol):
    """Where a carrier's routes bring calls to."""

    def offer(self, offer: CallOffer, *, again: int = 0) -> str:
        """Admit a call and return the one-use token of its stream. A repeated offer of a live call gets the same.

        `again` counts how often the call's stream was gone and the carrier came back for a new one; an old one that
        has not noticed is ended. Raises `Over`, `Draining`, `Full`, or another `GatewayError` when no agent takes it.
        """

    def claim(self, token: str, carrier_call_id: str, account_id: str) -> LiveCall:
        """Return the call that a stream token admits to, once. Raises `TokenRefused`."""

    def resume(self, carrier_call_id: str) -> Resumed:
        """Return the token of a second stream for a call that was being transferred; asked again, the same.

        Raises `Over` when the call is not known or has ended, `TokenRefused` when it is not being transferred.
        """

    def transfer_progress(self, carrier_call_id: str, progress: TransferProgress) -> None:
        """Tell a call what became of its transfer; nothing happens when it is over."""

    def hung_up(self, carrier_call_id: str) -> None:
        """The carrier says that the call is over: whatever ended its stream, it does not come back."""

    def outcome(self, carrier_call_id: str) -> Ended | None:
        """Return how the last stream of a call ended; None for a call we do not know or that still streams."""
