"""Telnyx media streaming text to messages, commands to its text. Pure.

Vendor page: "Media streaming over WebSocket". Audio is the payload of RTP packets without their header, base64, and is
passed through untouched. What it is `start` says and not what was asked for: a trunk that speaks A-law is not
transcoded by every route. What we send is always in the codec that was asked for (`stream_bidirectional_codec`).
"""

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.carriers.stream import Frame, Ignored, Media, Message, Started
from gateway.carriers.telnyx.laws import relabel
from gateway.carriers.textframes import dtmf, parsed, text
from gateway.core.audio import AudioFormat
from gateway.core.events import LegEnd, LegEnded, MarkPlayed
from gateway.errors import RemoteProtocolError

__all__ = ["ENCODINGS", "EncodingRefused", "TelnyxCodec"]

ENCODINGS = {"PCMU": AudioFormat.PCMU, "PCMA": AudioFormat.PCMA}
MAX_PAYLOAD_CHARS = 16_000
"""Longest audio taken in one message: 1.5 s. Telnyx sends 20 ms."""
CLEAR = '{"event":"clear"}'

_is_base64 = re.compile(r"[A-Za-z0-9+/]+={0,2}").fullmatch
_is_count = re.compile(r"[0-9]{1,15}").fullmatch
_is_word = re.compile(r"[A-Za-z0-9_./-]{1,24}").fullmatch


class EncodingRefused(RemoteProtocolError):
    """The stream's audio is none that passes through a call of ours."""


class TelnyxCodec:
    """One socket's. `token` came as a header of its upgrade; `asked` is what Telnyx was asked to take from us, None:
    the same as it sends."""

    def __init__(self, token: str = "", asked: AudioFormat | None = None) -> None:
        self._token = token
        self._asked = asked
        self._audio = asked or AudioFormat.PCMU

    def decode(self, frame: Frame) -> Message:
        """See `StreamCodec.decode`. Raises `EncodingRefused` for a start in another codec than G.711."""
        if isinstance(frame, bytes):
            raise RemoteProtocolError("expected a text frame, got a binary one")
        message = parsed(frame)
        match message.get("event"):
            case "media":
                return _media(_object(message, "media"))
            case "mark":
                return MarkPlayed(text(_object(message, "mark"), "name"))
            case "dtmf":
                return dtmf(_object(message, "dtmf"), "digit")
            case "start":
                return self._start(message)
            case "stop":
                return LegEnded(LegEnd.CALLER_HANGUP, "stop")
            case "connected":
                return Ignored("connected")
            case "error":
                return Ignored(_error(message.get("payload")), known=False)
            case str(other):
                return Ignored(_word(other), known=False)
            case _:
                raise RemoteProtocolError("expected an event name")

    def play(self, payload: str) -> Sequence[Frame]:
        if self._asked is not None and self._audio is not self._asked:
            payload = b64encode(relabel(b64decode(payload), self._audio, self._asked)).decode()
        return (f'{{"event":"media","media":{{"payload":"{payload}"}}}}',)  # clean base64: spliced, not encoded

    def mark(self, name: str) -> Sequence[Frame]:
        return (json.dumps({"event": "mark", "mark": {"name": name}}),)

    def clear(self) -> Sequence[Frame]:
        return (CLEAR,)

    def digits(self, digits: str) -> Sequence[Frame] | None:
        """There is no message for keys."""
        return None

    def hang_up(self) -> Sequence[Frame]:
        return ()  # that is a command

    def _start(self, message: Mapping[str, Any]) -> Started:
        body = _object(message, "start")
        form = _object(body, "media_format")
        audio = ENCODINGS.get(str(form.get("encoding"))[:16].upper())
        rate, channels = str(form.get("sample_rate", 8000)), str(form.get("channels", 1))
        if audio is None or rate not in ("8000", "8000.0") or channels not in ("1", "1.0"):
            found = " ".join(_word(str(form.get(key))) for key in ("encoding", "sample_rate", "channels"))
            raise EncodingRefused(f"start: expected PCMU or PCMA at 8000 Hz and one channel, got {found}")
        stream_id, call_id = text(message, "stream_id"), text(body, "call_control_id")
        self._audio = audio
        return Started(stream_id, call_id, token=self._token, audio=audio)


def _media(body: Mapping[str, Any]) -> Message:
    if body.get("track", "inbound") not in ("inbound", "inbound_track"):
        return Ignored("media of another track")  # our own voice (carriers notes §3.12)
    payload = body.get("payload")
    if not isinstance(payload, str) or len(payload) > MAX_PAYLOAD_CHARS:
        raise RemoteProtocolError(f"media: expected a text of at most {MAX_PAYLOAD_CHARS} characters as payload")
    if len(payload) % 4 or _is_base64(payload) is None:
        raise RemoteProtocolError("media: expected base64 as payload")
    chunk = str(body.get("chunk", ""))
    return Media(payload, int(chunk) if _is_count(chunk) else None)


def _error(payload: object) -> str:
    told = payload if isinstance(payload, dict) else {}
    return f"error {_word(str(told.get('code')))} {_word(str(told.get('title')))}"


def _word(said: str) -> str:
    """What may stand in a log of what Telnyx says."""
    return said if _is_word(said) else "?"


def _object(message: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = message.get(key)
    if not isinstance(value, dict):
        raise RemoteProtocolError(f"expected an object as {key}")
    return value
