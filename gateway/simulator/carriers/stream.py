"""One media stream, the carrier's side of the socket: the caller's frames out, the agent's audio and orders in.

What is on the wire is the `Wire`'s; what is heard of it, and when, is here: queue, marks, clears, the carrier's bounds.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import assert_never

from gateway.simulator.carrier.delay import DelayLine
from gateway.simulator.carrier.heard import Clear as ClearLog
from gateway.simulator.carrier.heard import StreamLog
from gateway.simulator.carrier.plan import LineModel
from gateway.simulator.carrier.playout import Playout
from gateway.simulator.carrier.report import CallReport, Event
from gateway.simulator.carrier.tones import FRAME_BYTES, RATE_BYTES, SILENCE
from gateway.simulator.carriers import asks
from gateway.simulator.carriers.asks import Frame, Happening, Wire
from gateway.simulator.carriers.encoding import Decoder, Encoder
from gateway.simulator.carriers.report import WireLog
from gateway.wire import DirectSocket, TextSocket, WireClosed

__all__ = ["Stream"]

FINISH_S = 2.0
SILENT_FRAME = bytes([SILENCE]) * FRAME_BYTES
RATE_WINDOW_S = 10.0
OVERRUN, NOT_A_FRAME, TOO_SHORT, TOO_LONG, FLOOD, TOO_MANY_MARKS = 9001, 9002, 9003, 9004, 9005, 9006
"""Warnings of the frame itself, whatever the carrier."""


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
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """`clock` gives seconds since the answer; `ended` is told that the application asks to end the stream."""
        self._wire = wire
        self._report = report
        self._log = log
        self._clock = clock
        self._ended = ended
        self._opened_s = clock()
        stream_log = StreamLog(f"stream {len(report.media.streams) + 1}", self._opened_s)
        report.media.streams.append(stream_log)
        self._post = _Post(socket, line, rng)
        self._ear = _Ear(wire, report, log, stream_log, clock, self._send)
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

    def send(self, frames: Iterable[Frame]) -> None:
        """Say something beside the audio, such as an update or a ping."""
        self._send(frames)

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
            self._report.warn(self._clock(), TOO_LONG, "the application did not answer the end of the stream in time")
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
                    self._ended()
                case asks.Gone():
                    self._gone.set()
                case _:
                    self._ear.obey(ask)

    def _send(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            self._post.push(frame, bounded=False)


class _Ear:
    """Queue, marks, clears, and the bounds."""

    def __init__(
        self,
        wire: Wire,
        report: CallReport,
        log: WireLog,
        stream_log: StreamLog,
        clock: Callable[[], float],
        send: Callable[[Sequence[Frame]], None],
    ) -> None:
        self._wire = wire
        self._report = report
        self._log = log
        self._stream_log = stream_log
        self._clock = clock
        self._send = send
        self._decoder = Decoder(wire.encoding)
        self._playout = Playout()
        self._state = _State()

    @property
    def queued_bytes(self) -> int:
        return self._playout.queued_bytes

    def admits(self, frame: Frame) -> bool:
        """Whether a message is within the carrier's bounds of size and rate; one beyond them is lost."""
        limits, state = self._wire.limits, self._state
        if len(frame) > limits.most_message_bytes:
            self._warn(TOO_LONG, f"a message of {len(frame)} bytes")
            return False
        if limits.messages_per_s is None:
            return True
        now = self._clock()
        state.arrivals.append(now)
        while now - state.arrivals[0] > RATE_WINDOW_S:
            state.arrivals.popleft()
        if len(state.arrivals) > limits.messages_per_s * RATE_WINDOW_S:
            self._warn(FLOOD, f"more than {limits.messages_per_s:g} messages a second")
            self._send(self._wire.tell(Happening.FLOODED))
        return True

    def obey(
        self, ask: asks.Audio | asks.Mark | asks.Clear | asks.Digits | asks.Pause | asks.WhenDrained | asks.Bad
    ) -> None:
        match ask:
            case asks.Audio(data):
                self._play(data)
            case asks.Mark(name):
                self._mark(name)
            case asks.Clear():
                self._clear()
            case asks.Digits(digits):
                self._report.keys_heard.extend(Event(self._clock(), digit) for digit in digits)
            case asks.Pause(paused):
                self._state.paused = paused
            case asks.WhenDrained():
                self._state.asked_drained = True
                self._look_drained()
            case asks.Bad(code, text):
                self._warn(code, text)
            case _:
                assert_never(ask)

    def take_frame(self, at_s: float) -> bytes:
        """Return the agent audio heard from `at_s` on, for 20 ms; tell the marks reached."""
        state = self._state
        if state.paused:
            return b""
        frame, reached = self._playout.tick()
        state.pending_marks -= len(reached)
        for name in reached:
            self._tell_mark(name, cleared=False)
        if frame:
            if not state.sounding:
                state.sounding = True
                self._send(self._wire.tell(Happening.STARTED))
            for position, size in self._playout.places(len(frame)):
                self._stream_log.played(at_s, position, size)
                at_s += size / RATE_BYTES
        elif state.sounding:
            state.sounding, state.asked_drained = False, False
            self._send(self._wire.tell(Happening.DRAINED))
        self._flow()
        return frame

    def close(self) -> None:
        self._stream_log.closed_s = self._clock()

    def _play(self, data: bytes) -> None:
        limits = self._wire.limits
        self._log.received += data
        if limits.exact_bytes is not None and len(data) != limits.exact_bytes:
            self._warn(NOT_A_FRAME, f"{len(data)} bytes of audio in a message, not {limits.exact_bytes}: lost")
            self._report.media.audio_discarded_bytes += len(data) // self._wire.encoding.scale
            return
        if limits.least_bytes is not None and len(data) < limits.least_bytes:
            self._warn(TOO_SHORT, f"{len(data)} bytes of audio in a message, fewer than {limits.least_bytes}")
        audio = self._decoder.decode(data)
        self._report.media.audio_received_bytes += len(audio)
        room = len(audio)
        if limits.queue_ms is not None:
            room = max(0, limits.queue_ms * RATE_BYTES // 1000 - self._playout.queued_bytes)
        lost = max(0, len(audio) - room) + self._playout.add(audio[:room])
        self._stream_log.received_bytes = self._playout.accepted_bytes
        if lost:
            self._report.media.audio_discarded_bytes += lost
            self._warn(OVERRUN, f"the queue is full: {lost // 8} ms of audio were lost")
            self._send(self._wire.tell(Happening.OVERRUN))
        self._flow()

    def _mark(self, name: str) -> None:
        limit = self._wire.limits.marks
        if limit is not None and self._state.pending_marks >= limit:
            self._warn(TOO_MANY_MARKS, f"more than {limit} marks are pending: one was ignored")
            return
        try:
            due = self._playout.mark(name)
        except OverflowError as error:
            self._warn(TOO_MANY_MARKS, str(error))
            return
        if due:
            self._tell_mark(name, cleared=False)
        else:
            self._state.pending_marks += 1

    def _clear(self) -> None:
        dropped, names = self._playout.clear()
        self._state.pending_marks = 0
        self._state.paused = False
        now = self._clock()
        self._stream_log.clears.append(ClearLog(now, self._stream_log.received_bytes, dropped, 0))
        self._report.media.clears.append(Event(now, "clear", str(dropped // 8)))
        for name in names:
            self._tell_mark(name, cleared=True)
        self._send(self._wire.tell(Happening.CLEARED))
        self._look_drained()
        self._flow()

    def _tell_mark(self, name: str, *, cleared: bool) -> None:
        frames = self._wire.mark(name, cleared=cleared)
        if frames:
            self._report.media.marks.append(Event(self._clock(), name, "cleared" if cleared else "played"))
            self._send(frames)

    def _look_drained(self) -> None:
        if self._state.asked_drained and not self._playout.queued_bytes:
            self._state.asked_drained = False
            self._send(self._wire.tell(Happening.DRAINED))

    def _flow(self) -> None:
        limits, state = self._wire.limits, self._state
        if limits.full_ms is None or limits.room_ms is None:
            return
        queued_ms = self._playout.queued_bytes * 1000 // RATE_BYTES
        if not state.full and queued_ms >= limits.full_ms:
            state.full = True
            self._send(self._wire.tell(Happening.FULL))
        elif state.full and queued_ms < limits.room_ms:
            state.full = False
            self._send(self._wire.tell(Happening.ROOM))

    def _warn(self, code: int, text: str) -> None:
        self._report.warn(self._clock(), code, text)


class _State:
    """What the ear remembers beside the queue."""

    def __init__(self) -> None:
        self.paused = False
        self.sounding = False
        self.full = False
        self.asked_drained = False
        self.pending_marks = 0
        self.arrivals: deque[float] = deque()


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
