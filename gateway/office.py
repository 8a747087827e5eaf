"""What works for the business beside the calls: its functions, its events, what callers were promised.

One `Office` per process, opened for as long as calls may be taken. On the way out, when no call lives: writes under way
end, the events about the last calls leave, and what does not is in the store for the next process.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.agents import AgentsFile
from gateway.calls import CallMaker
from gateway.config import Settings
from gateway.deliveries import Courier, Reporter, SignedPost, tell_orphans
from gateway.metrics import Metrics
from gateway.store.ports import CallStore
from gateway.tools.catalogue import CatalogueTool, ToolKind
from gateway.tools.desk import ToolDesk
from gateway.tools.mcp import McpInvoker, McpServers
from gateway.tools.netguard import NetGuard
from gateway.tools.openapi import OperationInvoker, load_operations
from gateway.tools.recovery import recover
from gateway.tools.request import CallFacts, Executor, ledger_key, message_id
from gateway.tools.webhook import WebhookInvoker

__all__ = ["Office"]

logger = logging.getLogger(__name__)


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

    @classmethod
    def build(
        cls,
        settings: Settings,
        agents: AgentsFile,
        store: CallStore,
        metrics: Metrics,
        invoker: WebhookInvoker,
        guard: NetGuard,
    ) -> "Office":
        """Read the OpenAPI documents and put the parts together. Raises `ConfigError`."""
        entries = agents.agents
        mcp = McpServers({name: agent.mcp for name, agent in entries.items()}, guard, base=agents.folder)
        executors: dict[ToolKind, Executor] = {
            ToolKind.WEBHOOK: invoker,
            ToolKind.OPERATION: OperationInvoker(invoker.outgoing, default_secret=settings.webhook_secret),
            ToolKind.MCP: McpInvoker(mcp),
        }
        desk = ToolDesk(store, executors, metrics)
        events = {name: agent.events for name, agent in entries.items() if agent.events is not None}
        headers = {name: section.headers for name, section in events.items()}
        post = SignedPost(invoker.outgoing, settings.webhook_secret, headers_of=lambda name: headers.get(name, {}))
        courier = Courier(store, post, told=metrics.delivery)
        reporter = Reporter(store, events.get, wake=courier.wake, variables_of=desk.variables)
        operations = {
            name: [tool for section in agent.openapi for tool in load_operations(section, agents.folder)]
            for name, agent in entries.items()
        }
        office = cls(agents, store, metrics, desk, reporter, courier, mcp, operations)
        desk.tell_unknown(office.unknown)
        return office

    @asynccontextmanager
    async def open(self, maker: CallMaker) -> AsyncIterator[None]:
        """Work until the block ends; by then no call may live. Raises `ConfigError` for an MCP server that fails."""
        async with self.mcp, asyncio.TaskGroup() as group:
            if any(agent.mcp for agent in self.agents.agents.values()):
                maker.take_tools({name: [*own, *self.mcp.tools(name)] for name, own in self.operations.items()})
            try:
                async with self.desk:
                    group.create_task(self.courier.run(), name="deliveries")
                    past = group.create_task(self._settle_the_past(maker), name="recovery")
                    try:
                        yield
                    finally:
                        past.cancel()
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
