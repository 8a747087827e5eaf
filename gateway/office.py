"""What works for the business beside the calls: its functions, its events, what callers were promised.

One `Office` per process, opened for as long as calls may be taken. On the way out, when no call lives: writes under way
end, the events about the last calls leave, and what does not is in the store for the next process.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

from gateway.agents import AgentsFile, EventType
from gateway.agents.functions import OPT_OUT, SCHEDULE_CALLBACK
from gateway.calls import CallMaker
from gateway.config import Settings
from gateway.deliveries import Courier, Reporter, SignedPost, tell_orphans
from gateway.metrics import Metrics
from gateway.outbound.callbacks import CallbackWorker
from gateway.outbound.dialler import Dialler
from gateway.outbound.hours import NumberRules
from gateway.outbound.policy import DialPolicy
from gateway.store.ports import CallStore
from gateway.store.rows import StoredCallback
from gateway.tools.catalogue import CatalogueTool, ToolKind
from gateway.tools.desk import ToolDesk
from gateway.tools.local import LocalTools
from gateway.tools.mcp import McpInvoker, McpServers
from gateway.tools.netguard import NetGuard
from gateway.tools.openapi import OperationInvoker, load_operations
from gateway.tools.recovery import recover
from gateway.tools.request import CallFacts, Executor, ToolOutcome, ToolRequest, ledger_key, message_id
from gateway.tools.webhook import WebhookInvoker

__all__ = ["Office", "Ways"]

logger = logging.getLogger(__name__)

WISHES: Mapping[str, EventType] = MappingProxyType(
    {SCHEDULE_CALLBACK: "callback.requested", OPT_OUT: "caller.opted_out"}
)
"""The event that a function of ours is told by, when it was carried out."""


@dataclass(slots=True)
class Office:
    """The parts, built and not started."""

    agents: AgentsFile
    store: CallStore
    metrics: Metrics
    desk: ToolDesk
    reporter: Reporter
    courier: Courier
    mcp: McpServers
    operations: Mapping[str, list[CatalogueTool]]
    """Of OpenAPI documents, by agent."""
    callbacks: CallbackWorker | None
    """None where no calls are placed."""

    @classmethod
    def build(
        cls, settings: Settings, agents: AgentsFile, store: CallStore, metrics: Metrics, ways: "Ways"
    ) -> "Office":
        """Read the OpenAPI documents and put the parts together. Raises `ConfigError`."""
        entries, secret, outgoing = agents.agents, settings.webhook_secret, ways.invoker.outgoing
        mcp = McpServers({name: agent.mcp for name, agent in entries.items()}, ways.guard, base=agents.folder)
        executors: dict[ToolKind, Executor] = {
            ToolKind.WEBHOOK: ways.invoker,
            ToolKind.OPERATION: OperationInvoker(outgoing, default_secret=secret),
            ToolKind.MCP: McpInvoker(mcp),
        }
        desk = ToolDesk(store, executors, metrics)
        events = {name: agent.events for name, agent in entries.items() if agent.events is not None}
        headers = {name: section.headers for name, section in events.items()}
        post = SignedPost(outgoing, secret, headers_of=lambda name: headers.get(name, {}))
        courier = Courier(store, post, told=metrics.delivery)
        reporter = Reporter(store, events.get, wake=courier.wake, variables_of=desk.variables)
        policy = DialPolicy(settings.dial_countries)
        promised = {name: agent.schedule_callback for name, agent in entries.items()}
        rules = NumberRules(policy) if ways.dialler is not None else None
        executors[ToolKind.LOCAL] = _Wishes(LocalTools(store, rules, promised.get), reporter)
        callbacks = None
        if ways.dialler is not None:
            callbacks = CallbackWorker(_Callbacks(store, ways.draining), ways.dialler, policy, entries, _now)
        operations = {
            name: [tool for section in agent.openapi for tool in load_operations(section, agents.folder)]
            for name, agent in entries.items()
        }
        office = cls(agents, store, metrics, desk, reporter, courier, mcp, operations, callbacks)
        desk.tell_unknown(office.unknown)
        return office

    @asynccontextmanager
    async def open(self, maker: CallMaker) -> AsyncIterator[None]:
        """Work until the block ends; by then no call may live. Raises `ConfigError` for an MCP server that fails."""
        async with self.mcp:
            if any(agent.mcp for agent in self.agents.agents.values()):
                maker.take_tools({name: [*own, *self.mcp.tools(name)] for name, own in self.operations.items()})
            # Only now: what is raised inside a group comes out of it wrapped.
            async with asyncio.TaskGroup() as group, self._working(group, maker):
                yield

    @asynccontextmanager
    async def _working(self, group: asyncio.TaskGroup, maker: CallMaker) -> AsyncIterator[None]:
        try:
            async with self.desk:
                group.create_task(self.courier.run(), name="deliveries")
                working = [group.create_task(self._settle_the_past(maker), name="recovery")]
                if self.callbacks is not None:
                    working.append(group.create_task(self.callbacks.run(), name="callbacks"))
                try:
                    yield
                finally:
                    for task in working:
                        task.cancel()
                await self.desk.stop()
        finally:
            self.courier.stop()

    def unknown(self, call: CallFacts, tool: str, tool_call_id: str) -> None:
        """Tell the business of a write of which nobody can say whether it was done."""
        data = {"tool": {"name": tool, "call_id": tool_call_id}, "id": message_id(ledger_key(call, tool_call_id))}
        self.reporter.tell("tool.unknown", call, tool_call_id, data)

    async def _settle_the_past(self, maker: CallMaker) -> None:
        """Tell of the calls that an earlier process left without an end, and settle its writes."""
        settled = await recover(self.store, self.desk, maker.catalogues, self.metrics)
        if settled:
            logger.warning("%s function calls of an earlier process were left open; they are settled now", settled)
        await tell_orphans(self.store, self.reporter)


@dataclass(slots=True, frozen=True)
class Ways:
    """The ways out of the process."""

    invoker: WebhookInvoker
    guard: NetGuard
    dialler: Dialler | None
    """None when no calls can be placed."""
    draining: Callable[[], bool]
    """Tells whether this process takes no more calls: then it places none either."""


@dataclass(slots=True, frozen=True)
class _Callbacks:
    """The callbacks of a store, none of them while draining."""

    store: CallStore
    draining: Callable[[], bool]

    async def claim_callbacks(self, limit: int, lease_s: float) -> list[StoredCallback]:
        return [] if self.draining() else await self.store.claim_callbacks(limit, lease_s)

    def callback_updated(
        self, callback_id: str, state: str, attempts: int, detail: str = "", due_at: datetime | None = None
    ) -> None:
        self.store.callback_updated(callback_id, state, attempts, detail, due_at)


@dataclass(slots=True, frozen=True)
class _Wishes:
    """Carries out functions of ours, and tells the business of what callers wished."""

    tools: LocalTools
    reporter: Reporter

    async def invoke(self, request: ToolRequest) -> ToolOutcome:
        outcome = await self.tools.invoke(request)
        if outcome.ok:
            data = {"arguments": dict(request.arguments), "result": json.loads(outcome.output)}
            self.reporter.tell(WISHES[request.tool.name], request.call, request.tool_call_id, data)
        return outcome


def _now() -> datetime:
    return datetime.now(UTC)
