"""The webhooks of transfers.

`POST /NAME/transferred` is asked what follows when a blind transfer's `<Dial>` is over, `/NAME/transfer/status`
hears what becomes of the leg to the human, and `/NAME/transfer/key` takes the key with which a human of a warm
transfer decides. They come late, twice and in any order; a ticket that means nothing any more changes nothing.
"""

import logging

from fastapi import APIRouter, Request, Response
from starlette.datastructures import MultiDict

from gateway.carriers.sockets import MediaSockets
from gateway.carriers.twilio import verbs
from gateway.carriers.twilio.after import after, attempt_of, come_back
from gateway.carriers.twilio.door import TERMINAL, TwilioDoor, refused, signed_form, xml
from gateway.core.commands import EndReason
from gateway.core.events import TransferState

__all__ = ["add_transfer_routes"]

logger = logging.getLogger(__name__)

NOT_REACHED = {"busy": TransferState.BUSY, "no-answer": TransferState.NO_ANSWER}
"""`DialCallStatus` to what the agent learns; anything else has failed."""


def add_transfer_routes(routes: APIRouter, door: TwilioDoor, media: MediaSockets) -> None:
    """Mount them beside the others."""

    @routes.post("/transferred")
    async def transferred(request: Request) -> Response:
        form = await signed_form(request, door)
        return refused() if form is None else xml(_transferred(door, media, form, request))

    @routes.post("/transfer/status")
    async def human_status(request: Request) -> Response:
        form = await signed_form(request, door)
        if form is None:
            return refused()
        status = str(form.get("CallStatus", ""))[:32]
        door.control.human_state(_ticket(request), str(form["CallSid"]), status)
        return Response(status_code=204)

    @routes.post("/transfer/key")
    async def human_key(request: Request) -> Response:
        form = await signed_form(request, door)
        if form is None:
            return refused()
        key = str(form.get("Digits", ""))[:1]
        return xml(door.control.human_key(_ticket(request), str(form["CallSid"]), key))


def _ticket(request: Request) -> str:
    return request.query_params.get("ticket", "")[:64]


def _transferred(door: TwilioDoor, media: MediaSockets, form: MultiDict, request: Request) -> str:
    carrier_call_id, status = str(form["CallSid"]), str(form.get("DialCallStatus", ""))[:32]
    transfer = door.control.newest(carrier_call_id, _ticket(request))
    if str(form.get("CallStatus", "")) in TERMINAL:
        # The caller has hung up; nobody hears what we answer.
        door.front.calls.hung_up(carrier_call_id)
        return verbs.hang_up()
    if status in ("completed", "answered"):
        if transfer is not None:
            door.control.tell(transfer, TransferState.ANSWERED)
        return verbs.hang_up()
    if transfer is not None:
        state = NOT_REACHED.get(status, TransferState.FAILED)
        back = come_back(door, media, transfer, state, attempt_of(request))
        if back is not None:
            return back
    logger.info("a caller came back from a transfer of a call that is not here any more")
    ended = door.front.calls.outcome(carrier_call_id)
    if ended is not None and ended.reason is EndReason.TRANSFERRED:
        # The record was closed without word from Twilio: to hang up now would be to lose the caller.
        fallback = door.front.fallback(ended.agent, str(form.get("To", "")))
        return verbs.apologise(fallback.say, fallback.dial)
    return after(door, media, form, request)
