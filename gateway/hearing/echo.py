"""What of the caller's sound can be our own, coming back.

For each delay from 0 to 400 ms, in steps of 40 ms, we keep how much softer than what we sent the caller's side has
been at the least. An echo of that delay cannot be stronger than that: it would have been heard. So the expected echo
is the largest, over the delays, of what we sent then times that factor. Before anything is known the factor is
`echo_most_db`, and it never gets beyond; it is forgotten within seconds of our speech, so that a hand that switches
to the loudspeaker is followed.
"""

from collections import deque

from gateway.hearing.options import EarOptions
from gateway.hearing.pcm import SILENT_DB, level_db, to_pcm

__all__ = ["EchoGuard"]

HOP_S = 0.02
HOP_BYTES = 160
STEP_HOPS = 2
SMEAR_HOPS = 5
"""A delay stands for 100 ms of what we sent: networks move by some ten ms, and grids do not meet."""
HEARD_HOPS = 3
"""The caller's side is taken at its loudest in 60 ms: a dip of half a hop would prove an echo too weak."""
LOUD_DB = -40.0
"""What we sent softer than this teaches nothing about the echo."""
WINDOW_HOPS = 100
"""Loud hops (2 s of our speech) in one of the two windows of the smallest factor."""
MOST_AHEAD = 3000
"""One minute of audio waiting at the carrier; what is beyond is not guarded against."""


class EchoGuard:
    """Remembers what we send and tells how loud its echo can be now."""

    def __init__(self, options: EarOptions) -> None:
        self._most_db, self._least_db = options.echo_most_db, options.echo_least_db
        delays = options.echo_window_ms // (STEP_HOPS * 20) + 1
        self._factors = [self._most_db] * delays
        self._next_factors = [self._most_db] * delays
        self._learnt = 0
        self._ahead: deque[tuple[float, float]] = deque()
        self._rest = b""
        self._playhead_s = 0.0
        self._heard: deque[float] = deque(maxlen=HEARD_HOPS)
        span = STEP_HOPS * delays + SMEAR_HOPS
        self._sent: deque[float] = deque([SILENT_DB] * SMEAR_HOPS, maxlen=SMEAR_HOPS)
        self._ranges: deque[tuple[float, float]] = deque([(SILENT_DB, SILENT_DB)] * span, maxlen=span)
        self._quiet_hops = span

    def played(self, ulaw: bytes, now: float) -> None:
        """Audio that plays behind what was sent before it."""
        start = self._playhead_s - len(self._rest) / 8000
        if now > self._playhead_s:
            start, self._rest = now, b""
        audio = self._rest + ulaw
        whole = len(audio) // HOP_BYTES * HOP_BYTES
        pcm = to_pcm(audio[:whole])
        room = 2 * HOP_BYTES * (MOST_AHEAD - len(self._ahead))
        for at in range(0, min(2 * whole, room), 2 * HOP_BYTES):
            self._ahead.append((start + at / 16000, level_db(pcm[at : at + 2 * HOP_BYTES])))
        self._rest = audio[whole:]
        self._playhead_s = start + len(audio) / 8000

    def cleared(self, now: float) -> None:
        """What has not been played by now never will be."""
        while self._ahead and self._ahead[-1][0] >= now:
            self._ahead.pop()
        if self._playhead_s > now:
            self._playhead_s, self._rest = now, b""

    def hear(self, caller_db: float, end_s: float) -> float:
        """Take one hop of the caller that ended at `end_s`; return how loud an echo in it can be."""
        sent = self._sent_until(end_s - HOP_S / 2)
        if sent == SILENT_DB and self._quiet_hops >= len(self._ranges):
            return SILENT_DB
        self._quiet_hops = self._quiet_hops + 1 if sent == SILENT_DB else 0
        self._heard.append(caller_db)
        self._sent.append(sent)
        self._ranges.append((min(self._sent), max(self._sent)))
        return self._expect()

    def _sent_until(self, end_s: float) -> float:
        """Return the level of the hops that began before, since the last time."""
        sent = SILENT_DB
        taken = False
        while self._ahead and self._ahead[0][0] < end_s:
            at, db = self._ahead.popleft()
            if at > end_s - 2 * HOP_S:
                sent, taken = max(sent, db), True
        if not taken and self._ahead and self._ahead[0][0] < end_s + HOP_S:
            return self._sent[-1]  # clocks do not quite meet: none now, two the next time
        return sent

    def _expect(self) -> float:
        heard = max(self._heard)
        expected = SILENT_DB
        learnt = False
        for delay, (low, high) in enumerate(list(self._ranges)[::-STEP_HOPS][: len(self._factors)]):
            if low > LOUD_DB:
                learnt = True
                seen = max(heard - low, self._least_db)
                self._factors[delay] = min(self._factors[delay], seen)
                self._next_factors[delay] = min(self._next_factors[delay], seen)
            expected = max(expected, high + self._factors[delay])
        if learnt:
            self._forget()
        return expected

    def _forget(self) -> None:
        self._learnt += 1
        if self._learnt == WINDOW_HOPS:
            self._learnt = 0
            self._factors, self._next_factors = self._next_factors, [self._most_db] * len(self._factors)
