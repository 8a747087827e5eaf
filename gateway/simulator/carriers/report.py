"""What a simulated call of a carrier was like: the caller's ear, the wire, and what was asked by REST."""

from dataclasses import dataclass, field

from gateway.simulator.carrier.report import CallReport, Event
from gateway.simulator.carriers.encoding import Encoding

__all__ = ["CarrierReport", "WireLog"]


@dataclass(slots=True)
class WireLog:
    """One stream's audio as it was on the wire."""

    encoding: Encoding
    sent: bytearray = field(default_factory=bytearray)
    """All of the caller, silence too, 20 ms a message."""
    received: bytearray = field(default_factory=bytearray)
    """All of the agent that the application sent, lost or cleared later or not."""
    close_code: int | None = None
    """With which the application closed the socket; None: we did."""


@dataclass(slots=True)
class CarrierReport:
    """One call, from offer to end."""

    carrier: str
    call: CallReport
    """`ended_by` is caller, application (it hung up), instructions (there were no more), time_limit, reject,
    not_answered, or application_error; `webhooks` are the requests made, with their status."""
    wires: list[WireLog] = field(default_factory=list)
    """One for each stream, in order."""
    requests: list[Event] = field(default_factory=list)
    """What was asked by REST: the name of the action, and the status that answered it."""
    connected_s: float | None = None
    """When the application's socket was first open, in seconds since the answer."""
    extra: dict[str, object] = field(default_factory=dict)
    """What only this carrier knows: output variables, error frames sent."""

    @property
    def outcome(self) -> str:
        """completed, busy, no-answer or failed."""
        return self.call.outcome

    @property
    def lost_bytes(self) -> int:
        """Agent audio (mu-law bytes) that the carrier's bounds cost."""
        return self.call.media.audio_discarded_bytes

    def figures(self) -> dict[str, object]:
        """Return what can be said of the call without its audio, ready for JSON; no numbers, no transcripts."""
        return {
            "carrier": self.carrier,
            **self.call.figures(),
            "streams": [
                {"encoding": wire.encoding.label, "sent": len(wire.sent), "received": len(wire.received)}
                for wire in self.wires
            ],
            "lost_bytes": self.lost_bytes,
            "requests": [[round(event.at_s, 3), event.name, event.detail] for event in self.requests],
            "webhooks": [[round(event.at_s, 3), event.name, event.detail] for event in self.call.webhooks],
            **self.extra,
        }
