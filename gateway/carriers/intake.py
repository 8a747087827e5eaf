"""The caller's audio as a timeline that neither shrinks nor stands still.

Theory. The model's turn detection counts the audio it gets: a turn ends after so much silence *heard*. A carrier that
sends nothing while the caller is silent (mute, silence suppression, a held line) would leave a turn open for ever, and
one whose frames get lost would shift every later time. So:

* frames that are missing by the carrier's own count are concealed: a single one by the frame before it, more by
  silence. Where a carrier does not promise the order, frames wait for up to two others before they count as missing;
* once nothing has come for `PATIENCE_S`, silence is fed up to the wall clock, and on from there;
* what was concealed or filled never goes beyond the time that has really passed, whatever a carrier claims.

Frames that come late in a burst after a fill are fed all the same: the timeline is ahead then, and the next fill is
shorter by that. A loop that itself was late does not fill: the frames may already lie in the socket.
"""

import asyncio
from base64 import b64encode
from collections.abc import Callable

from gateway.core.audio import AudioFormat, payload_ms

__all__ = ["Intake"]

PATIENCE_S = 0.3
"""Silence of the carrier before it is filled. Shorter than the silence that ends a turn (500 ms), so that it does not
delay one, and longer than what TCP holds back now and then."""
FILL_S = 0.1
"""How often silence is fed from then on."""
LATE_S = 0.05
"""A timer that comes later than that says that our own loop stood still."""
MOST_HELD = 3
"""Frames that wait for one that is missing."""
MOST_REMEMBERED = 64
SLACK_MS = 60.0
"""By how much what is concealed may run ahead of the wall clock: carriers send in bunches."""


class Intake:
    """One stream's. `feed` gets base64 payloads; `begin` and `close` belong to the loop that `take` is called from."""

    def __init__(self, feed: Callable[[str], None], audio: AudioFormat, *, reorders: bool = False) -> None:
        self._feed = feed
        self._audio = audio
        self._patience = MOST_HELD if reorders else 0
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._origin_s = 0.0
        self._fed_ms = 0.0
        self._arrived_s = 0.0
        self._next: int | None = None
        """The number of the frame that is due."""
        self._held: dict[int, str] = {}
        self._given_up: dict[int, None] = {}
        """Numbers that were concealed: what comes of them after that is dropped."""
        self._last = ""
        self.filled_ms = 0.0
        self.concealed_ms = 0.0

    def begin(self) -> None:
        """The stream has started: its clock runs from now on. What was taken before lies before it."""
        self._fed_ms = 0.0
        self._origin_s = self._arrived_s = self._loop.time()
        self._timer = self._loop.call_at(self._arrived_s + PATIENCE_S, self._look, self._arrived_s + PATIENCE_S)

    def close(self) -> None:
        """Feed nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def take(self, payload: str, number: int | None = None) -> None:
        """Take one frame as it came."""
        self._arrived_s = self._loop.time()
        if number is None:
            self._pass(payload)
        elif self._next is None or number == self._next:
            self._pass(payload)
            self._next = number + 1
            if self._held:
                self._release()
        elif number > self._next:
            self._ahead(number, payload)
        elif number not in self._given_up:
            # A count that stands still or went back is not trusted; the audio is.
            self._pass(payload)
            self._next = number + 1

    def _ahead(self, number: int, payload: str) -> None:
        """A frame, or some, are missing before this one."""
        self._held[number] = payload
        self._skip(max(self._patience, 1))

    def _skip(self, most: int) -> None:
        """Give up what is missing before the oldest that waits, until fewer than `most` do."""
        while len(self._held) >= most:
            first = min(self._held)
            assert self._next is not None, "something was taken before"
            self._conceal(self._next, first - self._next)
            self._next = first
            self._release()

    def _release(self) -> None:
        while self._next is not None and self._next in self._held:
            self._pass(self._held.pop(self._next))
            self._next += 1

    def _conceal(self, number: int, missing: int) -> None:
        """Feed something in place of frames, as long as what came last, within the time that has passed."""
        frame_ms = payload_ms(self._last, self._audio)
        room = self._behind_ms() + SLACK_MS
        most = int(room / frame_ms) if frame_ms else 0
        if not missing or missing > most:
            missing = most if missing and most > 0 else 0
        if missing == 1:
            self._pass(self._last)
        elif missing > 1:
            self._silence(missing * frame_ms)
        self.concealed_ms += missing * frame_ms
        for gone in range(number, number + missing):
            self._given_up[gone] = None
        while len(self._given_up) > MOST_REMEMBERED:
            del self._given_up[next(iter(self._given_up))]

    def _look(self, due_s: float) -> None:
        """Whether the carrier has stopped sending."""
        now = self._loop.time()
        if self._held and now - self._arrived_s > FILL_S:
            self._skip(1)
        next_s = max(self._arrived_s + PATIENCE_S, now + FILL_S)
        if now - due_s > LATE_S:
            next_s = now + FILL_S
        elif now - self._arrived_s >= PATIENCE_S - 0.001:
            behind = self._behind_ms()
            if behind > 0:
                self._silence(behind)
                self.filled_ms += behind
            next_s = now + FILL_S
        self._timer = self._loop.call_at(next_s, self._look, next_s)

    def _behind_ms(self) -> float:
        return (self._loop.time() - self._origin_s) * 1000 - self._fed_ms

    def _silence(self, ms: float) -> None:
        samples = int(ms * self._audio.rate_hz / 1000)
        if samples:
            self._pass(b64encode(self._audio.silence * samples).decode(), real=False)

    def _pass(self, payload: str, *, real: bool = True) -> None:
        self._fed_ms += payload_ms(payload, self._audio)
        if real:
            self._last = payload
        self._feed(payload)
