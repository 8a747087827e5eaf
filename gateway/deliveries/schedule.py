"""When a delivery that failed is tried again, and when it is given up: after 14 attempts in 64 hours, give or take."""

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["MOST_ATTEMPTS", "pause_s", "retry_after_s"]

PAUSES_S = (5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800, 43_200, 43_200, 43_200, 43_200)
"""After the first attempt, the second, …"""
MOST_ATTEMPTS = len(PAUSES_S) + 1
JITTER = 0.1
MOST_ASKED_S = 3600.0
"""How far a business may put off the next attempt; the whole stays within three days."""


def pause_s(attempts: int, asked_s: float | None, rng: random.Random) -> float | None:
    """Return the pause after so many failed attempts, in seconds, never shorter than was asked; None: give up."""
    if attempts >= MOST_ATTEMPTS:
        return None
    planned_s = PAUSES_S[max(attempts, 1) - 1] * rng.uniform(1 - JITTER, 1 + JITTER)
    return planned_s if asked_s is None else max(planned_s, min(asked_s, MOST_ASKED_S))


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Return the seconds that a `Retry-After` header asks for, which may be a date; None when it says nothing."""
    if value is None or len(value) > 64:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds(), 0.0)
