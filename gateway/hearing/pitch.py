"""Has a sound a pitch? Voices have one, between 70 and 400 Hz; pink, street and comfort noise have none.

The last 30 ms, at 4 kHz, are compared with what was there 2.5 to 14 ms earlier. A pure tone matches its own opposite as
well as itself, a voice does not.
"""

from gateway.hearing.pcm import best_lag, halved

__all__ = ["PAST_BYTES", "is_voiced"]

REFERENCE_BYTES = 240
LEAST_LAG, MOST_LAG = 10, 57
WINDOW_BYTES = 2 * (2 * (120 + MOST_LAG) + 1)
PAST_BYTES = WINDOW_BYTES - 320
"""How many bytes of 16-bit samples before a hop of 20 ms are needed."""


def is_voiced(pcm: bytes, least: float) -> bool:
    """Tell whether the end of these samples has a pitch; `least` is the smallest correlation."""
    if len(pcm) < WINDOW_BYTES:
        return False
    likeness, lag = best_lag(halved(pcm), REFERENCE_BYTES, 2 * LEAST_LAG)
    return likeness >= least and lag > 2 * LEAST_LAG
