"""What a carrier's socket says and is told, as `stream.py` understands it: one `Wire` for each socket."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol, TypeAlias

from gateway.simulator.carriers.encoding import Encoding

__all__ = [
    "Ask",
    "Audio",
    "Bad",
    "Clear",
    "Digits",
    "Frame",
    "Gone",
    "Happening",
    "Leave",
    "Limits",
    "Mark",
    "Pause",
    "Reply",
    "WhenDrained",
    "Wire",
]

Frame: TypeAlias = str | bytes


@dataclass(slots=True, frozen=True)
class Audio:
    """Queue this behind what is queued; in the wire's own encoding, whole samples."""

    data: bytes


@dataclass(slots=True, frozen=True)
class Mark:
    """Tell by `Wire.mark` when all that was queued before has played."""

    name: str


@dataclass(slots=True, frozen=True)
class Clear:
    """Drop what is queued. Every pending mark goes to `Wire.mark(..., cleared=True)`, then `Happening.CLEARED`."""


@dataclass(slots=True, frozen=True)
class Digits:
    """Let the caller hear keys."""

    digits: str


@dataclass(slots=True, frozen=True)
class Pause:
    """Play nothing, or go on; the queue is kept."""

    paused: bool


@dataclass(slots=True, frozen=True)
class WhenDrained:
    """Say `Happening.DRAINED` once the queue is empty; at once when it is."""


@dataclass(slots=True, frozen=True)
class Reply:
    """Send these at once: a pong, a status, an error."""

    frames: Sequence[Frame]


@dataclass(slots=True, frozen=True)
class Leave:
    """The application is done with the stream: the carrier says `stop()` and closes."""


@dataclass(slots=True, frozen=True)
class Gone:
    """The application has answered our `stop()`: the socket may be closed."""


@dataclass(slots=True, frozen=True)
class Bad:
    """A breach of the carrier's protocol: a warning in the report, which must stay empty in a good call."""

    code: int
    text: str


Ask: TypeAlias = Audio | Mark | Clear | Digits | Pause | WhenDrained | Reply | Leave | Gone | Bad


class Happening(Enum):
    """What a wire may want to tell the application of."""

    STARTED = auto()
    """The first frame after an empty queue begins to be heard."""
    DRAINED = auto()
    """The queue has become empty by being played, or `WhenDrained` asked."""
    CLEARED = auto()
    """A clear was carried out; its marks have been told."""
    FULL = auto()
    """The queue has reached `Limits.full_ms`."""
    ROOM = auto()
    """It has fallen below `Limits.room_ms` again."""
    OVERRUN = auto()
    """Audio was lost because the queue was full (`Limits.queue_ms`)."""
    FLOODED = auto()
    """More messages than `Limits.messages_per_s` came."""


@dataclass(slots=True, frozen=True)
class Limits:
    """The carrier's bounds; None: there is none. What breaks one is lost, and a warning tells so."""

    queue_ms: int | None = None
    full_ms: int | None = None
    room_ms: int | None = None
    exact_bytes: int | None = None
    """Size that every piece of audio must have (Vonage: one frame of 20 ms)."""
    least_bytes: int | None = None
    most_message_bytes: int = 1024 * 1024
    messages_per_s: float | None = None
    """Mean over ten seconds."""
    marks: int | None = None
    """Marks that may be pending; more are ignored."""


class Wire(Protocol):
    """One socket's language. Pure: no clock, no socket. What state the stream needs, as a sequence number, it keeps."""

    @property
    def encoding(self) -> Encoding:
        """What audio is on the socket, both ways."""

    @property
    def limits(self) -> Limits: ...

    def hello(self) -> Sequence[Frame]:
        """What is said after the upgrade, before any audio."""

    def media(self, audio: bytes, number: int, at_ms: int) -> Frame:
        """20 ms of the caller in `encoding`; `number` counts from 1, `at_ms` is since the stream began."""

    def digit(self, digit: str) -> Sequence[Frame]:
        """The caller pressed a key; nothing where the socket has no message for it."""

    def read(self, frame: Frame, queued_ms: int) -> Iterable[Ask]:
        """Say what the application asks. Must not raise, whatever comes; a breach is `Bad`."""

    def mark(self, name: str, *, cleared: bool) -> Sequence[Frame]:
        """A mark was reached, or dropped by a clear: where the carrier echoes, voids or labels."""

    def tell(self, what: Happening) -> Sequence[Frame]:
        """Something happened; most carriers say nothing."""

    def stop(self) -> Sequence[Frame]:
        """What the carrier says before it closes."""

    @property
    def awaits_gone(self) -> bool:
        """After `stop()` the carrier waits (2 s) for the application to say `Gone` or to close."""


Headers: TypeAlias = Mapping[str, str]
