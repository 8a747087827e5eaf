"""Function calls that change something: each is carried out once, as far as that can be known.

The intent is committed to the ledger before a byte leaves; the call runs in a task of the process, and what came of it
is written down whether or not the telephone call still lives. One key never runs twice: who asks for it again joins
the running task, or is told what the ledger has. What a process that died left `intended` is sent again only where the
business takes the same key once; of anything else nobody can say whether it was done, and that is what the model is
told.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from gateway.errors import ToolError
from gateway.store.rows import StoredInvocation, StoreError
from gateway.tools.callstate import CallState
from gateway.tools.catalogue import Catalogue, CatalogueTool, ToolKind, parse_json
from gateway.tools.ledger import (
    FINAL,
    NOT_KEPT,
    REPEATED,
    UNKNOWN,
    Ledger,
    canonical,
    digest,
    intent,
    is_repetition,
    outcome_of,
    repeated_key,
    repetition,
)
from gateway.tools.limits import require_per_call, require_per_caller
from gateway.tools.replies import error_text
from gateway.tools.request import CallFacts, Executor, ToolOutcome, ToolRequest

__all__ = ["Executors", "Meter", "OnUnknown", "Writes", "carry_out", "found"]

logger = logging.getLogger(__name__)

GRACE_S = 2.0
"""Beyond a tool's `timeout_s`: an executor that keeps no time is given up then."""
POLL_S = 1.0
OTHER_NODE_S = 5.0
"""Beyond a tool's `timeout_s`: how long the call of another node may take to write down what came of it."""
KEPT_OUTCOMES = 1000
"""Outcomes that are answered from memory: the ledger gets them a moment later."""

NOT_COUNTED = "this was not done: changes cannot be put on record at the moment. Tell the caller, and offer another way"

Executors = Mapping[ToolKind, Executor]
OnUnknown = Callable[[CallFacts, str, str], None]
"""Told of each write of which nobody can say whether it was done: its call, tool and tool_call_id; must not raise."""


class Meter(Protocol):
    """What is counted; neither method raises."""

    def tool_answered(self, outcome: str, elapsed_ms: int) -> None:
        """One function call was answered: ok, error, unknown, refused or pending."""

    def ledger_replayed(self, state: str) -> None:
        """One was answered with what the ledger had, in this state."""


@dataclass(slots=True, frozen=True)
class _Flight:
    """A write that runs; its task ends with an outcome or a refusal, and raises neither."""

    task: "asyncio.Task[ToolOutcome | ToolError]"
    tool: str
    arguments_hash: str

    async def landed(self) -> ToolOutcome:
        """Wait without taking the task along when whoever waits is cancelled. Raises `ToolError`."""
        await asyncio.wait({self.task})
        if self.task.cancelled():
            return _unknown("cut off by the end of the process")
        result = self.task.result()
        if isinstance(result, ToolError):
            raise result
        return result


class Writes:
    """Owns the tasks of all writes of the process, in the group it is given."""

    def __init__(self, ledger: Ledger, executors: Executors, meter: Meter) -> None:
        self.on_unknown: OnUnknown = lambda call, tool, tool_call_id: None
        self._ledger = ledger
        self._executors = executors
        self._meter = meter
        self._group: asyncio.TaskGroup | None = None
        self._flights: dict[str, _Flight] = {}
        self._outcomes: OrderedDict[str, ToolOutcome] = OrderedDict()
        self._repeats: dict[str, set[str]] = {}
        """Key of a write whose result is promised to those of the writes that repeat it."""
        self._entering: list[tuple[str, str, str]] = []
        """Callers whose writes are on their way into the ledger, which counts them from then on."""

    def start(self, group: asyncio.TaskGroup) -> None:
        """Take calls from now on."""
        self._group = group

    async def stop(self, patience_s: float) -> None:
        """Take no more calls and wait for those under way; what is cut off is settled at the next start."""
        self._group = None
        tasks = {flight.task for flight in self._flights.values()}
        if tasks and patience_s > 0:
            _, tasks = await asyncio.wait(tasks, timeout=patience_s)
        if tasks:
            logger.warning("%s writes were cut off by the end of the process", len(tasks))
        for task in tasks:
            task.cancel()

    def __len__(self) -> int:
        return len(self._flights)

    async def carry_out(
        self, state: CallState, catalogue: Catalogue, request: ToolRequest, *, again: bool = False
    ) -> ToolOutcome:
        """Carry out one write, or return what came of it before. `again`: its call of ours was another one, so it
        repeats nothing. Raises `ToolError` for what is refused."""
        hashed = digest(canonical(request.arguments))

        async def work() -> ToolOutcome:
            if not again:
                repeated = await self._repeated(state, request, hashed)
                if repeated is not None:
                    return await self._repeat_of(repeated, catalogue, request)
            return await self._first(state, catalogue, request, hashed)

        return await self._fly(request.key, request.tool.name, hashed, work)

    async def kept(self, key: str, catalogue: Catalogue, facts: CallFacts) -> ToolOutcome | None:
        """Return what came of a write that was perhaps made before; None when it was not. Raises `StoreError`."""
        flight = self._flights.get(key)
        if flight is not None:
            return await flight.landed()
        row = await self._ledger.get_invocation(key)
        return await self._resolved(row, catalogue, facts) if row is not None else None

    async def revive(self, row: StoredInvocation, tool: CatalogueTool | None, facts: CallFacts) -> ToolOutcome:
        """Settle what a process that is dead left intended; `tool` is None when there is no such tool any more."""
        return await self._fly(row.key, row.tool, row.arguments_hash, lambda: self._revived(row, tool, facts))

    def break_promise(self, row: StoredInvocation, facts: CallFacts, original: StoredInvocation | None) -> bool:
        """Give up a result that was promised, and tell of it; of a write that only repeats another take what came of
        that, and tell nobody. False when more is known here than the row says."""
        known = self._outcomes.get(row.key)
        if known is not None and not known.pending:
            return False
        outcome = _unknown("the promised result did not come in time")
        if (key := repeated_key(row)) is not None:
            ended = outcome_of(original) if original is not None and original.state in FINAL else outcome
            self.write_down(row.key, _of_repeat(self.final(key) or ended, key))
            return True
        self.write_down(row.key, outcome)
        self.on_unknown(replace(facts, call_id=row.call_id, agent=row.agent), row.tool, row.tool_call_id)
        return True

    def final(self, key: str) -> ToolOutcome | None:
        """Return what came of a write for good if it is known here, perhaps before the ledger has it."""
        outcome = self._outcomes.get(key)
        return outcome if outcome is not None and outcome.state in FINAL else None

    def write_down(self, key: str, outcome: ToolOutcome) -> None:
        """Tell the ledger what came of a write."""
        if self.final(key) is not None:
            return
        self._ledger.end_invocation(key, outcome.state, outcome.output, outcome.detail)
        self._outcomes[key] = outcome
        self._outcomes.move_to_end(key)
        while len(self._outcomes) > KEPT_OUTCOMES:
            self._outcomes.popitem(last=False)
        if outcome.state in FINAL:
            self.pass_on(key, outcome)

    def pass_on(self, key: str, outcome: ToolOutcome) -> None:
        """Tell the ledger what came of the writes that repeat this one."""
        for repeat in self._repeats.pop(key, ()):
            self.write_down(repeat, _of_repeat(outcome, key))

    # --- one task for each key ------------------------------------------------------------------------

    async def _fly(
        self, key: str, tool: str, hashed: str, work: Callable[[], Coroutine[Any, Any, ToolOutcome]]
    ) -> ToolOutcome:
        """Run `work` as the one task of a key, or join the one that runs. It outlives whoever waits for it."""
        flight = self._flights.get(key)
        if flight is None:
            if self._group is None:
                raise ToolError("this cannot be done now: the system is being restarted", code="stopping")
            task = self._group.create_task(self._landed(key, work), name=f"write {key}")
            flight = self._flights[key] = _Flight(task, tool, hashed)
            task.add_done_callback(lambda _: self._flights.pop(key, None))
        elif (flight.tool, flight.arguments_hash) != (tool, hashed):
            raise _another_call()
        return await flight.landed()

    async def _landed(self, key: str, work: Callable[[], Coroutine[Any, Any, ToolOutcome]]) -> ToolOutcome | ToolError:
        """Return how a write ended; a late result that overtook the answer goes before it."""
        try:
            outcome = await work()
        except ToolError as refused:
            return refused
        except Exception:
            logger.exception("a write failed inside")
            outcome = _unknown("failed inside the gateway")
        return self.final(key) or outcome

    # --- what is new ----------------------------------------------------------------------------------

    async def _first(self, state: CallState, catalogue: Catalogue, request: ToolRequest, hashed: str) -> ToolOutcome:
        """Admit, commit, send. A write that cannot be put on record does not leave."""
        await self._admit(state, request)
        carried_out = False
        try:
            stored = await self._begun(request)
            if stored is None:
                outcome = await self._sent(request)
                carried_out = outcome.state != "failed"
                return outcome
        except StoreError as error:
            logger.warning("a write was not sent: %s", error)
            return ToolOutcome(False, NOT_KEPT, "not sent: no record could be made")
        finally:
            if not carried_out:
                state.counts[request.tool.name] -= 1
        if (stored.tool, stored.arguments_hash) != (request.tool.name, hashed):
            raise _another_call()
        return await self._resolved(stored, catalogue, state.facts, own=request.key)

    async def _admit(self, state: CallState, request: ToolRequest) -> None:
        """Count a write among those of its call and caller. Raises `ToolError` when that is once too often."""
        tool, limits, caller = request.tool.name, request.tool.policy.limits, _caller(request)
        if limits.per_call is not None:
            await self._history(state)
        require_per_call(limits.per_call, state.count(tool))
        state.counts[tool] += 1
        if limits.per_caller is None:
            return
        # Taken before the ledger is asked: of two at once, each is counted by the ledger or seen here.
        entering = self._entering.count(caller)
        self._entering.append(caller)
        since = datetime.now(UTC) - timedelta(seconds=limits.per_caller_s)
        try:
            require_per_caller(limits.per_caller, entering + await self._ledger.count_invocations(*caller, since))
        except BaseException as error:
            state.counts[tool] -= 1
            self._entering.remove(caller)
            if isinstance(error, StoreError):
                raise ToolError(NOT_COUNTED, code="store") from None
            raise

    async def _begun(self, request: ToolRequest) -> StoredInvocation | None:
        try:
            return await self._ledger.begin_invocation(intent(request))
        finally:
            if request.tool.policy.limits.per_caller is not None:
                self._entering.remove(_caller(request))

    async def _sent(self, request: ToolRequest) -> ToolOutcome:
        outcome = await carry_out(self._executors, request)
        self.write_down(request.key, outcome)
        if outcome.unknown and self.final(request.key) is None:
            self.on_unknown(request.call, request.tool.name, request.tool_call_id)
        return outcome

    # --- what the ledger has --------------------------------------------------------------------------

    async def _history(self, state: CallState) -> list[StoredInvocation]:
        """Return the writes of earlier parts of the telephone call. Raises `ToolError`."""
        if state.earlier is None:
            try:
                rows = await self._ledger.invocations_of(state.facts.phone_call)
            except StoreError as error:
                logger.warning("a write was not sent: %s", error)
                raise ToolError(NOT_COUNTED, code="store") from None
            state.earlier = [row for row in rows if row.call_id != state.facts.call_id and not is_repetition(row)]
        return state.earlier

    async def _repeated(self, state: CallState, request: ToolRequest, hashed: str) -> StoredInvocation | None:
        """Return the write of an earlier part of the telephone call that this one repeats. Raises `ToolError`."""
        await self._history(state)
        return state.repeated(request.tool.name, hashed)

    async def _repeat_of(self, row: StoredInvocation, catalogue: Catalogue, request: ToolRequest) -> ToolOutcome:
        """Answer a write with what came of the one that it repeats. It gets a row of its own, which says so: after
        another crash it must not be taken for one that has never left."""
        logger.info("call %s repeats a write of an earlier part of it", request.call.call_id)
        stored, now = None, row
        try:
            stored = await self._ledger.begin_invocation(repetition(request, row.key))
            now = await self._ledger.get_invocation(row.key) or row
        except StoreError as error:
            logger.warning("a repetition is not on record: %s", error)
        if stored is not None:
            return await self._resolved(stored, catalogue, request.call, own=request.key)
        return await self._passed_on(now, request.key, catalogue, request.call)

    async def _passed_on(
        self, row: StoredInvocation, repeat: str, catalogue: Catalogue, facts: CallFacts
    ) -> ToolOutcome:
        """Return what came of a write as that of `repeat`, which repeats it; at once or when it is known."""
        outcome = _of_repeat(await self._resolved(row, catalogue, facts), row.key)
        if outcome.pending:
            self._repeats.setdefault(row.key, set()).add(repeat)
        else:
            self.write_down(repeat, outcome)
        return outcome

    async def _resolved(
        self, row: StoredInvocation, catalogue: Catalogue, facts: CallFacts, *, own: str = ""
    ) -> ToolOutcome:
        """Return what came of a write that the ledger has; `own` is the key whose task asks. Raises `ToolError`."""
        self._meter.ledger_replayed(row.state)
        flight = self._flights.get(row.key)
        if flight is not None and row.key != own:
            return await flight.landed()
        kept = self._outcomes.get(row.key)
        if kept is not None and (kept.state in FINAL or row.state in ("intended", "pending")):
            return kept
        if (key := repeated_key(row)) is not None:
            other = await self._read(key)
            return await self._passed_on(other, row.key, catalogue, facts) if other is not None else outcome_of(row)
        if row.state != "intended":
            return outcome_of(row)
        tool = found(catalogue, row.tool)
        if own:
            return await self._outlived(row, tool, facts)
        return await self._fly(row.key, row.tool, row.arguments_hash, lambda: self._outlived(row, tool, facts))

    async def _read(self, key: str) -> StoredInvocation | None:
        try:
            return await self._ledger.get_invocation(key)
        except StoreError:
            return None

    async def _outlived(self, row: StoredInvocation, tool: CatalogueTool | None, facts: CallFacts) -> ToolOutcome:
        """Wait for what another process may still write down of a row; after that it counts as dead."""
        loop = asyncio.get_running_loop()
        age_s = max((datetime.now(UTC) - row.created_at).total_seconds(), 0)
        give_up = loop.time() + (tool.policy.timeout_s if tool is not None else 0) + OTHER_NODE_S - age_s
        try:
            dead = {one.key for one in await self._ledger.open_invocations()}
            while row.key not in dead and loop.time() < give_up:
                await asyncio.sleep(POLL_S)
                now = await self._ledger.get_invocation(row.key)
                if now is not None and now.state != "intended":
                    return outcome_of(now)
        except StoreError:
            return _unknown("the ledger cannot be read")
        return await self._revived(row, tool, facts)

    async def _revived(self, row: StoredInvocation, tool: CatalogueTool | None, facts: CallFacts) -> ToolOutcome:
        """Send again what the business takes once; of anything else nobody can say whether it was done."""
        if row.idempotent and tool is not None and tool.kind in self._executors:
            arguments = _arguments(row)
            call = replace(facts, call_id=row.call_id, carrier_call_id=row.carrier_call_id, agent=row.agent)
            request = ToolRequest(call, tool, row.tool_call_id, arguments or {}, sent_before=True)
            if arguments is not None and request.key == row.key:
                return await self._sent(request)
        outcome = _unknown("the process that sent it is gone")
        self.write_down(row.key, outcome)
        self.on_unknown(replace(facts, call_id=row.call_id, agent=row.agent), row.tool, row.tool_call_id)
        return outcome


async def carry_out(executors: Executors, request: ToolRequest) -> ToolOutcome:
    """Have the executor of its kind carry out a call; raises nothing but cancellation."""
    policy = request.tool.policy
    try:
        async with asyncio.timeout(policy.timeout_s + GRACE_S):
            return await executors[request.tool.kind].invoke(request)
    except TimeoutError:
        detail = "given up: the executor kept no time"
    except Exception:
        logger.exception("tool %s failed inside", request.tool.name)
        detail = "failed inside the gateway"
    if policy.effect == "write":
        return _unknown(detail)
    return ToolOutcome(False, error_text("the system failed"), detail)


def found(catalogue: Catalogue, name: str) -> CatalogueTool | None:
    """Return a tool, None when there is none of this name."""
    try:
        return catalogue.find(name)
    except ToolError:
        return None


def _caller(request: ToolRequest) -> tuple[str, str, str]:
    return request.call.agent, request.tool.name, request.call.from_number


def _arguments(row: StoredInvocation) -> dict[str, object] | None:
    """Return the arguments as they were sent; they were checked then."""
    try:
        arguments = parse_json(row.arguments) if row.arguments is not None else None
    except ValueError:
        return None
    return arguments if isinstance(arguments, dict) else None


def _of_repeat(outcome: ToolOutcome, key: str) -> ToolOutcome:
    """Return an outcome of `key` as that of a write that repeats it."""
    return replace(outcome, detail=f"{REPEATED}{key}; {outcome.detail}", key=outcome.key or key)


def _unknown(detail: str) -> ToolOutcome:
    return ToolOutcome(False, UNKNOWN, detail, unknown=True)


def _another_call() -> ToolError:
    return ToolError("this call cannot be told from an earlier one; nothing was done. Call it once more", code="id")
