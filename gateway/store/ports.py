"""What the gateway needs of a store; `Store` and `MemoryStore` are two of them, and pass one suite of tests."""

from collections.abc import Sequence
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self, Unpack

from gateway.store.rows import AttemptRow, CallChanges, CallEnd, CallRow, JournalEntry, StoredAttempt, StoredCall

__all__ = ["CallStore"]


class CallStore(Protocol):
    """Calls, journals and attempts. `put` and the methods named call_… and attempt_… neither block nor raise."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @property
    def healthy(self) -> bool:
        """Whether what is written arrives."""

    def put(self, row: JournalEntry, /) -> None: ...

    def call_offered(self, row: CallRow) -> None: ...

    def call_updated(self, call_id: str, **changes: Unpack[CallChanges]) -> None: ...

    def call_ended(self, end: CallEnd) -> None: ...

    def call_state(self, carrier_call_id: str, state: str, sequence: int | None = None) -> None: ...

    async def create_attempt(self, row: AttemptRow) -> bool: ...

    def attempt_updated(
        self,
        attempt_id: str,
        state: str,
        carrier_call_id: str | None = None,
        sequence: int | None = None,
        detail: str = "",
    ) -> None: ...

    async def flush(self) -> None: ...

    async def list_calls(self, limit: int = 50, before: datetime | None = None) -> list[StoredCall]: ...

    async def get_call(self, call_id: str) -> StoredCall | None: ...

    async def journal_of(self, call_id: str, limit: int = 250_000) -> Sequence[JournalEntry]: ...

    async def get_attempt(self, attempt_id: str) -> StoredAttempt | None: ...

    async def close_orphans(self, reason: str = "gateway_restarted") -> int: ...
