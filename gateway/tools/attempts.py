"""Carries one function call out over HTTP: sends it, again only where that is safe, and says what came of it.

A request of which no byte has left is sent once more, whatever the tool. After that only what changes nothing
(`effect: read`) or what the business does once per Idempotency-Key (`idempotent`) is sent again, at most twice and
within the time that is left. A write whose answer is lost is `unknown`: nobody can say whether it was done, so the
model is told not to do it again. That holds for an idempotent one too, once its tries are used up: what the model calls
again has another key.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import assert_never

import httpx2

from gateway.agents.policy import ToolPolicy
from gateway.errors import ConfigError
from gateway.tools.replies import business_error, error_text, json_body, json_text
from gateway.tools.request import ToolOutcome, ToolRequest
from gateway.tools.sender import Answer, Lost, NotSent, Outgoing, TooLong, Unsent

__all__ = ["Draft", "carry_out"]

MAX_TRIES = 3
MAX_TRIES_UNSENT = 2
"""For what may not be repeated once a byte has left."""
PAUSE_S = 0.1
"""Before the second try, and up to as much again by chance; twice that before the third."""
LEAST_TRY_S = 0.2
"""A try is not begun with less time left."""
PASSING = frozenset({502, 503, 504})
"""Failures that are often over at the next try. RFC 9110 §15.6."""
METHOD_KEPT = frozenset({307, 308})
"""Redirects that ask for the same request elsewhere, so nothing was done. RFC 9110 §15.4."""

NOT_SET_UP = "The system is not set up correctly"
NOT_REACHED = "The system cannot be reached just now"
NOT_AVAILABLE = "The system is unavailable just now"
NOT_IN_TIME = "The system did not answer in time"
BROKE_OFF = "The system broke off the connection"
FAILED = "The system reported a failure"
BUSY = "The system is too busy just now"
NOT_READABLE = "The system's answer cannot be read"
TOO_LONG = "The system's answer is too long"

NOTHING_DONE = "Nothing was done. Tell the caller so, and offer another way."
OFFER = "Tell the caller so, and offer another way."
MAYBE_DONE = (
    "It is not known whether it was done. Do not call this again. Tell the caller that it is not certain, "
    "and offer another way."
)


@dataclass(slots=True, frozen=True)
class Draft:
    """A request, ready to be sent."""

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes | None


class _Done(Enum):
    """Whether the business has done it."""

    ANSWERED = "answered"
    """It said what it did."""
    NO = "no"
    MAYBE = "maybe"


class _Again(Enum):
    """For which tools another try makes sense."""

    NONE = "none"
    SAFE = "safe"
    """Those that may be repeated."""
    ANY = "any"


@dataclass(slots=True, frozen=True)
class _Try:
    """What came of one try."""

    message: str
    """For the model; not used when answered."""
    detail: str
    done: _Done
    again: _Again = _Again.NONE
    after_s: float | None = None
    """When the business wants it again, in seconds."""
    outcome: ToolOutcome | None = None
    """When answered."""


async def carry_out(
    outgoing: Outgoing,
    request: ToolRequest,
    draft: Callable[[int, float], Draft],
    read: Callable[[Answer], ToolOutcome],
    explain: Callable[[Answer], str] | None = None,
) -> ToolOutcome:
    """Send until there is an outcome. Takes at most the tool's `timeout_s`; raises nothing but cancellation.

    `draft` makes the request for a try (from 1) and the seconds that are left; it may raise `ConfigError` or
    `ValueError` with the reason why there can be none. `read` takes an answer of 2xx; it raises `ValueError` with a
    short reason, no content, for one that is no use. `explain` returns the words of a refusal (4xx) for the model, or
    ""; left out, those of our own form.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    policy = request.tool.policy
    deadline = begun + policy.timeout_s
    number, maybe = 1, request.sent_before
    while True:
        tried = await _once(outgoing, draft, read, explain or _explain, number, deadline)
        pause_s = _pause_s(policy, tried, number, request.key, deadline - loop.time())
        if pause_s is None:
            break
        maybe = maybe or tried.done is _Done.MAYBE
        await asyncio.sleep(pause_s)
        number += 1
    outcome = tried.outcome or _told(policy, tried, maybe)
    tries = "" if number == 1 else ", tried twice" if number == 2 else f", tried {number} times"
    return replace(outcome, detail=outcome.detail + tries, elapsed_ms=round((loop.time() - begun) * 1000))


async def _once(
    outgoing: Outgoing,
    draft: Callable[[int, float], Draft],
    read: Callable[[Answer], ToolOutcome],
    explain: Callable[[Answer], str],
    number: int,
    deadline: float,
) -> _Try:
    try:
        ready = draft(number, max(deadline - asyncio.get_running_loop().time(), 0.0))
    except (ConfigError, ValueError) as error:
        return _Try(NOT_SET_UP, str(error), _Done.NO)
    try:
        answer = await outgoing.send(ready.method, ready.url, ready.headers, ready.content, deadline=deadline)
    except NotSent as error:
        return _unsent(error)
    except (Lost, TooLong) as error:
        if error.status >= 400:  # the status says enough
            return _refused(Answer(error.status, httpx2.Headers(), b""), explain)
        if isinstance(error, TooLong):
            return _Try(TOO_LONG, str(error), _Done.MAYBE)
        return _Try(NOT_IN_TIME if error.timed_out else BROKE_OFF, str(error), _Done.MAYBE, _Again.SAFE)
    if answer.status >= 400:
        return _refused(answer, explain)
    if not 200 <= answer.status < 300:
        done = _Done.NO if answer.status in METHOD_KEPT else _Done.MAYBE
        return _Try(NOT_SET_UP, f"HTTP {answer.status}: redirect refused", done)
    try:
        outcome = read(answer)
    except ValueError as error:
        return _Try(NOT_READABLE, f"HTTP {answer.status}: {error}", _Done.MAYBE)
    return _Try("", outcome.detail, _Done.ANSWERED, outcome=outcome)


def _unsent(error: NotSent) -> _Try:
    match error.why:
        case Unsent.CONNECT:
            return _Try(NOT_REACHED, str(error), _Done.NO, _Again.ANY)
        case Unsent.BREAKER:
            return _Try(NOT_AVAILABLE, str(error), _Done.NO)
        case Unsent.BUSY:
            return _Try(BUSY, str(error), _Done.NO)
        case Unsent.GUARD | Unsent.URL:  # the reason is for the operator; the model could only read it out
            return _Try(NOT_SET_UP, str(error), _Done.NO)
        case _:
            assert_never(error.why)


def _refused(answer: Answer, explain: Callable[[Answer], str]) -> _Try:
    status, headers = answer.status, answer.headers
    detail = f"HTTP {status}"
    if status == 429:
        return _Try(BUSY, detail, _Done.NO, _Again.SAFE, _retry_after_s(headers))
    if status >= 500:
        again = _Again.SAFE if status in PASSING else _Again.NONE
        return _Try(FAILED, detail, _Done.MAYBE, again, _retry_after_s(headers))
    message = explain(answer) or f"the system refused the request (HTTP {status})"
    return _Try("", detail, _Done.ANSWERED, outcome=ToolOutcome(False, error_text(message), detail))


def _explain(answer: Answer) -> str:
    try:
        return business_error(json_body(answer))
    except ValueError:
        return ""


def _retry_after_s(headers: httpx2.Headers) -> float | None:
    """Return the seconds of Retry-After, a number or a date (RFC 9110 §10.2.3); None for anything else."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        at = parsedate_to_datetime(text)
        return max((at.astimezone(UTC) - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _pause_s(policy: ToolPolicy, tried: _Try, number: int, key: str, left_s: float) -> float | None:
    """Return how long to wait before the next try; None when there is none."""
    repeatable = policy.effect == "read" or policy.idempotent
    if number >= (MAX_TRIES if repeatable else MAX_TRIES_UNSENT):
        return None
    if tried.again is _Again.NONE or (tried.again is _Again.SAFE and not repeatable):
        return None
    # By the key, not by a die: a replayed call waits as long as the call did.
    chance = int.from_bytes(hashlib.sha256(f"{key} {number}".encode(errors="replace")).digest()[:4], "big") / 2**32
    pause_s = max(PAUSE_S * 2 ** (number - 1) * (1 + chance), tried.after_s or 0.0)
    return pause_s if pause_s + LEAST_TRY_S <= left_s else None


def _told(policy: ToolPolicy, tried: _Try, maybe_before: bool) -> ToolOutcome:
    """Return the outcome of tries that were not answered."""
    detail = f"no answer within {policy.timeout_s:g} s" if tried.message is NOT_IN_TIME else tried.detail
    done = _Done.MAYBE if maybe_before else tried.done
    if done is _Done.MAYBE and policy.effect == "write":
        error = {"message": f"{tried.message}. {MAYBE_DONE}", "outcome": "unknown"}
        return ToolOutcome(False, json_text({"error": error}), detail, unknown=True)
    return ToolOutcome(False, error_text(f"{tried.message}. {NOTHING_DONE if done is _Done.NO else OFFER}"), detail)
