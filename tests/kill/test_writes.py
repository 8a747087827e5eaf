"""A real gateway, killed again and again with SIGKILL while callers have slots booked: the business's log decides."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request, Response

from gateway.demo.serving import serve_business
from gateway.simulator.asgi import connect_websocket
from gateway.simulator.carrier import CallPlan, CallReport, HangUp, Say, Script, TwilioNetwork, Wait
from gateway.simulator.carrier.script import Step
from gateway.simulator.clips import load_clips
from gateway.simulator.model import ModelServer
from gateway.simulator.tools.clerk import ASKED, Clerk
from gateway.simulator.tools.shop import Manner, Shop
from gateway.store.rows import StoredInvocation
from gateway.store.store import Store
from gateway.tools.ledger import is_repetition
from gateway.wire import TextSocket
from tests.gateway_process import clean_environment, free_port

pytestmark = pytest.mark.e2e

ACCOUNT = "AC" + "2" * 32
PUBLIC = "https://gw.example.com"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CALLS = 8
KILLS = 3
BETWEEN_S = (4.0, 7.0)
PATIENCE_S = 30.0
"""How long the network waits for a gateway that is being started; a busy machine takes its time."""
AGENTS = """
agents:
  {name}:
    default: true
    instructions: You book slots.
    greeting: Hello.
    tools:
      - name: book
        description: Book a slot.
        parameters: {{type: object, properties: {{slot: {{type: string}}}}}}
        bounds: {{slot: {{fixed: "{{{{caller}}}}"}}}}
        url: {url}/book
        effect: write
        idempotent: {idempotent}
        timeout_s: 5
    limits: {{max_cost_usd: null}}
"""


class Insistent(Clerk):
    """Every turn of its callers is the same wish: what they say while no gateway lives is lost, so it is said again."""

    async def transcribe(self, audio: bytes, prompt: str, turn: int) -> str:
        return ASKED


class Patient(httpx2.AsyncBaseTransport):
    """Asks again while nothing listens, as a balancer does that queues."""

    def __init__(self) -> None:
        self._inner = httpx2.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE_S
        while True:
            try:
                return await self._inner.handle_async_request(request)
            except httpx2.TransportError:
                if loop.time() >= until:
                    raise
                await asyncio.sleep(0.1)

    async def aclose(self) -> None:
        await self._inner.aclose()


@dataclass
class Mortal:
    """A gateway process that is killed and begun again on the same port."""

    folder: Path
    port: int
    environment: Mapping[str, str]
    process: "asyncio.subprocess.Process | None" = None
    log: Any = field(default=None)

    async def begin(self) -> None:
        with (self.folder / "gateway.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gateway", "serve"),
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
            )

    async def ready(self) -> None:
        async with httpx2.AsyncClient(transport=Patient()) as http, asyncio.timeout(60):
            await http.get(f"http://127.0.0.1:{self.port}/livez")

    async def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        assert await self.process.wait() == -signal.SIGKILL
        self.process = None

    async def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            await self.process.wait()


@asynccontextmanager
async def shop_of(group: asyncio.TaskGroup, rng: random.Random, *, idempotent: bool) -> AsyncIterator[tuple[Shop, str]]:
    async def nobody(result_id: str, body: str) -> int:
        raise AssertionError("this shop promises nothing")

    shop = Shop(
        SECRET, Manner.ANSWERS, idempotent, rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9), group.create_task, nobody
    )
    app = FastAPI()

    @app.post("/book")
    async def book(request: Request) -> Response:
        asked = httpx2.Request("POST", str(request.url), headers=dict(request.headers), content=await request.body())
        # A shop that is asked does what it is asked, whoever hangs up meanwhile.
        answer = await asyncio.shield(group.create_task(shop.serve(asked)))
        return Response(await answer.aread(), answer.status_code, media_type="application/json")

    async with serve_business(app) as origin:
        yield shop, origin


async def a_call(network: TwilioNetwork, number: int, begin_s: float) -> tuple[str, CallReport]:
    await asyncio.sleep(begin_s)
    caller = f"+1415555{number:04d}"
    asking: list[Step] = [Wait("agent_done", within_s=40.0), Say(load_clips()["appt-01-am_michael"].audio)]
    script = Script([*asking, *asking, *asking, Wait("agent_done", within_s=40.0, quiet_ms=3000), HangUp()])
    plan = CallPlan(to="+14155550199", from_=caller, voice_url=f"{PUBLIC}/twilio/voice", script=script)
    return caller, await network.call(plan)


async def ledger(url: str) -> list[StoredInvocation]:
    async with Store.open(url, node="n1") as store:
        calls = await store.list_calls(limit=1000)
        phones = {call.carrier_call_id for call in calls}
        return [row for phone in phones for row in await store.invocations_of(phone)]


@pytest.mark.parametrize("idempotent", [True, False], ids=["key honoured", "plain"])
def test_a_killed_gateway_does_nothing_twice_and_knows_what_it_does_not_know(
    url: str, tmp_path: Path, idempotent: bool
) -> None:
    asyncio.run(_killed(url, tmp_path, idempotent=idempotent))


async def _killed(url: str, folder: Path, *, idempotent: bool) -> None:
    rng = random.Random(f"{idempotent}")
    port = free_port()
    clerk = Insistent("{}", stubborn=True, speaks_first=True, think_s=0.3)
    async with asyncio.TaskGroup() as group, ModelServer(clerk) as model:
        async with shop_of(group, rng, idempotent=idempotent) as (shop, origin):
            agents = AGENTS.format(name="desk", url=origin, idempotent=str(idempotent).lower())
            (folder / "agents.yaml").write_text(agents)
            gateway = Mortal(folder, port, _environment(folder, port, url, model.url))
            await gateway.begin()
            await gateway.ready()
            reports = await _calls(gateway, group, rng, port)
            await gateway.stop()
    _judge(shop, reports, await ledger(url), model, idempotent=idempotent)


async def _calls(gateway: Mortal, group: asyncio.TaskGroup, rng: random.Random, port: int) -> dict[str, CallReport]:
    async def connect(address: str, headers: Mapping[str, str]) -> TextSocket:
        return await connect_websocket(address, headers)

    async with httpx2.AsyncClient(transport=Patient()) as http:
        network = TwilioNetwork(ACCOUNT, "token", http, connect, route={PUBLIC: f"http://127.0.0.1:{port}"})
        span_s = KILLS * sum(BETWEEN_S) / 2
        calling = [group.create_task(a_call(network, n, rng.uniform(0, span_s))) for n in range(CALLS)]
        for _ in range(KILLS):
            await asyncio.sleep(rng.uniform(*BETWEEN_S))
            await gateway.kill()
            await gateway.begin()
            await gateway.ready()
        return dict([await one for one in calling])


def _environment(folder: Path, port: int, url: str, model: str) -> dict[str, str]:
    return clean_environment(folder) | {
        "GATEWAY_PORT": str(port),
        "GATEWAY_DATABASE_URL": url,
        "GATEWAY_NODE_NAME": "n1",
        "GATEWAY_PUBLIC_URL": PUBLIC,
        "GATEWAY_MODEL_URL": model,
        "GATEWAY_WEBHOOK_SECRET": SECRET,
        "GATEWAY_WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8",
        "OPENAI_API_KEY": "local",
        "TWILIO_AUTH_TOKEN": "token",
        "TWILIO_ACCOUNT_SID": ACCOUNT,
        "SSL_CERT_FILE": os.environ.get("SSL_CERT_FILE", ""),
    }


def _judge(
    shop: Shop,
    reports: Mapping[str, CallReport],
    rows: list[StoredInvocation],
    model: ModelServer,
    *,
    idempotent: bool,
) -> None:
    told = " ".join(text for session in model.sessions for text in session.texts())
    assert max(shop.bookings.values()) == 1, f"done twice: {shop.bookings}"
    rows = [row for row in rows if not is_repetition(row)]
    assert {row.state for row in rows} <= ({"done"} if idempotent else {"done", "unknown"})
    by_caller = {row.from_number: row.state for row in rows}
    assert len(by_caller) == len(rows), "one record for each caller"
    assert set(shop.bookings) <= set(by_caller), "nothing without a record"
    for caller, state in by_caller.items():
        if state == "done":
            assert shop.bookings[caller] == 1
    lived = [caller for caller, report in reports.items() if report.ended_by == "caller"]
    for caller in lived:
        if by_caller.get(caller) == "done":
            assert f"REF-{caller}" in told, "a caller who stayed is told"
    again = sum(report.ended_by == "caller" and len(report.media.heard) > 0 for report in reports.values())
    sys.stdout.write(
        f"{len(rows)} writes of {len(reports)} calls, {len(lived)} stayed, {again} were heard; "
        f"{sum(shop.bookings.values())} done, {len(shop.asked)} requests, states {sorted(by_caller.values())}\n"
    )
