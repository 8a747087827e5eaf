"""What a server remembers of a session, for tests and live views; bounded, and kept after the session's end."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from gateway.simulator.model.conversation import Conversation
from gateway.simulator.model.shapes import Json

__all__ = ["FunctionOutput", "Observer", "SessionRecord", "Spoken", "Truncation"]

Observer: TypeAlias = Callable[[str, str, Json, float], None]
"""Called with (session id, "in" or "out", event, loop time) for every event; must not block."""

KEPT = 10_000
"""Entries kept of each list of one session."""
KEPT_AUDIO_BYTES = 64 << 20
"""Assistant audio kept of one session: over two hours of it."""


@dataclass(slots=True)
class Spoken:
    """One assistant message, as generated; truncating or deleting the item does not change it."""

    item_id: str
    response_id: str
    text: str = ""
    audio: bytearray = field(default_factory=bytearray)
    """All mu-law audio that was sent as deltas of the item, late deltas aside."""
    late: bytearray = field(default_factory=bytearray)
    """Mu-law audio that arrived after the item's end because its response was cancelled; nobody may hear it."""


@dataclass(slots=True, frozen=True)
class Truncation:
    """A `conversation.item.truncate` of the client."""

    item_id: str
    audio_end_ms: int
    accepted: bool
    at: float
    """Loop time, in seconds."""


@dataclass(slots=True, frozen=True)
class FunctionOutput:
    """A `function_call_output` of the client."""

    call_id: str
    output: str
    expected: bool
    """Whether this session had asked for that call and has had no answer yet."""
    at: float


@dataclass(slots=True)
class SessionRecord:
    """One session, while it lives and after."""

    id: str
    model: str
    opened_at: float
    """Loop time, in seconds."""
    conversation: Conversation
    spoken: dict[str, Spoken] = field(default_factory=dict)
    """Assistant messages by item id, in order of generation."""
    heard: dict[str, str] = field(default_factory=dict)
    """What was understood of each caller audio item, by item id."""
    responses: dict[str, str] = field(default_factory=dict)
    """Status of each response by id; `in_progress` while it runs."""
    pending_calls: set[str] = field(default_factory=set)
    """Function calls made in completed items and not yet answered, by call id."""
    truncations: deque[Truncation] = field(default_factory=lambda: deque(maxlen=KEPT))
    outputs: deque[FunctionOutput] = field(default_factory=lambda: deque(maxlen=KEPT))
    errors: deque[Json] = field(default_factory=lambda: deque(maxlen=KEPT))
    """The `error` objects sent."""
    closed: tuple[float, int, str] | None = None
    """(loop time, close code, reason) once the session is over."""

    @property
    def open(self) -> bool:
        return self.closed is None

    def keep(self, spoken: Spoken) -> None:
        """Remember a new assistant message; the oldest lose their audio when there is too much of it."""
        self.spoken[spoken.item_id] = spoken
        excess = sum(len(entry.audio) for entry in self.spoken.values()) - KEPT_AUDIO_BYTES
        for entry in self.spoken.values():
            if excess <= 0:
                return
            excess -= len(entry.audio)
            entry.audio.clear()
