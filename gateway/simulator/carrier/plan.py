"""What is decided before a simulated call: who calls whom, what the people do, how bad the line is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from gateway.simulator.carrier.script import Script

__all__ = [
    "CallPlan",
    "CallbackFaults",
    "Callee",
    "DialOutcome",
    "LineModel",
    "OutboundRequest",
    "Person",
    "Surroundings",
]


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
    """What lies between the caller and the media socket. Messages keep their order, as on TCP.

    Everything is drawn from the call's seed; with the values here the line is perfect.
    """

    uplink_ms: float = 0.0
    downlink_ms: float = 0.0
    jitter_ms: float = 0.0
    """Each message is delayed by up to this much more, evenly distributed, seeded."""
    late_marks_ms: float = 0.0
    """A mark is echoed up to this much later than it was played. An echo under way when a `clear` comes stays under
    way, so that it arrives after those of the marks that were cleared."""
    committed_ms: int = 0
    """A `clear` comes too late for up to this much of the queue, in whole frames: it was on its way to the caller and
    is heard. Its marks are echoed at once all the same."""
    media_after_stop: int = 0
    """Frames of the caller that `stop` overtakes."""


@dataclass(slots=True, frozen=True)
class Surroundings:
    """What besides the caller's voice comes out of the caller's telephone. With the values here nothing does, and the
    voice passes byte by byte."""

    echo_db: float | None = None
    """Our own audio comes back at this level, for instance -20; None: it does not."""
    echo_delay_ms: int = 120
    noise: bytes = field(default=b"", repr=False)
    """Mu-law that is repeated for the whole call, from a seeded place on."""
    noise_snr_db: float | None = None
    """The caller's speech is this much louder than the noise. The speech is measured over the script's clips."""
    noise_dbfs: float | None = None
    """The noise's RMS level, in place of `noise_snr_db`; with neither the noise is as it was recorded."""

    def __post_init__(self) -> None:
        if self.noise_snr_db is not None and self.noise_dbfs is not None:
            raise ValueError("the noise has a level or a distance to the speech, not both")
        if self.echo_delay_ms < 0:
            raise ValueError("an echo cannot come before its sound")


class Person(Protocol):
    """Somebody at a telephone of the network: `CallPlan` and `Callee` say so much of them."""

    @property
    def script(self) -> Script: ...
    @property
    def dials(self) -> Sequence[DialOutcome]: ...
    @property
    def line(self) -> LineModel | None: ...
    @property
    def surroundings(self) -> Surroundings: ...
    @property
    def seed(self) -> int | None: ...


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
    """Outcomes of the call's `<Dial>` verbs in order; when used up, the network's parties answer, or nobody."""
    caller_fields: Mapping[str, str] = field(default_factory=dict)
    """More webhook fields, for instance `FromCity` or `StirVerstat`."""
    time_limit_s: float = 4 * 3600.0
    line: LineModel | None = None
    """None is the network's."""
    surroundings: Surroundings = Surroundings()
    seed: int | None = None
    """Decides what the person does and what the line does, each by itself; None: it follows from the network's seed."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Callee:
    """Who picks up a call placed by REST, and how."""

    outcome: Literal["answered", "busy", "no-answer", "failed"] = "answered"
    ring_s: float = 1.0
    script: Script = field(default_factory=Script)
    dials: Sequence[DialOutcome] = ()
    answered_by: str = "human"
    """What asynchronous machine detection reports when it was asked for."""
    line: LineModel | None = None
    """None is the network's."""
    surroundings: Surroundings = Surroundings()
    seed: int | None = None
    """Decides what the person does and what the line does, each by itself; None: it follows from the network's seed."""


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
