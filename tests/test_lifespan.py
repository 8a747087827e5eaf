"""The application begins and ends with its doors, whatever a door does meanwhile."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI

from gateway.agents import load_agents
from gateway.app import create_app
from gateway.carriers.base import CallOffer
from gateway.carriers.front import Carrier
from gateway.config import Settings
from gateway.errors import ConfigError
from gateway.store.memory import MemoryStore

AGENTS = """
agents:
  receptionist:
    instructions: Say hello.
    numbers: ["+14155550199"]
"""
OFFER = CallOffer("own", "C1", "A1", "inbound", "+14155550101", "+14155550199")
Running = Callable[[], AbstractAsyncContextManager[object]]


def application(folder: Path, *running: Running, **more: object) -> FastAPI:
    (folder / "agents.yaml").write_text(AGENTS)
    values = {
        "public_url": "https://gw.example.com",
        "agents_file": folder / "agents.yaml",
        "recordings_dir": folder / "recordings",
        "model_url": "ws://127.0.0.1:9/v1/realtime",
        "openai_api_key": "sk-test",
        "webhook_secret": "whsec_" + "A" * 32,
        **more,
    }
    app = create_app(Settings.alone(values), load_agents(folder / "agents.yaml"), store=MemoryStore())
    app.state.gateway.carriers += [Carrier(f"own{number}", running=one) for number, one in enumerate(running)]
    return app


def live(app: FastAPI) -> None:
    """Begin and end."""

    async def main() -> None:
        async with app.router.lifespan_context(app):
            pass

    asyncio.run(main())


def test_a_call_that_comes_the_moment_a_door_opens_is_taken(tmp_path: Path) -> None:
    tokens: list[str] = []

    @asynccontextmanager
    async def opens() -> AsyncIterator[None]:
        await asyncio.sleep(0)  # it listens; a caller was waiting
        tokens.append(app.state.gateway.registry.offer(OFFER))
        yield

    app = application(tmp_path, opens)
    live(app)
    assert len(tokens) == 1
    assert app.state.gateway.registry.live == 0


def test_a_door_that_cannot_open_says_why_in_one_sentence_and_the_others_close(tmp_path: Path) -> None:
    steps: list[str] = []

    @asynccontextmanager
    async def opens() -> AsyncIterator[None]:
        try:
            yield
        finally:
            steps.append("closed")

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        app = application(tmp_path, audiosocket_listen=f"127.0.0.1:{port}", asterisk_password="p")
        app.state.gateway.carriers.insert(0, Carrier("own", running=opens))
        with pytest.raises(ConfigError, match="GATEWAY_AUDIOSOCKET_LISTEN"):
            live(app)
    assert steps == ["closed"]


def test_a_door_that_fails_as_it_closes_keeps_no_other_from_closing(tmp_path: Path) -> None:
    steps: list[str] = []

    def door(name: str, *, fails: bool) -> Running:
        @asynccontextmanager
        async def running() -> AsyncIterator[None]:
            try:
                yield
            finally:
                steps.append(name)
                if fails:
                    raise OSError(errno.EIO, "no")

        return running

    app = application(tmp_path, door("first", fails=False), door("second", fails=True), door("third", fails=False))
    with pytest.raises((OSError, ExceptionGroup)):
        live(app)
    assert steps == ["third", "second", "first"]
