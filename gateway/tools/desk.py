"""The desk: takes the model's function calls, has them checked and carried out, and answers each.

A read runs in the task of the call that asked, and ends with it. A write belongs to the process (`writes.py`): the call
only waits for it. A result that is promised for later is waited for as long as the call lives: it comes from the route
of late results, or, when another node took it, from the ledger, which is asked once a second meanwhile.
"""

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from typing import Any, Self

from gateway.core.commands import InvokeTool
from gateway.core.events import ToolAction, ToolResult
from gateway.errors import ToolError
from gateway.store.rows import StoredInvocation, StoreError
from gateway.tools.callstate import CallState, Feed
from gateway.tools.catalogue import Catalogue, CatalogueTool, parse_arguments
from gateway.tools.ledger import FINAL, UNKNOWN, Ledger, outcome_of
from gateway.tools.limits import CallerCounts, require_per_call, require_per_caller
from gateway.tools.replies import error_text
from gateway.tools.request import CallFacts, ToolOutcome, ToolRequest, ledger_key
from gateway.tools.writes import POLL_S, Executors, Meter, OnUnknown, Writes, carry_out, found

__all__ = ["Meter", "ToolDesk"]

logger = logging.getLogger(__name__)

STOP_S = 10.0
"""How long stopping waits for writes under way."""
COMMIT_S = 5.0
"""How long a late result may take to be committed."""


class ToolDesk:
    """One per process, an async context manager. `stop` it when no call lives and before the ledger closes."""

    def __init__(self, ledger: Ledger, executors: Executors, meter: Meter) -> None:
        self._ledger = ledger
        self._executors = executors
        self._meter = meter
        self._writes = Writes(ledger, executors, meter)
        self._calls: dict[str, CallState] = {}
        self._pending: dict[str, float] = {}
        """Key of each promised result to the time until which it is waited for."""
        self._callers = CallerCounts()
        self._group = asyncio.TaskGroup()
        self._watch: asyncio.Task[None] | None = None
        self._beside: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._writes.start(self._group)
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.stop(0)
        finally:
            await self._group.__aexit__(None, None, None)

    def tell_unknown(self, on_unknown: OnUnknown) -> None:
        """Have somebody told of each write of which nobody can say whether it was done. Call before `invoke`."""
        self._writes.on_unknown = on_unknown

    @property
    def writing(self) -> int:
        """How many writes are under way."""
        return len(self._writes)

    def open_call(self, facts: CallFacts, feed: Feed | None = None) -> None:
        """Remember a call until `close_call`; `feed` takes the results that come after a pending answer."""
        state = CallState(facts)
        if feed is not None:
            state.feed = feed
        self._calls[facts.call_id] = state

    def close_call(self, call_id: str) -> None:
        """Forget a call; its writes go on. Safe to call twice."""
        self._calls.pop(call_id, None)

    def is_open(self, call_id: str) -> bool:
        """Tell whether a call lives here."""
        return call_id in self._calls

    def remember(self, call_id: str, variables: Mapping[str, object]) -> None:
        """Give a call variables that no answer of a tool brought, such as those of the look-up before it."""
        state = self._calls.get(call_id)
        if state is not None:
            _remember(state, variables)

    def variables(self, call_id: str) -> Mapping[str, object]:
        """Return what a live call is to remember."""
        state = self._calls.get(call_id)
        return state.variables if state is not None else {}

    async def stop(self, patience_s: float = STOP_S) -> None:
        """Take no more writes, and wait for those under way. What is cut off then is settled at the next start."""
        for task in (*self._beside, *([self._watch] if self._watch is not None else [])):
            task.cancel()
        await self._writes.stop(patience_s)

    async def invoke(self, facts: CallFacts, catalogue: Catalogue, command: InvokeTool) -> ToolResult:
        """Carry out one function call of the model; raises nothing but cancellation.

        Of a call that was not opened nothing is remembered between its function calls.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        state = self._calls.get(facts.call_id) or CallState(facts)
        try:
            outcome = await self._answer(state, catalogue, command)
        except ToolError as refused:
            self._meter.tool_answered("refused", 0)
            return ToolResult(command.tool_call_id, False, error_text(str(refused)), refused.code)
        outcome = self._expected(state, found(catalogue, command.name), command.tool_call_id, outcome)
        elapsed_ms = outcome.elapsed_ms or round((loop.time() - begun) * 1000)
        self._meter.tool_answered(_label(outcome), elapsed_ms)
        return _result(command.tool_call_id, outcome, elapsed_ms)

    async def settle(self, row: StoredInvocation, outcome: ToolOutcome) -> bool:
        """Take the late result of a write; return whether the ledger has it for good.

        A call that waits for it here is told in any case. Ask `settled` first: what comes twice is ignored.
        """
        if self.settled(row.key):
            return True
        self._writes.write_down(row.key, outcome)
        self._arrived(row.key, outcome)
        try:
            async with asyncio.timeout(COMMIT_S):
                await self._ledger.flush()
        except (StoreError, TimeoutError):
            return False
        return True

    def settled(self, key: str) -> bool:
        """Tell whether it is known here what came of a write for good, perhaps before the ledger has it."""
        return self._writes.final(key) is not None

    async def revive(self, row: StoredInvocation, tool: CatalogueTool | None, facts: CallFacts) -> ToolOutcome:
        """Settle what a process that is dead left intended; `tool` is None when there is no such tool any more.

        Raises `ToolError` when the desk is stopped.
        """
        return await self._writes.revive(row, tool, facts)

    def break_promise(self, row: StoredInvocation, facts: CallFacts, original: StoredInvocation | None) -> bool:
        """Make a promise that was not kept in time `unknown`; False when more is known here. `row` is as it stands in
        the ledger now; `original` what the ledger has of the write that it only repeats."""
        return self._writes.break_promise(row, facts, original)

    def beside(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Run `work` until it ends or the desk is stopped. Call while the desk is open."""
        task = self._group.create_task(work, name=name)
        self._beside.append(task)
        return task

    async def _answer(self, state: CallState, catalogue: Catalogue, command: InvokeTool) -> ToolOutcome:
        if command.again:
            kept = await self._kept(state, catalogue, command)
            if kept is not None:
                return kept
        tool = catalogue.find(command.name)
        if tool.kind not in self._executors:
            raise ToolError("this tool cannot be called now", permanent=True, code="no_executor")
        arguments = parse_arguments(tool, command.arguments, state.known())
        request = ToolRequest(state.facts, tool, command.tool_call_id, arguments, dict(state.variables))
        if tool.policy.effect == "read":
            return await self._read(state, request)
        return await self._writes.carry_out(state, catalogue, request, again=command.again)

    async def _kept(self, state: CallState, catalogue: Catalogue, command: InvokeTool) -> ToolOutcome | None:
        """Return what came of a call that was made before; None when it never left, or only reads."""
        tool = found(catalogue, command.name)
        if tool is not None and tool.policy.effect == "read":
            return None
        try:
            return await self._writes.kept(ledger_key(state.facts, command.tool_call_id), catalogue, state.facts)
        except StoreError:
            return ToolOutcome(False, UNKNOWN, "the ledger cannot be read", unknown=True)

    async def _read(self, state: CallState, request: ToolRequest) -> ToolOutcome:
        tool, limits = request.tool, request.tool.policy.limits
        caller = (state.facts.agent, tool.name, state.facts.from_number)
        now = asyncio.get_running_loop().time()
        require_per_call(limits.per_call, state.count(tool.name))
        require_per_caller(limits.per_caller, self._callers.count(caller, now - limits.per_caller_s))
        # Counted while it runs: two at once are two.
        state.counts[tool.name] += 1
        if limits.per_caller is not None:
            self._callers.add(caller, now, limits.per_caller)
        carried_out = False
        try:
            outcome = await carry_out(self._executors, request)
            carried_out = outcome.ok
            return outcome
        finally:
            if not carried_out:
                state.counts[tool.name] -= 1
                self._callers.remove(caller, now)

    # --- results that come later ----------------------------------------------------------------------

    def _expected(
        self, state: CallState, tool: CatalogueTool | None, tool_call_id: str, outcome: ToolOutcome
    ) -> ToolOutcome:
        """Note that a result may still come, and return it if it has come by now."""
        key = outcome.key or ledger_key(state.facts, tool_call_id)
        if outcome.pending or outcome.unknown:
            outcome = self._writes.final(key) or outcome
        if outcome.pending and state.asked.get(key, tool_call_id) != tool_call_id:
            return replace(outcome, pending=False)  # the function call that it repeats will get the result
        if outcome.pending or outcome.unknown:
            state.expect(key, tool_call_id)
        if outcome.pending:
            patience_s = tool.policy.pending_s if tool is not None else POLL_S
            self._pending[key] = asyncio.get_running_loop().time() + patience_s
            if self._watch is None or self._watch.done():
                self._watch = self._group.create_task(self._poll(), name="late results")
        _remember(state, outcome.variables)
        return outcome

    async def _poll(self) -> None:
        """Ask the ledger for promised results, as long as a call here waits for one."""
        while self._pending:
            await asyncio.sleep(POLL_S)
            now = asyncio.get_running_loop().time()
            for key, until in list(self._pending.items()):
                if now >= until or not any(key in state.asked for state in self._calls.values()):
                    self._pending.pop(key, None)
                    continue
                try:
                    row = await self._ledger.get_invocation(key)
                except StoreError:
                    break  # the results wait for the database to come back
                if row is not None and row.state in FINAL and key in self._pending:
                    self._arrived(key, outcome_of(row))

    def _arrived(self, key: str, outcome: ToolOutcome) -> None:
        """Tell the live calls that wait for a result, each once."""
        self._pending.pop(key, None)
        self._writes.pass_on(key, outcome)
        for state in list(self._calls.values()):
            tool_call_id = state.asked.pop(key, None)
            if tool_call_id is not None:
                _remember(state, outcome.variables)
                state.feed(_result(tool_call_id, outcome, outcome.elapsed_ms))


def _remember(state: CallState, variables: Mapping[str, object]) -> None:
    if not state.remember(variables):
        logger.warning("call %s: too many variables, the new ones are not kept", state.facts.call_id)


def _label(outcome: ToolOutcome) -> str:
    return {"done": "ok", "failed": "error"}.get(outcome.state, outcome.state)


def _result(tool_call_id: str, outcome: ToolOutcome, elapsed_ms: int) -> ToolResult:
    return ToolResult(
        tool_call_id,
        outcome.ok,
        outcome.output,
        outcome.detail,
        elapsed_ms,
        pending=outcome.pending,
        say=outcome.say,
        action=ToolAction(outcome.action) if outcome.action is not None else None,
        target=outcome.target,
    )
