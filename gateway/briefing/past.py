"""What went before on this telephone call, when an earlier process or its stream was lost and the carrier came back.

The words are those of the earlier journals: what the caller said, and what the caller heard of the agent. So are the
function calls; of those that change something the ledger has the last word, and one whose end it does not know is
given without an output, to be asked of the ledger again.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from gateway.core.events import PastCall, PastWords
from gateway.core.toolcalls import error_output
from gateway.deliveries.transcript import Transcript, Turn
from gateway.store.rows import JournalEntry, StoredCall, StoredInvocation, StoreError
from gateway.tokens import HIDDEN
from gateway.tools.request import CallFacts

__all__ = ["PAST_S", "Past", "PastStore", "find_past"]

logger = logging.getLogger(__name__)

PAST_S = 1.8
"""How long looking for it may take; the first word waits a little longer (`gateway.calls`)."""
FLUSH_S = 0.5
EARLIER_MOST = 4
"""Earlier parts of a telephone call that are read, the newest."""
WORDS_MOST = 100
CALLS_MOST = 64
MAX_TEXT_CHARS = 8_000
"""Kept of one turn."""
NOT_DONE = error_output("the line was interrupted before this was done; ask the caller for the digits again")
SETTLED = frozenset({"done", "failed"})


class PastStore(Protocol):
    """The part of `CallStore` that knows what went before."""

    async def flush(self) -> None: ...

    async def calls_of(self, carrier_call_id: str) -> list[StoredCall]: ...

    async def journal_of(self, call_id: str) -> Sequence[JournalEntry]: ...

    async def invocations_of(self, carrier_call_id: str) -> list[StoredInvocation]: ...


@dataclass(slots=True, frozen=True)
class Past:
    """What the call goes on from."""

    words: tuple[PastWords, ...] = ()
    calls: tuple[PastCall, ...] = ()
    resumed: bool = False
    """Whether the caller has been spoken to before on this telephone call."""


async def find_past(store: PastStore, facts: CallFacts) -> Past:
    """Return what went before, within `PAST_S`; what cannot be read is missing. Raises nothing but cancellation."""
    reader = _Reader(store, facts)
    try:
        async with asyncio.timeout(PAST_S):
            await reader.read()
    except (StoreError, TimeoutError) as error:
        logger.warning("call %s: what went before cannot be read: %s", facts.call_id, str(error) or "in time")
    return reader.past()


class _Reader:
    def __init__(self, store: PastStore, facts: CallFacts) -> None:
        self._store = store
        self._facts = facts
        self._resumed = False
        self._turns: list[Turn] = []
        self._calls: OrderedDict[str, PastCall] = OrderedDict()
        self._promised: set[str] = set()
        """Calls whose result was to come later: what the model was told meanwhile is none."""
        self._ledger: dict[str, StoredInvocation] = {}

    async def read(self) -> None:
        if not self._facts.carrier_call_id:
            return
        parts = [part for part in await self._store.calls_of(self._facts.carrier_call_id) if self._is_earlier(part)]
        if not parts:
            return
        self._resumed = True
        for row in await self._store.invocations_of(self._facts.carrier_call_id):
            self._ledger[row.tool_call_id] = row
        with suppress(TimeoutError):  # what this process itself has just written
            async with asyncio.timeout(FLUSH_S):
                await self._store.flush()
        for part in sorted(parts, key=lambda part: part.offered_at)[-EARLIER_MOST:]:
            self._read_journal(await self._store.journal_of(part.call_id))

    def past(self) -> Past:
        words = [
            PastWords("user" if turn.role == "caller" else "assistant", turn.text[:MAX_TEXT_CHARS])
            for turn in self._turns[-WORDS_MOST:]
        ]
        calls = [self._known(call) for call in self._calls.values()]
        for row in self._ledger.values():
            if row.tool_call_id not in self._calls:  # its journal entry was lost with the process
                calls.append(self._known(PastCall(row.tool_call_id, row.tool, row.arguments or "{}")))
        return Past(tuple(words), tuple(calls[-CALLS_MOST:]), self._resumed)

    def _is_earlier(self, call: StoredCall) -> bool:
        return call.call_id != self._facts.call_id and call.answered_at is not None

    def _read_journal(self, journal: Sequence[JournalEntry]) -> None:
        transcript, turns = Transcript(), list[Turn]()
        for entry in journal:
            turns += transcript.read(entry)
            if entry.kind in ("InvokeTool", "ToolResult", "SubmitToolOutput"):
                self._tool(entry)
        turns += transcript.finish()
        self._turns += sorted(turns, key=lambda turn: turn.at_s)

    def _tool(self, entry: JournalEntry) -> None:
        name, arguments, output, tool_call_id = (
            str(entry.data.get(field, "")) for field in ("name", "arguments", "output", "tool_call_id")
        )
        known = self._calls.get(tool_call_id)
        if entry.kind == "InvokeTool":
            self._calls.setdefault(tool_call_id, PastCall(tool_call_id, name, arguments))
            return
        if entry.kind == "ToolResult" and entry.data.get("pending") is True:
            self._promised.add(tool_call_id)
        elif entry.kind == "ToolResult":
            self._promised.discard(tool_call_id)
        elif known is not None and known.output is not None:
            return
        if known is not None and tool_call_id not in self._promised:
            self._calls[tool_call_id] = replace(known, output=output)

    def _known(self, call: PastCall) -> PastCall:
        """Return a call with what the ledger has of it."""
        row = self._ledger.get(call.tool_call_id)
        if row is not None:
            settled = row.state in SETTLED and row.output is not None
            output = row.output if settled else None
            return replace(call, arguments=row.arguments or call.arguments, output=output)
        if call.output is None and HIDDEN in call.arguments:
            return replace(call, output=NOT_DONE)
        return call
