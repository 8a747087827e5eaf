"""Plivo audio streaming: JSON text to messages, commands to JSON text. Pure.

Vendor page: "Audio Streaming". There is no `connected`, and no `stop` is documented: the stream begins with `start`
and ends with the socket. Audio is mu-law, passed through untouched, or 16-bit PCM at 8 or 16 kHz, which becomes mu-law
here; `start` says which, whatever was asked for. A checkpoint that is pending at a clear is never acknowledged.
"""

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from gateway.carriers.stream import Cleared, Frame, Ignored, Media, Message, Started
from gateway.carriers.textframes import dtmf, parsed, text
from gateway.carriers.transcode import Pcm16
from gateway.core.audio import AudioFormat, split_payload
from gateway.core.events import LegEnd, LegEnded, MarkPlayed
from gateway.errors import RemoteProtocolError

__all__ = ["PlivoCodec", "from_header", "headers_of", "to_header"]

MAX_PAYLOAD_CHARS = 16_384
"""Longest audio in one message, both ways: Plivo's own bound."""
PIECE_BYTES = 12_000
"""Carried by 16,000 characters of base64; a multiple of 6."""
MAX_HEADERS_CHARS = 2048
SPELT = "hex"
"""Begins a token that is spelt in hexadecimal."""
MU_LAW, L16 = "audio/x-mulaw", "audio/x-l16"

_is_base64 = re.compile(r"[A-Za-z0-9+/]+={0,2}").fullmatch
_is_id = re.compile(r"[A-Za-z0-9_-]{1,128}").fullmatch


class PlivoCodec:
    """One media stream's wire format."""

    def __init__(self) -> None:
        self._stream_id = ""
        self._pcm: Pcm16 | None = None
        """None: the stream is mu-law."""

    def decode(self, frame: Frame) -> Message:
        if isinstance(frame, bytes):
            raise RemoteProtocolError("expected a text frame, got a binary one")
        message = parsed(frame)
        match message.get("event"):
            case "media":
                return self._media(_object(message, "media"))
            case "playedStream":
                return MarkPlayed(text(message, "name"))
            case "clearedAudio":
                return Cleared()
            case "dtmf":
                return dtmf(_object(message, "dtmf"), "digit")
            case "start":
                return self._start(_object(message, "start"), message.get("extra_headers"))
            case "stop":
                return LegEnded(LegEnd.CALLER_HANGUP, "stop")
            case str(kind):
                return Ignored(kind[:32], known=False)
            case _:
                raise RemoteProtocolError("expected an event name")

    def play(self, payload: str) -> list[Frame]:
        encoding, rate = MU_LAW, 8000
        if self._pcm is not None:
            encoding, rate = L16, self._pcm.rate_hz
            payload = b64encode(self._pcm.from_mu_law(b64decode(payload))).decode()
        return [
            f'{{"event":"playAudio","media":{{"contentType":"{encoding}","sampleRate":{rate},"payload":"{piece}"}}}}'
            for piece in split_payload(payload, PIECE_BYTES)
        ]

    def mark(self, name: str) -> list[Frame]:
        return [json.dumps({"event": "checkpoint", "streamId": self._stream_id, "name": name})]

    def clear(self) -> list[Frame]:
        return [json.dumps({"event": "clearAudio", "streamId": self._stream_id})]

    def digits(self, digits: str) -> list[Frame]:
        return [json.dumps({"event": "sendDTMF", "dtmf": digits})]

    def hang_up(self) -> list[Frame]:
        return []

    def _start(self, body: Mapping[str, Any], headers: object) -> Started:
        form = _object(body, "mediaFormat")
        encoding, rate = str(form.get("encoding"))[:64], form.get("sampleRate")
        if (encoding, rate) != (MU_LAW, 8000):
            try:
                self._pcm = Pcm16(rate if encoding == L16 and type(rate) is int else 0)
            except ValueError:
                raise RemoteProtocolError("start: expected mu-law at 8 kHz, or L16 at 8 or 16 kHz") from None
        self._stream_id = text(body, "streamId")
        if _is_id(self._stream_id) is None:
            raise RemoteProtocolError("start: expected letters, digits and dashes as streamId")
        parameters = headers_of(headers)
        token = from_header(parameters.get("token", ""))
        call_id, account_id = text(body, "callId"), text(body, "accountId")
        return Started(self._stream_id, call_id, account_id, token, AudioFormat.PCMU, parameters)

    def _media(self, body: Mapping[str, Any]) -> Message:
        if body.get("track", "inbound") != "inbound":
            return Ignored("media of another track")
        payload = body.get("payload")
        if not isinstance(payload, str) or not 0 < len(payload) <= MAX_PAYLOAD_CHARS:
            raise RemoteProtocolError(f"media: expected a payload of 1 to {MAX_PAYLOAD_CHARS} characters")
        if len(payload) % 4 or _is_base64(payload) is None:
            raise RemoteProtocolError("media: expected base64 as payload")
        if self._pcm is not None:
            payload = b64encode(self._pcm.to_mu_law(b64decode(payload))).decode()
        number = body.get("chunk")
        return Media(payload, number if type(number) is int and number >= 0 else None)


def headers_of(value: object) -> dict[str, str]:
    """Return what `extra_headers` says; names come in lower case, with or without `X-PH-`, pairs behind `,` or `;`."""
    given = value if isinstance(value, str) and len(value) <= MAX_HEADERS_CHARS else ""
    pairs = (part.split("=", 1) for part in re.split("[;,]", given) if "=" in part)
    return {name.strip().lower().removeprefix("x-ph-"): said.strip() for name, said in pairs}


def to_header(token: str) -> str:
    """Return a token in letters and digits, which is all that a header may hold."""
    return token if token.isalnum() and not token.startswith(SPELT) else SPELT + token.encode().hex()


def from_header(value: str) -> str:
    """Return the token that `to_header` was given; "" for what it cannot have made."""
    try:
        return bytes.fromhex(value[len(SPELT) :]).decode("ascii") if value.startswith(SPELT) else value
    except ValueError:
        return ""


def _object(message: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = message.get(key)
    if not isinstance(value, dict):
        raise RemoteProtocolError(f"expected an object as {key}")
    return value
