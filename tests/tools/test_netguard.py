"""The address guard: what is refused however it is spelled, and what an operator may open."""

import asyncio
import json
import socket
import threading
from collections.abc import Coroutine
from ipaddress import IPv4Address, ip_address, ip_network

import httpcore2
import httpx2
import pytest
from pydantic import SecretStr

from gateway.agents import Tool
from gateway.errors import ToolError
from gateway.tools.catalogue import ToolKind, catalogue_tool
from gateway.tools.netguard import GuardedTransport, NetGuard
from gateway.tools.request import CallFacts, ToolOutcome, ToolRequest
from gateway.tools.webhook import WebhookInvoker

from .server import answer, business

SPELLINGS = [
    "127.0.0.1",
    "localhost",
    "[::1]",
    "169.254.169.254",  # cloud metadata
    "2130706433",  # 127.0.0.1 in decimal
    "0x7f000001",  # in hexadecimal
    "0177.0.0.1",  # in octal
    "[::ffff:127.0.0.1]",  # IPv4-mapped
    "[64:ff9b::7f00:1]",  # NAT64
    "[2002:7f00:1::]",  # 6to4
    "100.64.0.1",  # carrier-grade NAT
    "10.0.0.1",
    "0.0.0.0",
    "[fd00::1]",  # unique local
    "[fe80::1]",  # link-local
    "192.0.2.1",  # TEST-NET
    "224.0.0.1",  # multicast
    "127.1",
    "192.88.99.1",
    "[::]",
    "[2001::1]",  # Teredo
]


async def get(guard: NetGuard, url: str) -> httpx2.Response:
    async with httpx2.AsyncClient(transport=GuardedTransport(guard), trust_env=False, timeout=2) as client:
        return await client.get(url)


@pytest.mark.parametrize("host", SPELLINGS)
def test_an_inside_address_is_refused_however_it_is_spelled(host: str) -> None:
    # A resolver without IPv6 cannot even look some of these up, which refuses them just as well.
    with pytest.raises((ToolError, httpx2.ConnectError, httpx2.InvalidURL)) as caught:
        asyncio.run(get(NetGuard(), f"https://{host}/"))
    if isinstance(caught.value, ToolError):
        assert str(caught.value) == "the address is not public and not in GATEWAY_WEBHOOK_ALLOW_CIDRS"
        assert caught.value.permanent


@pytest.mark.parametrize("host", [host.strip("[]") for host in SPELLINGS if host not in ("localhost", "127.1")])
def test_the_address_itself_is_judged_not_public(host: str) -> None:
    try:
        address = ip_address(host)
    except ValueError:
        address = IPv4Address(socket.inet_aton(host))
    assert not NetGuard().is_allowed(address)


@pytest.mark.parametrize("text", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_a_public_address_is_allowed(text: str) -> None:
    assert NetGuard().is_allowed(ip_address(text))
    assert not NetGuard().is_trusted(ip_address(text))


def test_an_operator_may_open_private_networks_and_nothing_else() -> None:
    guard = NetGuard([ip_network("10.1.0.0/16"), ip_network("fd00::/8")])
    assert guard.is_trusted(ip_address("10.1.2.3"))
    assert guard.is_trusted(ip_address("::ffff:10.1.2.3"))
    assert guard.is_trusted(ip_address("fd00::1"))
    assert not guard.is_allowed(ip_address("10.2.0.1"))
    assert not guard.is_allowed(ip_address("127.0.0.1"))


def test_loopback_is_open_in_development_only() -> None:
    async def main() -> int:
        async with business(answer(200, {})) as server:
            return (await get(NetGuard(allow_loopback=True), server.url)).status_code

    assert asyncio.run(main()) == 200
    assert not NetGuard(allow_loopback=True).is_allowed(ip_address("10.0.0.1"))


def test_plain_http_reaches_trusted_addresses_only() -> None:
    with pytest.raises(ToolError, match="^http is allowed to private addresses only; use https$"):
        asyncio.run(get(NetGuard(), "http://8.8.8.8/"))

    async def main() -> int:
        async with business(answer(200, {})) as server:
            return (await get(NetGuard([ip_network("127.0.0.0/8")]), server.url)).status_code

    assert asyncio.run(main()) == 200


def test_one_inside_address_among_several_refuses_the_name() -> None:
    guard = NetGuard(look_up=lambda host, port: ["8.8.8.8", "10.0.0.1"])
    with pytest.raises(ToolError, match="^the address is not public"):
        asyncio.run(get(guard, "https://rebind.example/"))


def test_the_name_is_looked_up_once_and_that_answer_is_used() -> None:
    answers = iter([["127.0.0.1"], ["240.0.0.1"]])  # as a rebinding name server: other at the second look-up
    guard = NetGuard(allow_loopback=True, look_up=lambda host, port: next(answers))

    async def main() -> int:
        async with business(answer(200, {})) as server:
            return (await get(guard, f"http://rebind.example:{server.port}/")).status_code

    assert asyncio.run(main()) == 200
    assert next(answers) == ["240.0.0.1"]


def test_a_hanging_name_server_holds_one_thread_per_name() -> None:
    release = threading.Event()
    asked: list[str] = []

    def hang(host: str, port: int) -> list[str]:
        asked.append(host)
        release.wait(10)
        raise OSError("name server does not answer")

    async def one(guard: NetGuard) -> None:
        with pytest.raises(httpx2.ConnectTimeout, match="^the host name was not resolved in time$"):
            async with httpx2.AsyncClient(transport=GuardedTransport(guard), timeout=0.1) as client:
                await client.get("https://slow.example/")

    async def main() -> None:
        guard = NetGuard(look_up=hang)
        try:
            await asyncio.gather(*(one(guard) for _ in range(20)))
        finally:
            release.set()

    asyncio.run(main())
    assert asked == ["slow.example"]


def test_a_name_that_does_not_resolve_is_a_connect_error() -> None:
    with pytest.raises(httpx2.ConnectError, match="^the host name does not resolve"):
        asyncio.run(get(NetGuard(), "https://nowhere.invalid/"))
    with pytest.raises((httpx2.ConnectError, httpx2.InvalidURL)):
        asyncio.run(get(NetGuard(), f"https://{'a' * 64}.example/"))


def test_the_next_address_is_tried_when_the_first_is_dead() -> None:
    guard = NetGuard(allow_loopback=True, look_up=lambda host, port: ["127.0.0.9", "127.0.0.1"])

    async def main() -> int:
        async with business(answer(200, {})) as server:
            return (await get(guard, f"http://two.example:{server.port}/")).status_code

    assert asyncio.run(main()) == 200


def test_only_web_schemes_are_spoken() -> None:
    async def main() -> None:
        request = httpx2.Request("GET", "ftp://8.8.8.8/")
        await GuardedTransport(NetGuard()).handle_async_request(request)

    with pytest.raises(httpx2.UnsupportedProtocol):
        asyncio.run(main())


def test_the_guard_itself_reports_a_missing_name_as_the_transport_expects() -> None:
    with pytest.raises(httpcore2.ConnectError):
        asyncio.run(NetGuard().resolve("nowhere.invalid", 443))


# --- whole invocations: not a socket is opened ----------------------------------------------------

FORMS = [
    *SPELLINGS,
    "LOCALHOST",
    "localhost.",
    "127.0.0.1.",
    "127.000.000.001",
    "0X7F.1",
    "0x7f.0.0.1",
    "017700000001",
    "10.0.0.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.127.255.255",
    "169.254.170.2",  # a container's credentials
    "2852039166",  # 169.254.169.254 in decimal
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[0:0:0:0:0:ffff:10.0.0.1]",
    "[::127.0.0.1]",  # IPv4-compatible
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::1]",  # NAT64 of one network
    "[2002:a9fe:a9fe::1]",
    "[fe80::1%25eth0]",
    "[fec0::1]",  # site-local
    "[fd00:ec2::254]",  # cloud metadata
    "[ff02::1]",  # multicast
    "[2001:db8::1]",  # documentation
    "[3fff::1]",
    "[2001:0:4136:e378::1]",  # Teredo
    "[100::1]",  # discard
    "192.0.0.192",
    "198.18.0.1",  # benchmarks
    "198.51.100.1",  # TEST-NET-2
    "203.0.113.1",  # TEST-NET-3
    "239.255.255.250",
    "255.255.255.255",
    "240.0.0.1",
    "public.example@127.0.0.1",
    "8.8.8.8@127.0.0.1",
    "127.0.0.1#@8.8.8.8",
    "8.8.8.8\\@127.0.0.1",
    "\u2460\u2461\u2466.0.0.1",  # circled digits
    "127\u30020\u30020\u30021",  # ideographic full stops
    "\uff11\uff12\uff17.0.0.1",  # full-width digits
    "\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3",  # circled letters
    "%31%32%37.0.0.1",
    "",
]


class RecordingLoop(asyncio.SelectorEventLoop):
    """Notes where connections are made to; those that leave this machine are refused here."""

    def __init__(self) -> None:
        super().__init__()
        self.connects: list[str] = []

    async def sock_connect(self, sock: socket.socket, address: object) -> None:
        assert isinstance(address, tuple)
        self.connects.append(address[0])
        if address[0] != "127.0.0.1":
            raise ConnectionRefusedError
        await super().sock_connect(sock, address)


def recorded(main: Coroutine[None, None, ToolOutcome]) -> tuple[ToolOutcome, list[str]]:
    loop = RecordingLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main), loop.connects


async def invoke(guard: NetGuard, url: str) -> ToolOutcome:
    """One function call of a tool whose URL is taken as it is, unchecked by the agents file."""
    tool = Tool(name="t", description="x", url="https://example.com/").model_copy(update={"url": url})
    request = ToolRequest(
        CallFacts("call-1", "support", "inbound", "", ""),
        catalogue_tool("t", ToolKind.WEBHOOK, "x", tool.parameters, tool, tool),
        "call_abc",
        {},
    )
    async with WebhookInvoker(guard, default_secret=SecretStr("secret")) as tools:
        return await tools.invoke(request)


@pytest.mark.parametrize("host", FORMS)
def test_no_spelling_of_an_inside_address_opens_a_socket(host: str) -> None:
    async def main() -> ToolOutcome:
        async with business(answer(200, {})) as server:
            for url in (f"https://{host}:{server.port}/", f"http://{host}:{server.port}/", f"https://{host}/"):
                outcome = await invoke(NetGuard(), url)
                assert not outcome.ok and not outcome.unknown, url
                assert "Nothing was done." in json.loads(outcome.output)["error"]["message"]
                assert outcome.detail.startswith(("refused: ", "unusable URL", "not connected: ConnectError")), url
            assert server.received == []
            return outcome

    # The server of the test is bound, not connected to.
    _, connects = recorded(main())
    assert connects == []


def test_a_public_address_is_connected_to() -> None:
    """The record of the tests around this one would show it."""
    outcome, connects = recorded(invoke(NetGuard(), "https://8.8.8.8/"))
    assert connects == ["8.8.8.8", "8.8.8.8"]
    assert outcome.detail == "not connected: ConnectError (ConnectionRefusedError), tried twice"


@pytest.mark.parametrize("addresses", [["8.8.8.8", "10.0.0.1"], ["10.0.0.1", "8.8.8.8"], ["2606:4700::1111", "::1"]])
def test_a_name_with_a_public_and_a_private_address_opens_no_socket(addresses: list[str]) -> None:
    outcome, connects = recorded(invoke(NetGuard(look_up=lambda host, port: addresses), "https://two.example/"))
    assert connects == []
    assert outcome.detail == "refused: the address is not public and not in GATEWAY_WEBHOOK_ALLOW_CIDRS"


def test_a_name_that_rebinds_is_connected_to_at_the_address_that_was_judged() -> None:
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["8.8.8.8"] if len(asked) == 1 else ["127.0.0.1"]

    outcome, connects = recorded(invoke(NetGuard(look_up=rebinding), "https://rebind.example/"))
    # One look-up for each of two tries: the first goes to what was judged, the second is judged anew.
    assert asked == ["rebind.example"] * 2
    assert connects == ["8.8.8.8"]
    assert outcome.detail == "refused: the address is not public and not in GATEWAY_WEBHOOK_ALLOW_CIDRS, tried twice"
