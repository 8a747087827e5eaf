"""`/v1/deliveries` for holders of an API key: what was told to the business, what waits, what was given up.

Answers: 200; 401 no valid key, 404 no such delivery, 409 it is waiting already, 422 a parameter is none, 503 the store
cannot be read now. Bodies are shown one at a time.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from gateway.operator.door import Door, Refused
from gateway.store.rows import StoredDelivery, StoreError
from gateway.tools.envelope import stamp

__all__ = ["STATES", "DeliveryShelf", "deliveries_router", "shown"]

logger = logging.getLogger(__name__)

STATES = frozenset({"waiting", "delivered", "dead"})
LIST_DEFAULT = 50
LIST_MOST = 500
ID_CHARS = 128


class DeliveryShelf(Protocol):
    """The part of `CallStore` that shows deliveries."""

    async def list_deliveries(
        self, state: str | None = None, call_id: str | None = None, limit: int = 50
    ) -> list[StoredDelivery]: ...

    async def get_delivery(self, delivery_id: str) -> StoredDelivery | None: ...

    async def replay_delivery(self, delivery_id: str) -> bool: ...


def deliveries_router(door: Door, store: DeliveryShelf, wake: Callable[[], None]) -> APIRouter:
    """Return the routes. `wake` is told of a replay (`Courier.wake`)."""
    routes = APIRouter(prefix="/v1/deliveries")

    @routes.get("")
    async def list_deliveries(request: Request) -> JSONResponse:
        async def answer() -> JSONResponse:
            door.enter(request)
            state, call_id, limit = _filters(request)
            rows = await store.list_deliveries(state, call_id, limit)
            return door.answer({"deliveries": [shown(row) for row in rows]})

        return await _guarded(door, answer)

    @routes.get("/{delivery_id}")
    async def get_delivery(delivery_id: str, request: Request) -> JSONResponse:
        async def answer() -> JSONResponse:
            door.enter(request)
            return door.answer(shown(await _found(store, delivery_id), body=True))

        return await _guarded(door, answer)

    @routes.post("/{delivery_id}/replay")
    async def replay(delivery_id: str, request: Request) -> JSONResponse:
        async def answer() -> JSONResponse:
            who = door.enter(request)
            row = await _found(store, delivery_id)
            if not await store.replay_delivery(row.delivery_id):
                raise Refused(409, "waiting", "the delivery is waiting already; it will be sent")
            logger.info("%s had delivery %s sent again", who, row.delivery_id)
            wake()
            return door.answer({"id": row.delivery_id, "state": "waiting"})

        return await _guarded(door, answer)

    return routes


def shown(row: StoredDelivery, *, body: bool = False) -> dict[str, object]:
    """Return a delivery as it may be shown; the secret is only a reference and stays here all the same."""
    told: dict[str, object] = {
        "id": row.delivery_id,
        "type": row.type,
        "call_id": row.call_id,
        "agent": row.agent,
        "url": row.url,
        "state": row.state,
        "attempts": row.attempts,
        "detail": row.detail or "",
        "created_at": stamp(row.created_at),
        "updated_at": stamp(row.updated_at),
        "next_at": stamp(row.next_at) if row.state == "waiting" else None,
    }
    return {**told, "body": row.body} if body else told


async def _found(store: DeliveryShelf, delivery_id: str) -> StoredDelivery:
    row = await store.get_delivery(delivery_id) if len(delivery_id) <= ID_CHARS else None
    if row is None:
        raise Refused(404, "not_found", "no delivery has this id")
    return row


def _filters(request: Request) -> tuple[str | None, str | None, int]:
    query = request.query_params
    state, call_id, limit = query.get("state"), query.get("call_id"), query.get("limit", str(LIST_DEFAULT))
    if state is not None and state not in STATES:
        raise Refused(422, "invalid", "state must be waiting, delivered or dead")
    if call_id is not None and not 0 < len(call_id) <= ID_CHARS:
        raise Refused(422, "invalid", "call_id must be a call's id")
    if not (limit.isascii() and limit.isdigit() and len(limit) < 5 and 0 < int(limit) <= LIST_MOST):
        raise Refused(422, "invalid", f"limit must be a number from 1 to {LIST_MOST}")
    return state, call_id, int(limit)


async def _guarded(door: Door, answer: Callable[[], Awaitable[JSONResponse]]) -> JSONResponse:
    try:
        return await answer()
    except Refused as refused:
        return door.refuse(refused)
    except StoreError:
        return door.refuse(Refused(503, "store", "the store cannot be read now; ask again"))
