"""Who is signed in: random tokens in cookies, kept as hashes, bounded in number and in time.

They live in this process: another node, or this one after a restart, asks for the key again.
"""

import asyncio
import hashlib
import logging
import math
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["SESSION_S", "WRONG_S", "Sessions", "WrongKeys"]

logger = logging.getLogger(__name__)

SESSION_S = 12 * 3600.0
"""A shift."""
MOST_SESSIONS = 1000
"""The oldest give way."""
WRONG_S = 10.0
"""Wrong keys are logged once in so long, however many come."""


@dataclass(slots=True, frozen=True)
class _Session:
    who: str
    until_s: float


class Sessions:
    """Those of one process; `clock` is monotonic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._open: OrderedDict[str, _Session] = OrderedDict()

    def begin(self, who: str) -> str:
        """Sign somebody in; return the token for the cookie."""
        token = secrets.token_urlsafe(32)
        self._open[_hash(token)] = _Session(who, self._clock() + SESSION_S)
        while len(self._open) > MOST_SESSIONS:
            self._open.popitem(last=False)
        return token

    def who(self, token: str) -> str | None:
        """Return who bears a token; None for nobody."""
        session = self._open.get(_hash(token))
        if session is None or self._clock() > session.until_s:
            self._open.pop(_hash(token), None)
            return None
        return session.who

    def end(self, token: str) -> None:
        """Sign out."""
        self._open.pop(_hash(token), None)


class WrongKeys:
    """Those that somebody has tried to sign in with, as a number: nothing of them is kept or logged."""

    def __init__(self) -> None:
        self._quiet_until_s = -math.inf
        self._untold = 0

    def count(self) -> None:
        """One more; the log is told at once, or with the next when it was told just now."""
        self._untold += 1
        now = asyncio.get_running_loop().time()
        if now < self._quiet_until_s:
            return
        logger.warning("sign-in to the console refused: wrong API key (%s since the last such line)", self._untold)
        self._quiet_until_s, self._untold = now + WRONG_S, 0


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
