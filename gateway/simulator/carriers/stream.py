"""One media stream, the carrier's side of the socket: the caller's frames out, the agent's audio and orders in.

What is on the wire is the `Wire`'s; what is heard of it, and when, is the `Ear`'s.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable

from gateway.simulator.carrier.delay import DelayLine
from gateway.simulator.carrier.heard import StreamLog
from gateway.simulator.carrier.plan import LineModel
from gateway.simulator.carrier.report import CallReport
from gateway.simulator.carrier.tones import FRAME_BYTES, RATE_BYTES, SILENCE
from gateway.simulator.carriers import asks
from gateway.simulator.carriers.asks import Frame, Wire
from gateway.simulator.carriers.ear import Ear
from gateway.simulator.carriers.encoding import Encoder
from gateway.simulator.carriers.report import WireLog
from gateway.wire import DirectSocket, TextSocket, WireClosed

__all__ = ["Stream"]

FINISH_S = 2.0
UNANSWERED = 9007
"""Warning: the end of the stream was not acknowledged."""
SILENT_FRAME = bytes([SILENCE]) * FRAME_BYTES


class Stream:
    """Drive with `run()`; the line calls `caller_frame()` and `take_frame()` each 20 ms."""

    def __init__(
        self,
        socket: TextSocket,
        wire: Wire,
        report: CallReport,
        log: WireLog,
        *,
        line: LineModel,
        rng: random.Random,
        clock: Callable[[], float],
    ) -> None:
        """`clock` gives seconds since the answer."""
        self._wire = wire
        self._report = report
        self._log = log
        self._clock = clock
        self._opened_s = clock()
        stream_log = StreamLog(f"stream {len(report.media.streams) + 1}", self._opened_s)
        report.media.streams.append(stream_log)
        self._post = _Post(socket, line, rng)
        self._ear = Ear(wire, report, log, stream_log, clock, self._send)
        self._encoder = Encoder(wire.encoding)
        self._number = 0
        self._stopped = False
        self._gone = asyncio.Event()
        self._leave = asyncio.Event()

    @property
    def queued_bytes(self) -> int:
        """Agent audio not yet played, in mu-law bytes."""
        return self._ear.queued_bytes

    def leave(self) -> None:
        """Have the carrier end the stream: `run` says `stop()` and returns."""
        self._leave.set()

    async def run(self) -> int | None:
        """Talk until the application closes, and return its close code; None when it was us who ended it.

        Cancelling this ends the stream as the carrier does: `stop()`, then the close.
        """
        async with asyncio.TaskGroup() as group:
            pumps = [group.create_task(one) for one in self._post.pumps(self._take)]
            self._send(self._wire.hello())
            reading = group.create_task(self._post.read(self._count, self._take))
            leaving = group.create_task(self._leave.wait())
            try:
                await asyncio.wait([reading, leaving], return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not reading.done():
                    await self._finish()
                self._stopped = True
                self._ear.close()
                code = reading.result() if reading.done() and not self._leave.is_set() else None
                for task in (*pumps, reading, leaving):
                    task.cancel()
        self._log.close_code = code
        return code

    async def _finish(self) -> None:
        """Say `stop`, wait for the answer where there is one, let what is under way arrive, close."""
        self._stopped = True
        self._send(self._wire.stop())
        try:
            async with asyncio.timeout(FINISH_S):
                if self._wire.awaits_gone:
                    await self._gone.wait()
                await self._post.drained()
                await self._post.socket.close(1000)
        except TimeoutError:
            self._report.warn(self._clock(), UNANSWERED, "the application did not answer the end of the stream in time")
            await self._post.socket.close(1000)
        except WireClosed:
            return

    # --- the line -----------------------------------------------------------------------------

    def caller_frame(self, audio: bytes) -> None:
        """Send 20 ms of the caller; empty means silence."""
        if self._stopped:
            return
        wire_audio = self._encoder.encode(audio + SILENT_FRAME[len(audio) :])
        self._number += 1
        at_ms = round((self._clock() - self._opened_s) * 1000)
        sent = self._post.push(self._wire.media(wire_audio, self._number, at_ms))
        self._report.media.frames_sent += sent
        self._report.media.frames_dropped += not sent
        if sent:
            self._log.sent += wire_audio

    def take_frame(self, at_s: float) -> bytes:
        return self._ear.take_frame(at_s) if not self._stopped else b""

    def send_digit(self, digit: str) -> None:
        if not self._stopped:
            self._send(self._wire.digit(digit))

    # --- the application ----------------------------------------------------------------------

    def _count(self) -> None:
        self._report.media.messages_received += 1

    def _take(self, frame: Frame) -> None:
        if not self._ear.admits(frame):
            return
        for ask in self._wire.read(frame, self._ear.queued_bytes * 1000 // RATE_BYTES):
            match ask:
                case asks.Reply(frames):
                    self._send(frames)
                case asks.Leave():
                    self._leave.set()
                case asks.Gone():
                    self._gone.set()
                case _:
                    self._ear.obey(ask)

    def _send(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            self._post.push(frame, bounded=False)


class _Post:
    """The socket behind a line: delays both ways, or none and then no task between where the socket allows it."""

    def __init__(self, socket: TextSocket, line: LineModel, rng: random.Random) -> None:
        self.socket = socket
        self._up: DelayLine[Frame] = DelayLine(line.uplink_ms / 1000, line.jitter_ms / 1000, rng)
        self._down: DelayLine[Frame] = DelayLine(line.downlink_ms / 1000, line.jitter_ms / 1000, rng)
        self._undelayed = not (line.uplink_ms or line.downlink_ms or line.jitter_ms)
        self._direct = socket if self._undelayed and isinstance(socket, DirectSocket) else None

    def pumps(self, take: Callable[[Frame], None]) -> list[Coroutine[None, None, None]]:
        """Return what must run beside `read`; `take` gets what the line has delayed."""

        async def deliver(frame: Frame) -> None:
            take(frame)

        return [self._up.pump(self._write), self._down.pump(deliver)]

    def push(self, frame: Frame, *, bounded: bool = True) -> bool:
        if self._direct is not None and self._up.empty and self._direct.send_soon(frame):
            return True
        return self._up.push(frame, bounded=bounded)

    async def drained(self) -> None:
        """Wait until what was pushed has been written."""
        await self._up.drained()

    async def read(self, count: Callable[[], None], take: Callable[[Frame], None]) -> int:
        """Count what comes and pass it on, at once or through the delay; return the close code."""

        def arrive(frame: Frame) -> None:
            count()
            take(frame)

        if self._direct is not None:
            return (await self._direct.pump(arrive)).code
        while True:
            try:
                frame = await self.socket.receive()
            except WireClosed as closed:
                return closed.code
            if self._undelayed:
                arrive(frame)
                continue
            count()
            while not self._down.push(frame):
                await self._down.drained()

    async def _write(self, frame: Frame) -> None:
        try:
            await self.socket.send(frame)
        except WireClosed:
            return  # the reader sees the close as well
