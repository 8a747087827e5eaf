"""How loud the line is when nobody speaks, and how much it fluctuates.

Two estimates, the larger counts. The *lowest*: the smallest smoothed level of the last seconds; speech always dips
within them, steady noise does not. The *mean* with its mean deviation, learnt outside of voices only; it follows faster
and knows how much babble or music fluctuate. What was learnt from the beginning of a voice, before it was proven, is
taken back: else every word would raise the bar for the next.
"""

from collections import deque

from gateway.hearing.options import EarOptions

__all__ = ["NoiseFloor"]

RISE, FALL = 0.04, 0.05
"""Of a difference, per hop of 20 ms: half a second to follow."""
RISE_IN_VOICE, FALL_IN_VOICE = 0.01, 0.03
LONG_VOICE_HOPS = 150
"""A voice without a breath for 3 s may be music or a room: its softer parts are learnt, slowly."""
UNDO_HOPS = 10
MOST_STEP_DB, MOST_DEVIATION_DB = 10.0, 6.0
"""A word that was not taken for a voice raises the mean by at most 0.4 dB a hop, and the deviation towards 6 dB."""
MOST_MARGIN_DB = 9.0
"""With more, a person who speaks on and on in a noisy room was taken for noise after the first sentence."""
LEAST_DB = -65.0
"""Softer noise is taken for this; digital silence would take too long to unlearn."""
SMOOTHING = 0.4
PART_HOPS, PARTS = 15, 8
"""The lowest is of 8 parts of 300 ms: few people speak for 2.4 s without a dip."""
PRIOR_DB, PRIOR_PARTS = -50.0, 2
"""What a line is taken for in its first 600 ms, in which a caller may already be speaking."""


class NoiseFloor:
    """Fed with the level of each hop."""

    def __init__(self, options: EarOptions) -> None:
        self._options = options
        self._lowest = _Lowest()
        self._mean_db = LEAST_DB
        self._deviation_db = 0.0
        self._voice_hops = 0
        self._before: deque[tuple[float, float]] = deque([(LEAST_DB, 0.0)], maxlen=UNDO_HOPS)
        self.threshold_db = LEAST_DB
        """Sound above this is louder than the noise."""

    def hear(self, level_db: float, *, voice: bool) -> None:
        """Take one hop; `voice` when it belongs to one."""
        level_db = max(level_db, LEAST_DB)
        self._voice_hops = self._voice_hops + 1 if voice else 0
        if self._voice_hops == 1:
            self._mean_db, self._deviation_db = self._before[0]
        elif not voice:
            self._before.append((self._mean_db, self._deviation_db))
            self._follow(level_db, RISE, FALL)
        elif self._voice_hops > LONG_VOICE_HOPS:
            self._follow(level_db, RISE_IN_VOICE, FALL_IN_VOICE)
        self._mean_db = max(self._mean_db, self._lowest.hear(level_db))
        margin = min(max(self._options.margin_db, self._options.spread * self._deviation_db), MOST_MARGIN_DB)
        self.threshold_db = min(self._mean_db, self._options.floor_most_db) + margin

    def _follow(self, level_db: float, rise: float, fall: float) -> None:
        step = min(level_db - self._mean_db, MOST_STEP_DB)
        self._mean_db += (rise if step > 0 else fall) * step
        self._deviation_db += rise * (min(abs(step), MOST_DEVIATION_DB) - self._deviation_db)


class _Lowest:
    """The minimum of the smoothed level over a sliding time, in parts."""

    def __init__(self) -> None:
        self._smooth_db = PRIOR_DB
        self._part_db = 0.0
        self._hops = 0
        self._parts: deque[float] = deque([PRIOR_DB], maxlen=PARTS)
        self._prior_parts = PRIOR_PARTS
        self._past_db = PRIOR_DB

    def hear(self, level_db: float) -> float:
        self._smooth_db += SMOOTHING * (level_db - self._smooth_db)
        self._part_db = min(self._part_db, self._smooth_db)
        self._hops += 1
        lowest = min(self._past_db, self._part_db)
        if self._hops == PART_HOPS:
            self._end_part()
        return lowest

    def _end_part(self) -> None:
        self._prior_parts = max(0, self._prior_parts - 1)
        if self._prior_parts == 0:
            if self._parts[0] == PRIOR_DB:
                self._parts.clear()
            self._parts.append(self._part_db)
        self._past_db = min(self._parts)
        self._part_db, self._hops = 0.0, 0
