"""Carries out operations of OpenAPI documents: an ordinary HTTP request of the business's own API."""

import base64
from collections.abc import Mapping
from typing import cast
from urllib.parse import quote

from pydantic import SecretStr

from gateway.agents.outside import Auth, resolve_secret
from gateway.errors import ConfigError, ToolError
from gateway.tools.attempts import Draft, carry_out
from gateway.tools.openapi.answers import explanation, outcome
from gateway.tools.openapi.encoding import Built, build
from gateway.tools.openapi.operation import BodyKind, Operation
from gateway.tools.replies import error_text
from gateway.tools.request import ToolOutcome, ToolRequest, message_id
from gateway.tools.sender import Answer, Outgoing, traceparent
from gateway.tools.signing import keys_of, sign

__all__ = ["OperationInvoker"]


class OperationInvoker:
    """The `Executor` of `ToolKind.OPERATION`. Sends through the one guarded sender, by the rules of all tools."""

    def __init__(self, outgoing: Outgoing, *, default_secret: SecretStr | None = None) -> None:
        """`default_secret` signs for sections that name none of their own (`GATEWAY_WEBHOOK_SECRET`)."""
        self._outgoing = outgoing
        self._default_secret = default_secret

    async def invoke(self, request: ToolRequest) -> ToolOutcome:
        """Carry out one function call. Takes at most the tool's `timeout_s`; raises nothing but cancellation."""
        operation = request.tool.target
        assert isinstance(operation, Operation)
        try:
            built = build(operation, request.arguments)
        except ToolError as error:
            return ToolOutcome(False, error_text(str(error)), error.code)

        def draft(number: int, _: float) -> Draft:
            return Draft(operation.method, *self._completed(operation, built, request, number))

        def read(answer: Answer) -> ToolOutcome:
            return outcome(answer, write=request.tool.policy.effect == "write")

        # `carry_out` asks nothing of its sender but `send`.
        sender = cast(Outgoing, _Explaining(self._outgoing))
        return await carry_out(sender, request, draft, read)

    def _completed(
        self, operation: Operation, built: Built, request: ToolRequest, number: int
    ) -> tuple[str, dict[str, str], bytes | None]:
        """Return URL, headers and content with what the agents file adds. Raises `ConfigError`."""
        headers = {**built.headers, **operation.headers, "accept": "application/json, text/plain;q=0.5"}
        if built.content is not None:
            form = operation.body is BodyKind.FORM
            headers["content-type"] = "application/x-www-form-urlencoded" if form else operation.content_type
        if operation.sign:
            headers |= self._signature(operation, built, request)
        # Signed or not: what may be sent twice must be known again by this.
        headers["idempotency-key"] = request.key
        headers["traceparent"] = traceparent(request.call.phone_call, f"{request.key} {number}")
        url = built.url
        if operation.auth is not None:
            credentials, query = _credentials(operation.auth)
            headers |= credentials
            url += f"{'&' if '?' in url else '?'}{query}" if query else ""
        return url, headers, built.content

    def _signature(self, operation: Operation, built: Built, request: ToolRequest) -> Mapping[str, str]:
        if operation.secret is None and self._default_secret is None and operation.auth is not None:
            return {}  # the API is shown who calls in another way
        keys = keys_of(operation.secret, self._default_secret)
        return sign(keys, message_id(request.key), (built.content or b"").decode())


class _Explaining:
    """A sender that puts the many forms of an API's errors into the one that is read for every tool."""

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None, *, deadline: float
    ) -> Answer:
        answer = await self._outgoing.send(method, url, headers, content, deadline=deadline)
        if not 400 <= answer.status < 500:
            return answer
        said = explanation(answer)
        told = answer.headers.copy()
        told["content-type"] = "application/json"
        return Answer(answer.status, told, error_text(said).encode() if said else b"")


def _credentials(auth: Auth) -> tuple[dict[str, str], str]:
    """Return headers and query that show who calls. The secret is read now, so it may be rotated."""
    secret = resolve_secret(auth.secret).get_secret_value()
    if not secret.isascii() or not secret.isprintable():
        raise ConfigError("the secret of auth is not printable ASCII")
    match auth.kind:
        case "bearer":
            return {"authorization": f"Bearer {secret}"}, ""
        case "basic":
            return {"authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}, ""
        case "header":
            return {str(auth.name).lower(): secret}, ""
        case "query":
            return {}, f"{quote(str(auth.name), safe='')}={quote(secret, safe='')}"
