"""The webhooks and the media socket, of Twilio and of carriers that speak like it.

`POST /NAME/voice` offers a call, `/NAME/media` carries its audio, `POST /NAME/after` says how the call goes on when
the stream is over, `POST /NAME/status` and `/NAME/stream-status` report; those of transfers are in
`transferring.py`. Nothing is believed before its signature is checked; a refused request allocates nothing.
"""

import logging

from fastapi import APIRouter, Request, Response, WebSocket
from starlette.datastructures import MultiDict

from gateway.carriers.base import CallOffer
from gateway.carriers.front import Stream, offered
from gateway.carriers.sockets import MediaSockets, by_token
from gateway.carriers.twilio import verbs
from gateway.carriers.twilio.after import after, again_of, attempt_of
from gateway.carriers.twilio.door import TERMINAL, TwilioDoor, refused, signed_form, xml
from gateway.carriers.twilio.transferring import add_transfer_routes

__all__ = ["router"]

logger = logging.getLogger(__name__)


def router(door: TwilioDoor) -> APIRouter:
    """Return the routes under the dialect's name."""
    routes = APIRouter(prefix=f"/{door.dialect.name}", include_in_schema=False)
    media = MediaSockets(by_token(door.front.calls), door.dialect.open_codec, door.admits)

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
    agent = await door.front.reports.attempt_agent(attempt_id, carrier_call_id) if attempt_id else ""
    if agent is None:
        logger.warning("refused a call for an unknown attempt")
        return verbs.hang_up()
    offer = CallOffer(
        carrier=door.dialect.name,
        carrier_call_id=carrier_call_id,
        account_id=str(form["AccountSid"]),
        direction="outbound" if str(form.get("Direction", "inbound")).startswith("outbound") else "inbound",
        from_number=str(form.get("From", ""))[:64],
        to_number=str(form.get("To", ""))[:64],
        attempt_id=attempt_id,
        agent=agent,
    )
    following = offered(door.front, offer, again)
    if isinstance(following, Stream):
        door.front.reports.call_state(carrier_call_id, str(form.get("CallStatus", "ringing")))
    return door.say(following)


async def _status(door: TwilioDoor, form: MultiDict, attempt_id: str) -> None:
    carrier_call_id, state = str(form["CallSid"]), str(form.get("CallStatus", ""))[:32]
    number = str(form.get("SequenceNumber", ""))
    sequence = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else None
    door.front.reports.call_state(carrier_call_id, state, sequence)
    if attempt_id:
        await door.front.reports.attempt_state(attempt_id, carrier_call_id, state, sequence)
    if state in TERMINAL:
        door.front.calls.hung_up(carrier_call_id)
        door.control.caller_gone(carrier_call_id)
