"""A real `gateway serve` in a process of its own, for tests over loopback."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from gateway.store.rows import StoredCall
from gateway.store.store import Store

__all__ = ["AGENTS", "NUMBER", "Served", "clean_environment", "free_port", "serving"]

START_S = 60.0
EXIT_S = 30.0
NUMBER = "+14155550199"
AGENTS = f"""
agents:
  support:
    numbers: ["{NUMBER}"]
    instructions: You help customers of Acme.
    greeting: Hello, this is Acme.
    fallback: {{say: Sorry. Please call later.}}
"""


@dataclass(slots=True, frozen=True)
class Served:
    """A gateway that answers."""

    process: asyncio.subprocess.Process
    origin: str
    folder: Path

    def log(self) -> str:
        return (self.folder / "gateway.log").read_text()

    def log_lines(self) -> list[dict[str, Any]]:
        """Return the log, each line of which must be a JSON object."""
        return [json.loads(line) for line in self.log().splitlines()]

    async def exit_code(self) -> int:
        async with asyncio.timeout(EXIT_S):
            return await self.process.wait()

    async def calls(self) -> list[StoredCall]:
        """Return the records, newest first; call when the process has ended."""
        async with Store.open(f"sqlite:///{self.folder / 'gateway.db'}") as store:
            return await store.list_calls()


def clean_environment(folder: Path, **settings: str) -> dict[str, str]:
    """Return an environment without any setting of whoever runs the tests."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "COVERAGE_PROCESS_START") if name in os.environ}
    root = Path(__file__).parent.parent
    return kept | {"PYTHONPATH": str(root), "GATEWAY_DATABASE_URL": f"sqlite:///{folder / 'gateway.db'}"} | settings


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def serving(folder: Path, settings: Mapping[str, str], agents: str = AGENTS) -> AsyncIterator[Served]:
    """Start the gateway, wait until it is ready, and kill it on the way out if it still runs."""
    (folder / "agents.yaml").write_text(agents)
    port = free_port()
    environment = clean_environment(folder, GATEWAY_PORT=str(port), **settings)
    with (folder / "gateway.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "serve"), cwd=folder, env=environment, stdout=log, stderr=log
        )
    served = Served(process, f"http://127.0.0.1:{port}", folder)
    try:
        async with httpx2.AsyncClient(trust_env=False) as http, asyncio.timeout(START_S):
            await _ready(served, http)
        yield served
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _ready(served: Served, http: httpx2.AsyncClient) -> None:
    while True:
        assert served.process.returncode is None, served.log()
        try:
            await http.get(f"{served.origin}/livez")
            return
        except httpx2.TransportError:
            await asyncio.sleep(0.05)
