"""Calls business webhooks: one signed POST per function call of the model, and an answer for the model in any case.

Signing is Standard Webhooks (standardwebhooks.com); the envelope is ours and is described in `README.md` beside this
file. A request is repeated only when its connection could not be made, so not one byte of it was sent.
"""

import asyncio
import json
from datetime import UTC, datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2
from pydantic import SecretStr
from standardwebhooks import Webhook

from gateway.agents import Tool
from gateway.errors import ConfigError, ToolError
from gateway.tools.catalogue import parse_json
from gateway.tools.netguard import GuardedTransport, NetGuard
from gateway.tools.request import CallFacts, ToolOutcome, ToolRequest, message_id
from gateway.tools.signing import secret_problems, sign, signing_keys, tool_keys

__all__ = [
    "CallFacts",
    "ToolOutcome",
    "ToolRequest",
    "WebhookInvoker",
    "secret_problems",
    "sign",
    "signing_keys",
    "tool_keys",
]

API_VERSION = "1"
CONNECT_S = 1.0
CONNECT_RETRY_PAUSE_S = 0.1
MAX_RESPONSE_BYTES = 256 * 1024
MAX_ERROR_CHARS = 1000
"""Longest error text of a business that is passed on to the model."""
USER_AGENT = "voice-agent-gateway"


class WebhookInvoker:
    """Invokes webhooks for all calls of the process. Use as an async context manager; owns the HTTP client."""

    def __init__(
        self,
        guard: NetGuard,
        *,
        default_secret: SecretStr | None = None,
        max_connections: int = 100,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """`default_secret` signs for tools that name no secret of their own (`GATEWAY_WEBHOOK_SECRET`).

        `transport` replaces the guarded network, to reach an application in this process.
        """
        self._default_secret = default_secret
        self._client = httpx2.AsyncClient(
            transport=transport or GuardedTransport(guard, max_connections=max_connections),
            trust_env=False,
            follow_redirects=False,  # a redirect would carry the signed request to an address nobody configured
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),  # one caller's session is not another's
        )

    async def __aenter__(self) -> "WebhookInvoker":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; calls in flight fail. Safe to call twice."""
        await self._client.aclose()

    async def invoke(self, request: ToolRequest) -> ToolOutcome:
        """Carry out one function call. Takes at most the tool's `timeout_s`; raises nothing but cancellation."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        deadline = begun + request.tool.policy.timeout_s
        try:
            async with asyncio.timeout_at(deadline):
                output, detail = await self._attempts(request, deadline)
            ok = True
        except TimeoutError:
            ok, detail = False, f"no answer within {request.tool.policy.timeout_s:g} s"
            output = _error("the system did not answer in time")
        except ToolError as error:
            ok, detail = False, error.code or "failed"
            output = _error(str(error))
        return ToolOutcome(ok, output, detail, round((loop.time() - begun) * 1000))

    async def _attempts(self, request: ToolRequest, deadline: float) -> tuple[str, str]:
        try:
            return await self._attempt(request, deadline, 1)
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            await asyncio.sleep(CONNECT_RETRY_PAUSE_S)
        try:
            return await self._attempt(request, deadline, 2)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            code = f"not connected, tried twice: {_cause(error)}"
            raise ToolError("the system cannot be reached", code=code) from None

    async def _attempt(self, request: ToolRequest, deadline: float, attempt: int) -> tuple[str, str]:
        tool = request.tool.target
        assert isinstance(tool, Tool)
        left_s = max(deadline - asyncio.get_running_loop().time(), 0.001)
        body = _envelope(request, attempt, left_s)
        headers = {
            **tool.headers,
            **sign(self._keys(tool), message_id(request.key), body),
            "content-type": "application/json",
            "accept": "application/json",
            "accept-encoding": "identity",  # a small compressed answer can unfold to any size
            "user-agent": USER_AGENT,
            "idempotency-key": request.key,
        }
        patience = httpx2.Timeout(left_s, connect=min(CONNECT_S, left_s))
        try:
            async with self._client.stream(
                "POST", tool.url, content=body, headers=headers, timeout=patience
            ) as response:
                return await _answer(response)
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            raise
        except httpx2.TimeoutException:
            raise TimeoutError from None
        except httpx2.HTTPError as error:
            code = f"connection failed: {_cause(error)}"
            raise ToolError("the system broke off the connection", code=code) from None
        except (httpx2.InvalidURL, UnicodeError):
            raise ToolError("the system is not set up correctly", permanent=True, code="unusable URL") from None
        except ToolError as error:
            if error.code:
                raise
            # The guard's reason is for the operator; the model could only read it out.
            raise ToolError("the system is not set up correctly", permanent=True, code=f"refused: {error}") from None

    def _keys(self, tool: Tool) -> list[Webhook]:
        try:
            return tool_keys(tool, self._default_secret)
        except ConfigError as error:
            raise ToolError("the system is not set up correctly", permanent=True, code=str(error)) from None


def _envelope(request: ToolRequest, attempt: int, left_s: float) -> str:
    call = request.call
    return json.dumps(
        {
            "type": "tool.call",
            "id": message_id(request.key),
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "api_version": API_VERSION,
            "data": {
                "call": {
                    "id": call.call_id,
                    "direction": call.direction,
                    "from": call.from_number,
                    "to": call.to_number,
                    "agent": call.agent,
                    "metadata": dict(call.metadata),
                },
                "tool": {"name": request.tool.name, "call_id": request.tool_call_id},
                "arguments": dict(request.arguments),
                "attempt": attempt,
                "deadline_ms": round(left_s * 1000),
            },
        },
        separators=(",", ":"),
    )


async def _answer(response: httpx2.Response) -> tuple[str, str]:
    """Return the text for the model and the journal's detail. Raises `ToolError` for anything but a usable 2xx."""
    status = response.status_code
    if response.is_redirect or 300 <= status < 400:
        raise ToolError("the system is not set up correctly", permanent=True, code=f"HTTP {status}: redirect refused")
    if status >= 500:
        raise ToolError("the system reported a failure", code=f"HTTP {status}")
    document = await _document(response)
    if status >= 400:
        raise ToolError(_business_error(document, status), permanent=True, code=f"HTTP {status}")
    result = document["result"] if isinstance(document, dict) and "result" in document else document
    try:
        return _text(result), f"HTTP {status}"
    except RecursionError:  # writing needs a little more stack than parsing did
        raise ToolError("the system's answer cannot be read", code=f"HTTP {status}: nested too deeply") from None


async def _document(response: httpx2.Response) -> object:
    """Return the JSON body, None for an empty one. For 4xx, a body that is no JSON counts as empty."""
    status = response.status_code
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_RESPONSE_BYTES:
            raise ToolError("the system's answer is too long", code=f"HTTP {status}: over {MAX_RESPONSE_BYTES} bytes")
    if not body:
        return None
    try:
        _require_json(response.headers)
        return parse_json(bytes(body))
    except ValueError as error:
        if status >= 400:
            return None
        raise ToolError("the system's answer cannot be read", code=f"HTTP {status}: {error}") from None


def _require_json(headers: httpx2.Headers) -> None:
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise ValueError("the answer is compressed although identity was asked for")
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise ValueError("the answer is not application/json")


def _business_error(document: object, status: int) -> str:
    """Return the message of {"error": {"message": …}}, or of {"error": "…"}, or a plain one."""
    error = document.get("error") if isinstance(document, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    if isinstance(message, str) and message.strip():
        return message.strip()[:MAX_ERROR_CHARS]
    return f"the system refused the request (HTTP {status})"


def _text(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair cannot be sent as UTF-8; escaped it can
        text = json.dumps(value, separators=(",", ":"))
    return text


def _error(message: str) -> str:
    return _text({"error": {"message": message}})


def _cause(error: Exception) -> str:
    """Name a transport failure by its type: its text may hold addresses of the network."""
    return type(error).__name__
