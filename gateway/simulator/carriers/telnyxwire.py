"""Telnyx' media socket as its documentation has it ("Media streaming over WebSocket"): JSON, G.711, rtp mode."""

import json
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.simulator.carriers.frame import Ask, Audio, Bad, Clear, Encoding, Frame, Happening, Limits, Mark, Reply

__all__ = ["ENCODINGS", "TelnyxWire", "Traffic"]

ENCODINGS = {"PCMU": Encoding.MULAW, "PCMA": Encoding.ALAW}
LEAST_MS, MOST_MS = 20, 30_000
HEARD_AS_NOTHING_MS = 40
"""Silence behind less than so much audio is not queued: it would be heard as what it is, nothing."""
BROKEN, NO_MEDIA = 3, 4
"""Telnyx' 100003 malformed_frame and 100004 invalid_media, as warnings below the frame's own."""


@dataclass(slots=True)
class Traffic:
    """What the dialect must know of the socket."""

    media: int = 0
    """Messages with audio, silent or not: a stream without any ends the call."""


class TelnyxWire:
    """One stream's. `codec` is on the socket both ways; `said` is what `start` calls it."""

    awaits_gone = False

    def __init__(
        self, ids: Mapping[str, str], stream_id: str, codec: str, traffic: Traffic, *, said: str = "", shuffled: bool
    ) -> None:
        """`ids` are those of the call, for `start`. `shuffled`: of every two frames the second comes first."""
        self.encoding = ENCODINGS[codec]
        self.limits = Limits(least_bytes=LEAST_MS * 8, most_message_bytes=1024 * 1024)
        self._ids = ids
        self._stream_id = stream_id
        self._said = said or codec
        self._traffic = traffic
        self._shuffled = shuffled
        self._held = ""
        self._sequence = 0

    def hello(self) -> Sequence[Frame]:
        start = {
            "user_id": "3e6f995f-85f7-4705-9741-53b116d28237",
            **self._ids,
            "tags": [],
            "custom_parameters": {},
            "media_format": {"encoding": self._said, "sample_rate": 8000, "channels": 1},
        }
        return [json.dumps({"event": "connected", "version": "1.0.0"}), self._told("start", start=start)]

    def media(self, audio: bytes, number: int, at_ms: int) -> Frame:
        frame = self._media("inbound", audio, number, at_ms)
        if not self._shuffled or number % 2 == 0:
            return frame
        # An odd one is held back until the next even one was sent; in place of the very first comes our own voice.
        sent, self._held = self._held or self._media("outbound", audio, number, at_ms), frame
        return sent

    def digit(self, digit: str) -> Sequence[Frame]:
        return [self._told("dtmf", dtmf={"digit": digit}, occurred_at="2026-11-22T06:00:20.000000Z")]

    def read(self, frame: Frame, queued_ms: int) -> Iterator[Ask]:
        message = _parsed(frame)
        match message:
            case {"event": "media", "media": {"payload": str(payload), **more}} if not more:
                yield from self._audio(payload, queued_ms)
            case {"event": "mark", "mark": {"name": str(name), **more}} if not more and name:
                yield Mark(name)
            case {"event": "clear"}:
                yield Clear()
            case _:
                yield from self._wrong(BROKEN, 100003, "malformed_frame")
                return
        strange = set(message) - {"event", "media", "mark", "stream_id"}
        if strange:
            yield Bad(BROKEN, f"keys that the documentation does not have: {sorted(strange)}")

    def mark(self, name: str, *, cleared: bool) -> Sequence[Frame]:
        return [self._told("mark", mark={"name": name})]

    def tell(self, what: Happening) -> Sequence[Frame]:
        return []

    def stop(self) -> Sequence[Frame]:
        call = {"user_id": "3e6f995f-85f7-4705-9741-53b116d28237", "call_control_id": self._ids["call_control_id"]}
        return [self._told("stop", stop=call)]

    def _audio(self, payload: str, queued_ms: int) -> Iterator[Ask]:
        try:
            audio = b64decode(payload, validate=True)
        except NotBase64:
            yield from self._wrong(NO_MEDIA, 100004, "invalid_media")
            return
        if not audio or len(audio) > MOST_MS * 8:
            yield from self._wrong(NO_MEDIA, 100004, "invalid_media")
            return
        self._traffic.media += 1
        if queued_ms > HEARD_AS_NOTHING_MS or audio.strip(self.encoding.silence):
            yield Audio(audio)

    def _wrong(self, warning: int, code: int, title: str) -> Iterator[Ask]:
        yield Reply([self._told("error", payload={"code": code, "title": title, "detail": title})])
        yield Bad(warning, title)

    def _media(self, track: str, audio: bytes, number: int, at_ms: int) -> str:
        body = {"track": track, "chunk": str(number), "timestamp": str(at_ms), "payload": b64encode(audio).decode()}
        return self._told("media", media=body)

    def _told(self, event: str, **body: object) -> str:
        self._sequence += 1
        return json.dumps(
            {"event": event, "sequence_number": str(self._sequence), **body, "stream_id": self._stream_id}
        )


def _parsed(frame: Frame) -> dict[str, Any]:
    try:
        message = json.loads(frame) if isinstance(frame, str) else None
    except (ValueError, RecursionError):
        message = None
    return message if isinstance(message, dict) else {}
