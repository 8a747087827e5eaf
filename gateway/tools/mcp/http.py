"""Streamable HTTP to an MCP server, through our address guard, with every failure told apart.

The library ends a whole session when a connection breaks, and has one error for a refused connection and for one that
broke after the request had left. So what fails below it is turned here into an answer it can deliver to the one call
concerned: a JSON-RPC error whose code says what is known (`faults.Fault`).
"""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2
import mcp_types

from gateway.agents import resolve_secret
from gateway.agents.outside import Auth
from gateway.errors import ConfigError, ToolError
from gateway.tools.mcp.faults import Fault

__all__ = ["McpTransport", "mcp_client"]

log = logging.getLogger(__name__)

CONNECT_S = 1.0
READ_S = 300.0
"""Silence on a stream; calls have deadlines of their own."""
ASIDE_S = 2.0
"""For what nobody waits on: notifications, and the end of a session."""
CALL_S = 125.0
"""No call's answer takes longer, the longest `timeout_s` is 120: what still comes of it is for nobody."""
MAX_BODY_BYTES = 1024 * 1024
MAX_STREAM_BYTES = 8 * 1024 * 1024
"""Of the event stream that answers one call."""
LASTING = ("subscriptions/listen",)
MAX_RETRY_AFTER_S = 3600.0
USER_AGENT = "voice-agent-gateway"


def mcp_client(inner: httpx2.AsyncBaseTransport, headers: Mapping[str, str], auth: Auth | None) -> httpx2.AsyncClient:
    """Return the client for one server. `inner` is the guarded network. Close it after use."""
    return httpx2.AsyncClient(
        transport=McpTransport(inner, auth),
        headers={"user-agent": USER_AGENT, **headers},
        timeout=httpx2.Timeout(READ_S, connect=CONNECT_S),
        trust_env=False,
        follow_redirects=False,
        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
    )


class McpTransport(httpx2.AsyncBaseTransport):
    """Raises nothing that the library could not hand to the call concerned. Bodies that are no stream are bounded."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, auth: Auth | None = None) -> None:
        self._inner = inner
        self._auth = auth

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if _asks(request):
            return await self._exchange(request)
        try:
            async with asyncio.timeout(ASIDE_S if request.method != "GET" else None):
                response = await self._exchange(request)
        except TimeoutError:
            return httpx2.Response(202, request=request)
        # The library ends the session when a notification fails; nothing depends on one.
        return response if request.method == "GET" else httpx2.Response(202, request=request)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _exchange(self, request: httpx2.Request) -> httpx2.Response:
        try:
            response = await self._inner.handle_async_request(_with_auth(request, self._auth))
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout):
            return _failed(request, Fault.NOT_SENT, "not connected")
        except httpx2.HTTPError as error:
            return _failed(request, Fault.LOST, f"connection failed: {type(error).__name__}")
        except (ToolError, ConfigError) as error:
            log.warning("an MCP server cannot be reached: %s", error)
            return _failed(request, Fault.REFUSED, f"refused: {error}")
        try:
            return await _judged(request, response)
        except httpx2.HTTPError as error:
            return _failed(request, Fault.LOST, f"connection failed: {type(error).__name__}")
        except _TooLong:
            return _failed(request, Fault.TOO_LONG, f"HTTP {response.status_code}: over {MAX_BODY_BYTES} bytes")


class _TooLong(Exception):
    pass


async def _judged(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
    status = response.status_code
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    plain = encoding in ("", "identity")  # a small compressed answer can unfold to any size
    if status == 200 and kind == "text/event-stream" and plain:
        if _method(request) in LASTING or request.method == "GET":
            return httpx2.Response(status, headers=response.headers, stream=_raw(response), request=request)
        return httpx2.Response(status, headers=response.headers, stream=_Bounded(_raw(response)), request=request)
    try:
        body = await _body(response)
    finally:
        await response.aclose()
    if 300 <= status < 400:
        return _failed(request, Fault.REFUSED, f"HTTP {status}: redirect refused")
    if status >= 400:
        return _refused(request, response, body if plain and kind == "application/json" else b"")
    if _asks(request) and (not plain or not _is_message(body)):
        return _failed(request, Fault.BROKEN, f"HTTP {status}: the answer is no message")
    headers = [(name, value) for name, value in response.headers.raw if not name.lower().startswith(b"content-")]
    return httpx2.Response(
        status, headers=[*headers, (b"content-type", b"application/json")], content=body, request=request
    )


def _refused(request: httpx2.Request, response: httpx2.Response, body: bytes) -> httpx2.Response:
    status = response.status_code
    if status == 404 and "mcp-session-id" in request.headers:
        return _failed(request, Fault.NOT_SENT, "HTTP 404: the session is unknown", session_gone=True)
    if status == 429:
        after = _seconds(response.headers.get("retry-after", ""))
        return _failed(request, Fault.THROTTLED, "HTTP 429", retry_after_s=after)
    if status in (502, 503, 504):
        return _failed(request, Fault.UNAVAILABLE, f"HTTP {status}")
    if body and _is_message(body):
        return httpx2.Response(status, headers={"content-type": "application/json"}, content=body, request=request)
    if status >= 500:
        return _failed(request, Fault.BROKEN, f"HTTP {status}")
    return _failed(request, Fault.REFUSED, f"HTTP {status}")


def _failed(request: httpx2.Request, fault: Fault, detail: str, **data: object) -> httpx2.Response:
    error = {"code": fault.value, "message": detail, "data": data}
    return httpx2.Response(
        502,
        headers={"content-type": "application/json"},
        content=json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode(),
        request=request,
    )


def _raw(response: httpx2.Response) -> httpx2.AsyncByteStream:
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    return response.stream


class _Bounded(httpx2.AsyncByteStream):
    """The event stream that answers one call: bounded in size, and in time also where there is no silence."""

    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        deadline, left = loop.time() + CALL_S, MAX_STREAM_BYTES
        async for chunk in self._inner:
            left -= len(chunk)
            if left < 0 or loop.time() > deadline:
                raise httpx2.ReadError("the stream does not end")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


def _asks(request: httpx2.Request) -> bool:
    """Tell whether this is a request of the protocol, to which an answer is awaited."""
    return _method(request) != ""


def _method(request: httpx2.Request) -> str:
    if request.method != "POST":
        return ""
    message = json.loads(request.content)  # the library wrote it
    return str(message["method"]) if isinstance(message, dict) and "id" in message and "method" in message else ""


def _is_message(body: bytes) -> bool:
    try:
        mcp_types.jsonrpc_message_adapter.validate_json(body, by_name=False)
    except ValueError:
        return False
    return True


async def _body(response: httpx2.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise _TooLong
    return bytes(body)


def _with_auth(request: httpx2.Request, auth: Auth | None) -> httpx2.Request:
    """Return the request as it leaves. The secret is read now, files may be rotated. Raises `ConfigError`.

    A copy: the library and its logs keep the one without the secret.
    """
    headers = httpx2.Headers(request.headers)
    headers["accept-encoding"] = "identity"
    url = request.url
    if auth is not None:
        secret = resolve_secret(auth.secret).get_secret_value()
        if not secret.isascii() or not secret.isprintable():
            raise ConfigError("the key for it is not printable ASCII on one line")
        match auth.kind:
            case "bearer":
                headers["authorization"] = f"Bearer {secret}"
            case "basic":
                headers["authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
            case "header":
                headers[str(auth.name)] = secret
            case "query":
                url = url.copy_merge_params({str(auth.name): secret})
    return httpx2.Request(request.method, url, headers=headers, stream=request.stream, extensions=request.extensions)


def _seconds(text: str) -> float | None:
    """Return `Retry-After` in seconds; dates are not worth a caller's time."""
    return min(float(text), MAX_RETRY_AFTER_S) if text.isascii() and text.isdigit() else None
