"""What the gateway needs of a store; `Store` and `MemoryStore` are two of them, and pass one suite of tests."""

from collections.abc import Sequence
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self, Unpack

from gateway.store.rows import (
    AttemptRow,
    CallbackRow,
    CallChanges,
    CallEnd,
    CallRow,
    DeliveryRow,
    InvocationRow,
    JournalEntry,
    StoredAttempt,
    StoredCall,
    StoredCallback,
    StoredDelivery,
    StoredInvocation,
)

__all__ = ["CallStore"]


class CallStore(Protocol):
    """Everything that outlives a process. Methods that are not asynchronous neither block nor raise; the others raise
    `StoreError`. `gateway/store/README.md` has the rules in a table."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @property
    def owner(self) -> str:
        """This process, as it stands in the rows that it writes or claims: `node/boot`."""

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

    async def calls_of(self, carrier_call_id: str) -> list[StoredCall]: ...

    async def journal_of(self, call_id: str, limit: int = 250_000) -> Sequence[JournalEntry]: ...

    async def get_attempt(self, attempt_id: str) -> StoredAttempt | None: ...

    async def close_orphans(self, reason: str = "gateway_restarted") -> int: ...

    def orphans(self) -> list[StoredCall]: ...

    async def begin_invocation(self, row: InvocationRow) -> StoredInvocation | None: ...

    def end_invocation(self, key: str, state: str, output: str | None, detail: str = "") -> None: ...

    async def get_invocation(self, key: str) -> StoredInvocation | None: ...

    async def invocation_by_message(self, message_id: str) -> StoredInvocation | None: ...

    async def invocations_of(self, carrier_call_id: str) -> list[StoredInvocation]: ...

    async def open_invocations(self) -> list[StoredInvocation]: ...

    async def overdue_promises(self, before: datetime, limit: int = 1000) -> list[StoredInvocation]: ...

    async def list_invocations(
        self, state: str | None = None, call_id: str | None = None, limit: int = 50
    ) -> list[StoredInvocation]: ...

    async def count_invocations(self, agent: str, tool: str, from_number: str, since: datetime) -> int: ...

    def deliver(self, row: DeliveryRow) -> None: ...

    async def claim_deliveries(self, limit: int, lease_s: float) -> list[StoredDelivery]: ...

    def delivery_updated(
        self, delivery_id: str, state: str, next_at: datetime | None, attempts: int, detail: str = ""
    ) -> None: ...

    async def list_deliveries(
        self, state: str | None = None, call_id: str | None = None, limit: int = 50
    ) -> list[StoredDelivery]: ...

    async def get_delivery(self, delivery_id: str) -> StoredDelivery | None: ...

    async def replay_delivery(self, delivery_id: str) -> bool: ...

    async def purge_deliveries(self, before: datetime) -> int: ...

    async def add_callback(self, row: CallbackRow) -> bool: ...

    async def claim_callbacks(self, limit: int, lease_s: float) -> list[StoredCallback]: ...

    def callback_updated(
        self, callback_id: str, state: str, attempts: int, detail: str = "", due_at: datetime | None = None
    ) -> None: ...

    def drop_callbacks(self, agent: str, to_number: str, detail: str, keep: str = "") -> None: ...

    async def get_callback(self, callback_id: str) -> StoredCallback | None: ...

    async def add_opt_out(self, number: str, source: str, at: datetime) -> bool: ...

    async def opted_out(self, number: str) -> bool: ...
