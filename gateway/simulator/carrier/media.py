"""One media stream, the network's side of the socket (Twilio Media Streams, WebSocket messages).

Sends `connected`, `start`, a `media` frame each tick, `dtmf`, `mark` echoes and `stop`; what comes is checked by
`messages` and obeyed by the `Ear`.
"""

import asyncio
import base64
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.simulator.carrier.delay import DelayLine
from gateway.simulator.carrier.ear import Ear
from gateway.simulator.carrier.heard import StreamLog
from gateway.simulator.carrier.messages import check
from gateway.simulator.carrier.plan import LineModel
from gateway.simulator.carrier.report import CallReport
from gateway.simulator.carrier.tones import FRAME_BYTES, SILENCE
from gateway.wire import DirectSocket, TextSocket, WireClosed

__all__ = ["MediaStream", "StreamIds"]

SILENT_FRAME = bytes([SILENCE]) * FRAME_BYTES
_SILENT_PAYLOAD = base64.b64encode(SILENT_FRAME).decode()
FINISH_TIMEOUT_S = 2.0


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
        self._ids = ids
        self._parameters = parameters
        self._report = report
        self._clock = clock
        log = StreamLog(ids.stream_sid, clock())
        report.media.streams.append(log)
        self._ear = Ear(report, log, line, rng=rng, clock=clock, echo=self._send_mark)
        self._wire = _Wire(socket, line, rng)
        self._overtaken = line.media_after_stop
        self._started_s = log.opened_s
        self._sequence = 0
        self._chunk = 0
        self._stopped = False

    @property
    def queued_bytes(self) -> int:
        """Agent audio not yet played."""
        return self._ear.queued_bytes

    async def run(self) -> int:
        """Talk until the server closes; return its close code. When cancelled, say `stop` and close."""
        async with asyncio.TaskGroup() as group:
            pumps = [
                group.create_task(self._wire.up.pump(self._wire.write)),
                group.create_task(self._wire.down.pump(self._deliver)),
            ]
            self._send_json({"event": "connected", "protocol": "Call", "version": "1.0.0"})
            self._send_start()
            try:
                code = await self._wire.read(self._count, self._apply)
            except asyncio.CancelledError:
                await self._finish()
                raise
            finally:
                self._stopped = True
                self._ear.close()
                for pump in pumps:
                    pump.cancel()
        return code

    def caller_frame(self, audio: bytes) -> None:
        """Send 20 ms of the caller; empty means silence. Nothing is sent after `stop`."""
        if self._stopped:
            return
        sent = self._wire.push(self._media(audio))
        self._report.media.frames_sent += sent
        self._report.media.frames_dropped += not sent

    def take_frame(self, at_s: float) -> bytes:
        """Return the agent audio heard from `at_s` on, for 20 ms, perhaps short or empty; echo the marks reached."""
        return self._ear.take_frame(at_s) if not self._stopped else b""

    def send_digit(self, digit: str) -> None:
        self._send_numbered("dtmf", {"dtmf": {"track": "inbound_track", "digit": digit}})

    def _media(self, audio: bytes, ahead_ms: int = 0) -> str:
        payload = base64.b64encode(audio + SILENT_FRAME[len(audio) :]).decode() if audio else _SILENT_PAYLOAD
        self._sequence += 1
        self._chunk += 1
        timestamp = round((self._clock() - self._started_s) * 1000) + ahead_ms
        return (
            f'{{"event":"media","sequenceNumber":"{self._sequence}","media":{{"track":"inbound","chunk":"{self._chunk}",'
            f'"timestamp":"{timestamp}","payload":"{payload}"}},"streamSid":"{self._ids.stream_sid}"}}'
        )

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
        """Say `stop`, let what is in flight arrive, close."""
        self._stopped = True
        overtaken = [self._media(b"", 20 * number) for number in range(1, self._overtaken + 1)]
        stop = {"accountSid": self._ids.account_sid, "callSid": self._ids.call_sid}
        self._send_numbered("stop", {"stop": stop})
        for text in overtaken:
            self._report.media.frames_sent += self._wire.up.push(text)
        try:
            async with asyncio.timeout(FINISH_TIMEOUT_S):
                await self._wire.up.drained()
        except TimeoutError:
            self._warn(31921, "the server did not read the last messages")
        try:
            async with asyncio.timeout(FINISH_TIMEOUT_S):
                await self._wire.socket.close(1000)
        except TimeoutError:
            self._warn(31921, "the server did not answer the close")

    def _count(self) -> None:
        self._report.media.messages_received += 1

    async def _deliver(self, frame: str | bytes) -> None:
        self._apply(frame)

    def _apply(self, frame: str | bytes) -> None:
        self._ear.obey(check(frame, self._ids.stream_sid))

    def _send_mark(self, name: str) -> None:
        if not self._stopped:
            self._send_numbered("mark", {"mark": {"name": name}})

    def _send_numbered(self, event: str, body: Mapping[str, object]) -> None:
        self._sequence += 1
        number = str(self._sequence)
        self._send_json({"event": event, "sequenceNumber": number, **body, "streamSid": self._ids.stream_sid})

    def _send_json(self, message: Mapping[str, object]) -> None:
        self._wire.up.push(json.dumps(message, separators=(",", ":")), bounded=False)

    def _warn(self, code: int, text: str) -> None:
        self._report.warn(self._clock(), code, text)


class _Wire:
    """The socket behind a line: delays both ways, or none and then no task between."""

    def __init__(self, socket: TextSocket, line: LineModel, rng: random.Random) -> None:
        self.socket = socket
        self.up: DelayLine[str] = DelayLine(line.uplink_ms / 1000, line.jitter_ms / 1000, rng)
        self.down: DelayLine[str | bytes] = DelayLine(line.downlink_ms / 1000, line.jitter_ms / 1000, rng)
        undelayed = not (line.uplink_ms or line.downlink_ms or line.jitter_ms)
        self._direct = socket if undelayed and isinstance(socket, DirectSocket) else None
        """The socket, where neither the line nor the socket makes a frame wait."""

    def push(self, text: str) -> bool:
        if self._direct is not None and self.up.empty and self._direct.send_soon(text):
            return True
        return self.up.push(text)

    async def write(self, text: str) -> None:
        try:
            await self.socket.send(text)
        except WireClosed:
            # The reader sees the close as well and ends the stream.
            return

    async def read(self, count: Callable[[], None], apply: Callable[[str | bytes], None]) -> int:
        """Count what comes and pass it on, at once or through the delay; return the close code."""

        def take(frame: str | bytes) -> None:
            count()
            apply(frame)

        if self._direct is not None:
            return (await self._direct.pump(take)).code
        while True:
            try:
                frame = await self.socket.receive()
            except WireClosed as closed:
                return closed.code
            count()
            while not self.down.push(frame):
                await self.down.drained()
