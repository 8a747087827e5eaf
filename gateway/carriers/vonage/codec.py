"""Vonage's media socket: JSON text to messages, commands to JSON text, audio in binary frames. Pure.

Vendor page: "Voice API, WebSockets". The first message names the audio and carries what our NCCO put into `headers`.
Binary frames are linear PCM, 16 bit, little-endian, mono; out of us exactly 20 ms each. At 24 kHz it is passed through
untouched; at 8 or 16 kHz, where Vonage insists on it, it becomes mu-law.
"""

import json
import re
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.carriers.stream import Cleared, Frame, Ignored, Media, Message, Started
from gateway.carriers.textframes import MAX_TEXT, dtmf, parsed, text
from gateway.carriers.transcode import Pcm16
from gateway.core.audio import AudioFormat
from gateway.core.events import MarkPlayed
from gateway.errors import RemoteProtocolError

__all__ = ["VonageCodec"]

MAX_AUDIO_BYTES = 48_000
"""Longest audio taken in one frame: a second at 24 kHz. Vonage sends 20 ms."""
FRAMES_HZ = 50

_content_type = re.compile(r"audio/l16;\s*rate=(8000|16000|24000)").fullmatch


class VonageCodec:
    """One socket's. Until `websocket:connected` it does not know what the audio is."""

    def __init__(self) -> None:
        self._pcm: Pcm16 | None = None
        """Conversion to mu-law; None passes 24 kHz through."""
        self._frame_bytes = 0

    def decode(self, frame: Frame) -> Message:
        """See `StreamCodec.decode`."""
        if isinstance(frame, bytes):
            return self._media(frame)
        message = parsed(frame)
        match message.get("event"):
            case "websocket:connected":
                return self._start(message)
            case "websocket:dtmf":
                return dtmf(message, "digit")
            case "websocket:notify":
                return _notify(message)
            case "websocket:cleared":
                return Cleared()
            case str(kind):
                return Ignored(kind[:MAX_TEXT], known=False)
            case _:
                raise RemoteProtocolError("expected an event name")

    def play(self, payload: str) -> Sequence[Frame]:
        """One frame for each 20 ms; what is left over is filled with silence."""
        audio = a2b_base64(payload)
        if self._pcm is not None:
            audio = self._pcm.from_mu_law(audio)
        size = self._frame_bytes or len(audio) or 1
        return [audio[at : at + size].ljust(size, b"\0") for at in range(0, len(audio), size)]

    def mark(self, name: str) -> Sequence[Frame]:
        return (json.dumps({"action": "notify", "payload": {"mark": name}}),)

    def clear(self) -> Sequence[Frame]:
        return ('{"action":"clear"}',)

    def digits(self, digits: str) -> None:
        """There is no message for keys."""

    def hang_up(self) -> Sequence[Frame]:
        """Nothing: the answer to the `disconnected` event ends the call."""
        return ()

    def _start(self, message: Mapping[str, Any]) -> Message:
        if self._frame_bytes:
            return Ignored("another start", known=False)
        named = _content_type(str(message.get("content-type"))[:MAX_TEXT])
        if named is None:
            raise RemoteProtocolError("connected: expected audio/l16 at 8000, 16000 or 24000 Hz as content-type")
        rate_hz = int(named[1])
        token = text(message, "token")
        call = text(message, "uuid") if "uuid" in message else ""
        audio = AudioFormat.PCM24
        if rate_hz != audio.rate_hz:
            self._pcm, audio = Pcm16(rate_hz), AudioFormat.PCMU
        self._frame_bytes = 2 * rate_hz // FRAMES_HZ
        return Started(call, call, token=token, audio=audio)

    def _media(self, frame: bytes) -> Message:
        if not self._frame_bytes:
            return Ignored("audio before the start")
        if not frame or len(frame) % 2 or len(frame) > MAX_AUDIO_BYTES:
            raise RemoteProtocolError(f"audio: expected whole samples, at most {MAX_AUDIO_BYTES} bytes")
        audio = frame if self._pcm is None else self._pcm.to_mu_law(frame)
        return Media(b64encode(audio).decode())


def _notify(message: Mapping[str, Any]) -> Message:
    payload = message.get("payload")
    if not isinstance(payload, dict):
        raise RemoteProtocolError("notify: expected an object as payload")
    return MarkPlayed(text(payload, "mark"))
