"""Twilio's webhooks and its media socket.

`POST /twilio/voice` offers a call, `/twilio/media` carries its audio, `POST /twilio/after` says how the call goes
on when the stream is over, `POST /twilio/status` and `/twilio/stream-status` report; those of transfers are in
`transferring.py`. Nothing is believed before its signature is checked; a refused request allocates nothing.
"""

import logging

from fastapi import APIRouter, Request, Response, WebSocket
from starlette.datastructures import MultiDict

from gateway.carriers.base import CallOffer, Draining, Full, Over
from gateway.carriers.twilio import verbs
from gateway.carriers.twilio.after import MOST_AGAIN, after, again_of, apology, attempt_of
from gateway.carriers.twilio.door import TERMINAL, Fallback, Reports, TwilioDoor, refused, signed_form, xml
from gateway.carriers.twilio.media import MediaSockets
from gateway.carriers.twilio.transferring import add_transfer_routes
from gateway.errors import GatewayError

__all__ = ["Fallback", "Reports", "TwilioDoor", "router"]

logger = logging.getLogger(__name__)


def router(door: TwilioDoor) -> APIRouter:
    """Return the routes under `/twilio`."""
    routes = APIRouter(prefix="/twilio", include_in_schema=False)
    media = MediaSockets(door)

    @routes.post("/voice")
    async def voice(request: Request) -> Response:
        form = await signed_form(request, door)
        return refused() if form is None else xml(await _voice(door, form, request))

    @routes.post("/after")
    async def after_stream(request: Request) -> Response:
        form = await signed_form(request, door)
        return refused() if form is None else xml(after(door, media, form, request))

    @routes.post("/status")
    async def status(request: Request) -> Response:
        form = await signed_form(request, door)
        if form is None:
            return refused()
        await _status(door, form, attempt_of(request))
        return Response(status_code=204)

    @routes.post("/stream-status")
    async def stream_status(request: Request) -> Response:
        form = await signed_form(request, door)
        if form is None:
            return refused()
        if form.get("StreamEvent") == "stream-error":
            logger.warning("stream error reported for %s: %s", form["CallSid"], str(form.get("StreamError"))[:200])
        return Response(status_code=204)

    @routes.websocket("/media")
    async def media_socket(websocket: WebSocket) -> None:
        await media.serve(websocket)

    add_transfer_routes(routes, door, media)
    return routes


async def _voice(door: TwilioDoor, form: MultiDict, request: Request) -> str:
    again, attempt_id = again_of(request), attempt_of(request)
    carrier_call_id = str(form["CallSid"])
    agent = await door.reports.attempt_agent(attempt_id, carrier_call_id) if attempt_id else ""
    if agent is None:
        logger.warning("refused a call for an unknown attempt")
        return verbs.hang_up()
    offer = CallOffer(
        carrier="twilio",
        carrier_call_id=carrier_call_id,
        account_id=str(form["AccountSid"]),
        direction="outbound" if str(form.get("Direction", "inbound")).startswith("outbound") else "inbound",
        from_number=str(form.get("From", ""))[:64],
        to_number=str(form.get("To", ""))[:64],
        attempt_id=attempt_id,
        agent=agent,
    )
    try:
        token = door.calls.offer(offer, again=again)
    except Over:
        logger.info("a webhook came for a call that has ended")
        return verbs.hang_up()
    except Draining:
        if again >= MOST_AGAIN:
            door.reports.call_refused(offer, "draining")
            return apology(door, offer.agent, offer.to_number)
        return verbs.try_again(door.public_url, again + 1, pause_s=again, attempt_id=attempt_id)
    except Full:
        logger.warning("refused a call: no place left")
        door.reports.call_refused(offer, "full")
        return verbs.busy()
    except GatewayError as refused:
        logger.warning("refused a call: %s", refused)
        door.reports.call_refused(offer, "no_agent")
        return verbs.not_in_service()
    door.reports.call_state(carrier_call_id, str(form.get("CallStatus", "ringing")))
    return verbs.stream(door.public_url, door.stream_url, token, again, attempt_id)


async def _status(door: TwilioDoor, form: MultiDict, attempt_id: str) -> None:
    carrier_call_id, state = str(form["CallSid"]), str(form.get("CallStatus", ""))[:32]
    number = str(form.get("SequenceNumber", ""))
    sequence = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else None
    door.reports.call_state(carrier_call_id, state, sequence)
    if attempt_id:
        await door.reports.attempt_state(attempt_id, carrier_call_id, state, sequence)
    if state in TERMINAL:
        door.calls.hung_up(carrier_call_id)
        door.control.caller_gone(carrier_call_id)
