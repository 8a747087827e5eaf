"""Twilio Media Streams text to messages, commands to Media Streams text. Pure.

Vendor page: "Media Streams - WebSocket Messages". Every number on the wire is a string; audio is base64 and is passed
through untouched. Twilio answers unknown, missing or extra fields with warning 31951, so exactly the documented keys
are sent. A carrier that speaks this format with other audio names it in `formats`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.carriers.stream import Frame, Ignored, Media, Message, Started
from gateway.carriers.textframes import MAX_TEXT, dtmf, parsed, text
from gateway.core.audio import AudioFormat
from gateway.core.events import LegEnd, LegEnded, MarkPlayed
from gateway.errors import RemoteProtocolError

__all__ = ["TwilioCodec"]

MAX_PAYLOAD_CHARS = 16_000
"""Longest audio taken in one frame: 1.5 s of mu-law. Twilio sends 20 ms."""
MAX_PARAMETERS = 32
MU_LAW: Mapping[tuple[str, str], AudioFormat] = {("audio/x-mulaw", "8000"): AudioFormat.PCMU}
"""Encoding and rate of `start.mediaFormat` to what the call is told."""

_is_base64 = re.compile(r"[A-Za-z0-9+/]+={0,2}").fullmatch
_is_clean = re.compile(r"[A-Za-z0-9-]+").fullmatch
_is_count = re.compile(r"[0-9]{1,12}").fullmatch
_usual_media = re.compile(
    r'\{"event":"media","sequenceNumber":"[0-9]+","media":\{"track":"inbound","chunk":"([0-9]{1,12})",'
    r'"timestamp":"[0-9]+","payload":"([A-Za-z0-9+/]+={0,2})"\}(?:,"streamSid":"[A-Za-z0-9-]+")?\}'
).fullmatch
"""A frame of audio as the carriers write it. Fifty come each second and call, so these are read in one pass."""


class TwilioCodec:
    """One stream's. Everything names the stream, so `start` must have been read before."""

    def __init__(self, *, formats: Mapping[tuple[str, str], AudioFormat] = MU_LAW) -> None:
        self._formats = formats
        self._media_head = ""
        self.stream_id = ""

    def decode(self, frame: Frame) -> Message:
        """Return what a frame says. Raises `RemoteProtocolError` for one that breaks the protocol."""
        if isinstance(frame, bytes):
            raise RemoteProtocolError("expected a text frame, got a binary one")
        usual = _usual_media(frame)
        if usual is not None and self.stream_id:
            chunk, payload = usual.groups()
            if len(payload) % 4 == 0 and len(payload) <= MAX_PAYLOAD_CHARS:
                return Media(payload, int(chunk))
        return self._read(parsed(frame))

    def play(self, payload: str) -> Sequence[Frame]:
        """Return a `media` message; both parts are clean, so they are spliced and not encoded."""
        return (f'{self._media_head}{payload}"}}}}',)

    def mark(self, name: str) -> Sequence[Frame]:
        return (json.dumps({"event": "mark", "streamSid": self.stream_id, "mark": {"name": name}}),)

    def clear(self) -> Sequence[Frame]:
        return (json.dumps({"event": "clear", "streamSid": self.stream_id}),)

    def digits(self, digits: str) -> Sequence[Frame] | None:
        """Media Streams cannot send keys, and `<Play digits>` would cost the stream."""
        return None

    def hang_up(self) -> Sequence[Frame]:
        """The close says it: Twilio goes on with the next verb."""
        return ()

    def _read(self, message: Mapping[str, Any]) -> Message:
        event = message.get("event")
        if not self.stream_id and event in ("media", "mark", "dtmf"):
            raise RemoteProtocolError("expected start first")
        match event:
            case "media":
                return _media(_object(message, "media"))
            case "mark":
                return MarkPlayed(text(_object(message, "mark"), "name"))
            case "dtmf":
                return dtmf(_object(message, "dtmf"), "digit")
            case "connected":
                return Ignored("connected")
            case "start" if not self.stream_id:
                return self._start(_object(message, "start"))
            case "stop":
                return LegEnded(LegEnd.CALLER_HANGUP, "stop")
            case str() as other:
                return Ignored(other[:MAX_TEXT], known=False)
            case _:
                raise RemoteProtocolError("expected an event name")

    def _start(self, body: Mapping[str, Any]) -> Started:
        form = _object(body, "mediaFormat")
        audio = self._formats.get((str(form.get("encoding")), str(form.get("sampleRate"))))
        if audio is None:
            expected = " or ".join(f"{name} at {rate} Hz" for name, rate in self._formats)
            raise RemoteProtocolError(f"start: expected {expected}")
        parameters = body.get("customParameters")
        if not isinstance(parameters, dict) or len(parameters) > MAX_PARAMETERS:
            raise RemoteProtocolError(f"start: expected at most {MAX_PARAMETERS} custom parameters")
        stream_id = text(body, "streamSid")
        if _is_clean(stream_id) is None:
            raise RemoteProtocolError("start: expected letters, digits and dashes as streamSid")
        named = {str(key): str(value)[: MAX_TEXT * 4] for key, value in parameters.items()}
        started = Started(
            stream_id,
            text(body, "callSid"),
            text(body, "accountSid"),
            token=named.get("token", ""),
            audio=audio,
            parameters=named,
        )
        self.stream_id = stream_id
        self._media_head = f'{{"event":"media","streamSid":"{stream_id}","media":{{"payload":"'
        return started


def _media(body: Mapping[str, Any]) -> Media | Ignored:
    if body.get("track", "inbound") != "inbound":
        return Ignored("media of another track")
    payload = body.get("payload")
    if not isinstance(payload, str) or len(payload) > MAX_PAYLOAD_CHARS:
        raise RemoteProtocolError(f"media: expected a text of at most {MAX_PAYLOAD_CHARS} characters as payload")
    if len(payload) % 4 or _is_base64(payload) is None:
        raise RemoteProtocolError("media: expected base64 as payload")
    chunk = body.get("chunk")
    return Media(payload, int(chunk) if isinstance(chunk, str) and _is_count(chunk) else None)


def _object(message: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = message.get(key)
    if not isinstance(value, dict):
        raise RemoteProtocolError(f"expected an object as {key}")
    return value
