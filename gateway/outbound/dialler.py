"""Place one call, at most once.

No carrier offers an idempotent way to create a call, so the order is the safety:

1. the policy says yes and nobody there asked not to be called, then a turn of the pace, then both again, because
   time has passed;
2. the attempt is committed in state `dialing`, before anything is sent; its id comes from the idempotency
   key, so a second request with that key finds the row and sends nothing;
3. the call is created with the attempt id in its TwiML URL and its status-callback URL, the only link back;
4. `placed` with the carrier's id; `failed` when the carrier surely refused; `unknown` for everything else.

An `unknown` attempt is never dialled again by this version: a callback that names it settles it (`adopt`).
Honest limit: a process that dies between 2 and 4 leaves `dialing`, which is read as `unknown` once the request
can no longer be running.
"""

import asyncio
import hashlib
import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Protocol
from urllib.parse import quote

from gateway.errors import CarrierError, GatewayError, PolicyError
from gateway.outbound.attempts import Attempt, AttemptState, AttemptStore, may_follow, state_of_carrier
from gateway.outbound.pace import Pace
from gateway.outbound.policy import DialPolicy, check, mask

__all__ = ["DialConflict", "DialRequest", "Dialler", "OutboundCarrier"]

_CARRIER_TIMEOUT_S = 15.0
"""Backstop behind the carrier client's own, shorter limit."""
_LOST_AFTER = timedelta(seconds=60)
"""A `dialing` row older than this has no request behind it any more."""
_RING_S = 30
"""At least 20 s, so that four rings are heard (abandonment rule)."""
_SURELY_NOT_PLACED = frozenset({"not_sent", "429", "20429"})
"""Temporary carrier errors that prove that no call exists: never connected, or turned away by the rate limit."""

_logger = logging.getLogger(__name__)


class OutboundCarrier(Protocol):
    """What the dialler needs of a carrier."""

    async def create_call(self, to: str, from_: str, url: str, status_callback: str, *, timeout_s: int) -> str:
        """Return the carrier's call id.

        Raises `CarrierError`: `permanent` when the carrier refused, else with `code` "not_sent" when no byte of
        the request left. Any other temporary error leaves open whether there is a call.
        """


class DialConflict(GatewayError):
    """This idempotency key was used for a different request."""


@dataclass(frozen=True, slots=True)
class DialRequest:
    """What somebody asks for."""

    to: str
    """E.164."""
    agent: str
    from_: str
    """One of our numbers at the carrier, E.164."""
    zone: str | None = None
    """The callee's IANA zone when known; else it is guessed from the number."""
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    idempotency_key: str | None = None
    """Names the wish: the same key never calls twice. None: every request is a new wish."""


class Dialler:
    """Turns requests into attempts. One per process and carrier account."""

    def __init__(
        self,
        *,
        policy: DialPolicy,
        carrier: OutboundCarrier,
        attempts: AttemptStore,
        public_url: str,
        clock: Callable[[], datetime],
        pace: Pace,
    ) -> None:
        self._policy = policy
        self._carrier = carrier
        self._attempts = attempts
        self._public_url = public_url.rstrip("/")
        self._clock = clock
        self._pace = pace

    async def dial(self, request: DialRequest) -> Attempt:
        """Return the attempt, already placed, failed or unknown, or the one that this key named before.

        Raises, with nothing sent: `PolicyError`, `PaceFull`, `DialConflict`, and what the store raises when the
        intent cannot be committed.
        """
        attempt = self._attempt_for(request)
        if (known := await self._attempts.get_attempt(attempt.attempt_id)) is not None:
            return self._same(known, attempt)
        await self._require_allowed(request)
        await self._pace.turn()
        now = await self._require_allowed(request)
        attempt = replace(attempt, created_at=now)
        if not await self._attempts.create_attempt(attempt):
            return self._same(await self._attempts.get_attempt(attempt.attempt_id) or attempt, attempt)
        done = await self._place(attempt)
        _logger.info("attempt %s: %s", done.attempt_id, done.state.value)
        await self._record(done)
        return done

    async def find(self, attempt_id: str) -> Attempt | None:
        """Return the attempt as it stands now, or None."""
        attempt = await self._attempts.get_attempt(attempt_id)
        return None if attempt is None else self._as_of_now(attempt)

    async def adopt(
        self, attempt_id: str, carrier_call_id: str, status: str, sequence: int | None = None
    ) -> Attempt | None:
        """Take a status callback or voice webhook that names the attempt, its signature checked; return the attempt.

        None, and nothing is recorded: no such attempt, a status we do not know, or another call than the recorded one.
        """
        state = state_of_carrier(status)
        attempt = await self._attempts.get_attempt(attempt_id)
        if state is None or attempt is None or attempt.carrier_call_id not in (None, carrier_call_id):
            return None
        named = replace(attempt, carrier_call_id=carrier_call_id)
        moved = replace(named, state=state, reason=None)
        await self._record(moved, sequence)
        return moved if may_follow(attempt.state, state) else named

    async def _require_allowed(self, request: DialRequest) -> datetime:
        """Return the instant at which the call is allowed. Raises `PolicyError`."""
        # Numbers that nobody may call are refused first, as such: what is asked of the store is a valid number.
        check(request.to, self._policy, self._clock(), request.zone)
        if await self._attempts.opted_out(request.to):
            raise PolicyError(f"{mask(request.to)} asked not to be called any more", rule="opted_out")
        now = self._clock()
        check(request.to, self._policy, now, request.zone)
        return now

    def _attempt_for(self, request: DialRequest) -> Attempt:
        key = request.idempotency_key
        name = uuid.uuid4().hex if key is None else hashlib.sha256(key.encode()).hexdigest()[:32]
        return Attempt(
            attempt_id=f"at_{name}",
            to=request.to,
            from_=request.from_,
            agent=request.agent,
            created_at=self._clock(),
            zone=request.zone,
            metadata=request.metadata,
        )

    def _same(self, known: Attempt, wanted: Attempt) -> Attempt:
        if (known.to, known.from_, known.agent) != (wanted.to, wanted.from_, wanted.agent):
            raise DialConflict("this idempotency key was used for a different request")
        return self._as_of_now(known)

    async def _record(self, attempt: Attempt, sequence: int | None = None) -> None:
        try:
            await self._attempts.attempt_updated(
                attempt.attempt_id,
                attempt.state,
                carrier_call_id=attempt.carrier_call_id,
                reason=attempt.reason,
                sequence=sequence,
            )
        except GatewayError as error:  # the call exists all the same: who asked must hear of it
            _logger.error("attempt %s is not recorded as %s: %s", attempt.attempt_id, attempt.state.value, error)

    def _as_of_now(self, attempt: Attempt) -> Attempt:
        if attempt.state is AttemptState.DIALING and self._clock() - attempt.created_at > _LOST_AFTER:
            return replace(attempt, state=AttemptState.UNKNOWN, reason="the gateway stopped while it was dialling")
        return attempt

    async def _place(self, attempt: Attempt) -> Attempt:
        query = f"?attempt={quote(attempt.attempt_id)}"
        try:
            async with asyncio.timeout(_CARRIER_TIMEOUT_S):
                carrier_call_id = await self._carrier.create_call(
                    attempt.to,
                    attempt.from_,
                    f"{self._public_url}/twilio/voice{query}",
                    f"{self._public_url}/twilio/status{query}",
                    timeout_s=_RING_S,
                )
        except TimeoutError:
            return _unknown(attempt, "no answer from the carrier")
        except CarrierError as error:
            if error.permanent or error.code in _SURELY_NOT_PLACED:
                return replace(attempt, state=AttemptState.FAILED, reason=str(error))
            return _unknown(attempt, str(error))
        return replace(attempt, state=AttemptState.PLACED, carrier_call_id=carrier_call_id)


def _unknown(attempt: Attempt, why: str) -> Attempt:
    return replace(
        attempt, state=AttemptState.UNKNOWN, reason=f"{why}: there may be a call, so it is not dialled again"
    )
