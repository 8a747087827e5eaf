"""Who is signed in: random tokens in cookies, kept as hashes, bounded in number and in time.

They live in this process: another node, or this one after a restart, asks for the key again.
"""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["SESSION_S", "Sessions"]

SESSION_S = 12 * 3600.0
"""A shift."""
MOST_SESSIONS = 1000
"""The oldest give way."""


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


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
