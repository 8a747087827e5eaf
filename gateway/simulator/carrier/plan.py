"""What is decided before a simulated call: who calls whom, what the people do, how bad the line is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from gateway.simulator.carrier.script import Script

__all__ = ["CallPlan", "CallbackFaults", "Callee", "DialOutcome", "LineModel", "OutboundRequest"]


@dataclass(slots=True, frozen=True)
class DialOutcome:
    """How one `<Dial>` ends."""

    status: Literal["answered", "busy", "no-answer", "failed"] = "no-answer"
    ring_s: float = 2.0
    """Ringing before it is answered or busy; `no-answer` rings for the verb's own `timeout`."""
    talk_s: float = 10.0
    """How long an answered party talks before it hangs up."""


@dataclass(slots=True, frozen=True)
class LineModel:
    """Delay between the caller's ear and mouth and the media socket; order is always kept, as on TCP."""

    uplink_ms: float = 0.0
    downlink_ms: float = 0.0
    jitter_ms: float = 0.0
    """Each message is delayed by up to this much more, evenly distributed, seeded."""


@dataclass(slots=True, frozen=True)
class CallbackFaults:
    """Twilio's callbacks are independent requests: they may repeat and overtake one another."""

    duplicate: bool = False
    swap: bool = False
    """Deliver each pair of status callbacks in reverse order; `completed` comes before `answered`."""


@dataclass(slots=True, frozen=True, kw_only=True)
class CallPlan:
    """One inbound call: a person dials a number whose Voice URL is ours."""

    to: str
    from_: str
    voice_url: str
    script: Script
    fallback_url: str | None = None
    status_callback: str | None = None
    """Receives `completed`, the only status event of an inbound call."""
    dials: Sequence[DialOutcome] = ()
    """Outcomes of the call's `<Dial>` verbs in order; when used up, nobody answers."""
    caller_fields: Mapping[str, str] = field(default_factory=dict)
    """More webhook fields, for instance `FromCity` or `StirVerstat`."""
    time_limit_s: float = 4 * 3600.0


@dataclass(slots=True, frozen=True, kw_only=True)
class Callee:
    """Who picks up a call placed by REST, and how."""

    outcome: Literal["answered", "busy", "no-answer", "failed"] = "answered"
    ring_s: float = 1.0
    script: Script = field(default_factory=Script)
    dials: Sequence[DialOutcome] = ()
    answered_by: str = "human"
    """What asynchronous machine detection reports when it was asked for."""


@dataclass(slots=True, frozen=True, kw_only=True)
class OutboundRequest:
    """A validated `POST Calls.json`."""

    to: str
    from_: str
    url: str | None = None
    twiml: str | None = None
    method: str = "POST"
    fallback_url: str | None = None
    status_callback: str | None = None
    status_events: Sequence[str] = ("completed",)
    timeout_s: float = 60.0
    time_limit_s: float = 4 * 3600.0
    amd_callback: str | None = None
    """`AsyncAmdStatusCallback`; set only when `MachineDetection` and `AsyncAmd` ask for it."""
