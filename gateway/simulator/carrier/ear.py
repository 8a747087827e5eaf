"""The network's side of the agent's audio: queue, marks and clears, and what the caller's ear got of it."""

import asyncio
import base64
import binascii
import random
from collections import deque
from collections.abc import Callable

from gateway.simulator.carrier.heard import Clear, StreamLog
from gateway.simulator.carrier.messages import Checked
from gateway.simulator.carrier.plan import LineModel
from gateway.simulator.carrier.playout import Playout
from gateway.simulator.carrier.report import CallReport, Event
from gateway.simulator.carrier.tones import FRAME_BYTES

__all__ = ["Ear"]

MAX_MARK_NAME = 1000
FRAME_MS = 20


class Ear:
    """One stream's: `obey()` what the application sent, `take_frame()` each tick, `close()` at the end."""

    def __init__(
        self,
        report: CallReport,
        log: StreamLog,
        line: LineModel,
        *,
        rng: random.Random,
        clock: Callable[[], float],
        echo: Callable[[str], None],
    ) -> None:
        """`echo` sends a mark back; `clock` gives seconds since the answer."""
        self._report = report
        self._log = log
        self._line = line
        self._rng = rng
        self._clock = clock
        self._send_mark = echo
        self._playout = Playout()
        self._late: deque[tuple[str, asyncio.TimerHandle]] = deque()
        """Echoes under way, in order."""

    @property
    def queued_bytes(self) -> int:
        """Agent audio not yet played."""
        return self._playout.queued_bytes

    def obey(self, message: Checked) -> None:
        """Do what a message says; a warning goes to the report."""
        if message.code:
            self._warn(message.code, message.text)
        match message.event:
            case "media":
                self._play(message.value)
            case "mark":
                self._mark(message.value)
            case "clear":
                self._clear()

    def take_frame(self, at_s: float) -> bytes:
        """Return the agent audio heard from `at_s` on, for 20 ms, perhaps short or empty; echo the marks reached."""
        frame, reached = self._playout.tick()
        for name in reached:
            self._played(name)
        if frame:
            for position, size in self._playout.places(len(frame)):
                self._log.played(at_s, position, size)
                at_s += size / 8000
        return frame

    def close(self) -> None:
        """Echo nothing more; the echoes under way are lost."""
        self._log.closed_s = self._clock()
        while self._late:
            self._late.popleft()[1].cancel()

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
        self._log.received_bytes = self._playout.accepted_bytes

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
            self._played(name)

    def _clear(self) -> None:
        committed = self._rng.randint(0, self._line.committed_ms // FRAME_MS) if self._line.committed_ms else 0
        dropped, names = self._playout.clear(committed * FRAME_BYTES)
        now = self._clock()
        self._log.clears.append(Clear(now, self._log.received_bytes, dropped, self._playout.queued_bytes))
        self._report.media.clears.append(Event(now, "clear", str(dropped // 8)))
        for name in names:
            self._echo(name, "cleared")

    def _played(self, name: str) -> None:
        """Echo a mark, at once or, on a line with late marks, in order a little later."""
        most_s = self._line.late_marks_ms / 1000
        if not most_s:
            self._echo(name, "played")
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + self._rng.uniform(0, most_s)
        if self._late:
            due = max(due, self._late[-1][1].when())
        self._late.append((name, loop.call_at(due, self._arrive)))

    def _arrive(self) -> None:
        # Each timer takes the oldest, so that timers of the same instant cannot change places.
        self._echo(self._late.popleft()[0], "played")

    def _echo(self, name: str, how: str) -> None:
        self._report.media.marks.append(Event(self._clock(), name, how))
        self._send_mark(name)

    def _warn(self, code: int, text: str) -> None:
        self._report.warn(self._clock(), code, text)
