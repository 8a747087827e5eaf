"""What is decided before a simulated SIP call: who calls, what they do, what goes wrong."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.simulator.carrier.plan import Surroundings
from gateway.simulator.carrier.script import Script

__all__ = ["SipFaults", "SipPlan"]


@dataclass(slots=True, frozen=True)
class SipFaults:
    """What the service does wrong, or slowly."""

    deliveries: int = 1
    """How often the webhook is sent, with one id."""
    bodies: int = 1
    """How often it is sent with an id of its own each."""
    age_s: int = 0
    """How old the call is by the webhook's word."""
    accept_s: float = 0.0
    """How long an accept takes."""
    not_yet_s: float = 0.0
    """How long the sideband answers 404 after the accept."""
    lose_sideband_at_s: Sequence[float] = ()
    """The sideband is cut without a close, so many seconds after the answer; then it is refused with 503 for a
    while (`refuse_s`)."""
    refuse_s: float = 0.0
    refer_is_lost: bool = False
    """REFER is answered with 200, and nothing follows."""
    close_code: int = 1000
    """With which the sideband is closed when the call is over; 1006 is acted out as 1011."""
    status: dict[str, Sequence[int]] = field(default_factory=dict)
    """By endpoint: HTTP statuses of the first requests, 0 to do the thing and lose the answer."""
    blank_dtmf: bool = False
    """The DTMF event's type begins with a blank, as in the specification's sample."""


@dataclass(slots=True, frozen=True, kw_only=True)
class SipPlan:
    """One call that a trunk sends to the service."""

    script: Script
    to: str
    """The dialled number, in the To header."""
    from_: str
    headers: Sequence[tuple[str, str]] = ()
    """SIP headers in place of To and From."""
    surroundings: Surroundings = Surroundings()
    faults: SipFaults = SipFaults()
    ring_s: float = 20.0
    """How long the caller waits to be answered."""
    refer_s: float = 1.0
    """From a REFER to the moment at which the caller is gone."""
    seed: int = 7

    @property
    def sip_headers(self) -> list[dict[str, str]]:
        own = (
            ("From", f'"Caller" <sip:{self.from_}@trunk.example.com>;tag=1'),
            ("To", f"<sip:{self.to}@sip.api.openai.com;transport=tls>"),
        )
        return [{"name": name, "value": value} for name, value in (self.headers or own)]
