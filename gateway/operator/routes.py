"""`/v1/calls/live`, `/v1/calls/{call_id}/commands` and `/v1/vault/redeem`, for holders of an API key.

Answers: 200; 400 the body is no JSON or ended early, 401 no valid key, 404 no such call on this node, or no such token,
408 the body came too slowly, 409 the call does not do that now, or the id was used for another command, 410 the call
has ended, 413 the body is too long, 415 it is not JSON, 421 the request names another node, 422 it does not say what
is expected. Every refusal is `{"error": {"code", "message"}}`; 422 adds `fields`, a sentence for each.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from gateway.operator.desk import CommandDesk
from gateway.operator.door import Door, Refused
from gateway.operator.requests import VARIANTS, CommandBody, RedeemBody
from gateway.vault import Vault

__all__ = ["CallView", "operator_router", "vault_router"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CallView:
    """A live call as it may be shown."""

    call_id: str
    agent: str
    direction: str
    phase: str
    seconds: float
    """Since it was offered."""
    from_number: str
    """Masked."""
    to_number: str
    """Masked."""


def operator_router(door: Door, desk: CommandDesk, live: Callable[[], Sequence[CallView]]) -> APIRouter:
    """Return the routes of live calls. Mount them before others below `/v1/calls`."""
    routes = APIRouter(prefix="/v1/calls")

    @routes.get("/live")
    async def list_live(request: Request) -> JSONResponse:
        async def answer() -> JSONResponse:
            door.enter(request)
            return door.answer({"node": door.node, "calls": [asdict(view) for view in live()]})

        return await _guarded(door, answer)

    @routes.post("/{call_id}/commands")
    async def command(call_id: str, request: Request) -> JSONResponse:
        async def answer() -> JSONResponse:
            who = door.enter(request)
            wanted = (await door.read(request, CommandBody, VARIANTS)).root
            outcome = desk.run(call_id, who, wanted)
            return door.answer({"id": wanted.id, "call_id": call_id, "outcome": outcome})

        return await _guarded(door, answer)

    return routes


def vault_router(door: Door, vault: Vault) -> APIRouter:
    """Return the route by which the business gets what a secure collector took."""
    routes = APIRouter(prefix="/v1/vault")

    @routes.post("/redeem")
    async def redeem(request: Request) -> JSONResponse:
        async def answer() -> JSONResponse:
            who = door.enter(request)
            digits = vault.redeem((await door.read(request, RedeemBody)).name)
            logger.info("%s redeemed %s", who, "digits of the vault" if digits is not None else "nothing")
            if digits is None:
                raise Refused(404, "not_found", "the token is unknown here, was redeemed, or is too old")
            return door.answer({"digits": digits})

        return await _guarded(door, answer)

    return routes


async def _guarded(door: Door, answer: Callable[[], Awaitable[JSONResponse]]) -> JSONResponse:
    try:
        return await answer()
    except Refused as refused:
        return door.refuse(refused)
