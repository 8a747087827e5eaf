"""One attempt to deliver one event: signed, bounded in time, and what its answer means."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol

from pydantic import SecretStr

from gateway.deliveries.reporter import utc_now
from gateway.deliveries.schedule import retry_after_s
from gateway.errors import ConfigError
from gateway.store.rows import StoredDelivery
from gateway.tools.sender import NotSent, Outgoing, SendError, TooLong, Unsent
from gateway.tools.signing import keys_of, sign

__all__ = ["ATTEMPT_S", "Outcome", "Post", "SignedPost", "Verdict"]

ATTEMPT_S = 10.0
"""How long one attempt may take."""
CONNECT_S = 3.0
MAX_ANSWER_BYTES = 64 * 1024
"""Answers are read for the connection's sake only."""
GONE = 410


class Verdict(Enum):
    """What an attempt means for the delivery."""

    DELIVERED = "delivered"
    FAILED = "failed"
    """It may work another time."""
    HOPELESS = "hopeless"
    """It never will: the business wants no more of it, or it cannot be sent at all."""


@dataclass(slots=True, frozen=True)
class Outcome:
    """What came of one attempt."""

    verdict: Verdict
    detail: str
    """A status or the kind of failure; no content."""
    asked_s: float | None = None
    """How long the business asks us to wait."""


class Post(Protocol):
    """Carries one delivery to its business."""

    async def attempt(self, row: StoredDelivery) -> Outcome:
        """Try once, within `ATTEMPT_S`; raises nothing but cancellation."""


class SignedPost:
    """Standard Webhooks over guarded connections."""

    def __init__(
        self,
        outgoing: Outgoing,
        default_secret: SecretStr | None,
        *,
        headers_of: Callable[[str], Mapping[str, str]] | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """`outgoing` is entered and left by its owner. `headers_of` returns an agent's additional headers, by its
        name: they are no part of what waits in the outbox."""
        self._outgoing = outgoing
        self._default_secret = default_secret
        self._headers_of = headers_of
        self._clock = clock

    async def attempt(self, row: StoredDelivery) -> Outcome:
        """Try once, within `ATTEMPT_S`; raises nothing but cancellation."""
        try:
            content = row.body.encode()
            keys = keys_of(row.secret, self._default_secret)
        except UnicodeEncodeError:
            return Outcome(Verdict.HOPELESS, "the body is not UTF-8")
        except ConfigError as error:
            return Outcome(Verdict.FAILED, str(error))
        own = self._headers_of(row.agent) if self._headers_of is not None else {}
        headers = {**own, "content-type": "application/json", **sign(keys, row.delivery_id, row.body)}
        deadline = asyncio.get_running_loop().time() + ATTEMPT_S
        try:
            answer = await self._outgoing.send(
                *("POST", row.url, headers, content),
                deadline=deadline,
                connect_s=CONNECT_S,
                max_bytes=MAX_ANSWER_BYTES,
                breaks=False,  # the schedule is the breaker of an event
            )
        except TooLong as error:
            return self._judged(error.status, None)
        except NotSent as error:
            hopeless = error.why is Unsent.URL
            return Outcome(Verdict.HOPELESS if hopeless else Verdict.FAILED, str(error))
        except SendError as error:
            return Outcome(Verdict.FAILED, str(error))
        return self._judged(answer.status, answer.headers.get("retry-after"))

    def _judged(self, status: int, retry_after: str | None) -> Outcome:
        detail = f"HTTP {status}"
        if 200 <= status < 300:
            return Outcome(Verdict.DELIVERED, detail)
        if status == GONE:
            return Outcome(Verdict.HOPELESS, detail)
        return Outcome(Verdict.FAILED, detail, retry_after_s(retry_after, self._clock()))
