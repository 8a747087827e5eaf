"""`/v1/calls` over loopback, as a client meets it."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI

from gateway.errors import CarrierError, GatewayError
from gateway.outbound.attempts import Attempt
from gateway.outbound.dialler import Dialler
from gateway.outbound.pace import Pace
from gateway.outbound.policy import DialPolicy
from gateway.outbound.routes import hash_key, router
from tests.outbound.memory import MemoryAttempts
from tests.outbound.test_dialler import Carrier, raising
from tests.outbound.twilio_api import CALL

pytestmark = pytest.mark.e2e

KEY = "key-0123456789abcdef"
OTHER_KEY = "key-fedcba9876543210"
BODY: dict[str, object] = {"to": "+14155552671", "agent": "sales"}


@dataclass
class Gateway:
    """The routes on a real server, with a carrier that the test scripts."""

    carrier: Carrier = field(default_factory=Carrier)
    attempts: MemoryAttempts = field(default_factory=MemoryAttempts)
    pace: Pace = field(default_factory=lambda: Pace(1000))
    hour_utc: int = 19

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[httpx2.AsyncClient]:
        dialler = Dialler(
            policy=DialPolicy(frozenset({"US"})),
            carrier=self.carrier,
            attempts=self.attempts,
            public_url="https://gw.example",
            clock=lambda: datetime(2026, 6, 10, self.hour_utc, tzinfo=UTC),
            pace=self.pace,
        )
        app = FastAPI()
        app.include_router(
            router(dialler, [hash_key(KEY), hash_key(OTHER_KEY)], {"sales": "+14155550100", "bare": None})
        )
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            async with asyncio.TaskGroup() as group:
                group.create_task(server.serve([listener]))
                async with httpx2.AsyncClient(base_url=url, trust_env=False) as client:
                    yield client
                server.should_exit = True


def during(gateway: Gateway, use: Callable[[httpx2.AsyncClient], Coroutine[object, object, None]]) -> None:
    async def scenario() -> None:
        async with gateway.serving() as client:
            await use(client)

    asyncio.run(scenario())


async def post(client: httpx2.AsyncClient, body: object = None, key: str = KEY, **headers: str) -> httpx2.Response:
    content = body if isinstance(body, bytes) else json.dumps(BODY if body is None else body).encode()
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post("/v1/calls", content=content, headers={"authorization": f"Bearer {key}", **more})


def test_a_call_is_accepted_and_can_be_looked_up() -> None:
    async def use(client: httpx2.AsyncClient) -> None:
        answer = await post(client, {**BODY, "zone": "America/New_York", "metadata": {"order": "7"}})
        assert answer.status_code == 202
        shown = answer.json()
        assert (shown["call_sid"], shown["state"], shown["to"]) == (CALL, "placed", "•••71")
        again = await client.get(answer.headers["location"], headers={"authorization": f"Bearer {KEY}"})
        assert (again.status_code, again.json()) == (200, shown)

    during(Gateway(), use)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", f"Basic {KEY}", f"Bearer {hash_key(KEY)}", KEY])
def test_without_a_valid_key_nothing_is_shown_or_done(header: str) -> None:
    gateway = Gateway()

    async def use(client: httpx2.AsyncClient) -> None:
        answer = await client.post("/v1/calls", json=BODY, headers={"authorization": header})
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert (await client.get("/v1/calls/at_x", headers={"authorization": header})).status_code == 401

    during(gateway, use)
    assert gateway.carrier.urls == []


NAME = "a name may have 64 letters, digits, dots, dashes and underscores"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        *((body, "body: is not valid JSON") for body in (b"", b"{", b"\xff\xfe", b"[" * 16000)),
        (b"[]", "body: must be a JSON object"),
        ({}, "to: is missing"),
        ({"to": 5, "agent": "sales"}, "to: must be text"),
        ({**BODY, "surprise": 1}, "surprise: is not known"),
        ({**BODY, "metadata": {"a b": "c"}}, f"metadata.a b.[key]: {NAME}"),
        ({**BODY, "metadata": {"a": "c" * 513}}, "metadata.a: may have 512 characters"),
        ({**BODY, "metadata": {f"k{n}": "" for n in range(17)}}, "metadata: may have 16 entries"),
        ({**BODY, "metadata": {"a": 1}}, "metadata.a: must be text"),
        ({**BODY, "metadata": []}, "metadata: must be a JSON object"),
        ({**BODY, "from": "Bank"}, "from: must be a whole number with its country code, such as +14155550123"),
        ({**BODY, "zone": ""}, "zone: must not be empty"),
        ({**BODY, "agent": "nobody"}, "agent: no agent of this name places calls"),
        ({**BODY, "agent": "bare"}, "from: this agent has no number of its own, so say which to call from"),
    ],
)
def test_a_body_that_we_do_not_take_is_422_with_a_sentence(body: object, words: str) -> None:
    async def use(client: httpx2.AsyncClient) -> None:
        answer = await post(client, body)
        assert (answer.status_code, answer.json()["error"]["message"]) == (422, words)

    during(Gateway(), use)


def test_a_body_over_the_bound_is_413() -> None:
    async def use(client: httpx2.AsyncClient) -> None:
        assert (await post(client, b" " * 16385)).status_code == 413

    during(Gateway(), use)


@pytest.mark.parametrize(
    ("to", "rule"),
    [("911", "emergency"), ("+19005551234", "premium"), ("4155552671", "format"), ("+442079460958", "country")],
)
def test_a_policy_refusal_is_403_with_the_rule_and_without_the_number(to: str, rule: str) -> None:
    async def use(client: httpx2.AsyncClient) -> None:
        answer = await post(client, {**BODY, "to": to})
        assert (answer.status_code, answer.json()["error"]["rule"]) == (403, rule)
        assert to not in answer.text

    during(Gateway(), use)


def test_outside_calling_hours_is_403() -> None:
    async def use(client: httpx2.AsyncClient) -> None:
        assert (await post(client)).json()["error"]["rule"] == "window"
        assert (await post(client, {**BODY, "zone": "nowhere"})).json()["error"]["rule"] == "unknown_zone"

    during(Gateway(hour_utc=9), use)


def test_the_idempotency_key_is_honoured_for_each_api_key_apart() -> None:
    gateway = Gateway()

    async def use(client: httpx2.AsyncClient) -> None:
        first, second = [await post(client, idempotency_key="k") for _ in range(2)]
        assert first.json() == second.json()
        assert (await post(client, {**BODY, "to": "+14155552672"}, idempotency_key="k")).status_code == 409
        assert (await post(client, key=OTHER_KEY, idempotency_key="k")).json()["attempt_id"] != first.json()[
            "attempt_id"
        ]
        assert (await post(client, idempotency_key="k" * 129)).status_code == 422

    during(gateway, use)
    assert len(gateway.carrier.urls) == 2


def test_a_carrier_refusal_is_502_and_an_unknown_outcome_is_not() -> None:
    async def refused(client: httpx2.AsyncClient) -> None:
        answer = await post(client)
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "carrier")
        shown = await client.get(
            f"/v1/calls/{answer.json()['error']['attempt_id']}", headers={"authorization": f"Bearer {KEY}"}
        )
        assert shown.json()["state"] == "failed"

    async def unknown(client: httpx2.AsyncClient) -> None:
        answer = await post(client)
        assert (answer.status_code, answer.json()["state"]) == (202, "unknown")

    during(Gateway(raising(CarrierError("no", permanent=True))), refused)
    during(Gateway(raising(CarrierError("lost", code="lost"))), unknown)


def test_too_many_waiting_calls_are_429_with_a_time_to_come_back() -> None:
    async def use(client: httpx2.AsyncClient) -> None:
        assert (await post(client)).status_code == 202
        answer = await post(client)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "100")

    during(Gateway(pace=Pace(0.01, max_wait_s=0.5)), use)


def test_a_store_that_does_not_answer_is_503_and_nothing_is_placed() -> None:
    class Broken(MemoryAttempts):
        async def create_attempt(self, attempt: Attempt) -> bool:
            raise GatewayError("no disk")

        async def get_attempt(self, attempt_id: str) -> Attempt | None:
            if attempt_id == "at_asked":
                raise GatewayError("no disk")
            return None

    gateway = Gateway(attempts=Broken())

    async def use(client: httpx2.AsyncClient) -> None:
        assert (await post(client)).status_code == 503
        asked = await client.get("/v1/calls/at_asked", headers={"authorization": f"Bearer {KEY}"})
        assert asked.status_code == 503

    during(gateway, use)
    assert gateway.carrier.urls == []


def test_an_attempt_that_does_not_exist_is_404() -> None:
    async def use(client: httpx2.AsyncClient) -> None:
        for name in ("at_nothing", "x" * 5000):
            answer = await client.get(f"/v1/calls/{name}", headers={"authorization": f"Bearer {KEY}"})
            assert answer.status_code == 404

    during(Gateway(), use)


def test_a_client_that_goes_away_in_its_body_leaves_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async def use(client: httpx2.AsyncClient) -> None:
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        head = f"POST /v1/calls HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 900\r\n\r\n"
        writer.write(head.encode() + b'{"to"')
        await writer.drain()
        writer.close()
        assert await reader.read() == b""
        assert (await post(client)).status_code == 202

    during(Gateway(), use)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
