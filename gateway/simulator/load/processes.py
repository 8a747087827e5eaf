"""The two processes of a load run: a real `gateway serve` and a scripted model. Neither outlives the run."""

import asyncio
import json
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

import gateway
from gateway.errors import GatewayError
from gateway.simulator.load.plan import AGENTS, PUBLIC_URL, SCENARIO, LoadPlan

__all__ = ["GatewayProcess", "LoadFailed", "ModelProcess", "Usage", "start_gateway", "start_model", "usage_of"]

START_S = 60.0
STOP_S = 20.0
MAX_LINE = 1 << 30
KEPT_NAMES = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR")
"""What of the environment the processes see: no setting and no secret of whoever runs this."""


class LoadFailed(GatewayError):
    """The load run itself could not be done; nothing was measured."""


@dataclass(slots=True, frozen=True)
class Usage:
    """What the system says of a process; None where it says nothing."""

    rss_mb: float | None
    peak_mb: float | None
    cpu_s: float | None


@dataclass(slots=True, frozen=True)
class ModelProcess:
    """The running model."""

    process: asyncio.subprocess.Process
    url: str

    def kill(self) -> None:
        """Act out a model that is gone from one moment to the next: SIGKILL."""
        self.process.kill()

    async def report(self) -> str:
        """End the process and return its report's line; "" when it had none to give."""
        if self.process.returncode is None:
            self.process.terminate()
        assert self.process.stdout is not None
        async with asyncio.timeout(STOP_S):
            return (await self.process.stdout.readline()).decode()


@dataclass(slots=True, frozen=True)
class GatewayProcess:
    """The running gateway."""

    process: asyncio.subprocess.Process
    origin: str
    auth_token: str
    folder: Path

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.folder / 'gateway.db'}"

    def log(self) -> str:
        return (self.folder / "gateway.log").read_text(errors="replace")

    def drain(self) -> None:
        """Send SIGTERM, unless it has ended by itself."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)

    async def exit_code(self) -> int | None:
        """Wait for the process to end; None when it does not."""
        try:
            async with asyncio.timeout(STOP_S):
                return await self.process.wait()
        except TimeoutError:
            return None

    def usage(self) -> Usage:
        """Return what the system says of the process now."""
        return usage_of(self.process.pid)


def usage_of(pid: int) -> Usage:
    """Return what the system says of a process now."""
    folder = Path(f"/proc/{pid}")
    try:
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line)
        ticks = (folder / "stat").read_text().rpartition(")")[2].split()[11:13]
    except (OSError, ValueError):
        return Usage(None, None, None)
    per_s = os.sysconf("SC_CLK_TCK")
    return Usage(_mb(status.get("VmRSS")), _mb(status.get("VmHWM")), sum(map(int, ticks)) / per_s)


@asynccontextmanager
async def start_model(folder: Path) -> AsyncIterator[ModelProcess]:
    """Start the model; on the way out it is gone."""
    path = folder / "scenario.yaml"
    path.write_text(SCENARIO)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.simulator.load.model_process", str(path)),
        stdout=asyncio.subprocess.PIPE,
        limit=MAX_LINE,
        env=_environment(),
        cwd=folder,
    )
    async with _ended(process):
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_S):
                line = await process.stdout.readline()
        except TimeoutError:
            line = b""
        if not line:
            raise LoadFailed("the model process did not start")
        yield ModelProcess(process, str(json.loads(line)["url"]))


@asynccontextmanager
async def start_gateway(
    folder: Path, plan: LoadPlan, model_url: str, http: httpx2.AsyncClient
) -> AsyncIterator[GatewayProcess]:
    """Start `gateway serve` in a folder of its own and wait until it is ready; on the way out it is gone."""
    (folder / "agents.yaml").write_text(AGENTS)
    port, token = _free_port(), secrets.token_hex(16)
    environment = _environment() | {
        "GATEWAY_PORT": str(port),
        "GATEWAY_PUBLIC_URL": PUBLIC_URL,
        "GATEWAY_MODEL_URL": model_url,
        "GATEWAY_MAX_CALLS": str(plan.calls),
        "GATEWAY_DATABASE_URL": f"sqlite:///{folder / 'gateway.db'}",
        "TWILIO_AUTH_TOKEN": token,
    }
    with (folder / "gateway.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "serve"), env=environment, cwd=folder, stdout=log, stderr=log
        )
    async with _ended(process):
        started = GatewayProcess(process, f"http://127.0.0.1:{port}", token, folder)
        await _ready(started, http)
        yield started


async def _ready(started: GatewayProcess, http: httpx2.AsyncClient) -> None:
    deadline = asyncio.get_running_loop().time() + START_S
    while asyncio.get_running_loop().time() < deadline:
        if started.process.returncode is not None:
            last = (started.log().strip().splitlines() or ["no word"])[-1]
            raise LoadFailed(f"the gateway ended with {started.process.returncode}: {last[:300]}")
        try:
            if (await http.get(f"{started.origin}/readyz")).status_code == 200:
                return
        except httpx2.HTTPError:
            await asyncio.sleep(0.1)
    raise LoadFailed(f"the gateway was not ready within {START_S:g} s")


@asynccontextmanager
async def _ended(process: asyncio.subprocess.Process) -> AsyncIterator[None]:
    try:
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in KEPT_NAMES if name in os.environ}
    return kept | {"PYTHONPATH": str(Path(str(gateway.__file__)).parent.parent)}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _mb(text: str | None) -> float | None:
    return round(int(text.split()[0]) / 1024, 1) if text is not None else None
