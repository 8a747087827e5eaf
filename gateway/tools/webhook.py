"""Calls business webhooks: one signed POST per function call of the model, and an outcome in any case.

What is sent and read is the tool's format (`formats.py`), what is repeated and what the model hears of failures is
`attempts.py`; `README.md` beside this file tells the business.
"""

import httpx2
from pydantic import SecretStr

from gateway.agents import Tool
from gateway.tools.attempts import Draft, carry_out
from gateway.tools.formats import FORMATS
from gateway.tools.netguard import MAX_CONNECTIONS, NetGuard
from gateway.tools.replies import json_text
from gateway.tools.request import CallFacts, ToolOutcome, ToolRequest, message_id
from gateway.tools.sender import Answer, Outgoing, traceparent
from gateway.tools.signing import secret_of, secret_problems, sign, signing_keys, tool_keys

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


class WebhookInvoker:
    """Carries out `ToolKind.WEBHOOK` for all calls of the process. Use as an async context manager."""

    def __init__(
        self,
        guard: NetGuard,
        *,
        default_secret: SecretStr | None = None,
        max_connections: int = MAX_CONNECTIONS,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """`default_secret` signs for tools that name no secret of their own (`GATEWAY_WEBHOOK_SECRET`).

        `transport` replaces the guarded network, to reach an application in this process.
        """
        self.default_secret = default_secret
        self.outgoing = Outgoing(guard, max_connections=max_connections, transport=transport)
        """Whatever else this process sends to businesses may go the same way; closed with the invoker."""

    async def __aenter__(self) -> "WebhookInvoker":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; calls in flight fail. Safe to call twice."""
        await self.outgoing.aclose()

    async def invoke(self, request: ToolRequest) -> ToolOutcome:
        """Carry out one function call. Takes at most the tool's `timeout_s`; raises nothing but cancellation."""
        tool = request.tool.target
        assert isinstance(tool, Tool)
        form = FORMATS[tool.format]

        def draft(number: int, left_s: float) -> Draft:
            secret = secret_of(tool.secret, self.default_secret)
            try:
                body = json_text(form.body(request, number, left_s))
            except RecursionError:
                raise ValueError("the arguments are nested too deeply") from None
            headers = {
                **{name.lower(): value for name, value in tool.headers.items()},
                **form.headers(secret, body),
                **sign(signing_keys(secret), message_id(request.key), body),
                "content-type": "application/json",
                "accept": "application/json",
                "idempotency-key": request.key,
                "traceparent": traceparent(request.call.phone_call, request.key),
            }
            return Draft("POST", tool.url, headers, body.encode())

        def read(answer: Answer) -> ToolOutcome:
            return form.read(request, answer).outcome(f"HTTP {answer.status}")

        return await carry_out(self.outgoing, request, draft, read)
