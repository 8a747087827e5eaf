"""The webhook `POST /openai/incoming`: a caller waits at OpenAI.

It is answered at once; the call is accepted, or declined with a SIP status, beside it. Deliveries repeat: each is taken
once, by the webhook's id and by the call's. One that tells of a call long ago is ignored, since nobody rings so long.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from fastapi import APIRouter, Request, Response

from gateway.bodies import BodyRefused, read_body
from gateway.carriers.base import CallOffer, Draining, Full, Over
from gateway.carriers.openai_sip.codec import Incoming, decode
from gateway.carriers.openai_sip.control import CARRIER, SipCalls
from gateway.carriers.openai_sip.signature import WebhookCheck
from gateway.errors import GatewayError, RemoteProtocolError

__all__ = ["OpenaiSipDoor", "Refusals", "router"]

logger = logging.getLogger(__name__)

PATH = "/openai/incoming"
MAX_BODY = 64 * 1024
BODY_S = 5.0
"""Longest time for a webhook's body to arrive."""
STALE_S = 60.0
"""A call that was announced so long ago has been given up by its caller."""
KEPT_IDS = 4096
"""Webhook ids that are remembered; a signature is valid for a few minutes only."""
BUSY, UNAVAILABLE, NOT_FOUND = 486, 503, 404


class Refusals(Protocol):
    """Where calls that are turned away are written down."""

    def call_refused(self, offer: CallOffer, why: str) -> None:
        """Record a call that was turned away."""


@dataclass(frozen=True, slots=True)
class OpenaiSipDoor:
    """What the route needs."""

    signatures: WebhookCheck
    control: SipCalls
    reports: Refusals
    wall: Callable[[], float] = time.time
    """Unix time."""
    seen: OrderedDict[str, None] = field(default_factory=OrderedDict)
    """Ids of webhooks that were taken, oldest first."""


def router(door: OpenaiSipDoor) -> APIRouter:
    """Return the route."""
    routes = APIRouter(include_in_schema=False)

    @routes.post(PATH)
    async def incoming(request: Request) -> Response:
        try:
            body = await read_body(request, MAX_BODY, BODY_S)
        except BodyRefused as refused:
            return _text(refused.code, refused.status)
        if not door.signatures.passes(body, request.headers):
            logger.warning("refused a webhook without a valid signature")
            return _text("forbidden", 403)
        try:
            call = decode(body)
        except RemoteProtocolError as broken:
            logger.warning("ignored a signed webhook: %s", broken)
            return _text("malformed", 400)
        if call is not None and _first_time(door, request.headers["webhook-id"]):
            _take(door, call)
        return Response(status_code=200)

    return routes


def _first_time(door: OpenaiSipDoor, webhook_id: str) -> bool:
    if webhook_id in door.seen:
        return False
    door.seen[webhook_id] = None
    while len(door.seen) > KEPT_IDS:
        door.seen.popitem(last=False)
    return True


def _take(door: OpenaiSipDoor, call: Incoming) -> None:
    if door.wall() - call.created_at > STALE_S:
        logger.info("ignored a webhook of a call long ago")
        return
    offer = CallOffer(
        carrier=CARRIER,
        carrier_call_id=call.call_id,
        account_id="",
        direction="inbound",
        from_number=call.from_number,
        to_number=call.to_number,
        comes_back=False,
    )
    try:
        door.control.offer(offer)
    except Over:
        logger.info("a webhook came for a call that has ended")
    except Draining:
        _refuse(door, offer, "draining", UNAVAILABLE)
    except Full:
        logger.warning("refused a call: no place left")
        _refuse(door, offer, "full", BUSY)
    except GatewayError as refused:
        logger.warning("refused a call: %s", refused)
        _refuse(door, offer, "no_agent", NOT_FOUND)


def _refuse(door: OpenaiSipDoor, offer: CallOffer, why: str, status: int) -> None:
    door.reports.call_refused(offer, why)
    door.control.reject(offer.carrier_call_id, status)


def _text(body: str, status: int) -> Response:
    return Response(body, status_code=status, media_type="text/plain")
