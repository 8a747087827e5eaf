"""One media stream, the network's side of the socket (Twilio Media Streams, WebSocket messages).

Sends `connected`, `start`, a `media` frame each tick, `dtmf`, `mark` echoes and `stop`; takes `media`, `mark`
and `clear`. It is as strict as Twilio says it is: text JSON only, exactly the documented keys, its own
`streamSid`; a breach is a warning, never a failure. A message with only superfluous keys is still obeyed.
"""

import asyncio
import base64
import binascii
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.simulator.carrier.delay import DelayLine
from gateway.simulator.carrier.plan import LineModel
from gateway.simulator.carrier.playout import Playout
from gateway.simulator.carrier.report import CallReport, Event
from gateway.simulator.carrier.tones import FRAME_BYTES, SILENCE
from gateway.wire import DirectSocket, TextSocket, WireClosed

__all__ = ["MediaStream", "StreamIds"]

SILENT_FRAME = bytes([SILENCE]) * FRAME_BYTES
_SILENT_PAYLOAD = base64.b64encode(SILENT_FRAME).decode()
FINISH_TIMEOUT_S = 2.0
MAX_MARK_NAME = 1000
_SHAPES: Mapping[str, tuple[str, str] | None] = {"media": ("media", "payload"), "mark": ("mark", "name"), "clear": None}


@dataclass(slots=True, frozen=True)
class StreamIds:
    account_sid: str
    call_sid: str
    stream_sid: str


class MediaStream:
    """Drive with `run()`, `caller_frame()` and `take_frame()` once each 20 ms."""

    def __init__(
        self,
        socket: TextSocket,
        ids: StreamIds,
        parameters: Mapping[str, str],
        *,
        report: CallReport,
        line: LineModel,
        rng: random.Random,
        clock: Callable[[], float],
    ) -> None:
        """`clock` gives seconds since the call was answered."""
        self._socket = socket
        self._ids = ids
        self._parameters = parameters
        self._report = report
        self._clock = clock
        self._playout = Playout()
        self._uplink: DelayLine[str] = DelayLine(line.uplink_ms / 1000, line.jitter_ms / 1000, rng)
        self._downlink: DelayLine[str | bytes] = DelayLine(line.downlink_ms / 1000, line.jitter_ms / 1000, rng)
        undelayed = not (line.uplink_ms or line.downlink_ms or line.jitter_ms)
        self._direct = socket if undelayed and isinstance(socket, DirectSocket) else None
        """The socket, where neither the line nor the socket makes a frame wait."""
        self._sequence = 0
        self._chunk = 0
        self._started_s = clock()
        self._stopped = False

    @property
    def queued_bytes(self) -> int:
        """Agent audio not yet played."""
        return self._playout.queued_bytes

    async def run(self) -> int:
        """Talk until the server closes; return its close code. When cancelled, say `stop` and close."""
        async with asyncio.TaskGroup() as group:
            pumps = [
                group.create_task(self._uplink.pump(self._write)),
                group.create_task(self._downlink.pump(self._deliver)),
            ]
            self._send_json({"event": "connected", "protocol": "Call", "version": "1.0.0"})
            self._send_start()
            try:
                code = await self._read()
            except asyncio.CancelledError:
                await self._finish()
                raise
            finally:
                self._stopped = True
                for pump in pumps:
                    pump.cancel()
        return code

    def caller_frame(self, audio: bytes) -> None:
        """Send 20 ms of the caller; empty means silence. Nothing is sent after `stop`."""
        if self._stopped:
            return
        payload = base64.b64encode(audio + SILENT_FRAME[len(audio) :]).decode() if audio else _SILENT_PAYLOAD
        self._sequence += 1
        self._chunk += 1
        timestamp = round((self._clock() - self._started_s) * 1000)
        sent = self._push(
            f'{{"event":"media","sequenceNumber":"{self._sequence}","media":{{"track":"inbound","chunk":"{self._chunk}",'
            f'"timestamp":"{timestamp}","payload":"{payload}"}},"streamSid":"{self._ids.stream_sid}"}}'
        )
        self._report.media.frames_sent += sent
        self._report.media.frames_dropped += not sent

    def take_frame(self) -> bytes:
        """Return the agent audio of the next 20 ms, perhaps short or empty, and echo the marks reached."""
        if self._stopped:
            return b""
        frame, reached = self._playout.tick()
        for name in reached:
            self._echo(name, "played")
        return frame

    def send_digit(self, digit: str) -> None:
        self._send_numbered("dtmf", {"dtmf": {"track": "inbound_track", "digit": digit}})

    def _send_start(self) -> None:
        start = {
            "accountSid": self._ids.account_sid,
            "streamSid": self._ids.stream_sid,
            "callSid": self._ids.call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": dict(self._parameters),
        }
        self._send_numbered("start", {"start": start})

    async def _finish(self) -> None:
        self._stopped = True
        stop = {"accountSid": self._ids.account_sid, "callSid": self._ids.call_sid}
        self._send_numbered("stop", {"stop": stop})
        try:
            async with asyncio.timeout(FINISH_TIMEOUT_S):
                await self._uplink.drained()
        except TimeoutError:
            self._warn(31921, "the server did not read the last messages")
        try:
            async with asyncio.timeout(FINISH_TIMEOUT_S):
                await self._socket.close(1000)
        except TimeoutError:
            self._warn(31921, "the server did not answer the close")

    def _push(self, text: str) -> bool:
        if self._direct is not None and self._uplink.empty and self._direct.send_soon(text):
            return True
        return self._uplink.push(text)

    def _take(self, frame: str | bytes) -> None:
        self._report.media.messages_received += 1
        self._apply(frame)

    async def _read(self) -> int:
        if self._direct is not None:
            return (await self._direct.pump(self._take)).code
        while True:
            try:
                frame = await self._socket.receive()
            except WireClosed as closed:
                return closed.code
            self._report.media.messages_received += 1
            while not self._downlink.push(frame):
                await self._downlink.drained()

    async def _write(self, text: str) -> None:
        try:
            await self._socket.send(text)
        except WireClosed:
            # The reader sees the close as well and ends the stream.
            return

    async def _deliver(self, frame: str | bytes) -> None:
        self._apply(frame)

    def _apply(self, frame: str | bytes) -> None:
        message = self._checked(frame)
        match message:
            case {"event": "media", "media": {"payload": str(payload)}}:
                self._play(payload)
            case {"event": "mark", "mark": {"name": str(name)}}:
                self._mark(name)
            case {"event": "clear"}:
                self._clear()

    def _checked(self, frame: str | bytes) -> object:  # noqa: PLR0911 - one return a breach
        if isinstance(frame, bytes):
            self._warn(31950, "a binary frame")
            return None
        try:
            message = json.loads(frame)
        except (ValueError, RecursionError):
            self._warn(31950, "a frame that is not JSON")
            return None
        if not isinstance(message, dict) or not isinstance(event := message.get("event"), str) or event not in _SHAPES:
            self._warn(31951, "an unknown message type")
            return None
        if message.get("streamSid") != self._ids.stream_sid:
            self._warn(31951, f"{event} with a missing or wrong streamSid")
            return None
        shape = _SHAPES[event]
        inner = message.get(shape[0]) if shape else {}
        if shape and not (isinstance(inner, dict) and isinstance(inner.get(shape[1]), str)):
            self._warn(31951, f"{event} without {shape[0]}.{shape[1]}")
            return None
        if message.keys() - {"event", "streamSid", *shape[:1]} if shape else message.keys() - {"event", "streamSid"}:
            self._warn(31951, f"{event} with superfluous keys")
        elif shape and isinstance(inner, dict) and len(inner) != 1:
            self._warn(31951, f"{event}.{shape[0]} with superfluous keys")
        return message

    def _play(self, payload: str) -> None:
        try:
            audio = base64.b64decode(payload, validate=True)
        except (binascii.Error, ValueError):
            self._warn(31951, "media whose payload is not base64")
            return
        self._report.media.audio_received_bytes += len(audio)
        if discarded := self._playout.add(audio):
            self._report.media.audio_discarded_bytes += discarded
            self._warn(31931, "more than ten minutes of audio are queued")

    def _mark(self, name: str) -> None:
        if not name or len(name) > MAX_MARK_NAME:
            self._warn(31951, "a mark without a usable name")
            return
        try:
            due = self._playout.mark(name)
        except OverflowError as error:
            self._warn(31951, str(error))
            return
        if due:
            self._echo(name, "played")

    def _clear(self) -> None:
        dropped, names = self._playout.clear()
        self._report.media.clears.append(Event(self._clock(), "clear", str(dropped // 8)))
        for name in names:
            self._echo(name, "cleared")

    def _echo(self, name: str, how: str) -> None:
        self._report.media.marks.append(Event(self._clock(), name, how))
        self._send_numbered("mark", {"mark": {"name": name}})

    def _send_numbered(self, event: str, body: Mapping[str, object]) -> None:
        self._sequence += 1
        number = str(self._sequence)
        self._send_json({"event": event, "sequenceNumber": number, **body, "streamSid": self._ids.stream_sid})

    def _send_json(self, message: Mapping[str, object]) -> None:
        self._uplink.push(json.dumps(message, separators=(",", ":")), bounded=False)

    def _warn(self, code: int, text: str) -> None:
        self._report.warn(self._clock(), code, text)
