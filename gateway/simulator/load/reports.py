"""What the ends of a load run saw: the model's side travels as one JSON line between processes."""

import json
from dataclasses import asdict, dataclass, field

from gateway.simulator.carrier import CallReport

__all__ = ["CallerLog", "ItemReport", "ModelReport", "SessionReport", "from_line", "to_line"]


@dataclass(slots=True, frozen=True)
class ItemReport:
    """One assistant message as the model generated it."""

    text: str
    audio_bytes: int
    sha256: str
    first_delta_at: float | None
    cut_ms: int | None
    """Where the gateway truncated it, if it did."""


@dataclass(slots=True, frozen=True)
class SessionReport:
    """One model session."""

    call: int | None
    """The caller whose numbered frames came here."""
    audio_bytes: int
    """All caller audio, numbered or not."""
    numbers: list[int]
    """Numbered frames, in the order of their arrival."""
    times: list[float]
    """When each of them arrived."""
    items: list[ItemReport]
    errors: int
    """`error` events sent."""


@dataclass(slots=True, frozen=True)
class ModelReport:
    """The model's whole side."""

    open_sessions: int
    """Sessions that nobody closed."""
    sessions: list[SessionReport]


@dataclass(slots=True)
class CallerLog:
    """What one caller's telephone network did and got."""

    number: int
    sent_at: list[float] = field(default_factory=list)
    """When each numbered frame was sent; the index is its number."""
    pieces: list[tuple[float, int]] = field(default_factory=list)
    """Arrival of each agent media message, and the bytes that had come before it."""
    received_bytes: int = 0
    began_s: float = 0.0
    ended_s: float = 0.0
    stream_closed_s: float | None = None
    """When the gateway had closed the media stream, which makes the network go on with the next verb."""
    report: CallReport | None = None
    """Set when the call is over."""


def to_line(report: ModelReport) -> str:
    return json.dumps(asdict(report), separators=(",", ":"))


def from_line(line: str) -> ModelReport:
    """Return the report in a line. Raises `ValueError`, `KeyError` or `TypeError` when it is none."""
    data = json.loads(line)
    sessions = [
        SessionReport(**{**session, "items": [ItemReport(**item) for item in session["items"]]})
        for session in data["sessions"]
    ]
    return ModelReport(data["open_sessions"], sessions)
