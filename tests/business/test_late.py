"""A result that was promised is sent until the gateway has it, and the money is paid once."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import httpx2
import pytest
from standardwebhooks import Webhook

from gateway.business.late import MAX_ATTEMPTS, Late
from tests.business.shop import SAM, SECRET, Talk, in_loop, talking

RESULT = {"result": {"order_id": "6412", "status": "refunded", "amount": "42.50 dollars"}}


class Gateway(httpx2.AsyncBaseTransport):
    """Answers with the next of `statuses`; 0 breaks the connection."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.got: list[tuple[str, bytes, Mapping[str, str]]] = []
        self.called = asyncio.Event()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.called.set()
        self.got.append((request.url.path, await request.aread(), request.headers))
        status = self.statuses.pop(0)
        if not status:
            raise httpx2.ConnectError("refused")
        return httpx2.Response(status)


def late(talk: Talk, gateway: Gateway) -> Late:
    return Late(talk.shop.database, talk.shop.keys, "http://gw", httpx2.AsyncClient(transport=gateway))


async def promised(talk: Talk) -> None:
    answer = await talk.call("refund_order", order_id="6412")
    assert (answer.status_code, answer.json()) == (202, {"status": "pending"})


def outcome(talk: Talk) -> object:
    return talk.rows("promises")[0]["outcome"]


@in_loop
async def test_the_result_is_signed_and_sent_to_the_id_of_the_request(tmp_path: Path) -> None:
    gateway = Gateway(200)
    async with talking(tmp_path) as talk:
        await promised(talk)
        await late(talk, gateway).send("msg_1")
        path, body, headers = gateway.got[0]
        assert path == "/v1/tool-results/msg_1"
        assert Webhook(SECRET).verify(body, dict(headers)) == RESULT
        assert headers["webhook-id"] == "msg_1"
        assert outcome(talk) == "delivered"
        assert talk.rows("refunds") == [{"order_id": "6412", "state": "paid"}]


@in_loop
async def test_until_the_gateway_has_it_the_result_is_sent_again(tmp_path: Path) -> None:
    gateway = Gateway(0, 503, 200)
    async with talking(tmp_path) as talk:
        await promised(talk)
        for expected in (None, None, "delivered"):
            await late(talk, gateway).send("msg_1")
            assert outcome(talk) == expected
        assert {body for _, body, _ in gateway.got} == {json.dumps(RESULT).encode()}


@pytest.mark.parametrize(
    ("status", "expected"), [(404, "unknown to the gateway"), (409, "delivered before"), (410, "the call was over")]
)
@in_loop
async def test_an_answer_that_will_not_change_is_final(tmp_path: Path, status: int, expected: str) -> None:
    async with talking(tmp_path) as talk:
        await promised(talk)
        await late(talk, Gateway(status)).send("msg_1")
        assert outcome(talk) == expected


@in_loop
async def test_it_is_not_tried_for_ever(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        await promised(talk)
        for _ in range(MAX_ATTEMPTS):
            await late(talk, Gateway(500)).send("msg_1")
        assert outcome(talk) == "given up after 500"


@in_loop
async def test_whoever_asks_again_is_promised_again_and_later_told(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        await promised(talk)
        await promised(talk)
        await late(talk, Gateway(200)).send("msg_1")
        again = await talk.call("refund_order", order_id="6412", attempt=2)
        assert (again.status_code, again.json()) == (200, RESULT)
        other = await talk.call("refund_order", order_id="6412", key="key_2", caller=SAM)
        assert other.status_code == 409
        assert len(talk.rows("promises")) == 1


@in_loop
async def test_a_promise_outlives_the_process_that_made_it(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        await promised(talk)
        with talk.shop.database.transaction() as db:
            db.execute("UPDATE promises SET due = 0")
    gateway = Gateway(200)
    async with talking(tmp_path) as talk, asyncio.TaskGroup() as group:
        running = group.create_task(late(talk, gateway).run())
        async with asyncio.timeout(20):
            await gateway.called.wait()
        running.cancel()
    assert [path for path, _, _ in gateway.got] == ["/v1/tool-results/msg_1"]
