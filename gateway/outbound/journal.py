"""The dialler's attempts in the gateway's store.

The store keeps what an attempt came to; zone and metadata are only needed until the call is answered and stay in
this process, the newest `KEPT` of them. After a restart an attempt is still found, without them.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from gateway.outbound.attempts import Attempt, AttemptState
from gateway.store.rows import AttemptRow, StoredAttempt, StoreError
from gateway.store.store import Store

__all__ = ["StoredAttempts"]

KEPT = 10_000
COMMIT_S = 5.0
_OTHER_NAMES = {"queued": AttemptState.PLACED, "refused": AttemptState.FAILED}
"""States that the store knows and that mean the same to a dialler."""


class StoredAttempts:
    """An `AttemptStore` on the gateway's store, for one carrier."""

    def __init__(self, store: Store, carrier: str) -> None:
        self._store = store
        self._carrier = carrier
        self._asked: dict[str, tuple[str | None, Mapping[str, str]]] = {}

    async def create_attempt(self, attempt: Attempt) -> bool:
        row = AttemptRow(
            attempt.attempt_id, self._carrier, attempt.agent, attempt.from_, attempt.to, attempt.created_at
        )
        if not await self._store.create_attempt(row):
            return False
        self._asked[attempt.attempt_id] = (attempt.zone, attempt.metadata)
        if len(self._asked) > KEPT:
            del self._asked[next(iter(self._asked))]
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
        self._store.attempt_updated(attempt_id, state.value, carrier_call_id, sequence, reason or "")
        try:
            async with asyncio.timeout(COMMIT_S):
                await self._store.flush()
        except TimeoutError as error:
            raise StoreError(f"the state of {attempt_id} is not stored yet after {COMMIT_S:.0f} s") from error

    async def get_attempt(self, attempt_id: str) -> Attempt | None:
        row = await self._store.get_attempt(attempt_id)
        if row is None:
            return None
        zone, metadata = self._asked.get(attempt_id, (None, MappingProxyType({})))
        return replace(_attempt(row), zone=zone, metadata=metadata)


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
