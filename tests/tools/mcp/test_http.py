"""Servers over Streamable HTTP on real sockets, and what each failure of HTTP is taken for."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.agents.outside import Auth
from gateway.errors import ConfigError
from gateway.tools.mcp.faults import Fault
from gateway.tools.mcp.http import mcp_client
from gateway.tools.mcp.server import MAX_CALLS
from gateway.tools.netguard import NetGuard
from gateway.tools.request import ToolOutcome
from tests.tools.server import answer, business

from .stage import HERE, journal_of, section, shop_over_http, stage, told

CALL = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {}}
NOTE = {"jsonrpc": "2.0", "method": "notifications/cancelled"}
RESULT = b'{"jsonrpc":"2.0","id":7,"result":{}}'
JSON = {"content-type": "application/json"}


@pytest.mark.e2e
@pytest.mark.parametrize("options", [{}, {"json_response": True}, {"stateless_http": True}])
def test_a_real_server_is_listed_and_called(tmp_path: Path, options: dict[str, Any]) -> None:
    journal = tmp_path / "journal"

    async def main() -> None:
        quick = {name: {"timeout_s": 0.5} for name in ("slow_read", "slow_write")}
        async with (
            shop_over_http(journal, **options) as url,
            stage(section(url=url, prefix="shop_", overrides=quick)) as on,
        ):
            assert "shop_lookup" in on.tools
            assert json.loads((await on.call("shop_lookup", order_id="ü")).output)["order_id"] == "ü"
            assert (await on.call("shop_book", day="Monday", guests=None)).output == '"booked for Monday"'
            assert "no such order" in told(await on.call("shop_fails"))
            for size in (300_000, 3_000_000):
                assert "too long" in told(await on.call("shop_huge", size=size))
            assert "not answer in time" in told(await on.call("shop_slow_read"))
            assert (await on.call("shop_slow_write")).unknown
            assert (await on.call("shop_lookup", order_id="2")).ok

    asyncio.run(main())
    booked = next(line for line in journal_of(journal) if line["tool"] == "book")
    assert booked["meta"]["idempotency_key"] == "CA1:call_shop_book"


@pytest.mark.e2e
def test_calls_are_bounded_and_those_given_up_make_room(tmp_path: Path) -> None:
    journal = tmp_path / "journal"

    async def main() -> tuple[ToolOutcome, ToolOutcome]:
        quick = {"slow_read": {"timeout_s": 60}, "lookup": {"timeout_s": 20}}
        async with shop_over_http(journal) as url, stage(section(url=url, overrides=quick)) as on:
            async with asyncio.TaskGroup() as callers:
                slow = [callers.create_task(on.call("slow_read")) for _ in range(MAX_CALLS)]
                while len(journal_of(journal)) < MAX_CALLS:
                    await asyncio.to_thread(journal_of, journal)
                full = await on.call("lookup", order_id="1")
                for caller in slow:
                    caller.cancel()
            return full, await on.call("lookup", order_id="2")

    full, free = asyncio.run(main())
    assert "cannot be reached just now. Nothing was done" in told(full)
    assert full.detail == "64 calls are running already, tried 3 times"
    assert free.ok


@pytest.mark.e2e
def test_a_server_that_dies_is_told_from_one_that_is_not_there(tmp_path: Path) -> None:
    journal = tmp_path / "journal"

    async def shop(port: int = 0) -> tuple[asyncio.subprocess.Process, int]:
        argv = [str(HERE / "program.py"), str(journal), "http", str(port)]
        process = await asyncio.create_subprocess_exec(sys.executable, *argv, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        return process, int(await process.stdout.readline())

    async def main() -> tuple[ToolOutcome, ToolOutcome, ToolOutcome]:
        process, port = await shop()
        async with stage(section(url=f"http://127.0.0.1:{port}/mcp")) as on:
            killed = await on.call("dies_writing")
            await process.wait()
            absent = await on.call("book", day="Monday")
            process, _ = await shop(port)
            again = await on.call("book", day="Tuesday")
        process.kill()
        await process.wait()
        return killed, absent, again

    killed, absent, again = asyncio.run(main())
    assert killed.unknown
    assert not absent.unknown
    assert told(absent) == (
        "The system cannot be reached just now. Nothing was done. Tell the caller so, and offer another way."
    )
    assert absent.detail == "not connected, tried 2 times"
    assert again.ok
    assert [line["tool"] for line in journal_of(journal)] == ["dies_writing", "book"]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://169.254.169.254/latest/meta-data", "the address is not public"),
        ("https://10.1.2.3/mcp", "the address is not public"),
        ("http://[::ffff:169.254.169.254]/mcp", "the address is not public"),
        ("https://2130706433/mcp", "the address is not public"),
        ("http://203.0.114.1/mcp", "http is allowed to private addresses only"),
    ],
)
def test_the_guard_refuses_addresses_inside_our_network(url: str, says: str) -> None:
    async def main() -> None:
        async with stage(section(url=url), guard=NetGuard()):
            pass

    with pytest.raises(ConfigError, match=f"MCP server shop does not start: refused: {says}"):
        asyncio.run(main())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["/elsewhere", "http://169.254.169.254/"])
def test_a_redirect_is_not_followed_not_even_to_the_same_server(status: int, location: str) -> None:
    async def main() -> int:
        async with business(answer(status, {}, f"location: {location}")) as server:
            with pytest.raises(ConfigError, match=f"HTTP {status}: redirect refused"):
                async with stage(section(url=server.url)):
                    pass
            assert all("/orders" in received.line for received in server.received)
            return len(server.received)

    assert asyncio.run(main()) > 0


def test_the_key_goes_along_and_into_no_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SHOP_KEY", "s3cret")
    auth = {"kind": "query", "name": "key", "secret": "env:SHOP_KEY"}

    async def main() -> list[str]:
        async with business(answer(500, {})) as server:
            with pytest.raises(ConfigError, match="HTTP 500"):
                async with stage(section(url=server.url, auth=auth, headers={"X-Tenant": "acme"})):
                    pass
            assert server.received[0].headers["x-tenant"] == "acme"
            assert server.received[0].headers["accept-encoding"] == "identity"
            return [received.line for received in server.received]

    with caplog.at_level("DEBUG"):
        assert all("/orders?key=s3cret" in line for line in asyncio.run(main()))
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        (Auth(kind="bearer", secret="env:SHOP_KEY"), "authorization", "Bearer u:p"),
        (Auth(kind="basic", secret="env:SHOP_KEY"), "authorization", "Basic dTpw"),
        (Auth(kind="header", name="X-Key", secret="env:SHOP_KEY"), "x-key", "u:p"),
    ],
)
def test_the_key_is_shown_as_the_section_says(
    auth: Auth, header: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_KEY", "u:p")
    seen = []

    def server(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers[header])
        return httpx2.Response(200, content=_whole(RESULT), headers=JSON)

    assert _post(server, auth=auth).content == RESULT
    assert seen == [value]


async def _whole(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _body(content: Any) -> Any:
    return _whole(content) if isinstance(content, bytes) else content  # as a network gives it: a stream


async def _without_end() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 65536


async def _half() -> AsyncIterator[bytes]:
    yield b'{"json'
    raise httpx2.ReadError("reset")


def _raises(error: Exception) -> Callable[[httpx2.Request], httpx2.Response]:
    def server(_: httpx2.Request) -> httpx2.Response:
        raise error

    return server


def _says(status: int, content: Any = RESULT, **headers: str) -> Callable[[httpx2.Request], httpx2.Response]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: httpx2.Response(status, content=_body(content), headers=JSON | named)


@pytest.mark.parametrize(
    ("server", "fault"),
    [
        (_raises(httpx2.ConnectError("x")), Fault.NOT_SENT),
        (_raises(httpx2.ConnectTimeout("x")), Fault.NOT_SENT),
        (_raises(httpx2.PoolTimeout("x")), Fault.NOT_SENT),
        (_raises(httpx2.ReadError("x")), Fault.LOST),
        (_raises(httpx2.ReadTimeout("x")), Fault.LOST),
        (_raises(httpx2.RemoteProtocolError("x")), Fault.LOST),
        (_says(200, _half()), Fault.LOST),
        (_says(200, _without_end()), Fault.TOO_LONG),
        (_says(200, b"{}"), Fault.BROKEN),
        (_says(200, b""), Fault.BROKEN),
        (_says(200, b"<html>"), Fault.BROKEN),
        (_says(202, b""), Fault.BROKEN),
        (_says(200, content_encoding="gzip"), Fault.BROKEN),
        (_says(302, location="/"), Fault.REFUSED),
        (_says(400, b"no"), Fault.REFUSED),
        (_says(401, b"no"), Fault.REFUSED),
        (_says(404, b"no"), Fault.REFUSED),
        (_says(429), Fault.THROTTLED),
        (_says(500, b"no"), Fault.BROKEN),
        (_says(502), Fault.UNAVAILABLE),
        (_says(503), Fault.UNAVAILABLE),
        (_says(504), Fault.UNAVAILABLE),
    ],
)
def test_a_failure_is_an_error_of_the_one_call(server: Callable[..., httpx2.Response], fault: Fault) -> None:
    response = _post(server)
    assert response.status_code == 502
    error = response.json()["error"]
    assert error["code"] == fault.value


def test_a_session_the_server_has_forgotten_was_not_heard_in() -> None:
    error = _post(_says(404, b""), headers={"mcp-session-id": "1"}).json()["error"]
    assert error["code"] == Fault.NOT_SENT.value
    assert error["data"] == {"session_gone": True}


@pytest.mark.parametrize(("after", "seconds"), [("7", 7.0), ("99999", 3600.0), ("Sun, 22 Nov", None), ("", None)])
def test_the_wish_to_be_asked_later_is_passed_on(after: str, seconds: float | None) -> None:
    assert _post(_says(429, retry_after=after)).json()["error"]["data"] == {"retry_after_s": seconds}


def test_the_errors_of_the_protocol_itself_come_through() -> None:
    body = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32602,"message":"no"}}'
    response = _post(_says(400, body))
    assert (response.status_code, response.content) == (400, body)


@pytest.mark.parametrize(
    "server", [_raises(httpx2.ConnectError("x")), _raises(httpx2.ReadError("x")), _says(500, b""), _says(302)]
)
def test_a_notification_never_fails(server: Callable[..., httpx2.Response]) -> None:
    assert _post(server, NOTE).status_code == 202


def test_an_event_stream_without_end_is_cut() -> None:
    def server(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=_without_end(), headers={"content-type": "text/event-stream"})

    with pytest.raises(httpx2.ReadError, match="does not end"):
        _post(server)


def test_a_secret_that_is_no_header_is_refused_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_KEY", "a\nX-Evil: b")
    response = _post(_raises(AssertionError()), auth=Auth(kind="bearer", secret="env:SHOP_KEY"))
    assert response.json()["error"]["code"] == Fault.REFUSED.value
    assert "X-Evil" not in response.text


def _post(
    server: Callable[[httpx2.Request], httpx2.Response],
    message: dict[str, Any] | None = None,
    *,
    auth: Auth | None = None,
    headers: dict[str, str] | None = None,
) -> httpx2.Response:
    """Send a message to a server of the test through our part of the transport."""

    async def main() -> httpx2.Response:
        async with mcp_client(httpx2.MockTransport(server), {}, auth) as client:
            return await client.post("https://shop.example/mcp", json=message or CALL, headers=headers)

    return asyncio.run(main())
