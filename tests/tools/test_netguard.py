"""The address guard: what is refused however it is spelled, and what an operator may open."""

import asyncio
import socket
import threading
from ipaddress import IPv4Address, ip_address, ip_network

import httpcore2
import httpx2
import pytest

from gateway.errors import ToolError
from gateway.tools.netguard import GuardedTransport, NetGuard

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
