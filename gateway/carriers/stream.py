"""What a carrier's media socket says and is told, whatever its wire format; what a codec of one has to do.

A codec is pure: frames in, messages out; commands in, frames out. It may keep the state of its one stream, for
instance the stream's id, but it has no clock and no socket. Its bound on a frame is its own; it raises nothing but
`RemoteProtocolError`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.core.audio import AudioFormat
from gateway.core.events import Dtmf, LegEnded, MarkPlayed

__all__ = [
    "Cleared",
    "Flow",
    "Frame",
    "Ignored",
    "Media",
    "Message",
    "Reply",
    "Started",
    "StreamCodec",
]

Frame = str | bytes
"""A WebSocket frame: text as `str`, binary as `bytes`."""


@dataclass(slots=True, frozen=True)
class Started:
    """Whose audio this is. Everything before it is a greeting of the carrier's, or out of order."""

    stream_id: str
    carrier_call_id: str
    account_id: str = ""
    token: str = ""
    """The one-use token of the offer; "" where the carrier has no webhook and the socket itself is the offer."""
    audio: AudioFormat = AudioFormat.PCMU
    """What the codec yields and takes, not what is on the wire."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    replies: tuple[Frame, ...] = ()
    """What the carrier must be answered at once."""


@dataclass(slots=True, frozen=True)
class Media:
    """Audio of the caller, base64, in `Started.audio`."""

    payload: str
    number: int | None = None
    """The carrier's count of media frames, where it has one: tells what is missing or out of order."""


@dataclass(slots=True, frozen=True)
class Cleared:
    """The carrier has carried out our clear."""


@dataclass(slots=True, frozen=True)
class Flow:
    """Whether the carrier takes more audio now."""

    ready: bool


@dataclass(slots=True, frozen=True)
class Reply:
    """Nothing for the call, but the carrier must be answered."""

    frames: tuple[Frame, ...]


@dataclass(slots=True, frozen=True)
class Ignored:
    """A message that means nothing to us; unknown ones are counted."""

    kind: str
    known: bool = True


Message = Started | Media | MarkPlayed | Cleared | Flow | Reply | Dtmf | LegEnded | Ignored


class StreamCodec(Protocol):
    """One media stream's wire format. Made anew for each socket."""

    def decode(self, frame: Frame) -> Message:
        """Return what a frame says. Raises `RemoteProtocolError` for one that breaks the protocol."""

    def play(self, payload: str) -> Sequence[Frame]:
        """Queue audio, base64 in the stream's format, behind what was sent before."""

    def mark(self, name: str) -> Sequence[Frame]:
        """Ask for an echo of `name` once what was sent before has played. Not called where marks are by the clock."""

    def clear(self) -> Sequence[Frame]:
        """Drop what has not played."""

    def digits(self, digits: str) -> Sequence[Frame] | None:
        """Press keys towards the far end; None where the socket has no message for that: tones are played."""

    def hang_up(self) -> Sequence[Frame]:
        """What is said before the socket is closed from our side; often nothing."""
