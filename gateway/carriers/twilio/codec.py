"""Twilio Media Streams text to messages, commands to Media Streams text. Pure.

Vendor page: "Media Streams - WebSocket Messages". Every number on the wire is a string; audio is base64 mu-law,
8 kHz mono, and is passed through untouched. Twilio answers unknown, missing or extra fields with warning 31951,
so exactly the documented keys are sent.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from gateway.core.events import CallerAudio, Dtmf, LegEnd, LegEnded, MarkPlayed
from gateway.errors import RemoteProtocolError

__all__ = ["Connected", "Message", "Start", "clear", "decode", "mark", "media"]

MAX_MESSAGE_CHARS = 64 * 1024
"""Longest message taken; the socket refuses larger frames itself."""
MAX_PAYLOAD_CHARS = 16_000
"""Longest audio taken in one frame: 1.5 s. Twilio sends 20 ms."""
MAX_ID = 128
MAX_PARAMETERS = 32

_is_base64 = re.compile(r"[A-Za-z0-9+/]+={0,2}").fullmatch
_is_digit = re.compile(r"[0-9*#A-D]").fullmatch


@dataclass(slots=True, frozen=True)
class Connected:
    """The first message of a socket."""


@dataclass(slots=True, frozen=True)
class Start:
    """The second message: whose audio this is."""

    stream_id: str
    carrier_call_id: str
    account_id: str
    parameters: Mapping[str, str]
    """What the TwiML's `<Parameter>` elements said."""


Message = Connected | Start | CallerAudio | MarkPlayed | Dtmf | LegEnded


def decode(frame: str | bytes) -> Message | None:
    """Return what a frame says; None for messages that mean nothing to us (unknown events, other tracks).

    Raises `RemoteProtocolError` for a frame that breaks the protocol.
    """
    if isinstance(frame, bytes):
        raise RemoteProtocolError("expected a text frame, got a binary one")
    if len(frame) > MAX_MESSAGE_CHARS:
        raise RemoteProtocolError(f"message of {len(frame)} characters is over the bound")
    try:
        message = from_json(frame, cache_strings="keys")
    except ValueError:
        raise RemoteProtocolError("expected JSON, got something else") from None
    if not isinstance(message, dict):
        raise RemoteProtocolError("expected an object")
    match message.get("event"):
        case "media":
            return _media(_object(message, "media"))
        case "mark":
            return MarkPlayed(_text(_object(message, "mark"), "name"))
        case "dtmf":
            return _dtmf(_object(message, "dtmf"))
        case "connected":
            return Connected()
        case "start":
            return _start(_object(message, "start"))
        case "stop":
            return LegEnded(LegEnd.CALLER_HANGUP, "stop")
        case str():
            return None
        case _:
            raise RemoteProtocolError("expected an event name")


def media(stream_id: str, payload: str) -> str:
    """Return a `media` message. `stream_id` and `payload` must be clean: they are spliced, not encoded."""
    return f'{{"event":"media","streamSid":"{stream_id}","media":{{"payload":"{payload}"}}}}'


def mark(stream_id: str, name: str) -> str:
    return json.dumps({"event": "mark", "streamSid": stream_id, "mark": {"name": name}})


def clear(stream_id: str) -> str:
    return json.dumps({"event": "clear", "streamSid": stream_id})


def _media(body: Mapping[str, Any]) -> CallerAudio | None:
    if body.get("track", "inbound") != "inbound":
        return None
    payload = _text(body, "payload", MAX_PAYLOAD_CHARS)
    if len(payload) % 4 or _is_base64(payload) is None:
        raise RemoteProtocolError("media: expected base64 as payload")
    return CallerAudio(payload)


def _dtmf(body: Mapping[str, Any]) -> Dtmf:
    digit = _text(body, "digit")
    if _is_digit(digit) is None:
        raise RemoteProtocolError("dtmf: expected one of 0-9 * # A-D as digit")
    return Dtmf(digit)


def _start(body: Mapping[str, Any]) -> Start:
    form = _object(body, "mediaFormat")
    if form.get("encoding") != "audio/x-mulaw" or str(form.get("sampleRate")) != "8000":
        raise RemoteProtocolError("start: expected audio/x-mulaw at 8000 Hz")
    parameters = body.get("customParameters")
    if not isinstance(parameters, dict) or len(parameters) > MAX_PARAMETERS:
        raise RemoteProtocolError(f"start: expected at most {MAX_PARAMETERS} custom parameters")
    stream_id = _text(body, "streamSid")
    if not stream_id.isalnum() or not stream_id.isascii():
        raise RemoteProtocolError("start: expected letters and digits as streamSid")
    named = {str(key): str(value)[: MAX_ID * 4] for key, value in parameters.items()}
    return Start(stream_id, _text(body, "callSid"), _text(body, "accountSid"), named)


def _object(message: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = message.get(key)
    if not isinstance(value, dict):
        raise RemoteProtocolError(f"expected an object as {key}")
    return value


def _text(message: Mapping[str, Any], key: str, most: int = MAX_ID) -> str:
    value = message.get(key)
    if not isinstance(value, str) or not value or len(value) > most:
        raise RemoteProtocolError(f"expected a text of 1 to {most} characters as {key}")
    return value
