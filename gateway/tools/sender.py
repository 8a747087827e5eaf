"""One HTTP request to a business, and an exact answer to the question whether it may have arrived.

Everything that leaves for a configured URL goes through here: tool webhooks, operations of OpenAPI documents, events.
Guarded addresses (`netguard.py`), a breaker per host, no redirects, proxies or cookies, no compressed answers, bounds
on time and size. Whoever sends decides about repetitions (tools: `attempts.py`).
"""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import MappingProxyType

import httpx2

from gateway.errors import GatewayError, ToolError
from gateway.tools.breaker import Admission, Breaker
from gateway.tools.netguard import MAX_CONNECTIONS, GuardedTransport, NetGuard

__all__ = ["Answer", "Lost", "NotSent", "Outgoing", "SendError", "TooLong", "Unsent", "traceparent"]

CONNECT_S = 1.0
MAX_ANSWER_BYTES = 256 * 1024
USER_AGENT = "voice-agent-gateway"
FIXED_HEADERS = MappingProxyType(
    {
        "accept-encoding": "identity",  # a small compressed answer can unfold to any size
        "user-agent": USER_AGENT,
    }
)


class Unsent(Enum):
    """Why nothing was sent."""

    CONNECT = "connect"
    """No connection: refused, unreachable, no such name, TLS, or too slow."""
    BREAKER = "breaker"
    """The host has failed so often that it is not asked just now."""
    GUARD = "guard"
    """The address may not be reached."""
    URL = "url"
    """The URL or a header is no use."""
    BUSY = "busy"
    """All our connections were in use until the deadline."""


class SendError(GatewayError):
    """There is no whole answer. The message is for the journal: what happened, with no address and no content."""


class NotSent(SendError):
    """Not one byte of the request has left."""

    def __init__(self, message: str, why: Unsent) -> None:
        super().__init__(message)
        self.why = why


class Lost(SendError):
    """The request, or a part of it, may have arrived; its answer has not, or only in part."""

    def __init__(self, message: str, *, timed_out: bool = False, status: int = 0) -> None:
        super().__init__(message)
        self.timed_out = timed_out
        self.status = status
        """Of the answer that broke off; 0 when none began."""


class TooLong(SendError):
    """The request arrived, and its answer is longer than was asked for."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True, frozen=True)
class Answer:
    """A whole answer, whatever its status."""

    status: int
    headers: httpx2.Headers
    """By name in any case."""
    body: bytes


class Outgoing:
    """Sends for all calls of the process. Use as an async context manager; owns the connections."""

    def __init__(
        self,
        guard: NetGuard,
        *,
        max_connections: int = MAX_CONNECTIONS,
        transport: httpx2.AsyncBaseTransport | None = None,
        breaker: Breaker | None = None,
    ) -> None:
        """`transport` replaces the guarded network, to reach an application in this process."""
        self._breaker = breaker or Breaker()
        way = transport or GuardedTransport(guard, max_connections=max_connections)
        self._traced = isinstance(way, GuardedTransport)
        self._client = httpx2.AsyncClient(
            transport=way,
            trust_env=False,
            follow_redirects=False,  # a redirect would carry the signed request to an address nobody configured
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),  # one caller's session is not another's
        )

    async def __aenter__(self) -> "Outgoing":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; requests in flight fail. Safe to call twice."""
        await self._client.aclose()

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | None,
        *,
        deadline: float,
        connect_s: float = CONNECT_S,
        max_bytes: int = MAX_ANSWER_BYTES,
        breaks: bool = True,
    ) -> Answer:
        """Send once and return the answer, also one of 4xx or 5xx. Raises `NotSent`, `Lost` or `TooLong`.

        `deadline` is the loop's time by which the whole is over, `connect_s` the longest wait for a connection. With
        `breaks` False the breaker is neither asked nor told: for work that has a back-off of its own.
        """
        host = _host(url)
        loop = asyncio.get_running_loop()
        admission = self._breaker.admit(host, loop.time()) if breaks else Admission.FREE
        if admission is Admission.REFUSED:
            raise NotSent("not asked: the host has failed too often just now", Unsent.BREAKER)
        answered: bool | None = None
        try:
            answer = await self._exchange(method, url, headers, content, deadline, connect_s, max_bytes)
            answered = answer.status < 500
            return answer
        except NotSent as error:
            answered = False if error.why is Unsent.CONNECT else None
            raise
        except Lost:
            answered = False
            raise
        except TooLong as error:
            answered = error.status < 500
            raise
        finally:
            if breaks:
                self._breaker.settle(host, admission, answered, loop.time())

    async def _exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | None,
        deadline: float,
        connect_s: float,
        max_bytes: int,
    ) -> Answer:
        left_s = deadline - asyncio.get_running_loop().time()
        if left_s <= 0:
            raise NotSent("no time was left", Unsent.BUSY)
        progress = _Progress(self._traced)
        try:
            async with (
                asyncio.timeout_at(deadline),
                self._client.stream(
                    method,
                    url,
                    content=content,
                    headers={**{name.lower(): value for name, value in headers.items()}, **FIXED_HEADERS},
                    timeout=httpx2.Timeout(left_s, connect=min(connect_s, left_s)),
                    extensions={"trace": progress.trace},
                ) as response,
            ):
                progress.status = response.status_code
                return Answer(response.status_code, response.headers, await _body(response, max_bytes))
        except httpx2.ConnectTimeout:
            raise NotSent("not connected: ConnectTimeout", Unsent.CONNECT) from None
        except httpx2.ConnectError as error:
            raise NotSent(f"not connected: {_cause(error)}", Unsent.CONNECT) from None
        except (TimeoutError, httpx2.TimeoutException):
            raise progress.timed_out() from None
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError, UnicodeError):
            raise NotSent("unusable URL", Unsent.URL) from None
        except httpx2.HTTPError as error:
            raise Lost(f"connection failed: {_cause(error)}", status=progress.status) from None
        except ToolError as error:
            raise NotSent(f"refused: {error}", Unsent.GUARD) from None


class _Progress:
    """How far a request has come: the transport tells, where it can."""

    def __init__(self, traced: bool) -> None:
        self.status = 0
        self._connecting = not traced
        self._sending = not traced  # a transport that tells nothing may have sent it

    async def trace(self, event: str, _: Mapping[str, object]) -> None:
        """Take an event of the connection pool ("connection.connect_tcp.started", "http11.send_request_headers…")."""
        if event.endswith("connect_tcp.started"):
            self._connecting = True
        elif event.endswith("send_request_headers.started"):
            self._sending = True

    def timed_out(self) -> NotSent | Lost:
        if self._sending:
            return Lost("no answer in time", timed_out=True, status=self.status)
        if self._connecting:
            return NotSent("not connected: ConnectTimeout", Unsent.CONNECT)
        return NotSent("no connection was free in time", Unsent.BUSY)


def traceparent(trace: str, span: str) -> str:
    """Return the header of W3C Trace Context (level 1, §3.2) for two names: the same names give the same ids."""
    trace_id = hashlib.sha256(trace.encode(errors="replace")).hexdigest()[:32]
    span_id = hashlib.sha256(span.encode(errors="replace")).hexdigest()[:16]
    return f"00-{trace_id}-{span_id}-01"


def _host(url: str) -> str:
    """Return scheme, host and port, which fail together. Raises `NotSent` for what is no URL of ours."""
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, UnicodeError):
        raise NotSent("unusable URL", Unsent.URL) from None
    if not parsed.host or parsed.scheme not in ("http", "https"):
        raise NotSent("unusable URL", Unsent.URL)
    if parsed.userinfo:
        raise NotSent("unusable URL: it holds a user", Unsent.URL)  # it would be sent as basic authentication
    return f"{parsed.scheme}://{parsed.netloc.decode('ascii', 'replace')}"


async def _body(response: httpx2.Response, max_bytes: int) -> bytes:
    status = response.status_code
    declared = response.headers.get("content-length", "")
    body = bytearray()
    # A length that is too long is believed; one that is not is counted.
    if not (declared.isascii() and declared.isdigit() and len(declared) < 20 and int(declared) > max_bytes):
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > max_bytes:
                break
        else:
            return bytes(body)
    raise TooLong(f"HTTP {status}: over {max_bytes} bytes", status=status)


def _cause(error: BaseException) -> str:
    """Name a failure by its types, its own and the first one's: their texts may hold addresses of the network."""
    first = error
    while (below := first.__cause__ or first.__context__) is not None:
        first = below
    own, origin = type(error).__name__, type(first).__name__
    return own if own == origin else f"{own} ({origin})"
