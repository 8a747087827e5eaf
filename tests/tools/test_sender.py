"""The one way out: what may have left, and what certainly has not."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import httpx2
import pytest

from gateway.simulator.clock import run
from gateway.tools.netguard import NetGuard
from gateway.tools.sender import Answer, Lost, NotSent, Outgoing, SendError, TooLong, Unsent, traceparent

from .server import Reply, answer, business, dripping, endless, half, reset, silence


async def post(outgoing: Outgoing, url: str, *, within_s: float = 5.0, **more: Any) -> Answer:
    deadline = asyncio.get_running_loop().time() + within_s
    return await outgoing.send("POST", url, {"x-a": "b"}, b"{}", deadline=deadline, **more)


def open_way() -> Outgoing:
    return Outgoing(NetGuard(allow_loopback=True))


def failure(reply: Reply, **more: Any) -> SendError:
    async def main() -> SendError:
        async with business(reply) as server, open_way() as outgoing:
            with pytest.raises(SendError) as caught:
                await post(outgoing, server.url, **more)
            return caught.value

    return asyncio.run(main())


def unsent(url: str, guard: NetGuard | None = None, **more: Any) -> NotSent:
    async def main() -> NotSent:
        async with Outgoing(guard or NetGuard(allow_loopback=True)) as outgoing:
            with pytest.raises(NotSent) as caught:
                await post(outgoing, url, **more)
            return caught.value

    return asyncio.run(main())


def test_any_status_is_an_answer() -> None:
    async def main() -> list[Answer]:
        async with open_way() as outgoing:
            answers = []
            for status in (200, 302, 404, 503):
                async with business(answer(status, [status], "Retry-After: 3")) as server:
                    answers.append(await post(outgoing, server.url))
            return answers

    answers = asyncio.run(main())
    assert [one.status for one in answers] == [200, 302, 404, 503]
    assert answers[0].body == b"[200]" and answers[0].headers["retry-after"] == "3"


def test_nothing_else_than_what_was_given_is_sent() -> None:
    async def main() -> dict[str, str]:
        async with business(answer(200, {})) as server, open_way() as outgoing:
            headers = {"Accept-Encoding": "gzip", "x-a": "b"}
            await outgoing.send("GET", server.url, headers, None, deadline=asyncio.get_running_loop().time() + 5)
            (received,) = server.received
            assert received.line == "GET /orders HTTP/1.1" and received.body == ""
            return received.headers

    headers = asyncio.run(main())
    assert headers.pop("host").startswith("127.0.0.1:")
    assert headers == {
        "accept": "*/*",
        "accept-encoding": "identity",
        "connection": "keep-alive",
        "user-agent": "voice-agent-gateway",
        "x-a": "b",
    }


@pytest.mark.parametrize(
    ("reply", "status", "timed_out"),
    [(reset, 0, False), (half, 200, False), (silence, 0, True), (dripping, 200, True)],
)
def test_what_breaks_off_after_it_was_sent_is_lost(reply: Reply, status: int, timed_out: bool) -> None:
    lost = failure(reply, within_s=0.3)
    assert isinstance(lost, Lost)
    assert (lost.status, lost.timed_out) == (status, timed_out)


@pytest.mark.parametrize("reply", [endless, answer(200, b"x" * 1001)])
def test_a_long_answer_is_cut_off_with_its_status(reply: Reply) -> None:
    error = failure(reply, max_bytes=1000)
    assert isinstance(error, TooLong) and error.status == 200
    assert str(error) == "HTTP 200: over 1000 bytes"


def test_an_answer_of_just_the_bound_is_whole() -> None:
    async def main() -> int:
        async with business(answer(200, b"x" * 1000)) as server, open_way() as outgoing:
            return len((await post(outgoing, server.url, max_bytes=1000)).body)

    assert asyncio.run(main()) == 1000


def test_a_refused_connection_has_sent_nothing() -> None:
    with socket.socket() as reserved:  # bound but not listening
        reserved.bind(("127.0.0.1", 0))
        error = unsent(f"http://127.0.0.1:{reserved.getsockname()[1]}/")
    assert (error.why, str(error)) == (Unsent.CONNECT, "not connected: ConnectError (ConnectionRefusedError)")


def test_a_failed_handshake_has_sent_nothing() -> None:
    async def main() -> NotSent:
        async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(plain, "127.0.0.1", 0)
        async with server, open_way() as outgoing:
            with pytest.raises(NotSent) as caught:
                await post(outgoing, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
            return caught.value

    error = asyncio.run(main())
    assert (error.why, str(error)) == (Unsent.CONNECT, "not connected: ConnectError (SSLError)")


def test_a_handshake_that_takes_too_long_has_sent_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:  # connections are queued, and nobody speaks
        error = unsent(f"https://127.0.0.1:{mute.getsockname()[1]}/", connect_s=0.1)
    assert (error.why, str(error)) == (Unsent.CONNECT, "not connected: ConnectTimeout")


@pytest.mark.parametrize(
    ("url", "why", "message"),
    [
        ("https://10.0.0.1/", Unsent.GUARD,
         "refused: the address is not public and not in GATEWAY_WEBHOOK_ALLOW_CIDRS"),
        ("http://8.8.8.8/", Unsent.GUARD, "refused: http is allowed to private addresses only; use https"),
        ("https://user:word@example.com/", Unsent.URL, "unusable URL: it holds a user"),
        ("ftp://example.com/", Unsent.URL, "unusable URL"),
        ("/orders", Unsent.URL, "unusable URL"),
        ("https://", Unsent.URL, "unusable URL"),
        ("https://[::1/", Unsent.URL, "unusable URL"),
        ("https://\ud800/", Unsent.URL, "unusable URL"),
        ("https://nowhere.invalid/", Unsent.CONNECT, "not connected: ConnectError (gaierror)"),
    ],
)  # fmt: skip
def test_what_cannot_be_reached_or_may_not_be_says_why(url: str, why: Unsent, message: str) -> None:
    error = unsent(url)
    assert (error.why, str(error)) == (why, message)


def test_a_header_that_http_does_not_allow_is_not_sent() -> None:
    async def main() -> None:
        async with business(answer(200, {})) as server, open_way() as outgoing:
            deadline = asyncio.get_running_loop().time() + 5
            with pytest.raises(NotSent) as caught:
                await outgoing.send("POST", server.url, {"x-a": "b\r\nx-c: d"}, b"", deadline=deadline)
            assert caught.value.why is Unsent.URL and server.received == []

    asyncio.run(main())


def test_a_deadline_in_the_past_sends_nothing() -> None:
    async def main() -> None:
        async with business(answer(200, {})) as server, open_way() as outgoing:
            with pytest.raises(NotSent) as caught:
                await post(outgoing, server.url, within_s=-1)
            assert caught.value.why is Unsent.BUSY and server.received == []

    asyncio.run(main())


def test_waiting_for_one_of_our_own_connections_is_nothing_against_the_host() -> None:
    async def main() -> list[NotSent]:
        asked = asyncio.Event()

        async def hold(writer: asyncio.StreamWriter) -> None:
            asked.set()
            await silence(writer)

        guard = NetGuard(allow_loopback=True)
        async with (
            business(hold) as server,
            Outgoing(guard, max_connections=1) as outgoing,
            asyncio.TaskGroup() as group,
        ):
            holder = group.create_task(post(outgoing, server.url, within_s=60))
            await asked.wait()
            errors = []
            for _ in range(6):
                with pytest.raises(NotSent) as caught:
                    await post(outgoing, server.url, within_s=0.02)
                errors.append(caught.value)
            holder.cancel()
            return errors

    assert [error.why for error in asyncio.run(main())] == [Unsent.BUSY] * 6


# --- the breaker, on the virtual clock ------------------------------------------------------------


class Host:
    """An application in this process that answers with `status`, or breaks off when it is 0."""

    def __init__(self) -> None:
        self.status = 500
        self.delay_s = 0.0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(self.delay_s)
        if not self.status:
            raise httpx2.ReadError("broken")
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


URL = "https://api.example.com/orders"


def with_host(main: Callable[[Host, Outgoing], Coroutine[Any, Any, None]]) -> None:
    async def run_it() -> None:
        host = Host()
        async with Outgoing(NetGuard(), transport=httpx2.ASGITransport(app=host)) as outgoing:
            await main(host, outgoing)

    run(run_it())


async def tries(outgoing: Outgoing, count: int, url: str = URL, **more: Any) -> list[int | Unsent]:
    """What became of so many requests: a status, why it was not sent, or 0 when it was lost."""
    results: list[int | Unsent] = []
    for _ in range(count):
        try:
            results.append((await post(outgoing, url, **more)).status)
        except NotSent as error:
            results.append(error.why)
        except Lost:
            results.append(0)
    return results


def test_five_failures_spare_the_host_and_the_caller_half_a_minute() -> None:
    async def main(host: Host, outgoing: Outgoing) -> None:
        assert await tries(outgoing, 4) == [500] * 4
        host.status = 0
        assert await tries(outgoing, 3) == [0, Unsent.BREAKER, Unsent.BREAKER]
        await asyncio.sleep(29.9)
        assert await tries(outgoing, 1) == [Unsent.BREAKER]
        await asyncio.sleep(0.2)
        assert await tries(outgoing, 2) == [0, Unsent.BREAKER]
        await asyncio.sleep(30.1)
        host.status = 200
        assert await tries(outgoing, 2) == [200, 200]

    with_host(main)


@pytest.mark.parametrize("status", [200, 302, 400, 404, 429])
def test_what_is_an_answer_is_no_failure_of_the_host(status: int) -> None:
    async def main(host: Host, outgoing: Outgoing) -> None:
        await tries(outgoing, 4)
        host.status = status
        assert await tries(outgoing, 10) == [status] * 10
        host.status = 500
        assert await tries(outgoing, 6) == [500] * 5 + [Unsent.BREAKER]

    with_host(main)


def test_what_has_its_own_back_off_neither_asks_nor_counts() -> None:
    async def main(host: Host, outgoing: Outgoing) -> None:
        assert await tries(outgoing, 10, breaks=False) == [500] * 10
        assert await tries(outgoing, 6) == [500] * 5 + [Unsent.BREAKER]
        assert await tries(outgoing, 1, breaks=False) == [500]

    with_host(main)


def test_ports_and_schemes_are_hosts_of_their_own() -> None:
    async def main(host: Host, outgoing: Outgoing) -> None:
        await tries(outgoing, 5)
        assert await tries(outgoing, 1, "https://API.example.com/other") == [Unsent.BREAKER]
        assert await tries(outgoing, 1, "https://api.example.com:8443/orders") == [500]

    with_host(main)


def test_a_try_that_is_cancelled_leaves_the_next_one_to_find_out() -> None:
    async def main(host: Host, outgoing: Outgoing) -> None:
        await tries(outgoing, 5)
        await asyncio.sleep(31)
        host.delay_s = 1.0
        async with asyncio.TaskGroup() as group:
            task = group.create_task(post(outgoing, URL))
            await asyncio.sleep(0.5)
            assert await tries(outgoing, 1) == [Unsent.BREAKER]
            task.cancel()
        host.status, host.delay_s = 200, 0.0
        assert await tries(outgoing, 2) == [200, 200]

    with_host(main)


def test_traces_are_the_same_for_the_same_names() -> None:
    header = traceparent("call-1", "call-1:call_abc")
    assert header == traceparent("call-1", "call-1:call_abc")
    version, trace, span, flags = header.split("-")
    assert (version, len(trace), len(span), flags) == ("00", 32, 16, "01")
    assert traceparent("call-1", "call-1:call_def").split("-")[1] == trace
    assert traceparent("call-2", "call-1:call_abc").split("-")[1] != trace
