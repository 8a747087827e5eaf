"""jambonz' media socket (`listen` verb): JSON text to messages, commands to JSON text, audio in binary frames. Pure.

Vendor page: "listen". The first text is metadata without a type; its `sampleRate` says what the audio is. Binary frames
are linear PCM, 16 bit, little-endian, mono. At 24 kHz it is passed through untouched; 8 and 16 kHz become mu-law.
FreeSWITCH's mod_audio_fork speaks the same.
"""

import json
from base64 import b64encode
from binascii import a2b_base64
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.carriers.stream import Frame, Ignored, Media, Message, Started
from gateway.carriers.textframes import MAX_TEXT, dtmf, parsed, text
from gateway.carriers.transcode import Pcm16
from gateway.core.audio import AudioFormat
from gateway.core.events import MarkPlayed
from gateway.errors import RemoteProtocolError

__all__ = ["JambonzCodec"]

MAX_AUDIO_BYTES = 48_000
"""Longest audio taken in one frame: a second at 24 kHz. jambonz sends 20 ms."""
MAX_MARKS = 30
"""Marks that jambonz keeps; it drops what is more."""
RATES_HZ = (8000, 16_000, 24_000)


class JambonzCodec:
    """One socket's."""

    def __init__(self) -> None:
        self._started = False
        self._pcm: Pcm16 | None = None
        """Conversion to mu-law; None passes 24 kHz through."""
        self._half_in = self._half_out = b""
        """First byte of a sample whose second has not come."""
        self._pending: set[str] = set()
        self._held: deque[str] = deque()
        """Marks that jambonz has no room for; they leave with the next audio after one has come back."""

    def decode(self, frame: Frame) -> Message:
        """See `StreamCodec.decode`."""
        if isinstance(frame, bytes):
            return self._media(frame)
        message = parsed(frame)
        match message.get("type", message.get("event")):
            case None if "callSid" in message:
                return self._start(message)
            case "mark":
                return self._mark(message)
            case "dtmf":
                return dtmf(message, "dtmf")
            case str(kind):
                return Ignored(kind[:MAX_TEXT], known=kind == "playDone")
            case _:
                raise RemoteProtocolError("expected a type, an event or metadata")

    def play(self, payload: str) -> Sequence[Frame]:
        """Whole samples; marks that had to wait follow."""
        audio = a2b_base64(payload)
        if self._pcm is not None:
            audio = self._pcm.from_mu_law(audio)
        audio = self._half_out + audio
        whole = len(audio) // 2 * 2
        audio, self._half_out = audio[:whole], audio[whole:]
        return [*([audio] if audio else []), *self._release()]

    def mark(self, name: str) -> Sequence[Frame]:
        self._held.append(name)
        return self._release()

    def clear(self) -> Sequence[Frame]:
        """Marks go too: what comes back of them says `cleared`."""
        self._pending.clear()
        self._held.clear()
        self._half_out = b""
        return ('{"type":"killAudio"}', '{"type":"clearMarks"}')

    def digits(self, digits: str) -> None:
        """There is no message for keys."""

    def hang_up(self) -> Sequence[Frame]:
        """The verb ends; its hook is asked what follows."""
        return ('{"type":"disconnect"}',)

    def _release(self) -> list[Frame]:
        frames: list[Frame] = []
        while self._held and len(self._pending) < MAX_MARKS:
            name = self._held.popleft()
            self._pending.add(name)
            frames.append(json.dumps({"type": "mark", "data": {"name": name}}))
        return frames

    def _start(self, message: Mapping[str, Any]) -> Message:
        if self._started:
            return Ignored("another start", known=False)
        rate_hz = message.get("sampleRate")
        if not isinstance(rate_hz, int) or rate_hz not in RATES_HZ:
            raise RemoteProtocolError("metadata: expected 8000, 16000 or 24000 as sampleRate")
        if message.get("mixType", "mono") != "mono":
            raise RemoteProtocolError("metadata: expected mono as mixType")
        call = text(message, "callSid")
        account = text(message, "accountSid") if "accountSid" in message else ""
        token = text(message, "token") if "token" in message else ""
        audio = AudioFormat.PCM24
        if rate_hz != audio.rate_hz:
            self._pcm, audio = Pcm16(rate_hz), AudioFormat.PCMU
        self._started = True
        return Started(call, call, account_id=account, token=token, audio=audio)

    def _media(self, frame: bytes) -> Message:
        if not self._started:
            return Ignored("audio before the start")
        if not frame or len(frame) > MAX_AUDIO_BYTES:
            raise RemoteProtocolError(f"audio: expected 1 to {MAX_AUDIO_BYTES} bytes")
        if self._pcm is not None:
            audio = self._pcm.to_mu_law(frame)
        else:
            audio = self._half_in + frame
            whole = len(audio) // 2 * 2
            audio, self._half_in = audio[:whole], audio[whole:]
        return Media(b64encode(audio).decode()) if audio else Ignored("half a sample")

    def _mark(self, message: Mapping[str, Any]) -> Message:
        data = message.get("data")
        if not isinstance(data, dict):
            raise RemoteProtocolError("mark: expected an object as data")
        name = text(data, "name")
        match data.get("event"):
            case "playout":
                self._pending.discard(name)
                return MarkPlayed(name)
            case "cleared":
                self._pending.discard(name)
                return Ignored("cleared mark")
            case _:
                raise RemoteProtocolError("mark: expected playout or cleared as event")
