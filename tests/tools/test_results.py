"""The route of late results: every answer, and what reaches the call and the ledger."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from standardwebhooks import Webhook

from gateway.agents import AgentsFile
from gateway.simulator.clock import run
from gateway.store import CallEnd, CallRow
from gateway.store.memory import MemoryStore
from gateway.store.ports import CallStore
from gateway.store.rows import StoredInvocation, StoreError
from gateway.store.store import Store
from gateway.tools.request import message_id
from gateway.tools.results import LateResults, results_router

from .shop import BOOK, SECRET, Place, Shop, agent, at_desk

OURS = SECRET.get_secret_value()
THEIRS = "whsec_" + "dGhlaXJzLXRoZWlycy10aGVpcnM="
NOBODYS = "whsec_" + "bm9ib2R5cy1ub2JvZHlzLW5vYm9keXM="
MESSAGE = message_id("CA1:t1")
OWN_SECRET = BOOK | {"name": "own", "url": "https://shop.example.com/own", "secret": "env:SHOP_SECRET"}
PENDING: Mapping[str, object] = {"status": "pending"}
NOW = datetime.now(UTC)


@dataclass
class Door:
    """A call whose booking was promised, and the way in for its result."""

    place: Place
    http: httpx2.AsyncClient
    app: FastAPI

    async def send(
        self,
        body: object = None,
        *,
        to: str = MESSAGE,
        signed_id: str | None = None,
        secret: str = OURS,
        age_s: float = 0,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Send a late result and return status and JSON of the answer."""
        text = body if isinstance(body, str) else json.dumps({"result": "table 4"} if body is None else body)
        at = datetime.now(UTC) - timedelta(seconds=age_s)
        signed = signed_id or to
        sent = {
            "webhook-id": signed,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(secret).sign(signed, at, text),
        }
        answer = await self.http.post(f"/v1/tool-results/{to}", content=text, headers=sent | dict(headers or {}))
        assert answer.headers["cache-control"] == "no-store"
        return answer.status_code, answer.json()


@asynccontextmanager
async def door(store: CallStore | None = None, shop: Shop | None = None, tool: str = "book") -> AsyncIterator[Door]:
    store = store or MemoryStore()
    async with at_desk(store, shop or Shop(202, PENDING), BOOK, OWN_SECRET) as place:
        call = place.call
        store.call_offered(
            CallRow(call.call_id, "twilio", "CA1", "inbound", "support", call.from_number, call.to_number, NOW)
        )
        await place.ask("t1", name=tool)
        agents = AgentsFile.model_construct(agents={"support": agent(BOOK, OWN_SECRET)})
        app = FastAPI(openapi_url=None)
        app.include_router(results_router(LateResults(store, place.desk, agents, SECRET, place.meter)))
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="https://gw.example.com") as http:
            yield Door(place, http, app)


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_SECRET", THEIRS)


def test_a_result_is_delivered_and_its_repetition_refused() -> None:
    async def main() -> None:
        async with door() as it:
            assert await it.send() == (200, {"status": "delivered"})
            assert [(late.tool_call_id, late.ok, late.output) for late in it.place.late] == [("t1", True, '"table 4"')]
            assert await it.place.state() == "done"
            status, answer = await it.send({"result": "another"})
            assert (status, answer["error"]["code"]) == (409, "duplicate")
            assert len(it.place.late) == 1 and it.place.meter.late == {"delivered": 1, "duplicate": 1}

    run(main())


def test_two_at_once_are_one_result_and_one_duplicate() -> None:
    async def main() -> None:
        async with door() as it:
            answers = await asyncio.gather(*(it.send() for _ in range(5)))
            assert sorted(status for status, _ in answers) == [200, 409, 409, 409, 409]
            assert len(it.place.late) == 1

    run(main())


def test_all_parts_of_the_reply_form_count() -> None:
    async def main() -> None:
        async with door() as it:
            body = {
                "result": 1,
                "say": "It is ready.",
                "variables": {"table": 4},
                "action": {"type": "hang_up"},
            }
            assert (await it.send(body))[0] == 200
            (late,) = it.place.late
            assert (late.output, late.say, late.action) == ("1", "It is ready.", "hang_up")
            assert it.place.desk.variables("call-1") == {"table": 4}

    run(main())


def test_a_failure_that_comes_late_is_a_failure() -> None:
    async def main() -> None:
        async with door() as it:
            assert (await it.send({"error": {"message": "fully booked"}}))[0] == 200
            (late,) = it.place.late
            assert not late.ok and "fully booked" in late.output and await it.place.state() == "failed"

    run(main())


@pytest.mark.parametrize("to", [MESSAGE, message_id("CA1:other"), "x", "msg_" + "%20" * 50])
def test_a_stranger_cannot_tell_an_id_from_another(to: str) -> None:
    async def main() -> None:
        async with door() as it:
            status, answer = await it.send(to=to, secret=NOBODYS)
            assert (status, answer["error"]["message"]) == (401, "no signature of webhook-signature matches")
            unsigned = {"webhook-id": "", "webhook-timestamp": "", "webhook-signature": ""}
            assert (await it.send(to=to, headers=unsigned))[0] == 401
            assert await it.place.state() == "pending" and it.place.late == []

    run(main())


def test_a_signed_id_that_nobody_knows_is_not_found() -> None:
    async def main() -> None:
        async with door() as it:
            status, answer = await it.send(to=message_id("CA1:other"))
            assert (status, answer["error"]["code"]) == (404, "unknown")

    run(main())


def test_a_result_cannot_be_moved_to_another_call() -> None:
    async def main() -> None:
        async with door() as it:
            status, answer = await it.send(signed_id=message_id("CA1:other"))
            assert status == 401 and "not the id in the path" in answer["error"]["message"]

    run(main())


def test_an_old_signature_is_refused() -> None:
    async def main() -> None:
        async with door() as it:
            status, answer = await it.send(age_s=600)
            assert status == 401 and "too old" in answer["error"]["message"]

    run(main())


def test_the_result_of_a_tool_is_signed_with_its_own_secret() -> None:
    async def main() -> None:
        async with door(tool="own") as it:
            assert (await it.send(secret=OURS))[0] == 401
            assert (await it.send(secret=THEIRS))[0] == 200

    run(main())


def test_one_businesss_key_opens_nothing_of_anothers() -> None:
    async def main() -> None:
        async with door() as it:
            assert (await it.send(secret=THEIRS))[0] == 401
            assert await it.place.state() == "pending"

    run(main())


@pytest.mark.parametrize("body", ["no json", "", "[" * 20_000, '{"result": NaN}'])
def test_a_body_that_cannot_be_read_may_be_sent_again(body: str) -> None:
    async def main() -> None:
        async with door() as it:
            status, answer = await it.send(body)
            assert (status, answer["error"]["code"]) == (422, "unusable")
            assert (await it.send())[0] == 200

    run(main())


def test_a_body_that_is_too_long_is_not_read() -> None:
    async def main() -> None:
        async with door() as it:
            status, answer = await it.send("x" * 262_145)
            assert (status, answer["error"]["code"]) == (413, "too_large")

            async def endless() -> AsyncIterator[bytes]:
                while True:
                    yield b"x" * 65_536

            answer = await it.http.post(f"/v1/tool-results/{MESSAGE}", content=endless())
            assert answer.status_code == 413

    run(main())


def test_a_body_that_does_not_come_is_given_up() -> None:
    async def main() -> None:
        async with door() as it:
            began: list[int] = []

            async def receive() -> dict[str, Any]:
                await asyncio.sleep(3600)
                return {}

            async def send(message: Any) -> None:
                if message["type"] == "http.response.start":
                    began.append(message["status"])

            scope = {
                "type": "http",
                "method": "POST",
                "path": f"/v1/tool-results/{MESSAGE}",
                "query_string": b"",
                "headers": [],
            }
            begun = asyncio.get_running_loop().time()
            await it.app(scope, receive, send)
            assert began == [408] and asyncio.get_running_loop().time() - begun < 11

    run(main())


def test_after_the_call_a_result_is_kept_and_the_business_told_so() -> None:
    async def main() -> None:
        async with door() as it:
            it.place.desk.close_call("call-1")
            it.place.store.call_ended(CallEnd("call-1", NOW, "caller_hangup", 1000))
            status, answer = await it.send()
            assert (status, answer["error"]["code"]) == (410, "over")
            assert await it.place.state() == "done" and it.place.late == []
            assert (await it.send())[0] == 409

    run(main())


def test_a_result_for_the_call_of_another_node_is_delivered() -> None:
    async def main() -> None:
        async with door() as it:
            it.place.desk.close_call("call-1")  # it lives, but not here
            assert (await it.send())[0] == 200

    run(main())


class Forgetful(MemoryStore):
    """A store whose database goes away when told."""

    away = False

    async def invocation_by_message(self, message_id: str) -> StoredInvocation | None:
        if self.away:
            raise StoreError("away")
        return await super().invocation_by_message(message_id)

    async def flush(self) -> None:
        if self.away:
            await asyncio.sleep(3600)


def test_what_cannot_be_kept_is_to_be_sent_again() -> None:
    async def main() -> None:
        store = Forgetful()
        async with door(store) as it:
            store.away = True
            status, answer = await it.send()
            assert (status, answer["error"]["code"]) == (503, "unavailable")
            store.away = False
            assert (await it.send())[0] == 200

    run(main())


def test_a_result_that_waits_for_the_database_reaches_the_call_all_the_same() -> None:
    class Slow(Forgetful):
        async def invocation_by_message(self, message_id: str) -> StoredInvocation | None:
            return await MemoryStore.invocation_by_message(self, message_id)

    async def main() -> None:
        store = Slow()
        async with door(store) as it:
            store.away = True
            assert (await it.send())[0] == 503
            assert len(it.place.late) == 1
            store.away = False
            assert (await it.send())[0] == 409  # it is there by now
            assert len(it.place.late) == 1

    run(main())


def test_a_result_in_sqlite_is_there_for_the_next_process(tmp_path: Path) -> None:
    async def main() -> None:
        url = f"sqlite:///{tmp_path}/g.db"
        async with Store.open(url) as store, door(store) as it:
            assert (await it.send())[0] == 200
        async with Store.open(url) as store:
            row = await store.invocation_by_message(MESSAGE)
            assert row is not None and (row.state, row.output, row.arguments) == ("done", '"table 4"', None)

    asyncio.run(main())
