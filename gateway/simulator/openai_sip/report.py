"""What a simulated SIP call was like: the caller's ear, and what the service was asked."""

from dataclasses import dataclass, field
from typing import Any

from gateway.simulator.carrier.report import CallReport, Event

__all__ = ["SipReport"]


@dataclass(slots=True)
class SipReport:
    """One call, from the webhook to its end."""

    call: CallReport
    deliveries: list[int] = field(default_factory=list)
    """HTTP statuses with which the webhook was answered; 0: not at all."""
    requests: list[Event] = field(default_factory=list)
    """Requests to the calls endpoints: `name` is accept, reject, refer or hangup, `detail` the status."""
    events: list[str] = field(default_factory=list)
    """Types of the events on the sideband, both ways; what the client sent begins with ">"."""
    sidebands: int = 0
    """How often the sideband was opened."""
    accepted_with: dict[str, Any] = field(default_factory=dict)
    rejected_with: int | None = None
    """SIP status."""
    referred_to: str = ""
    truncations: list[tuple[str, int]] = field(default_factory=list)
    """Item and the ms of it that were heard, as the service cut them."""

    @property
    def outcome(self) -> str:
        """completed, rejected or no-answer."""
        return self.call.outcome

    def figures(self) -> dict[str, object]:
        """Return what can be said of the call without its audio, ready for JSON; no numbers, no transcripts."""
        return {
            **self.call.figures(),
            "deliveries": self.deliveries,
            "requests": [[round(event.at_s, 3), event.name, event.detail] for event in self.requests],
            "sidebands": self.sidebands,
            "rejected_with": self.rejected_with,
            "referred": bool(self.referred_to),
            "truncations": [ms for _, ms in self.truncations],
        }
