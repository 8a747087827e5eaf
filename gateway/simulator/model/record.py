"""What a server remembers of a session, for tests and live views; bounded, and kept after the session's end."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from gateway.simulator.model.conversation import Conversation
from gateway.simulator.model.formats import Encoding
from gateway.simulator.model.received import KEPT, CallerSound, Received, Refusal
from gateway.simulator.model.replies import MadeCall, Reply
from gateway.simulator.model.shapes import Json

__all__ = ["Deletion", "FunctionOutput", "Observer", "SessionRecord", "Spoken", "Truncation"]

Observer: TypeAlias = Callable[[str, str, Json, float], None]
"""Called with (session id, "in" or "out", event, loop time) for every event; must not block."""

KEPT_AUDIO_BYTES = 64 << 20
"""Assistant audio kept of one session: over two hours of G.711, 23 minutes of PCM."""


@dataclass(slots=True)
class Spoken:
    """One assistant message, as generated; truncating or deleting the item does not change it."""

    item_id: str
    response_id: str
    text: str = ""
    audio: bytearray = field(default_factory=bytearray)
    """All audio that was sent as deltas of the item, byte for byte, late deltas aside."""
    late: bytearray = field(default_factory=bytearray)
    """Audio that arrived after the item's end because its response was cancelled; nobody may hear it."""
    encoding: Encoding = Encoding.PCMU
    """Of both."""

    @property
    def audio_ms(self) -> int:
        return len(self.audio) // self.encoding.bytes_per_ms


@dataclass(slots=True, frozen=True)
class Truncation:
    """A `conversation.item.truncate` of the client."""

    item_id: str
    audio_end_ms: int
    accepted: bool
    at: float
    """Loop time, in seconds."""
    length_ms: int | None = None
    """How long the item's audio was then; None when there was no such item."""
    code: str | None = None
    """Why it was refused."""


@dataclass(slots=True, frozen=True)
class Deletion:
    """A `conversation.item.delete` of the client."""

    item_id: str
    kind: str
    """The item's type, after its role when it has one: "assistant message"; "" when there was no such item."""
    length_ms: int
    """Audio the item held."""
    accepted: bool
    at: float


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
    replies: dict[str, Reply] = field(default_factory=dict)
    """Responses by id, in order of creation."""
    truncations: deque[Truncation] = field(default_factory=lambda: deque(maxlen=KEPT))
    deletions: deque[Deletion] = field(default_factory=lambda: deque(maxlen=KEPT))
    outputs: deque[FunctionOutput] = field(default_factory=lambda: deque(maxlen=KEPT))
    errors: deque[Json] = field(default_factory=lambda: deque(maxlen=KEPT))
    """The `error` objects sent."""
    received: Received = field(default_factory=Received)
    """What came from the client."""
    closed: tuple[float, int, str] | None = None
    """(loop time, close code, reason) once the session is over."""

    @property
    def open(self) -> bool:
        return self.closed is None

    @property
    def responses(self) -> dict[str, str]:
        """Status of each response by id; `in_progress` while it runs."""
        return {reply.id: reply.status for reply in self.replies.values()}

    @property
    def pending_calls(self) -> set[str]:
        """Function calls the client owes an answer to, by call id."""
        return {call.call_id for reply in self.replies.values() for call in reply.open_calls}

    @property
    def calls(self) -> list[MadeCall]:
        """Every function call, those of cancelled responses too."""
        return [call for reply in self.replies.values() for call in reply.calls]

    @property
    def heard(self) -> dict[str, str]:
        """What was understood of each caller audio item, by item id."""
        return self.received.heard

    @property
    def caller(self) -> CallerSound:
        """All caller audio that reached the model."""
        return self.received.sound

    @property
    def refused(self) -> deque[Refusal]:
        """The client events that were refused, each with its error."""
        return self.received.refused

    def texts(self) -> list[str]:
        """Return every text that reached the model, oldest first.

        Instructions, items, function outputs, tool descriptions, prompts, metadata; also of refused events and of items
        deleted since. Not what was understood of audio: that is `heard`.
        """
        return list(self.received.written)

    def reply_of(self, item_id: str) -> Reply | None:
        """Return the response that an item came from."""
        return next((reply for reply in self.replies.values() if item_id in reply.items), None)

    def answer(self, call_id: str) -> bool:
        """Take note that a call was answered; return whether an answer was owed."""
        for reply in self.replies.values():
            for call in reply.open_calls:
                if call.call_id == call_id:
                    call.answered = True
                    return True
        return False

    def open_reply(self, reply: Reply) -> None:
        """Remember a new response; the oldest go when there are too many."""
        self.replies[reply.id] = reply
        if len(self.replies) > KEPT:
            del self.replies[next(iter(self.replies))]

    def keep(self, spoken: Spoken) -> None:
        """Remember a new assistant message; the oldest lose their audio when there is too much of it."""
        self.spoken[spoken.item_id] = spoken
        excess = sum(len(entry.audio) for entry in self.spoken.values()) - KEPT_AUDIO_BYTES
        for entry in self.spoken.values():
            if excess <= 0:
                return
            excess -= len(entry.audio)
            entry.audio.clear()
