"""Keeps tool URLs away from addresses inside our network (server-side request forgery).

A name is resolved once, every address it has must be allowed, and the connection goes to that very address: a second
look-up, as an HTTP client does when it connects, could answer differently (DNS rebinding). TLS still checks the name.
Spellings of an address (decimal, octal, mapped, …) need no rule of their own, because the resolved address is judged.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import httpcore2
import httpx2

from gateway.errors import ToolError

__all__ = ["MAX_CONNECTIONS", "GuardedTransport", "NetGuard", "tls_context"]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
LookUp = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a host name as text; blocks; raises `OSError`."""

MAX_ADDRESSES = 4
"""Addresses of a name that are tried, in the resolver's order."""
KEEPALIVE_S = 1.5
"""Idle connections are dropped sooner than common servers do (gunicorn 2 s, others 5 s and more): of a write into a
closing one nobody could say whether it was done."""
MAX_CONNECTIONS = 1000
"""Per scheme, over all hosts: about one per call, or the calls of a slow host would keep the others waiting."""

GLOBAL_UNICAST = ip_network("2000::/3")
NAT64 = ip_network("64:ff9b::/96")
# Not left to `is_global`: its tables differ between Python releases.
NEVER_PUBLIC = tuple(
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    )
)


class NetGuard:
    """Says which addresses a tool may reach."""

    def __init__(
        self, allow: Iterable[Network] = (), *, allow_loopback: bool = False, look_up: LookUp | None = None
    ) -> None:
        """`allow` are private networks of the business; `allow_loopback` is for development on one machine.

        `look_up` replaces the system's resolver; it runs in a thread.
        """
        self._allow = tuple(allow)
        self._allow_loopback = allow_loopback
        self._look_up = look_up or _system_look_up
        self._pending: dict[str, asyncio.Future[Sequence[str]]] = {}

    def is_trusted(self, address: Address) -> bool:
        """Tell whether the operator named this address as inside: loopback in development, or an allowed network."""
        address = _embedded(address)
        if self._allow_loopback and address.is_loopback:
            return True
        return any(address in network for network in self._allow if network.version == address.version)

    def is_allowed(self, address: Address) -> bool:
        """Tell whether a tool may reach this address."""
        return self.is_trusted(address) or _is_public(address)

    async def resolve(self, host: str, port: int, *, plain_text: bool = False) -> list[Address]:
        """Return the addresses of a host, all allowed. Raises `ToolError` (permanent) for a refused one.

        With `plain_text` (http) every address must be trusted: what leaves our network is encrypted. A name that does
        not resolve is a `httpcore2.ConnectError`.
        """
        addresses = await self._addresses(host, port)
        for address in addresses:
            if not self.is_allowed(address):
                raise ToolError("the address is not public and not in GATEWAY_WEBHOOK_ALLOW_CIDRS", permanent=True)
            if plain_text and not self.is_trusted(address):
                raise ToolError("http is allowed to private addresses only; use https", permanent=True)
        return addresses[:MAX_ADDRESSES]

    async def _addresses(self, host: str, port: int) -> list[Address]:
        try:
            return [ip_address(host)]
        except ValueError:
            pass
        pending = self._pending.get(host)
        if pending is None:
            # One look-up per name at a time: waiters give up, its thread cannot, and the threads are shared with
            # everything else that resolves names.
            pending = asyncio.get_running_loop().run_in_executor(None, self._look_up, host, port)
            self._pending[host] = pending
            pending.add_done_callback(lambda done: self._looked_up(host, done))
        try:
            found = await asyncio.shield(pending)
        except (OSError, UnicodeError) as error:  # UnicodeError: a label longer than DNS allows
            raise httpcore2.ConnectError(f"the host name does not resolve ({type(error).__name__})") from None
        return list(dict.fromkeys(ip_address(text) for text in found))

    def _looked_up(self, host: str, done: asyncio.Future[Sequence[str]]) -> None:
        self._pending.pop(host, None)
        if not done.cancelled():
            done.exception()  # told to whoever still waits; nobody may


class GuardedTransport(httpx2.AsyncBaseTransport):
    """An HTTP/1.1 transport whose connections all pass the guard. No proxies, no redirects, no Unix sockets."""

    def __init__(
        self,
        guard: NetGuard,
        *,
        max_connections: int = MAX_CONNECTIONS,
        network: httpcore2.AsyncNetworkBackend | None = None,
    ) -> None:
        """`network` connects in place of real sockets, to the addresses that the guard has let through."""
        # One pool per scheme: a backend is told host and port, not whether TLS follows.
        self._pools = {
            scheme: httpcore2.AsyncConnectionPool(
                ssl_context=tls_context(),
                max_connections=max_connections,
                keepalive_expiry=KEEPALIVE_S,
                network_backend=_GuardedBackend(
                    guard, network or httpcore2.AnyIOBackend(), plain_text=scheme == "http"
                ),
            )
            for scheme in ("http", "https")
        }

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        pool = self._pools.get(request.url.scheme)
        if pool is None:
            raise httpx2.UnsupportedProtocol(f"{request.url.scheme} is not http or https", request=request)
        with _as_httpx2(request):
            response = await pool.handle_async_request(_as_httpcore2(request))
        return httpx2.Response(
            response.status,
            headers=response.headers,
            stream=_Body(response, request),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()


@cache
def tls_context() -> ssl.SSLContext:
    """Return the one TLS context of the process: reading the authorities' certificates takes some 50 ms."""
    return httpx2.create_ssl_context(trust_env=False)


class _Body(httpx2.AsyncByteStream):
    def __init__(self, response: httpcore2.Response, request: httpx2.Request) -> None:
        self._response = response
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx2(self._request):
            async for part in self._response.aiter_stream():
                yield part

    async def aclose(self) -> None:
        await self._response.aclose()


class _GuardedBackend(httpcore2.AsyncNetworkBackend):
    def __init__(self, guard: NetGuard, network: httpcore2.AsyncNetworkBackend, *, plain_text: bool) -> None:
        self._guard = guard
        self._network = network
        self._plain_text = plain_text

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  the interface's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        try:
            async with asyncio.timeout_at(deadline):
                addresses = await self._guard.resolve(host, port, plain_text=self._plain_text)
        except TimeoutError:
            raise httpcore2.ConnectTimeout("the host name was not resolved in time") from None
        return await self._first(addresses, port, deadline, socket_options)

    async def _first(
        self,
        addresses: Sequence[Address],
        port: int,
        deadline: float | None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first address that answers; each gets its share of the time that is left."""
        failure: httpcore2.ConnectError | httpcore2.ConnectTimeout = httpcore2.ConnectError("the host has no address")
        for index, address in enumerate(addresses):
            share = None
            if deadline is not None:
                left = max(deadline - asyncio.get_running_loop().time(), 0.001)
                share = left / (len(addresses) - index)
            try:
                return await self._network.connect_tcp(str(address), port, share, None, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def _system_look_up(host: str, port: int) -> Sequence[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _as_httpcore2(request: httpx2.Request) -> httpcore2.Request:
    assert isinstance(request.stream, httpx2.AsyncByteStream)
    return httpcore2.Request(
        method=request.method,
        url=httpcore2.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        ),
        headers=request.headers.raw,
        content=request.stream,
        extensions=request.extensions,
    )


@contextmanager
def _as_httpx2(request: httpx2.Request) -> Iterator[None]:
    """Raise the client's own exceptions, so that its users need not know what lies below."""
    try:
        yield
    except httpcore2.ConnectTimeout as error:
        raise httpx2.ConnectTimeout(str(error), request=request) from error
    except httpcore2.PoolTimeout as error:
        raise httpx2.PoolTimeout(str(error), request=request) from error
    except httpcore2.TimeoutException as error:
        raise httpx2.ReadTimeout(str(error), request=request) from error
    except httpcore2.ConnectError as error:
        raise httpx2.ConnectError(str(error), request=request) from error
    except httpcore2.NetworkError as error:
        raise httpx2.ReadError(str(error), request=request) from error
    except httpcore2.LocalProtocolError as error:
        raise httpx2.LocalProtocolError(str(error), request=request) from error
    except (httpcore2.ProtocolError, ssl.SSLError) as error:
        raise httpx2.RemoteProtocolError(str(error), request=request) from error


def _is_public(address: Address) -> bool:
    address = _embedded(address)
    if any(address in network for network in NEVER_PUBLIC if network.version == address.version):
        return False
    return address.is_global and not address.is_multicast and (address.version == 4 or address in GLOBAL_UNICAST)


def _embedded(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one stands for (mapped, or through NAT64): that is where packets go."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in NAT64:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address
