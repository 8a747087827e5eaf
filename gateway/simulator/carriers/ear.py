"""The carrier's side of the agent's audio: queue, marks and clears, what the caller's ear got of it, and the bounds."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import assert_never

from gateway.simulator.carrier.heard import Clear as ClearLog
from gateway.simulator.carrier.heard import StreamLog
from gateway.simulator.carrier.playout import Playout
from gateway.simulator.carrier.report import CallReport, Event
from gateway.simulator.carrier.tones import RATE_BYTES
from gateway.simulator.carriers import asks
from gateway.simulator.carriers.asks import Frame, Happening, Wire
from gateway.simulator.carriers.encoding import Decoder
from gateway.simulator.carriers.report import WireLog

__all__ = ["Ear"]

RATE_WINDOW_S = 10.0
OVERRUN, NOT_A_FRAME, TOO_SHORT, TOO_LONG, FLOOD, TOO_MANY_MARKS = 9001, 9002, 9003, 9004, 9005, 9006
"""Warnings of the frame itself, whatever the carrier."""


class Ear:
    """One stream's: `admits` and `obey` what comes, `take_frame()` each tick, `close()` at the end."""

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
