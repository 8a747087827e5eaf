"""`POST /v1/tool-results/{id}`: where a business sends the result that it promised with a 202.

The body is signed as our own requests are, with the tool's secret, and its `webhook-id` is the id in the path: without
that a result could be moved to another function call. Nothing is believed, and no row is looked for, before the
signature is that of a key which this gateway knows: to a stranger every id looks the same.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import SecretStr
from standardwebhooks import Webhook

from gateway.agents import AgentsFile
from gateway.bodies import BodyRefused, read_body
from gateway.errors import ConfigError
from gateway.store.rows import StoredInvocation, StoreError
from gateway.tools.desk import ToolDesk
from gateway.tools.ledger import FINAL, Ledger
from gateway.tools.replies import Reply, read_late
from gateway.tools.signing import SignatureRefused, keys_of, verify

__all__ = ["LateResults", "ResultMeter", "results_router"]

logger = logging.getLogger(__name__)

BODY_BYTES_MAX = 256 * 1024
BODY_S = 10.0
"""How long a body may take to arrive."""
KEYS_S = 5.0
"""How long keys that were read are used: strangers must not make us read files as often as they like."""
RETRY_S = 5


class ResultMeter(Protocol):
    """What is counted; does not raise."""

    def late_result(self, answer: str) -> None:
        """One result was answered: delivered, over, or the code of a refusal."""


class Refused(Exception):
    """An answer that is not 200."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass(slots=True)
class LateResults:
    """Judges results that come later and hands them to the desk."""

    ledger: Ledger
    desk: ToolDesk
    agents: AgentsFile
    default_secret: SecretStr | None
    meter: ResultMeter
    _keys: Mapping[str | None, list[Webhook]] | None = None
    _keys_until: float = 0.0

    async def take(self, message_id: str, headers: Mapping[str, str], body: bytes) -> None:
        """Take a result; returns when it is in the ledger and its call lives. Raises `Refused`."""
        keys = self._known_keys()
        _believe([key for some in keys.values() for key in some], headers, body)
        if headers.get("webhook-id") != message_id:
            raise Refused(401, "unauthorized", "webhook-id is not the id in the path; sign the id that we sent")
        try:
            row = await self.ledger.invocation_by_message(message_id)
        except StoreError:
            raise _later() from None
        if row is None:
            raise Refused(404, "unknown", "there is no function call with this id")
        _believe(keys.get(self._secret_of(row), []), headers, body)
        reply = self._usable(row, body)
        if row.state in FINAL or self.desk.settled(row.key):
            raise Refused(409, "duplicate", "this function call has a result already")
        # Nothing is awaited between this look and the desk's own note: of two at once, one is the duplicate.
        if not await self.desk.settle(row, reply.outcome("late result")):
            raise _later()
        if not await self._lives(row):
            raise Refused(410, "over", "the call is over; the result is kept")

    def _usable(self, row: StoredInvocation, body: bytes) -> Reply:
        try:
            return read_late(body)
        except ValueError as wrong:
            raise Refused(422, "unusable", f"the body cannot be read: {wrong}") from None

    async def _lives(self, row: StoredInvocation) -> bool:
        """Tell whether the telephone call goes on, here or on another node."""
        if self.desk.is_open(row.call_id):
            return True
        try:
            calls = await self.ledger.calls_of(row.carrier_call_id)
        except StoreError:
            return True
        return any(call.ended_at is None for call in calls)

    def _secret_of(self, row: StoredInvocation) -> str | None:
        """Return the reference to the secret of a row's tool; imported tools, and those that are gone, have ours."""
        agent = self.agents.agents.get(row.agent)
        tools = agent.tools if agent is not None else ()
        return next((tool.secret for tool in tools if tool.name == row.tool), None)

    def _known_keys(self) -> Mapping[str | None, list[Webhook]]:
        now = asyncio.get_running_loop().time()
        if self._keys is None or now >= self._keys_until:
            refs = {tool.secret for agent in self.agents.agents.values() for tool in agent.tools} | {None}
            self._keys = {ref: _keys(ref, self.default_secret) for ref in refs}
            self._keys_until = now + KEYS_S
        return self._keys


def results_router(results: LateResults) -> APIRouter:
    """Return the route."""
    router = APIRouter()

    @router.post("/v1/tool-results/{message_id}", include_in_schema=False)
    async def take(message_id: str, request: Request) -> JSONResponse:
        try:
            await results.take(message_id, request.headers, await read_body(request, BODY_BYTES_MAX, BODY_S))
        except (Refused, BodyRefused) as refused:
            results.meter.late_result(refused.code)
            if refused.status in (401, 404, 409, 422):
                logger.warning("a late result was refused: %s", refused.code)
            headers = {"Retry-After": str(RETRY_S)} if refused.status == 503 else {}
            return _answer({"error": {"code": refused.code, "message": str(refused)}}, refused.status, headers)
        results.meter.late_result("delivered")
        return _answer({"status": "delivered"}, 200, {})

    return router


def _answer(body: Mapping[str, object], status: int, headers: Mapping[str, str]) -> JSONResponse:
    return JSONResponse(dict(body), status, headers={"Cache-Control": "no-store", **headers})


def _keys(ref: str | None, default: SecretStr | None) -> list[Webhook]:
    try:
        return keys_of(ref, default)
    except ConfigError:
        return []  # whoever serves was told at the start; a tool without a key cannot sign its request either


def _believe(keys: list[Webhook], headers: Mapping[str, str], body: bytes) -> None:
    try:
        verify(keys, headers, body)
    except SignatureRefused as refused:
        raise Refused(401, "unauthorized", str(refused)) from None


def _later() -> Refused:
    return Refused(503, "unavailable", "the result cannot be kept now; send it again")
