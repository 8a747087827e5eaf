"""How a check of the set-up ends: what was found, and for each complaint what to do about it."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass

from gateway.log import redact

__all__ = ["CHECK_S", "CheckResult", "Finding", "quote", "run_check"]

CHECK_S = 5.0
"""Longest time of one check that says nothing else."""
MAX_QUOTE_CHARS = 200
"""Longest text of another system that is shown."""


@dataclass(slots=True, frozen=True)
class CheckResult:
    """What one check found."""

    name: str
    ok: bool
    detail: str
    fix: str = ""
    """What to do about it; empty when nothing is."""
    warning: bool = False
    """Calls will work, but something is not as it should be; `ok` is true."""


class Finding(Exception):
    """A check's complaint."""

    def __init__(self, detail: str, fix: str, *, warning: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fix = fix
        self.warning = warning


async def run_check(name: str, check: Awaitable[str], *, limit_s: float | None = None) -> CheckResult:
    """Return how a check ended: what it says is good, a `Finding` is not. Takes `limit_s` at most, else `CHECK_S`."""
    limit_s = CHECK_S if limit_s is None else limit_s
    try:
        async with asyncio.timeout(limit_s):
            return CheckResult(name, True, await check)
    except Finding as finding:
        return CheckResult(name, finding.warning, finding.detail, finding.fix, finding.warning)
    except TimeoutError:
        fix = "check the address, name server and firewall"
        return CheckResult(name, False, f"no answer within {limit_s:g} s", fix)


def quote(text: object) -> str:
    """Return another system's words: one line, bounded, without secrets and numbers."""
    words = " ".join(str(text).split())
    return redact(words)[:MAX_QUOTE_CHARS]
