"""Business webhooks over loopback sockets: the signed request, what is sent again, an outcome for every failure."""

import asyncio
import json
import re
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook

from gateway.agents import Tool
from gateway.simulator.clock import run
from gateway.tools.catalogue import ToolKind, catalogue_tool
from gateway.tools.netguard import NetGuard
from gateway.tools.request import CallFacts, ToolOutcome, ToolRequest, message_id
from gateway.tools.webhook import WebhookInvoker

from .server import Business, Reply, answer, business, endless, garbage, half, in_turn, reset, silence

MAYBE = (
    " It is not known whether it was done. Do not call this again. Tell the caller that it is not certain, "
    "and offer another way."
)
NOTHING = " Nothing was done. Tell the caller so, and offer another way."
OFFER = " Tell the caller so, and offer another way."
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CALL = CallFacts("call-1", "support", "inbound", "+14155550123", "+14155550199", {"tier": "gold"})


def request(url: str, **policy: Any) -> ToolRequest:
    """A function call of a tool that writes, unless `policy` says otherwise."""
    fields = {"name": "lookup_order", "description": "x", "url": url, "timeout_s": 5, "headers": {"X-Tenant": "acme"}}
    tool = Tool.model_validate(fields | policy)
    offered = catalogue_tool(tool.name, ToolKind.WEBHOOK, tool.description, tool.parameters, tool, tool)
    return ToolRequest(CALL, offered, "call_abc", {"order_id": "A1 ü"}, {"customer": 7})


def invoker(guard: NetGuard | None = None) -> WebhookInvoker:
    return WebhookInvoker(guard or NetGuard(allow_loopback=True), default_secret=SecretStr(SECRET))


def outcome(reply: Reply, **policy: Any) -> tuple[ToolOutcome, Business]:
    """Make one call to a server that answers so."""

    async def main() -> tuple[ToolOutcome, Business]:
        async with business(reply) as server, invoker() as tools:
            return await tools.invoke(request(server.url, **policy)), server

    return asyncio.run(main())


def told(result: ToolOutcome) -> str:
    """What the model reads of a failure."""
    assert not result.ok
    message = json.loads(result.output)["error"]["message"]
    assert isinstance(message, str)
    return message


def test_the_request_is_the_signed_envelope() -> None:
    result, server = outcome(answer(200, {"result": {"status": "shipped"}}))
    assert result.ok
    assert result.output == '{"status":"shipped"}'
    assert result.detail == "HTTP 200"
    (received,) = server.received
    assert received.line == "POST /orders HTTP/1.1"
    body = Webhook(SECRET).verify(received.body, received.headers)
    assert received.headers["idempotency-key"] == "call-1:call_abc"
    assert received.headers["x-tenant"] == "acme"
    assert received.headers["accept-encoding"] == "identity"
    assert received.headers["webhook-id"] == body["id"]
    assert 4000 < body["data"].pop("deadline_ms") <= 5000
    assert body["timestamp"].endswith("Z")
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", received.headers["traceparent"])
    assert body["type"] == "tool.call" and body["api_version"] == "1"
    assert body["data"] == {
        "call": {
            "id": "call-1",
            "direction": "inbound",
            "from": "+14155550123",
            "to": "+14155550199",
            "agent": "support",
            "metadata": {"tier": "gold"},
        },
        "tool": {"name": "lookup_order", "call_id": "call_abc"},
        "arguments": {"order_id": "A1 ü"},
        "variables": {"customer": 7},
        "attempt": 1,
        "result_id": message_id("call-1:call_abc"),
    }


@pytest.mark.parametrize(
    ("document", "output"),
    [
        ({"result": None}, "null"),
        ({"result": "ok", "say": "hm"}, '"ok"'),
        ({"status": "shipped"}, '{"status":"shipped"}'),
        ([1, 2], "[1,2]"),
        ("grün", '"grün"'),
        (b"", "null"),
        (b'"\\ud800"', '"\\ud800"'),
    ],
)
def test_a_success_is_its_result_or_the_whole_json(document: object, output: str) -> None:
    result, _ = outcome(answer(200, document))
    assert (result.ok, result.output) == (True, output)


def test_json_by_any_name_is_accepted() -> None:
    result, _ = outcome(answer(200, {"a": 1}, kind="application/hal+json; charset=utf-8"))
    assert result.output == '{"a":1}'


@pytest.mark.parametrize(
    ("reply", "message", "detail"),
    [
        (answer(404, {"error": {"message": "no such order"}}), "no such order", "HTTP 404"),
        (answer(400, {"error": "order id is short"}), "order id is short", "HTTP 400"),
        (answer(422, {"detail": "x"}), "the system refused the request (HTTP 422)", "HTTP 422"),
        (answer(403, b"<html>", kind="text/html"), "the system refused the request (HTTP 403)", "HTTP 403"),
        (answer(409, {"error": {"message": "x" * 5000}}), "x" * 1000, "HTTP 409"),
        (answer(404, b"x" * 300_000), "the system refused the request (HTTP 404)", "HTTP 404"),
    ],
)
def test_a_refusal_is_told_in_the_words_of_the_business(reply: Reply, message: str, detail: str) -> None:
    result, server = outcome(reply)
    assert (told(result), result.detail, result.unknown) == (message, detail, False)
    assert len(server.received) == 1


@pytest.mark.parametrize(
    ("reply", "message", "detail"),
    [
        (answer(500, {"error": {"message": "stack"}}), "The system reported a failure.", "HTTP 500"),
        (answer(503, b"busy", kind="text/plain"), "The system reported a failure.", "HTTP 503"),
        (answer(500, b"x" * 300_000), "The system reported a failure.", "HTTP 500"),
        (
            answer(303, b"", "location: http://127.0.0.1:1/"),
            "The system is not set up correctly.",
            "HTTP 303: redirect",
        ),
        (
            answer(200, b"<html>", kind="text/html"),
            "The system's answer cannot be read.",
            "HTTP 200: the answer is not application/json",
        ),
        (
            answer(200, b"{"),
            "The system's answer cannot be read.",
            "HTTP 200: expecting property name enclosed in double",
        ),
        (answer(200, b'{"a": NaN}'), "The system's answer cannot be read.", "HTTP 200: NaN is not JSON"),
        (answer(200, b"1e999"), "The system's answer cannot be read.", "HTTP 200: a number is out of range"),
        (answer(200, b"\xff\xff\xff"), "The system's answer cannot be read.", "HTTP 200: "),
        (answer(200, b"[" * 100_000), "The system's answer cannot be read.", "HTTP 200: nested too deeply"),
        (
            answer(200, b"\x1f\x8b", "content-encoding: gzip"),
            "The system's answer cannot be read.",
            "HTTP 200: the answer is compressed although identity was asked for",
        ),
        (answer(200, b'"' + b"x" * 300_000 + b'"'), "The system's answer is too long.", "HTTP 200: over 262144 bytes"),
        (endless, "The system's answer is too long.", "HTTP 200: over 262144 bytes"),
        (reset, "The system broke off the connection.", "connection failed: "),
        (half, "The system broke off the connection.", "connection failed: "),
        (garbage, "The system broke off the connection.", "connection failed: "),
    ],
)
def test_a_write_without_a_usable_answer_is_unknown_and_not_sent_again(reply: Reply, message: str, detail: str) -> None:
    result, server = outcome(reply)
    assert told(result) == message + MAYBE
    assert result.unknown and json.loads(result.output)["error"]["outcome"] == "unknown"
    assert result.detail.startswith(detail)
    assert len(server.received) == 1


def test_a_redirect_that_keeps_the_method_means_that_nothing_was_done() -> None:
    result, _ = outcome(answer(308, b"", "location: http://127.0.0.1:1/"))
    assert (told(result), result.unknown) == ("The system is not set up correctly." + NOTHING, False)


@pytest.mark.parametrize(("effect", "after"), [("read", OFFER), ("write", MAYBE)])
def test_silence_ends_at_the_deadline(effect: str, after: str) -> None:
    result, server = outcome(silence, timeout_s=0.2, effect=effect)
    assert told(result) == "The system did not answer in time." + after
    assert result.detail == "no answer within 0.2 s"
    assert result.unknown is (effect == "write")
    assert 190 <= result.elapsed_ms < 1000
    assert len(server.received) == 1


REPEATABLE: list[dict[str, Any]] = [{"effect": "read"}, {"effect": "write", "idempotent": True}]


@pytest.mark.parametrize("policy", REPEATABLE)
@pytest.mark.parametrize("failure", [reset, half, answer(502, {}), answer(503, {}), answer(504, {}), answer(429, {})])
def test_what_may_be_repeated_is_sent_again_with_the_same_key(failure: Reply, policy: dict[str, Any]) -> None:
    result, server = outcome(in_turn(failure, failure, answer(200, {"result": 1})), **policy)
    assert (result.ok, result.output, result.detail) == (True, "1", "HTTP 200, tried 3 times")
    bodies = [Webhook(SECRET).verify(received.body, received.headers) for received in server.received]
    assert [body["data"]["attempt"] for body in bodies] == [1, 2, 3]
    for name in ("webhook-id", "idempotency-key", "traceparent"):
        assert len({received.headers[name] for received in server.received}) == 1
    assert {body["id"] for body in bodies} == {message_id("call-1:call_abc")}


@pytest.mark.parametrize("policy", REPEATABLE)
def test_two_more_tries_are_all(policy: dict[str, Any]) -> None:
    result, server = outcome(answer(503, {}), **policy)
    assert len(server.received) == 3
    assert result.detail == "HTTP 503, tried 3 times"
    assert result.unknown is (policy["effect"] == "write")


@pytest.mark.parametrize("policy", REPEATABLE)
@pytest.mark.parametrize("reply", [answer(500, {}), answer(404, {}), answer(200, b"{"), endless])
def test_what_another_try_would_not_change_is_not_tried(reply: Reply, policy: dict[str, Any]) -> None:
    _, server = outcome(reply, **policy)
    assert len(server.received) == 1


def test_a_refusal_at_the_second_try_settles_an_idempotent_write() -> None:
    result, _ = outcome(in_turn(reset, answer(409, {"error": "there is one already"})), idempotent=True)
    assert (told(result), result.unknown) == ("there is one already", False)


def test_a_busy_host_at_the_second_try_does_not() -> None:
    result, _ = outcome(in_turn(reset, answer(429, {}, "retry-after: 60")), idempotent=True)
    assert result.unknown and result.detail == "HTTP 429, tried twice"


def simulated(*statuses: tuple[int, str], **policy: Any) -> tuple[ToolOutcome, list[float]]:
    """Make one call on the virtual clock; return its outcome and when requests came."""
    at: list[float] = []
    left = list(statuses)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        at.append(asyncio.get_running_loop().time())
        status, after = left.pop(0) if left else (200, "")
        headers = [(b"content-type", b"application/json"), (b"retry-after", after.encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers[: 2 if after else 1]})
        await send({"type": "http.response.body", "body": b"{}"})

    async def main() -> ToolOutcome:
        transport = httpx2.ASGITransport(app=app)
        async with WebhookInvoker(NetGuard(), default_secret=SecretStr(SECRET), transport=transport) as tools:
            return await tools.invoke(request("https://api.example.com/", timeout_s=8, effect="read", **policy))

    return run(main()), at


def test_the_time_that_the_business_asks_for_is_kept() -> None:
    result, at = simulated((429, "3"), (503, "2"))
    assert result.ok and at == [0, 3, 5]


def test_a_date_is_a_time_too() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=4), usegmt=True)
    result, at = simulated((429, soon))
    assert result.ok and 2.5 < at[1] <= 4


def test_a_time_that_does_not_fit_is_not_waited_for() -> None:
    result, at = simulated((429, "8"))
    assert at == [0]
    assert told(result) == "The system is too busy just now." + NOTHING
    assert result.elapsed_ms == 0


@pytest.mark.parametrize(
    "after", ["-1", "soon", "9" * 400, "Wed, 99 Foo", "١", "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 0000 00:00:00"]
)
def test_a_time_that_is_no_use_is_not_believed(after: str) -> None:
    result, at = simulated((429, after))
    assert result.ok and 0.1 <= at[1] <= 0.2


def test_pauses_differ_from_call_to_call_and_are_the_same_in_a_replay() -> None:
    _, first = simulated((503, ""), (503, ""))
    _, again = simulated((503, ""), (503, ""))
    assert first == again
    assert 0.1 <= first[1] <= 0.2 and 0.2 <= first[2] - first[1] <= 0.4


def test_an_accepted_call_is_pending() -> None:
    result, _ = outcome(answer(202, {"status": "pending", "say": "That takes a moment.", "variables": {"job": 4}}))
    assert (result.ok, result.pending, result.detail) == (True, True, "HTTP 202")
    assert (result.say, result.variables) == ("That takes a moment.", {"job": 4})
    assert json.loads(result.output)["status"] == "in progress"
    assert outcome(answer(202, b"", kind="text/plain"))[0].pending


def test_what_stands_beside_the_result_is_handed_on() -> None:
    document = {"result": 1, "say": "Done.", "variables": {"a": [1]}, "action": {"type": "transfer", "target": "desk"}}
    result, _ = outcome(answer(200, document))
    assert (result.say, result.variables, result.action, result.target) == ("Done.", {"a": [1]}, "transfer", "desk")


def test_a_wrong_part_is_left_out_and_noted() -> None:
    result, _ = outcome(answer(200, {"result": 1, "say": 5}))
    assert (result.ok, result.output, result.detail) == (True, "1", "HTTP 200; left out: say (not a text)")


def test_a_host_that_fails_all_the_time_is_not_asked_for_a_while() -> None:
    async def main() -> tuple[list[ToolOutcome], int]:
        async with business(answer(500, {})) as server, invoker() as tools:
            return [await tools.invoke(request(server.url)) for _ in range(7)], len(server.received)

    results, received = asyncio.run(main())
    assert received == 5
    assert told(results[-1]) == "The system is unavailable just now." + NOTHING
    assert not results[-1].unknown and results[-1].elapsed_ms < 50


def test_arguments_that_cannot_be_written_are_not_sent() -> None:
    deep: dict[str, object] = {}
    for _ in range(100_000):
        deep = {"a": deep}

    async def main() -> tuple[ToolOutcome, ToolOutcome, int]:
        async with business(answer(200, {})) as server, invoker() as tools:
            requests = [request(server.url), request(server.url, format="retell")]
            for one in requests:
                object.__setattr__(one, "arguments", deep)
            first, second = [await tools.invoke(one) for one in requests]
            return first, second, len(server.received)

    first, second, received = asyncio.run(main())
    assert received == 0 and not first.ok and not second.ok
    assert "nested too deeply" in first.detail and "nested too deeply" in second.detail


def test_a_refused_connection_is_tried_twice() -> None:
    with socket.socket() as reserved:  # bound but not listening: connections are refused
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/"

        async def main() -> ToolOutcome:
            async with invoker() as tools:
                return await tools.invoke(request(url))

        result = asyncio.run(main())
    assert (told(result), result.unknown) == ("The system cannot be reached just now." + NOTHING, False)
    assert result.detail == "not connected: ConnectError (ConnectionRefusedError), tried twice"
    assert result.elapsed_ms >= 100


def test_a_server_that_comes_up_between_the_attempts_is_reached() -> None:
    async def main() -> tuple[ToolOutcome, list[str]]:
        reserved = socket.socket()
        reserved.bind(("127.0.0.1", 0))
        bodies: list[str] = []
        servers: list[asyncio.Server] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            bodies.append((await reader.readexactly(length)).decode())
            await answer(200, {"result": 1})(writer)
            writer.close()

        async def start() -> None:
            servers.append(await asyncio.start_server(serve, sock=reserved))

        async with invoker() as tools, asyncio.TaskGroup() as group:
            # The refusal comes within a millisecond or two; the second attempt 100 ms later.
            asyncio.get_running_loop().call_later(0.05, lambda: group.create_task(start()))
            result = await tools.invoke(request(f"http://127.0.0.1:{reserved.getsockname()[1]}/"))
        for server in servers:
            server.close()
        return result, bodies

    result, bodies = asyncio.run(main())
    assert result.ok
    assert [json.loads(body)["data"]["attempt"] for body in bodies] == [2]


@pytest.mark.parametrize(
    ("guard", "url", "detail"),
    [
        (
            NetGuard(),
            "https://127.0.0.1:9/",
            "refused: the address is not public and not in GATEWAY_WEBHOOK_ALLOW_CIDRS",
        ),
        (NetGuard(), "http://8.8.8.8/", "refused: http is allowed to private addresses only; use https"),
    ],
)
def test_a_guarded_address_is_told_to_the_operator_not_to_the_model(guard: NetGuard, url: str, detail: str) -> None:
    async def main() -> ToolOutcome:
        async with invoker(guard) as tools:
            return await tools.invoke(request(url))

    result = asyncio.run(main())
    assert result.detail == detail
    assert (told(result), result.unknown) == ("The system is not set up correctly." + NOTHING, False)


def test_a_missing_secret_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORDERS_SECRET", raising=False)

    async def main() -> tuple[ToolOutcome, ToolOutcome, int]:
        async with business(answer(200, {})) as server:
            async with WebhookInvoker(NetGuard(allow_loopback=True)) as tools:
                none = await tools.invoke(request(server.url))
                unset = await tools.invoke(request(server.url, secret="env:ORDERS_SECRET"))
            return none, unset, len(server.received)

    none, unset, received = asyncio.run(main())
    assert none.detail == "no signing secret; set the tool's secret or GATEWAY_WEBHOOK_SECRET"
    assert unset.detail == "the environment variable ORDERS_SECRET is not set"
    assert received == 0


def test_cancellation_passes_through() -> None:
    async def main() -> None:
        asked = asyncio.Event()

        async def reply(writer: asyncio.StreamWriter) -> None:
            asked.set()
            await writer.wait_closed()

        async with business(reply) as server, invoker() as tools, asyncio.TaskGroup() as group:
            task = group.create_task(tools.invoke(request(server.url)))
            await asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())


def test_cookies_and_proxies_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")

    async def main() -> Business:
        async with business(answer(200, {}, "set-cookie: session=1")) as server, invoker() as tools:
            assert (await tools.invoke(request(server.url))).ok
            assert (await tools.invoke(request(server.url))).ok
            return server

    assert ["cookie" in received.headers for received in asyncio.run(main()).received] == [False, False]
