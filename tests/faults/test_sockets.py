"""What only real sockets show: frames over the bound, peers that stop reading, peers that vanish."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx2
import pytest
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.agents import load_agents
from gateway.app import Gateway, create_app
from gateway.carriers.base import CallOffer
from gateway.config import Settings
from gateway.core.commands import AppendAudio
from gateway.core.events import Event, ModelClosed, SessionReady
from gateway.realtime.connection import ModelTarget, RealtimeConnection
from gateway.server import server
from gateway.simulator.carrier.webhooks import Router, Webhooks
from gateway.simulator.model import ModelServer, Scenario, ScriptedEngine
from gateway.store.memory import MemoryStore
from tests.faults.calls import until
from tests.faults.ends import SILENCE
from tests.world import ACCOUNT, AGENTS, NUMBER, PUBLIC, TOKEN

pytestmark = pytest.mark.e2e

SID = "CA" + "7" * 32
"""The only call's."""


class Gate:
    """A gateway on a loopback port, with a model server on another."""

    def __init__(self, gateway: Gateway, store: MemoryStore, model: ModelServer, port: int) -> None:
        self.gateway = gateway
        self.store = store
        self.model = model
        self.port = port

    def sign(self, url: str) -> str:
        return Webhooks(httpx2.AsyncClient(), TOKEN, Router({}), random.Random()).sign(url, {})

    async def media(self) -> ClientConnection:
        signature = self.sign(PUBLIC.replace("https", "wss") + "/twilio/media")
        url = f"ws://127.0.0.1:{self.port}/twilio/media"
        return await connect(url, additional_headers={"x-twilio-signature": signature}, compression=None, max_size=None)

    async def call(self) -> ClientConnection:
        """Offer a call and start its stream."""
        offer = CallOffer("twilio", SID, ACCOUNT, "inbound", "+14155550101", NUMBER)
        token = self.gateway.registry.offer(offer)
        socket = await self.media()
        form = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
        ids = {"accountSid": ACCOUNT, "callSid": SID, "streamSid": "MZ" + "7" * 32}
        start = {**ids, "mediaFormat": form, "customParameters": {"token": token}}
        await socket.send(json.dumps({"event": "start", "start": start}))
        await socket.recv()
        return socket

    async def ended(self, within_s: float) -> str | None:
        await until(lambda: not self.gateway.registry.live, within_s)
        (call,) = self.store.calls.values()
        return call.end_reason


@asynccontextmanager
async def gate(folder: Path) -> AsyncIterator[Gate]:
    (folder / "agents.yaml").write_text(AGENTS)
    store = MemoryStore()
    async with ModelServer(ScriptedEngine(Scenario())) as model:
        settings = Settings.model_validate(
            {
                "public_url": PUBLIC,
                "agents_file": folder / "agents.yaml",
                "recordings_dir": folder / "recordings",
                "model_url": model.url,
                "openai_api_key": "sk-test",
                "twilio_auth_token": TOKEN,
                "webhook_secret": "whsec_" + "A" * 32,
            }
        )
        app = create_app(settings, load_agents(folder / "agents.yaml"), store=store)
        http: uvicorn.Server = server(app, app.state.gateway, host="127.0.0.1", port=0)
        async with asyncio.TaskGroup() as group:
            group.create_task(http._serve())
            await until(lambda: http.started, 10)
            try:
                port = http.servers[0].sockets[0].getsockname()[1]
                yield Gate(app.state.gateway, store, model, port)
            finally:
                http.should_exit = True


@pytest.mark.parametrize("size", [64 * 1024 + 1, 1_000_000])
def test_a_frame_over_the_bound_never_reaches_the_model(tmp_path: Path, size: int) -> None:
    async def main() -> None:
        async with gate(tmp_path) as g:
            socket = await g.call()
            payload = "A" * (size // 4 * 4)
            await socket.send(json.dumps({"event": "media", "media": {"track": "inbound", "payload": payload}}))
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    await socket.recv()
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009
            assert await g.ended(5) == "leg_lost"
            await until(lambda: g.model.open_sessions == 0, 3)
            (entries,) = g.store.journals.values()
            passed = [entry.data["ms"] for entry in entries if entry.kind == "AppendAudio"]
            assert sum(passed) < 100  # type: ignore[arg-type]  # numbers

    asyncio.run(main())


def test_an_unsigned_upgrade_is_answered_with_403(tmp_path: Path) -> None:
    async def main() -> None:
        async with gate(tmp_path) as g:
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"ws://127.0.0.1:{g.port}/twilio/media")
            assert refused.value.response.status_code == 403

    asyncio.run(main())


def test_a_client_that_leaves_in_the_middle_of_a_webhook_writes_nothing_into_the_log(tmp_path: Path) -> None:
    async def main() -> None:
        async with gate(tmp_path) as g:
            _, writer = await asyncio.open_connection("127.0.0.1", g.port)
            writer.write(b"POST /twilio/voice HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            reader, other = await asyncio.open_connection("127.0.0.1", g.port)
            other.write(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert b"200" in await reader.readline()
            other.close()

    asyncio.run(main())


def test_a_carrier_that_vanishes_ends_its_call(tmp_path: Path) -> None:
    async def main() -> None:
        async with gate(tmp_path) as g:
            socket = await g.call()
            await socket.send(json.dumps({"event": "media", "media": {"payload": SILENCE}}))
            socket.transport.abort()
            assert await g.ended(5) == "leg_lost"
            await until(lambda: g.model.open_sessions == 0, 3)

    asyncio.run(main())


def test_a_model_server_that_stops_reading_holds_its_session_no_longer_than_two_seconds() -> None:
    """The kernel's buffers are full and the close handshake cannot be done: the socket is cut."""

    async def main() -> None:
        release, gone = asyncio.Event(), asyncio.Event()

        async def stubborn(connection: ServerConnection) -> None:
            await connection.recv()
            pcmu = {"format": {"type": "audio/pcmu"}}
            session = {"type": "realtime", "id": "s", "audio": {"input": pcmu, "output": pcmu}}
            await connection.send(json.dumps({"type": "session.updated", "session": session}))
            connection.transport.pause_reading()
            await release.wait()
            connection.transport.resume_reading()
            with suppress(ConnectionClosed):
                while True:
                    await connection.recv()
            gone.set()

        told: list[Event] = []
        async with serve(stubborn, "127.0.0.1", 0, max_size=None, ping_interval=None, close_timeout=1) as listening:
            port = next(iter(listening.sockets)).getsockname()[1]
            session = RealtimeConnection(ModelTarget(f"ws://127.0.0.1:{port}/", {}), {"type": "realtime"}, told.append)
            async with asyncio.TaskGroup() as group:
                run = group.create_task(session.run())
                await until(lambda: bool(told), 5)
                assert isinstance(told[0], SessionReady)
                audio = AppendAudio("A" * 16_000)
                for number in range(5000):
                    session.send(audio)
                    if len(told) > 1:
                        break
                    if not number % 50:
                        await asyncio.sleep(0)
                assert isinstance(told[-1], ModelClosed) and told[-1].code == "backlog"
                async with asyncio.timeout(3):
                    await run
                await asyncio.sleep(0)
                kept = [task for task in asyncio.all_tasks() if "keepalive" in repr(task.get_coro())]
                assert kept == [], "the client's connection is gone although the server did nothing"
                release.set()
                async with asyncio.timeout(3):
                    await gone.wait()

    asyncio.run(main())
