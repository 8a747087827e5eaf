"""`/v1/deliveries` as a client meets it, and the same by the command line."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI
from typer.testing import CliRunner

from gateway.apikeys import KeyRing, named_hash
from gateway.cli import app as cli
from gateway.deliveries import deliveries_router
from gateway.operator.door import Door
from gateway.store.memory import MemoryStore
from gateway.store.rows import StoredDelivery, StoreError
from gateway.store.store import Store
from tests.clock import run
from tests.deliveries.outbox import delivery

KEY = "a-key-of-the-night-shift"
SECRET_WORDS = "my dog is called Rex"


@asynccontextmanager
async def asked(store: MemoryStore, woken: list[bool]) -> AsyncIterator[httpx2.AsyncClient]:
    app = FastAPI(openapi_url=None)
    door = Door(KeyRing([named_hash("night-shift", KEY)]), "node-1")
    app.include_router(deliveries_router(door, store, lambda: woken.append(True)))
    headers = {"authorization": f"Bearer {KEY}"}
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(base_url="https://gw.example.com", transport=transport, headers=headers) as client:
        yield client


def filled() -> MemoryStore:
    store = MemoryStore()
    for number in range(5):
        store.deliver(delivery(number, body=json.dumps({"text": SECRET_WORDS})))
    store.delivery_updated("call_1:call_ended", "dead", None, 14, "HTTP 500")
    store.delivery_updated("call_2:call_ended", "delivered", None, 1, "HTTP 204")
    return store


def test_deliveries_are_listed_without_what_they_hold() -> None:
    async def main() -> None:
        async with asked(filled(), []) as client:
            answer = await client.get("/v1/deliveries")
            assert answer.status_code == 200 and len(answer.json()["deliveries"]) == 5
            assert "Rex" not in answer.text and answer.headers["cache-control"] == "no-store"
            (dead,) = (await client.get("/v1/deliveries?state=dead")).json()["deliveries"]
            assert (dead["id"], dead["attempts"], dead["detail"]) == ("call_1:call_ended", 14, "HTTP 500")
            of_call = (await client.get("/v1/deliveries?call_id=call_3&limit=1")).json()["deliveries"]
            assert [row["call_id"] for row in of_call] == ["call_3"]

    run(main())


def test_one_is_shown_whole_and_sent_again() -> None:
    async def main() -> None:
        woken: list[bool] = []
        async with asked(filled(), woken) as client:
            one = await client.get("/v1/deliveries/call_1:call_ended")
            assert one.status_code == 200 and json.loads(one.json()["body"]) == {"text": SECRET_WORDS}
            assert "secret" not in one.json()
            again = await client.post("/v1/deliveries/call_1:call_ended/replay")
            assert (again.status_code, again.json()) == (200, {"id": "call_1:call_ended", "state": "waiting"})
            assert woken == [True]
            assert (await client.post("/v1/deliveries/call_1:call_ended/replay")).status_code == 409
            assert (await client.post("/v1/deliveries/nobody/replay")).status_code == 404
            assert (await client.get("/v1/deliveries/" + "x" * 5000)).status_code == 404

    run(main())


@pytest.mark.parametrize(
    "query",
    ["state=lost", "limit=0", "limit=501", "limit=x", "limit=-1", "limit=99999999", "limit=²", "call_id=", "state="],
)
def test_a_wrong_parameter_is_told(query: str) -> None:
    async def main() -> None:
        async with asked(filled(), []) as client:
            answer = await client.get(f"/v1/deliveries?{query}")
            assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")

    run(main())


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("GET", "/call_1:call_ended"), ("POST", "/x/replay")])
def test_nobody_without_a_key_learns_anything(method: str, path: str) -> None:
    async def main() -> None:
        async with asked(filled(), []) as client:
            answer = await client.request(method, f"/v1/deliveries{path}", headers={"authorization": "Bearer wrong"})
            assert answer.status_code == 401 and "call_1" not in answer.text

    run(main())


def test_a_store_that_is_away_is_said_so() -> None:
    class Away(MemoryStore):
        async def get_delivery(self, delivery_id: str) -> StoredDelivery | None:
            raise StoreError("the store cannot be read")

    async def main() -> None:
        async with asked(Away(), []) as client:
            assert (await client.get("/v1/deliveries/x")).status_code == 503

    run(main())


def test_the_command_line_lists_shows_and_replays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'gateway.db'}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_DATABASE_URL", url)

    async def fill() -> None:
        async with Store.open(url) as store:
            for number in range(3):
                store.deliver(delivery(number, body=json.dumps({"text": SECRET_WORDS})))
            store.delivery_updated("call_1:call_ended", "dead", None, 14, "HTTP 500")
            await store.flush()

    asyncio.run(fill())

    def gateway(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(cli, ["deliveries", *words])
        return result.exit_code, result.output

    code, text = gateway("list")
    assert code == 0 and "call_1:call_ended" in text and "HTTP 500" in text and "Rex" not in text
    dead = json.loads(gateway("list", "--state", "dead", "--json")[1])["deliveries"]
    assert [row["id"] for row in dead] == ["call_1:call_ended"]
    assert "Rex" in gateway("show", "call_1:call_ended")[1]
    assert json.loads(gateway("show", "call_1:call_ended", "--json")[1])["state"] == "dead"
    assert gateway("replay", "call_1:call_ended")[0] == 0
    assert gateway("replay", "call_1:call_ended")[0] == 1
    assert json.loads(gateway("list", "--state", "dead", "--json")[1])["deliveries"] == []


def test_the_command_line_creates_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_DATABASE_URL", f"sqlite:///{tmp_path / 'none.db'}")
    result = CliRunner().invoke(cli, ["deliveries", "list"])
    assert isinstance(result.exception, StoreError) and not (tmp_path / "none.db").exists()
