"""An MCP server as a program of ours: messages are lines on its standard input and output.

Our own in place of the library's, which reads lines of any length into memory, hands the program more of our
environment, and has no word for "it is dead" before somebody writes to it. The shut-down is the protocol's: close its
input, wait, SIGTERM, wait, SIGKILL, always to its whole process group. MCP specification, *Lifecycle, Shutdown*.
"""

import asyncio
import logging
import os
import re
import signal
from asyncio.subprocess import PIPE, Process, SubprocessStreamProtocol
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import mcp_types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage

from gateway.tools.mcp.faults import Fault

__all__ = ["Command", "Lines", "stdio_transport"]

log = logging.getLogger(__name__)

MAX_LINE_BYTES = 1024 * 1024
MAX_SKIPPED_BYTES = 64 * 1024 * 1024
"""A line longer than `MAX_LINE_BYTES` is skipped up to here; then the program is taken for mad, and stopped."""
HEAD_BYTES = 512
"""Of a skipped line, to find out which call it answers."""
CLOSE_S = 2.0
"""Patience after its input was closed, after SIGTERM, and after SIGKILL, each."""
REST_S = 0.5
"""A dead program's last words are read for so long; its children may hold the pipe open for ever."""
MAX_NOTES = 200
"""Lines of a program's standard error that are logged, per `NOTES_S`."""
NOTES_S = 60.0
MAX_NOTE_CHARS = 1000
ANSWERED = re.compile(rb'"id"\s*:\s*(\d{1,18})\s*[,}]')

Incoming = MemoryObjectReceiveStream[SessionMessage | Exception]
Outgoing = MemoryObjectSendStream[SessionMessage]


@dataclass(slots=True, frozen=True)
class Command:
    """How a server is started."""

    name: str
    """For logs."""
    argv: Sequence[str]
    env: Mapping[str, str] = field(repr=False)
    """All of its environment."""
    cwd: Path


@asynccontextmanager
async def stdio_transport(command: Command, lost: asyncio.Event) -> AsyncIterator[tuple[Incoming, Outgoing]]:
    """Start the program and yield its message streams; `lost` is set once it is gone. Nothing of it is left behind.

    Raises `OSError` when it cannot be started.
    """
    program = await _Program.start(command, lost)
    to_session, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, from_session = anyio.create_memory_object_stream[SessionMessage](0)
    try:
        async with asyncio.TaskGroup() as pumps:
            tasks = [
                pumps.create_task(program.read(to_session)),
                pumps.create_task(program.write(from_session)),
                pumps.create_task(program.note()),
                pumps.create_task(program.watch(to_session)),
            ]
            try:
                yield incoming, outgoing
            finally:
                incoming.close()
                outgoing.close()
                await program.stop()
                for task in tasks:
                    task.cancel()
    finally:
        for stream in (to_session, incoming, outgoing, from_session):
            stream.close()
        await program.kill()


class Lines:
    """Cuts a byte stream into lines of bounded length."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._skipped = 0

    def feed(self, chunk: bytes) -> Iterator[bytes | int]:
        """Yield whole lines; for one that is too long, the id of the call it answers, as far as that can be seen.

        Raises `ValueError` when a line never ends.
        """
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            self._add(part)
            if self._skipped:
                found = ANSWERED.search(self._kept)
                if found:
                    yield int(found[1])
            elif self._kept:
                yield bytes(self._kept)
            self._kept.clear()
            self._skipped = 0
        self._add(rest)

    def _add(self, part: bytes) -> None:
        if self._skipped:
            self._skipped += len(part)
        elif len(self._kept) + len(part) > MAX_LINE_BYTES:
            self._skipped = len(self._kept) + len(part)
            self._kept += part[:HEAD_BYTES]
            del self._kept[HEAD_BYTES:]
        else:
            self._kept += part
        if self._skipped > MAX_SKIPPED_BYTES:
            raise ValueError(f"a line is over {MAX_SKIPPED_BYTES // 1024 // 1024} MiB")


class _ExitSeen(SubprocessStreamProtocol):
    """Tells of the exit at once; `Process.wait` waits for the pipes too, which a grandchild can hold."""

    def __init__(self, exited: asyncio.Event) -> None:
        super().__init__(limit=64 * 1024, loop=asyncio.get_running_loop())
        self._exited = exited

    def process_exited(self) -> None:
        super().process_exited()
        self._exited.set()


class _Program:
    def __init__(
        self,
        name: str,
        process: Process,
        transport: asyncio.SubprocessTransport,
        exited: asyncio.Event,
        lost: asyncio.Event,
    ) -> None:
        self._name = name
        self._process = process
        self._transport = transport
        self._exited = exited
        self._read_all = asyncio.Event()
        self._lost = lost
        self._stopping = False

    @classmethod
    async def start(cls, command: Command, lost: asyncio.Event) -> "_Program":
        loop = asyncio.get_running_loop()
        exited = asyncio.Event()
        transport, protocol = await loop.subprocess_exec(
            lambda: _ExitSeen(exited),
            *command.argv,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=dict(command.env),
            cwd=command.cwd,
            start_new_session=True,  # a process group of its own, which can be ended whole; no Ctrl-C of ours either
        )
        return cls(command.name, Process(transport, protocol, loop), transport, exited, lost)

    async def read(self, to_session: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        assert self._process.stdout is not None
        lines = Lines()
        try:
            while chunk := await self._process.stdout.read(64 * 1024):
                for line in lines.feed(chunk):
                    message = self._message(line)
                    if message is not None:
                        await to_session.send(message)
        except ValueError as error:
            log.warning("MCP server %s is stopped: %s", self._name, error)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, ConnectionError):
            pass  # the session is over
        finally:
            self._read_all.set()
            self._lost.set()
            to_session.close()

    async def write(self, from_session: MemoryObjectReceiveStream[SessionMessage]) -> None:
        assert self._process.stdin is not None
        try:
            async for item in from_session:
                line = item.message.model_dump_json(by_alias=True, exclude_unset=True)
                self._process.stdin.write(line.encode() + b"\n")
                await self._process.stdin.drain()
        except (ConnectionError, anyio.ClosedResourceError):
            self._lost.set()

    async def note(self) -> None:
        """Log what it writes to its standard error: DEBUG, cut, and not without end."""
        assert self._process.stderr is not None
        loop = asyncio.get_running_loop()
        until, left = loop.time() + NOTES_S, MAX_NOTES
        with suppress(ConnectionError):
            while chunk := await self._process.stderr.read(16 * 1024):
                if loop.time() >= until:
                    until, left = loop.time() + NOTES_S, MAX_NOTES
                for line in chunk.decode(errors="replace").splitlines()[:left]:
                    log.debug("MCP server %s says %r", self._name, line[:MAX_NOTE_CHARS])
                    left -= 1

    async def watch(self, to_session: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        await self._exited.wait()
        if not self._stopping:
            log.info("MCP server %s ended with code %s", self._name, self._process.returncode)
        with suppress(TimeoutError):
            async with asyncio.timeout(REST_S):
                await self._read_all.wait()
        self._lost.set()
        to_session.close()

    async def stop(self) -> None:
        self._stopping = True
        assert self._process.stdin is not None
        self._process.stdin.close()
        if not await self._gone():
            self._signal(signal.SIGTERM)
            await self._gone()

    async def kill(self) -> None:
        """End what is left of its process group, and see it end also when this is cancelled: SIGKILL takes no time."""
        self._signal(signal.SIGKILL)
        loop = asyncio.get_running_loop()
        deadline, cancelled = loop.time() + CLOSE_S, False
        while not self._exited.is_set() and loop.time() < deadline:
            try:
                async with asyncio.timeout_at(deadline):
                    await self._exited.wait()
            except TimeoutError:
                log.warning("MCP server %s, process %d, is there after SIGKILL", self._name, self._process.pid)
            except asyncio.CancelledError:
                cancelled = True
        self._transport.close()
        if cancelled:
            raise asyncio.CancelledError

    async def _gone(self) -> bool:
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._exited.wait()
        except TimeoutError:
            return False
        return True

    def _signal(self, sign: signal.Signals) -> None:
        # the group has the program's number as long as one of it lives
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, sign)

    def _message(self, line: bytes | int) -> SessionMessage | None:
        if isinstance(line, int):
            log.warning("MCP server %s wrote an answer over %d bytes", self._name, MAX_LINE_BYTES)
            return _instead(line, Fault.TOO_LONG, "the answer is too long")
        try:
            return SessionMessage(mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False))
        except ValueError:
            log.debug("MCP server %s wrote a line that is no message, %d bytes", self._name, len(line))
        found = ANSWERED.search(line[:HEAD_BYTES]) if line.startswith(b'{"jsonrpc"') else None
        return _instead(int(found[1]), Fault.BROKEN, "the answer cannot be read") if found else None


def _instead(call: int, fault: Fault, message: str) -> SessionMessage:
    error = mcp_types.ErrorData(code=fault.value, message=message)
    return SessionMessage(mcp_types.JSONRPCError(jsonrpc="2.0", id=call, error=error))
