"""Calls that callers asked for: taken when they are due, placed by the dialler, tried again when nobody answers.

    waiting, try 0 --due--> try 1 --nobody answered--> try 2 ... --answered--> placed
       |                      |                          +--- no try is left --> failed
       |                      +--not known whether there is a call--> failed, and never dialled again
       +--asked not to be called any more--> dropped

Each try has its own idempotency key, made of the callback's id and the number of the try, and the number is only
raised when the carrier has said that nobody answered. So whoever claims the callback next, after a crash or when a
lease ran out, is told by the dialler what became of the try, and dials nothing twice.
"""

import asyncio
import logging
from collections.abc import Callable, Container
from datetime import datetime, timedelta
from typing import Protocol

from gateway.errors import GatewayError, PolicyError
from gateway.outbound.attempts import Attempt, AttemptState
from gateway.outbound.dialler import DialConflict, Dialler, DialRequest
from gateway.outbound.pace import PaceFull
from gateway.outbound.policy import DialPolicy, next_allowed
from gateway.store.rows import StoredCallback, StoreError

__all__ = ["CallbackStore", "CallbackWorker"]

POLL_S = 5.0
LEASE_S = 120.0
"""Longer than a turn of the pace, the carrier's answer and the commits around them take together."""
LOOK = timedelta(minutes=2)
"""After a call was placed: by then it has been answered or given up."""
LOOKS = timedelta(minutes=15)
"""A call that is neither answered nor given up by then has lost its reports."""
AGAIN = timedelta(minutes=30)
"""Between two tries."""
LATE = timedelta(days=1)
"""A call that comes so long after its time, because the gateway was away, is not wanted any more."""

_UNANSWERED = frozenset({AttemptState.BUSY, AttemptState.NO_ANSWER, AttemptState.FAILED, AttemptState.CANCELED})
_ANSWERED = frozenset({AttemptState.IN_PROGRESS, AttemptState.COMPLETED})

_logger = logging.getLogger(__name__)


class CallbackStore(Protocol):
    """The part of the store that holds callbacks (`gateway.store.ports`)."""

    async def claim_callbacks(self, limit: int, lease_s: float) -> list[StoredCallback]: ...

    def callback_updated(
        self, callback_id: str, state: str, attempts: int, detail: str = "", due_at: datetime | None = None
    ) -> None: ...


class CallbackWorker:
    """Places the callbacks that are due. One per process; cancel `run` to stop it, at any moment."""

    def __init__(
        self,
        store: CallbackStore,
        dialler: Dialler,
        policy: DialPolicy,
        agents: Container[str],
        clock: Callable[[], datetime],
    ) -> None:
        """`agents` are the names of those that can speak; a callback of another one fails."""
        self._store = store
        self._dialler = dialler
        self._policy = policy
        self._agents = agents
        self._clock = clock

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                worked = await self.once()
            except StoreError as error:
                _logger.error("callbacks wait for the store: %s", error)
                worked = False
            if not worked:
                await asyncio.sleep(POLL_S)

    async def once(self) -> bool:
        """Take one callback that is due; return whether there was one. Raises `StoreError`."""
        # One at a time: its lease must not run out while it waits for others.
        for row in await self._store.claim_callbacks(1, LEASE_S):
            await self._take(row)
            return True
        return False

    async def _take(self, row: StoredCallback) -> None:
        number = max(1, row.attempts)
        if row.attempts == 0 and self._clock() - row.due_at > LATE:
            return self._settle(row, "failed", 0, "its time has passed while the gateway was away")
        if row.agent not in self._agents:
            return self._settle(row, "failed", number, "there is no such agent any more")
        request = DialRequest(
            to=row.to_number,
            agent=row.agent,
            from_=row.from_number,
            zone=row.zone,
            metadata={"callback": row.callback_id, "reason": row.reason[:256]},
            idempotency_key=f"callback {row.callback_id} {number}",
        )
        try:
            attempt = await self._dialler.dial(request)
        except PolicyError as refused:
            self._refused(row, refused)
        except PaceFull as full:
            self._later(row, row.attempts, "too many calls wait", timedelta(seconds=full.retry_after_s))
        except DialConflict as conflict:
            self._settle(row, "failed", number, str(conflict))
        except GatewayError as error:  # the intent could not be committed: nothing was sent
            self._later(row, row.attempts, f"not placed: {error}", LOOK)
        else:
            self._dialled(row, number, attempt)

    def _refused(self, row: StoredCallback, refused: PolicyError) -> None:
        if refused.rule == "opted_out":
            return self._settle(row, "dropped", row.attempts, str(refused))
        if refused.rule != "window":
            return self._settle(row, "failed", row.attempts, f"refused: {refused.rule}")
        now = self._clock()
        at = next_allowed(row.to_number, self._policy, now, row.zone)
        if at is None:
            return self._settle(row, "failed", row.attempts, "calls are not allowed on any day to come")
        self._later(row, row.attempts, "outside calling hours", at - now)

    def _dialled(self, row: StoredCallback, number: int, attempt: Attempt) -> None:
        if attempt.state in _ANSWERED:
            return self._settle(row, "placed", number, attempt.attempt_id)
        if attempt.state in _UNANSWERED:
            why = f"try {number}: {attempt.state.value}"
            if number >= row.tries:
                return self._settle(row, "failed", number, why)
            return self._later(row, number + 1, why, AGAIN)
        if self._clock() - attempt.created_at < LOOKS:
            return self._later(row, number, f"try {number}: {attempt.state.value}", LOOK)
        # Placed long ago without another word, or its answer was lost: there may have been a call.
        self._settle(row, "failed", number, f"try {number}: {attempt.state.value}, and nothing more was heard")

    def _later(self, row: StoredCallback, number: int, why: str, wait: timedelta) -> None:
        self._store.callback_updated(row.callback_id, "waiting", number, why, self._clock() + wait)

    def _settle(self, row: StoredCallback, state: str, number: int, why: str) -> None:
        self._store.callback_updated(row.callback_id, state, number, why)
        _logger.info("callback %s: %s", row.callback_id, state)
