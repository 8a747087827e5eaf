"""Business webhooks over loopback sockets: the signed request, and an outcome for every way of failing."""

import asyncio
import json
import socket

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook

from gateway.agents import AgentsFile, Tool
from gateway.errors import ConfigError
from gateway.tools.catalogue import ToolKind, catalogue_tool
from gateway.tools.netguard import NetGuard
from gateway.tools.webhook import (
    CallFacts,
    ToolOutcome,
    ToolRequest,
    WebhookInvoker,
    secret_problems,
    sign,
    signing_keys,
)

from .server import Business, Reply, answer, business

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CALL = CallFacts("call-1", "support", "inbound", "+14155550123", "+14155550199", {"tier": "gold"})


def request(url: str, *, timeout_s: float = 5, secret: str | None = None) -> ToolRequest:
    tool = Tool(
        name="lookup_order",
        description="x",
        url=url,
        secret=secret,
        timeout_s=timeout_s,
        headers={"X-Tenant": "acme"},
    )
    offered = catalogue_tool(tool.name, ToolKind.WEBHOOK, tool.description, tool.parameters, tool, tool)
    return ToolRequest(CALL, offered, "call_abc", {"order_id": "A1 ü"})


def invoker(guard: NetGuard | None = None) -> WebhookInvoker:
    return WebhookInvoker(guard or NetGuard(allow_loopback=True), default_secret=SecretStr(SECRET))


def outcome(reply: Reply, *, timeout_s: float = 5) -> tuple[ToolOutcome, Business]:
    """Make one call to a server that answers so."""

    async def main() -> tuple[ToolOutcome, Business]:
        async with business(reply) as server, invoker() as tools:
            return await tools.invoke(request(server.url, timeout_s=timeout_s)), server

    return asyncio.run(main())


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
        "attempt": 1,
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
        (answer(500, {"error": {"message": "stack"}}), "the system reported a failure", "HTTP 500"),
        (answer(503, b"busy", kind="text/plain"), "the system reported a failure", "HTTP 503"),
        (
            answer(302, b"", "location: http://127.0.0.1:1/"),
            "the system is not set up correctly",
            "HTTP 302: redirect refused",
        ),
        (
            answer(200, b"<html>", kind="text/html"),
            "the system's answer cannot be read",
            "HTTP 200: the answer is not application/json",
        ),
        (
            answer(200, b"{"),
            "the system's answer cannot be read",
            "HTTP 200: expecting property name enclosed in double",
        ),
        (answer(200, b'{"a": NaN}'), "the system's answer cannot be read", "HTTP 200: NaN is not JSON"),
        (answer(200, b"1e999"), "the system's answer cannot be read", "HTTP 200: a number is out of range"),
        (answer(200, b"\xff\xff\xff"), "the system's answer cannot be read", "HTTP 200: "),
        (answer(200, b"[" * 100_000), "the system's answer cannot be read", "HTTP 200: nested too deeply"),
        (
            answer(200, b"\x1f\x8b", "content-encoding: gzip"),
            "the system's answer cannot be read",
            "HTTP 200: the answer is compressed although identity was asked for",
        ),
        (answer(200, b'"' + b"x" * 300_000 + b'"'), "the system's answer is too long", "HTTP 200: over 262144 bytes"),
    ],
)
def test_a_refusal_or_unusable_answer_is_a_sentence_for_the_model(reply: Reply, message: str, detail: str) -> None:
    result, server = outcome(reply)
    assert not result.ok
    assert json.loads(result.output) == {"error": {"message": message}}
    assert result.detail.startswith(detail)
    assert len(server.received) == 1


async def _silence(writer: asyncio.StreamWriter) -> None:
    await writer.wait_closed()


async def _reset(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def _half(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{")


async def _garbage(writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")


async def _endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
        await writer.drain()


def test_silence_ends_at_the_deadline() -> None:
    result, server = outcome(_silence, timeout_s=0.2)
    assert not result.ok
    assert result.detail == "no answer within 0.2 s"
    assert json.loads(result.output) == {"error": {"message": "the system did not answer in time"}}
    assert 190 <= result.elapsed_ms < 1000
    assert len(server.received) == 1


@pytest.mark.parametrize("reply", [_reset, _half, _garbage])
def test_a_broken_connection_is_not_repeated(reply: Reply) -> None:
    result, server = outcome(reply)
    assert json.loads(result.output) == {"error": {"message": "the system broke off the connection"}}
    assert result.detail.startswith("connection failed: ")
    assert len(server.received) == 1


def test_an_endless_answer_is_cut_at_its_bound() -> None:
    result, _ = outcome(_endless)
    assert result.detail == "HTTP 200: over 262144 bytes"


def test_a_refused_connection_is_tried_twice() -> None:
    with socket.socket() as reserved:  # bound but not listening: connections are refused
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/"

        async def main() -> ToolOutcome:
            async with invoker() as tools:
                return await tools.invoke(request(url))

        result = asyncio.run(main())
    assert json.loads(result.output) == {"error": {"message": "the system cannot be reached"}}
    assert result.detail == "not connected, tried twice: ConnectError"
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
    assert json.loads(result.output) == {"error": {"message": "the system is not set up correctly"}}


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


def test_tools_that_could_not_sign_are_known_before_serving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORDERS_SECRET", raising=False)
    tools = [
        {"name": name, "description": "x", "url": "https://api.example.com", "secret": secret}
        for name, secret in (("a", None), ("b", "env:ORDERS_SECRET"))
    ]
    agents = AgentsFile.model_validate({"agents": {"support": {"instructions": "x", "tools": tools}}})
    assert secret_problems(agents, None) == [
        "tool support/a: no signing secret; set the tool's secret or GATEWAY_WEBHOOK_SECRET",
        "tool support/b: the environment variable ORDERS_SECRET is not set",
    ]
    monkeypatch.setenv("ORDERS_SECRET", SECRET)
    assert secret_problems(agents, SecretStr("raw")) == []


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


def test_two_secrets_sign_twice_while_rotating() -> None:
    headers = sign(signing_keys(SecretStr(f"{SECRET} a-raw-secret")), "msg_1", '{"a":1}')
    assert Webhook(SECRET).verify('{"a":1}', headers) == {"a": 1}
    assert Webhook(b"a-raw-secret").verify('{"a":1}', headers) == {"a": 1}


@pytest.mark.parametrize(
    ("secret", "sentence"),
    [
        ("whsec_!", "the signing secret begins with whsec_ but is not base64 after that"),
        ("whsec_", "the signing secret is empty"),
        ("  ", "the signing secret is empty"),
    ],
)
def test_an_unusable_secret_is_a_sentence(secret: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=f"^{sentence}$"):
        signing_keys(SecretStr(secret))
