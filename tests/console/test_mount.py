"""The console inside a whole gateway: there when asked for, with calls over real sockets, and gone without a trace."""

import asyncio
import importlib.util
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from gateway.agents import load_agents
from gateway.app import Gateway, create_app
from gateway.config import Settings
from gateway.demo.serving import serve_gateway
from gateway.errors import ConfigError
from gateway.simulator.model import ModelServer, Scenario, ScriptedEngine
from gateway.store.memory import MemoryStore
from tests.carriers.browser.page import Page, wait_for
from tests.gateway_process import AGENTS

pytestmark = pytest.mark.usefixtures("no_errors_logged")
GREETING = {"greeting": "Hello, this is Acme."}
FRAMES = [b"\xff" * 160] * 400


@dataclass(slots=True)
class Desk:
    """A person signed in to a gateway of this process."""

    http: httpx2.AsyncClient
    gateway: Gateway
    store: MemoryStore
    page: Page

    async def dial(self) -> str:
        body = {"agent": "support", "sdp": await self.page.offer()}
        answer = await self.http.post("/console/calls", json=body)
        assert answer.status_code == 200, answer.text
        await self.page.take(answer.json()["sdp"])
        return str(answer.json()["call_id"])

    async def events(self, call_id: str) -> AsyncGenerator[dict[str, object], None]:
        async with self.http.stream("GET", f"/console/calls/{call_id}/events") as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))


def settings_of(folder: Path, **values: object) -> Settings:
    return Settings.alone(
        {"allow_unsigned": True, "recordings_dir": folder, "browser_phone": True, "drain_s": 0} | values
    )


@asynccontextmanager
async def a_desk(folder: Path) -> AsyncIterator[Desk]:
    (folder / "agents.yaml").write_text(AGENTS)
    store = MemoryStore()
    async with ModelServer(ScriptedEngine(Scenario.model_validate(GREETING))) as model:
        app = create_app(settings_of(folder, model_url=model.url), load_agents(folder / "agents.yaml"), store=store)
        page = Page(FRAMES)
        try:
            async with serve_gateway(app) as origin, httpx2.AsyncClient(base_url=origin, trust_env=False) as http:
                http.headers["origin"] = origin
                assert (await http.post("/console/session", json={})).json() == {"who": "local"}
                yield Desk(http, app.state.gateway, store, page)
        finally:
            await page.close()


def test_a_call_from_a_page_is_watched_live_and_has_its_record(tmp_path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(30), a_desk(tmp_path) as desk:
            call_id = await desk.dial()
            seen: list[dict[str, object]] = []
            async for event in desk.events(call_id):
                seen.append(event)
                if event["type"] == "agent":
                    desk.page.say(type="key", digit="7")
                if event["type"] == "key":
                    command = {"id": "one", "action": "force_reply"}
                    answer = await desk.http.post(f"/console/calls/{call_id}/commands", json=command)
                    assert answer.json()["outcome"] == "done"
                if event["type"] == "operator":
                    desk.page.say(type="hang_up")
            kinds = [event["type"] for event in seen]
            assert kinds[-1] == "end" and {"agent", "sent", "key", "operator"} <= set(kinds)
            assert seen[-1]["reason"] == "caller_hangup"
            (call,) = await desk.store.list_calls()
            assert (call.carrier, call.agent, call.end_reason) == ("browser", "support", "caller_hangup")
            await desk.gateway.registry.empty()
            await wait_for(lambda: not desk.gateway.registry.owed)

    asyncio.run(main())


def test_a_gateway_that_stops_ends_the_call_in_its_own_words(tmp_path: Path) -> None:
    async def main() -> MemoryStore:
        async with asyncio.timeout(30), a_desk(tmp_path) as desk:
            async with aclosing(desk.events(await desk.dial())) as events:
                async for event in events:
                    if event["type"] == "agent":
                        break
            store = desk.store
        return store

    (call,) = asyncio.run(main()).calls.values()
    assert call.end_reason == "stopped"


def test_an_unknown_agent_and_a_bad_offer_leave_no_call(tmp_path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(30), a_desk(tmp_path) as desk:
            offer = await desk.page.offer()
            for body, status in (({"agent": "nobody", "sdp": offer}, 409), ({"agent": "support", "sdp": "v=0"}, 422)):
                assert (await desk.http.post("/console/calls", json=body)).status_code == status
            assert not await desk.store.list_calls()

    asyncio.run(main())


def test_without_the_setting_there_is_no_console(tmp_path: Path) -> None:
    (tmp_path / "agents.yaml").write_text(AGENTS)
    app = create_app(
        settings_of(tmp_path, browser_phone=False), load_agents(tmp_path / "agents.yaml"), store=MemoryStore()
    )

    async def main() -> None:
        async with httpx2.AsyncClient(base_url="http://127.0.0.1", transport=httpx2.ASGITransport(app=app)) as http:
            assert (await http.get("/console")).status_code == 404

    asyncio.run(main())


def test_without_its_packages_the_gateway_says_which_extra_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "agents.yaml").write_text(AGENTS)
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "aiortc" else found(name))
    with pytest.raises(ConfigError, match=r"needs the extra `browser`"):
        create_app(settings_of(tmp_path), load_agents(tmp_path / "agents.yaml"), store=MemoryStore())
