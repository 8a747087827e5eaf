"""Stops asking a host that does not answer: the caller hears so at once instead of after a time-out.

    closed ── 5 failures in a row ──▶ open ── 30 s ──▶ half open ── one answer ──▶ closed
                                        ▲                  │
                                        └── one failure ───┘

Half open, one request at a time is let through to try. Only hosts with failures are kept.
"""

from dataclasses import dataclass
from enum import Enum

__all__ = ["Admission", "Breaker"]

FAILURES = 5
OPEN_S = 30.0
MAX_HOSTS = 1000
"""Failing hosts kept; beyond it the one that failed least lately is forgotten, and so counts as well again."""


class Admission(Enum):
    """What a request may do."""

    FREE = "free"
    PROBE = "probe"
    """It goes, and what becomes of it decides for all."""
    REFUSED = "refused"


@dataclass(slots=True)
class _Host:
    failures: int = 0
    open_until: float | None = None
    """None: closed."""
    probing: bool = False


class Breaker:
    """Counts failures per host. Pure: `now` is the loop's time, in seconds."""

    def __init__(self, *, failures: int = FAILURES, open_s: float = OPEN_S, max_hosts: int = MAX_HOSTS) -> None:
        self._failures = failures
        self._open_s = open_s
        self._max_hosts = max_hosts
        self._hosts: dict[str, _Host] = {}

    def admit(self, host: str, now: float) -> Admission:
        """Say whether a request may go. Unless refused, tell `settle` afterwards what became of it, in any case."""
        state = self._hosts.get(host)
        if state is None or state.open_until is None:
            return Admission.FREE
        if state.probing or now < state.open_until:
            return Admission.REFUSED
        state.probing = True
        return Admission.PROBE

    def settle(self, host: str, admission: Admission, answered: bool | None, now: float) -> None:
        """Take the end of an admitted request: answered, failed, or None when it told nothing about the host."""
        if answered:
            self._hosts.pop(host, None)
            return
        state = self._hosts.get(host)
        if state is not None and admission is Admission.PROBE:
            state.probing = False
        if answered is None:
            return
        # Put at the end: the first is the one that failed least lately.
        state = self._hosts.pop(host, None) or _Host()
        self._hosts[host] = state
        state.failures += 1
        if state.open_until is not None and admission is not Admission.PROBE:
            return  # it began before the host was given up, and tells nothing new
        if state.failures >= self._failures:
            state.open_until = now + self._open_s
        if len(self._hosts) > self._max_hosts:
            del self._hosts[next(iter(self._hosts))]
