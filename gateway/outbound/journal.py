"""The dialler's attempts in the gateway's store.

A webhook of a call that is ringing cannot wait for a database, so the newest `KEPT` attempts of this process are also
kept here: they answer when the store does not, and they hold zone and metadata, which the store has no place for and
which are only needed until the call is answered. After a restart an attempt is still found, without those two.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from gateway.outbound.attempts import Attempt, AttemptState, may_follow
from gateway.store.ports import CallStore
from gateway.store.rows import AttemptRow, StoredAttempt, StoreError

__all__ = ["StoredAttempts"]

KEPT = 10_000
READ_S = 2.0
COMMIT_S = 2.0
_OTHER_NAMES = {"queued": AttemptState.PLACED, "refused": AttemptState.FAILED}
"""States that the store knows and that mean the same to a dialler."""
_NOTHING: Mapping[str, str] = MappingProxyType({})

_logger = logging.getLogger(__name__)


class StoredAttempts:
    """An `AttemptStore` on the gateway's store, for one carrier."""

    def __init__(self, store: CallStore, carrier: str) -> None:
        self._store = store
        self._carrier = carrier
        self._recent: dict[str, Attempt] = {}

    async def create_attempt(self, attempt: Attempt) -> bool:
        """Commit the intent. Raises `StoreError` when that takes too long."""
        row = AttemptRow(
            attempt.attempt_id, self._carrier, attempt.agent, attempt.from_, attempt.to, attempt.created_at
        )
        if not await self._store.create_attempt(row):
            return False
        self._recent[attempt.attempt_id] = attempt
        if len(self._recent) > KEPT:
            del self._recent[next(iter(self._recent))]
        return True

    async def attempt_updated(
        self,
        attempt_id: str,
        state: AttemptState,
        *,
        carrier_call_id: str | None = None,
        reason: str | None = None,
        sequence: int | None = None,
    ) -> None:
        """Hand the change to the store's writer, and wait for its commit, but not for a database that is away."""
        if (known := self._recent.get(attempt_id)) is not None:
            self._recent[attempt_id] = _moved(known, state, carrier_call_id, reason)
        self._store.attempt_updated(attempt_id, state.value, carrier_call_id, sequence, reason or "")
        try:
            async with asyncio.timeout(COMMIT_S):
                await self._store.flush()
        except TimeoutError:
            _logger.warning("attempt %s: state %s still waits to be stored", attempt_id, state.value)

    async def get_attempt(self, attempt_id: str) -> Attempt | None:
        """Return the attempt. Raises `StoreError` only for one that this process has not seen."""
        recent = self._recent.get(attempt_id)
        try:
            async with asyncio.timeout(READ_S):
                row = await self._store.get_attempt(attempt_id)
        except (StoreError, TimeoutError) as error:
            if recent is None:
                raise StoreError("the store of attempts does not answer") from error
            return recent
        if row is None:
            return recent
        zone, metadata = (recent.zone, recent.metadata) if recent is not None else (None, _NOTHING)
        return replace(_attempt(row), zone=zone, metadata=metadata)

    async def opted_out(self, number: str) -> bool:
        """Tell whether this number must not be called. Raises `StoreError`: then it must not be called either."""
        try:
            async with asyncio.timeout(READ_S):
                return await self._store.opted_out(number)
        except TimeoutError:
            raise StoreError("the list of those who must not be called does not answer") from None


def _moved(known: Attempt, state: AttemptState, carrier_call_id: str | None, reason: str | None) -> Attempt:
    known = replace(known, carrier_call_id=known.carrier_call_id or carrier_call_id)
    if not may_follow(known.state, state):
        return known
    return replace(known, state=state, reason=reason or known.reason)


def _attempt(row: StoredAttempt) -> Attempt:
    return Attempt(
        attempt_id=row.attempt_id,
        to=row.to_number,
        from_=row.from_number,
        agent=row.agent,
        created_at=row.created_at,
        state=_OTHER_NAMES.get(row.state) or AttemptState(row.state),
        carrier_call_id=row.carrier_call_id,
        reason=row.detail or None,
    )
