"""A store in dictionaries: for runs on a virtual clock, where a database's thread would not hold the clock back."""

import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self, Unpack

from gateway.store.memory_work import MemoryWork, utc_now
from gateway.store.rows import (
    AttemptRow,
    CallChanges,
    CallEnd,
    CallRow,
    JournalEntry,
    StoredAttempt,
    StoredCall,
    StoreError,
)
from gateway.store.states import ATTEMPT_RANKS, CALL_RANKS, below

__all__ = ["MemoryStore"]

logger = logging.getLogger(__name__)


class MemoryStore(MemoryWork):
    """Keeps everything until the process ends; nothing survives it."""

    def __init__(self, clock: Callable[[], datetime] = utc_now, owner: str = "memory/0") -> None:
        """`clock` says what is due and when leases run out; give it the virtual one on a virtual clock."""
        super().__init__(clock, owner)
        self.calls: dict[str, StoredCall] = {}
        self.journals: dict[str, list[JournalEntry]] = defaultdict(list)
        self.attempts: dict[str, StoredAttempt] = {}
        self._orphans: list[StoredCall] = []

    def reopened(self) -> "MemoryStore":
        """Return the store as the next process finds it when this one is killed now; this one's later writes are lost
        to it."""
        node, boot = self.owner.rsplit("/", 1)
        other = MemoryStore(self._clock, f"{node}/{int(boot) + 1}")
        other.calls |= self.calls
        other.journals |= {call_id: list(rows) for call_id, rows in self.journals.items()}
        other.attempts |= self.attempts
        other.invocations |= self.invocations
        other.deliveries |= self.deliveries
        other.callbacks |= self.callbacks
        other.opt_outs |= self.opt_outs
        other.leases |= self.leases
        return other

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    @property
    def healthy(self) -> bool:
        return True

    def put(self, row: JournalEntry, /) -> None:
        self.journals[row.call_id].append(row)

    def call_offered(self, row: CallRow) -> None:
        self.calls.setdefault(
            row.call_id,
            StoredCall(
                call_id=row.call_id,
                carrier=row.carrier,
                carrier_call_id=row.carrier_call_id,
                direction=row.direction,
                agent=row.agent,
                from_number=row.from_number,
                to_number=row.to_number,
                carrier_state=None,
                carrier_sequence=None,
                offered_at=row.offered_at,
                answered_at=None,
                ended_at=None,
                end_reason=None,
                end_detail=None,
                duration_ms=None,
                usage=None,
                cost_usd=None,
                latency=None,
                recording_path=None,
                agents_hash=row.agents_hash,
                owner=self.owner,
            ),
        )

    def call_updated(self, call_id: str, **changes: Unpack[CallChanges]) -> None:
        if call_id in self.calls:
            self.calls[call_id] = replace(self.calls[call_id], **changes)

    def call_ended(self, end: CallEnd) -> None:
        call = self.calls.get(end.call_id)
        if call is None or call.end_reason is not None:
            logger.error("a second end of call %s was refused: %s", end.call_id, end.end_reason)
            return
        self.calls[end.call_id] = replace(
            call,
            ended_at=end.ended_at,
            end_reason=end.end_reason,
            end_detail=end.end_detail,
            duration_ms=end.duration_ms,
            usage=end.usage or call.usage,
            cost_usd=call.cost_usd if end.cost_usd is None else end.cost_usd,
            latency=end.latency or call.latency,
            recording_path=end.recording_path or call.recording_path,
        )

    def call_state(self, carrier_call_id: str, state: str, sequence: int | None = None) -> None:
        if state not in CALL_RANKS:
            return
        allowed = (None, *below(CALL_RANKS, state))
        for call_id, call in self.calls.items():
            if call.carrier_call_id == carrier_call_id and call.carrier_state in allowed:
                self.calls[call_id] = replace(call, carrier_state=state, carrier_sequence=sequence)

    async def create_attempt(self, row: AttemptRow) -> bool:
        if row.attempt_id in self.attempts:
            return False
        self.attempts[row.attempt_id] = StoredAttempt(
            attempt_id=row.attempt_id,
            call_id=row.call_id,
            carrier=row.carrier,
            agent=row.agent,
            from_number=row.from_number,
            to_number=row.to_number,
            state=row.state,
            carrier_call_id=None,
            carrier_sequence=None,
            detail=None,
            created_at=row.created_at,
            updated_at=row.created_at,
            owner=self.owner,
        )
        return True

    def attempt_updated(
        self,
        attempt_id: str,
        state: str,
        carrier_call_id: str | None = None,
        sequence: int | None = None,
        detail: str = "",
    ) -> None:
        attempt = self.attempts.get(attempt_id)
        if attempt is None or state not in ATTEMPT_RANKS:
            return
        attempt = replace(attempt, carrier_call_id=attempt.carrier_call_id or carrier_call_id)
        if attempt.state in below(ATTEMPT_RANKS, state):
            now = self._clock()
            attempt = replace(attempt, state=state, carrier_sequence=sequence, detail=detail or None, updated_at=now)
        self.attempts[attempt_id] = attempt

    async def flush(self) -> None:
        return None

    async def list_calls(self, limit: int = 50, before: datetime | None = None) -> list[StoredCall]:
        newest = sorted(self.calls.values(), key=lambda call: (call.offered_at, call.call_id), reverse=True)
        return [call for call in newest if before is None or call.offered_at < before][: max(0, limit)]

    async def get_call(self, call_id: str) -> StoredCall | None:
        found = [call for known, call in sorted(self.calls.items()) if call_id and known.startswith(call_id)]
        if len(found) > 1 and found[0].call_id != call_id:
            raise StoreError(f"several calls start with {call_id[:64]!r}: give more of the id")
        return found[0] if found else None

    async def journal_of(self, call_id: str, limit: int = 250_000) -> list[JournalEntry]:
        return self.journals[call_id][:limit] if call_id in self.journals else []

    async def get_attempt(self, attempt_id: str) -> StoredAttempt | None:
        return self.attempts.get(attempt_id)

    async def calls_of(self, carrier_call_id: str) -> list[StoredCall]:
        found = [call for call in self.calls.values() if call.carrier_call_id == carrier_call_id]
        return sorted(found, key=lambda call: (call.offered_at, call.call_id))

    async def close_orphans(self, reason: str = "gateway_restarted") -> int:
        lost = [call for call in self.calls.values() if call.ended_at is None and call.owner != self.owner]
        for call in lost:
            last_s = max((row.at_s for row in self.journals.get(call.call_id, ())), default=0.0)
            ended_at = min(call.offered_at + timedelta(seconds=last_s), self._clock())
            detail = f"no end was recorded; last journal entry at {last_s:.1f} s"
            self.call_ended(CallEnd(call.call_id, ended_at, reason, round(last_s * 1000), detail))
        self._orphans = [self.calls[call.call_id] for call in lost]
        return len(lost)

    def orphans(self) -> list[StoredCall]:
        return list(self._orphans)
