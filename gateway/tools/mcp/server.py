"""One MCP server and the one task that owns it: started, restarted with growing pauses, stopped without a trace.

The library's connections must be opened and closed by the same task, so calls come to the owner: `call` leaves a job
and waits, the owner runs it inside its connection. A job is taken at once or refused; nothing waits in a queue.
"""

import asyncio
import logging
import random
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from gateway.agents.imports import Mcp
from gateway.errors import ConfigError
from gateway.tools.mcp.faults import Fault, McpFault
from gateway.tools.mcp.link import Link, hung_up, open_link, start_problem
from gateway.tools.mcp.listing import OfferedTool, fingerprint
from gateway.tools.netguard import NetGuard

__all__ = ["Answer", "McpServer"]

log = logging.getLogger(__name__)

MAX_CALLS = 64
"""Calls of one server at a time; more are refused before anything is sent."""
FIRST_PAUSE_S = 0.2
LAST_PAUSE_S = 30.0
STEADY_S = 60.0
"""A server that was up for so long starts the pauses anew."""

Answer = Mapping[str, object] | McpFault


@dataclass(slots=True, eq=False)
class _Job:
    tool: str
    arguments: Mapping[str, object]
    meta: Mapping[str, object]
    answer: asyncio.Future[Answer] = field(repr=False)


class McpServer:
    """A configured server. `run` owns it and is started once, by `McpServers`; the rest may be called by anyone."""

    def __init__(self, section: Mcp, guard: NetGuard, base: Path) -> None:
        self._section = section
        self._guard = guard
        self._base = base
        self._offered: asyncio.Future[list[OfferedTool] | ConfigError] = asyncio.get_running_loop().create_future()
        self._fingerprint = ""
        self._up = asyncio.Event()
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._jobs: list[_Job] = []
        self._running = 0
        self._noted = False
        self._older = False

    @property
    def is_up(self) -> bool:
        """Whether a call would be sent now."""
        return self._up.is_set()

    async def offered(self) -> list[OfferedTool]:
        """Return what it offered when it was first started. Raises `ConfigError` when it did not start."""
        first = await asyncio.shield(self._offered)
        if isinstance(first, ConfigError):
            raise first
        return first

    async def wait_up(self, patience_s: float) -> bool:
        """Wait until calls can be sent; tell whether they can."""
        try:
            async with asyncio.timeout(patience_s):
                await self._up.wait()
        except TimeoutError:
            return False
        return True

    async def call(self, tool: str, arguments: Mapping[str, object], meta: Mapping[str, object]) -> Answer:
        """Call a tool once, without a deadline. Cancelling it cancels the call at the server, as far as that goes."""
        if not self.is_up:
            return McpFault(Fault.NOT_SENT, "the server is not running")
        if self._running + len(self._jobs) >= MAX_CALLS:
            return McpFault(Fault.NOT_SENT, f"{MAX_CALLS} calls are running already")
        job = _Job(tool, arguments, meta, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self._wake.set()
        return await job.answer

    def stop(self) -> None:
        """Let `run` end; calls that still run are told that they are lost."""
        self._stopping.set()
        self._wake.set()

    async def run(self) -> None:
        """Keep the server up until `stop`. If it does not start at first, `offered` says why, and that is all."""
        pause_s = FIRST_PAUSE_S
        loop = asyncio.get_running_loop()
        try:
            while not self._stopping.is_set():
                begun = loop.time()
                was_older = self._older
                reason = await self._life()
                if not self._offered.done():
                    if self._older and not was_older:
                        continue
                    self._offered.set_result(ConfigError(f"MCP server {self._section.name} does not start: {reason}"))
                    return
                if self._stopping.is_set():
                    return
                pause_s = FIRST_PAUSE_S if loop.time() - begun > STEADY_S else pause_s
                log.warning("MCP server %s is down (%s); next try in %.1f s", self._section.name, reason, pause_s)
                await self._pause(pause_s * random.uniform(0.8, 1.2))
                pause_s = min(pause_s * 2, LAST_PAUSE_S)
        finally:
            if not self._offered.done():
                self._offered.set_result(ConfigError(f"MCP server {self._section.name} was stopped"))

    async def _life(self) -> str:
        """Start it, carry out calls until it is gone, and return why it went."""
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(self._section.start_s):
                    link = await stack.enter_async_context(
                        open_link(self._section, self._guard, self._base, self._note_change, older=self._older)
                    )
                    self._took(await link.tools())
                await self._serve(link)
            return "its connection ended"
        except Exception as error:  # the owner: whatever a server or the library does, the next try comes
            if not self._offered.done() and hung_up(error) and self._section.command is not None:
                self._older = True
            reason = start_problem(error)
            if not reason:
                log.exception("MCP server %s failed in a way that is not known", self._section.name)
            return reason or "its log entry tells why"
        finally:
            self._refuse_waiting()

    async def _serve(self, link: Link) -> None:
        self._up.set()
        log.info("MCP server %s is up", self._section.name)
        try:
            async with asyncio.TaskGroup() as tasks:
                running = {
                    tasks.create_task(self._wake_when_lost(link)),
                    tasks.create_task(link.watch_tools(self._note_change)),
                }
                while not link.lost.is_set() and not self._stopping.is_set():
                    self._wake.clear()
                    for job in self._take():
                        task = tasks.create_task(self._carry_out(link, job))
                        running.add(task)
                        task.add_done_callback(running.discard)
                    await self._wake.wait()
                self._up.clear()
                for task in running:
                    task.cancel()
        finally:
            self._up.clear()

    def _take(self) -> Sequence[_Job]:
        jobs = [job for job in self._jobs if not job.answer.done()]  # some have given up already
        self._jobs.clear()
        self._running += len(jobs)
        return jobs

    async def _carry_out(self, link: Link, job: _Job) -> None:
        task = asyncio.current_task()
        assert task is not None
        # whoever asked may give up; then the server is told, which the library does when its caller is cancelled
        job.answer.add_done_callback(lambda answer: task.cancel() if answer.cancelled() else None)
        answer: Answer = McpFault(Fault.LOST, "the server was stopped or ended before the answer")
        try:
            answer = await link.call(job.tool, job.arguments, job.meta)
        finally:
            self._running -= 1
            if not job.answer.done():
                job.answer.set_result(answer)

    async def _wake_when_lost(self, link: Link) -> None:
        await link.lost.wait()
        self._wake.set()

    def _took(self, offered: list[OfferedTool]) -> None:
        now = fingerprint(offered)
        self._noted = False
        if not self._offered.done():
            self._fingerprint = now
            self._offered.set_result(offered)
        elif now != self._fingerprint:
            self._note_change()

    def _note_change(self) -> None:
        if self._noted:  # some servers say it twice
            return
        self._noted = True
        log.warning(
            "MCP server %s offers other tools than at the start; agents keep those they have until a restart",
            self._section.name,
        )

    def _refuse_waiting(self) -> None:
        for job in self._jobs:
            if not job.answer.done():
                job.answer.set_result(McpFault(Fault.NOT_SENT, "the server went away"))
        self._jobs.clear()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass
