"""AudioSocket frames to messages and back: a type, the payload's length in two bytes, the payload. Pure.

Source: Asterisk's `res_audiosocket.c`, `app_audiosocket.c`, `chan_audiosocket.c`. There is neither flush nor mark, and
Asterisk takes no keys from us: a frame 0x03 from our side would tear the call down.

Type 0x10 is 16-bit PCM at 8 kHz. `Dial(AudioSocket/…)` without `c(slin)` however sends the caller's codec under that
type: frames of 160 bytes, 20 ms of one byte a sample. They are taken as mu-law; A-law cannot be told from it. What
comes from us Asterisk takes as PCM all the same (`ast_audiosocket_receive_frame`).

One frame is one write: Asterisk does not put a header together that arrives in parts.
"""

import binascii
from base64 import b64encode
from collections.abc import Sequence
from uuid import UUID

from gateway.carriers.stream import Frame, Ignored, Media, Message, Started
from gateway.carriers.transcode import Pcm16
from gateway.core.audio import AudioFormat
from gateway.core.events import Dtmf, LegEnd, LegEnded
from gateway.errors import RemoteProtocolError

__all__ = ["HEADER_BYTES", "MAX_PAYLOAD", "AudioSocketCodec"]

HEADER_BYTES = 3
MAX_PAYLOAD = 8192
"""Longest payload taken: 20 ms at 192 kHz, the most that there is."""
HANG_UP, WHO, KEY, PCM8, PCM24, ERROR = 0x00, 0x01, 0x03, 0x10, 0x13, 0xFF
OTHER_RATES = frozenset(range(0x11, 0x19)) - {PCM24}
G711_FRAME_BYTES = 160
ERROR_HUNG_UP = 0x01
KEYS = frozenset(b"0123456789*#ABCD")


class AudioSocketCodec:
    """One connection's. Frames are whole. The first frame of audio decides what both sides speak."""

    def __init__(self, first: bytes = b"") -> None:
        """`first` is the first frame of audio, if one has come yet."""
        self._kind = PCM24 if first[:1] == bytes([PCM24]) else PCM8
        self._g711 = first[:1] == bytes([PCM8]) and len(first) == HEADER_BYTES + G711_FRAME_BYTES
        self._pcm = Pcm16(8000)

    @property
    def mislabelled(self) -> bool:
        """Whether the caller's own codec comes under the type of PCM."""
        return self._g711

    @property
    def audio(self) -> AudioFormat:
        """What the codec yields and takes."""
        return AudioFormat.PCM24 if self._kind == PCM24 else AudioFormat.PCMU

    def decode(self, frame: Frame) -> Message:  # noqa: PLR0911 - one return a kind of frame
        """Return what a frame says. Raises `RemoteProtocolError` for one that breaks the protocol."""
        kind, payload = _parts(frame)
        match kind:
            case 0x10 | 0x13:
                return self._media(kind, payload)
            case 0x00:
                return LegEnded(LegEnd.CALLER_HANGUP, "hung up")
            case 0x01:
                return self._who(payload)
            case 0x03:
                if len(payload) != 1 or payload[0] not in KEYS:
                    raise RemoteProtocolError("expected one telephone key")
                return Dtmf(payload.decode())
            case 0xFF:
                return _error(payload)
        if kind in OTHER_RATES:
            raise RemoteProtocolError("expected PCM at 8 or 24 kHz: dial with c(slin) or c(slin24)")
        return Ignored(f"type {kind:#04x}", known=False)

    def play(self, payload: str) -> Sequence[Frame]:
        """One frame of 20 ms, base64."""
        audio = binascii.a2b_base64(payload)
        if self._kind == PCM8:
            audio = self._pcm.from_mu_law(audio)
        return [_frame(self._kind, audio)]

    def mark(self, name: str) -> Sequence[Frame]:
        """There are none: our clock tells."""
        return []

    def clear(self) -> Sequence[Frame]:
        """There is nothing to clear: Asterisk holds no more than a frame or two."""
        return []

    def digits(self, digits: str) -> Sequence[Frame] | None:
        """Asterisk takes none."""
        return None

    def hang_up(self) -> Sequence[Frame]:
        """The caller goes on in the dialplan."""
        return [_frame(HANG_UP, b"")]

    def _who(self, payload: bytes) -> Started:
        if len(payload) != 16:
            raise RemoteProtocolError(f"expected a UUID of 16 bytes, got {len(payload)}")
        who = str(UUID(bytes=payload))
        return Started(who, who, token=who, audio=self.audio)

    def _media(self, kind: int, payload: bytes) -> Media:
        if kind != self._kind:
            raise RemoteProtocolError(f"expected audio of type {self._kind:#04x}, got {kind:#04x}")
        if not payload or (len(payload) % 2 and not self._g711):
            raise RemoteProtocolError(f"expected whole samples, got {len(payload)} bytes")
        if kind == PCM8 and not self._g711:
            payload = self._pcm.to_mu_law(payload)
        return Media(b64encode(payload).decode())


def _parts(frame: Frame) -> tuple[int, bytes]:
    if not isinstance(frame, bytes) or len(frame) < HEADER_BYTES:
        raise RemoteProtocolError("expected a frame of bytes")
    size = int.from_bytes(frame[1:HEADER_BYTES], "big")
    if size != len(frame) - HEADER_BYTES or size > MAX_PAYLOAD:
        raise RemoteProtocolError(f"a frame of {size} bytes that are not there, or too many")
    return frame[0], frame[HEADER_BYTES:]


def _frame(kind: int, payload: bytes) -> bytes:
    return bytes([kind]) + len(payload).to_bytes(2, "big") + payload


def _error(payload: bytes) -> LegEnded:
    if payload[:1] == bytes([ERROR_HUNG_UP]):
        return LegEnded(LegEnd.CALLER_HANGUP, "hung up")
    return LegEnded(LegEnd.BROKEN, f"asterisk reports error {payload[0] if payload else 0}")
