"""What a simulated Realtime server needs from whatever hears, thinks and speaks for it.

The server (`simulator/model`) owns the protocol; an `Engine` owns the content. Inside the simulator all
audio is 8 kHz G.711 mu-law bytes (8 bytes a millisecond); the server converts at its border when a client
asks for 24 kHz PCM or A-law.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

__all__ = ["Answer", "Context", "Engine", "Fault", "FunctionCall", "Speech", "Vad"]


@dataclass(slots=True, frozen=True)
class Speech:
    """One assistant message."""

    text: str
    """What is said; it becomes the output audio transcript."""
    silent: bool = False
    """The item has its transcript and no audio at all."""


@dataclass(slots=True, frozen=True)
class FunctionCall:
    """One function call item."""

    name: str
    arguments: str
    """JSON text, as the model would write it; may be malformed on purpose."""


@dataclass(slots=True, frozen=True)
class Fault:
    """A failure to act out in place of, or after, an answer's items."""

    kind: str
    """One of simulator/model's fault names, for instance "close", "fail_response", "stall"."""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True, frozen=True)
class Answer:
    """What one response consists of, in output order (GA models send several items in one response)."""

    items: Sequence[Speech | FunctionCall] = ()
    faults: Sequence[Fault] = ()
    think_s: float = 0.0
    """Silence before the first item, in seconds on the event loop's clock."""


@dataclass(slots=True, frozen=True)
class Context:
    """What a response is made from."""

    instructions: str
    """The effective instructions: the response's own when given, else the session's."""
    tools: Sequence[Mapping[str, Any]]
    """Function tools in Realtime form (`type`, `name`, `description`, `parameters`)."""
    tool_choice: str | Mapping[str, Any]
    items: Sequence[Mapping[str, Any]]
    """The conversation so far, oldest first, as Realtime items.

    Audio carries what the model would hear in it as `transcript`: the caller's words, and of an assistant message that
    was truncated about the words that are left, although the API no longer tells them to the client.
    """
    turn: int
    """How many user turns (audio or text) ever joined the conversation."""
    in_conversation: bool = True
    """False: an out-of-band response, which leaves no trace in the conversation."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """The response's own, as the client gave it."""
    modality: str = "audio"
    """"audio" or "text": whether the answer is spoken or written."""
    own_instructions: bool = False
    """Whether the instructions are this response's own. Clients often begin them with the session's."""


class Vad(Protocol):
    """Voice activity detection for one session; keeps state between frames."""

    @property
    def frame_bytes(self) -> int:
        """Size of the frames it wants, in mu-law bytes (160 = 20 ms)."""

    def probability(self, frame: bytes) -> float:
        """Return the probability, 0 to 1, that this frame holds speech. Call with every frame, in order."""


class Engine(Protocol):
    """Hears, thinks and speaks for every session of one server; holds no per-session state but what `vad` returns."""

    def vad(self) -> Vad:
        """Return a fresh detector for one session."""

    async def transcribe(self, audio: bytes, prompt: str, turn: int) -> str:
        """Return what was said in one committed user turn (mu-law); "" when it was no speech."""

    async def respond(self, context: Context) -> Answer:
        """Return the items of the next response."""

    async def speak(self, text: str, voice: str) -> bytes:
        """Return the speech as mu-law bytes."""
