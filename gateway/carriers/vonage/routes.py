"""Vonage's webhooks and its media socket.

`/vonage/answer` offers a call, `/vonage/media` carries its audio. `/vonage/event` hears of both legs: of the caller's,
and, with our context in its URL, of the stream's; what it answers to the end of the stream is the call's next
instruction. `/vonage/transferred` is the same for the leg to a human, and `/vonage/again` offers a call once more.
"""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response, WebSocket
from fastapi.responses import JSONResponse

from gateway.bodies import BodyRefused, read_body
from gateway.carriers.base import CallOffer, Over, TokenRefused
from gateway.carriers.front import DEFAULT_APOLOGY, Apologise, Front, HangUp, Next, Stream, after, offered
from gateway.carriers.sockets import MediaSockets
from gateway.carriers.streamleg import Manner
from gateway.carriers.transfers import Transfer
from gateway.carriers.vonage.codec import VonageCodec
from gateway.carriers.vonage.context import Context, Seal
from gateway.carriers.vonage.control import VonageControl
from gateway.carriers.vonage.ncco import Action, Ncco, plus
from gateway.carriers.vonage.signature import JwtCheck, query_payload
from gateway.carriers.vonage.streams import Streams
from gateway.core.audio import AudioFormat
from gateway.core.commands import EndReason
from gateway.core.events import TransferState

__all__ = ["MANNER", "VonageDoor", "router"]

logger = logging.getLogger(__name__)

CARRIER = "vonage"
MANNER = Manner(exact_frames=True, acknowledges_clear=True, close_is_hang_up=True)
MAX_BODY = 64 * 1024
BODY_S = 4.0
"""Longest time for a webhook's body to arrive; Vonage waits 5 s for the answer."""
MAX_NUMBER = 64
STATES = {
    "started": "initiated",
    "ringing": "ringing",
    "answered": "in-progress",
    "completed": "completed",
    "busy": "busy",
    "cancelled": "canceled",
    "failed": "failed",
    "rejected": "failed",
    "timeout": "no-answer",
    "unanswered": "no-answer",
}
"""Vonage's states of a leg to ours; `machine`, `human`, `record` and the like are none."""
TERMINAL = frozenset({"completed", "busy", "cancelled", "failed", "rejected", "timeout", "unanswered"})
STREAM_OVER = (TERMINAL - {"completed"}) | {"disconnected"}
"""What is said of a leg of ours that ended, or never began, while the caller is still there."""
NOT_REACHED = {
    "busy": TransferState.BUSY,
    "timeout": TransferState.NO_ANSWER,
    "unanswered": TransferState.NO_ANSWER,
    "rejected": TransferState.REJECTED,
    "failed": TransferState.FAILED,
    "cancelled": TransferState.FAILED,
}

_is_uuid = re.compile(r"[0-9A-Za-z-]{8,64}").fullmatch

Fields = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class VonageDoor:
    """What the routes need."""

    front: Front
    signatures: JwtCheck
    seal: Seal
    ncco: Ncco
    streams: Streams
    control: VonageControl
    media: MediaSockets

    def render(self, step: Next, context: Context) -> list[Action]:
        """Say a step in NCCO, and expect its stream."""
        if isinstance(step, Stream):
            context = self.streams.ask(step.token, context.but(again=step.again))
        return self.ncco.next(step, context)


def media_sockets(streams: Streams) -> MediaSockets:
    """Return who takes the sockets."""
    return MediaSockets(streams.claim, lambda websocket: VonageCodec(), streams.admits, manner=MANNER)


def router(door: VonageDoor) -> APIRouter:
    """Return the routes under `/vonage`."""
    routes = APIRouter(prefix="/vonage", include_in_schema=False)

    @routes.api_route("/answer", methods=["GET", "POST"])
    async def answer(request: Request) -> Response:
        fields = await _signed(request, door)
        if fields is None or _is_uuid(fields.get("uuid", "")) is None:
            return _refused()
        return JSONResponse(await _answer(door, fields, request.query_params.get("attempt", "")[:64]))

    @routes.api_route("/again", methods=["POST"])
    async def again(request: Request) -> Response:
        fields, context = await _signed(request, door), _context(door, request)
        if fields is None or context is None:
            return _refused()
        # A repetition that comes when the call has its stream: an answer would put that aside.
        return _replied(None if door.streams.has(context) else _offer(door, context))

    @routes.api_route("/event", methods=["GET", "POST"])
    async def event(request: Request) -> Response:
        fields = await _signed(request, door)
        return _refused() if fields is None else _replied(await _event(door, fields, _context(door, request)))

    @routes.api_route("/transferred", methods=["POST"])
    async def transferred(request: Request) -> Response:
        fields, context = await _signed(request, door), _context(door, request)
        if fields is None or context is None:
            return _refused()
        return _replied(_transferred(door, fields, context))

    @routes.websocket("/media")
    async def media_socket(websocket: WebSocket) -> None:
        await door.media.serve(websocket)

    return routes


async def _signed(request: Request, door: VonageDoor) -> Fields | None:
    """Return the fields of a request that is Vonage's; None for any other."""
    try:
        body = await read_body(request, MAX_BODY, BODY_S)
    except BodyRefused:
        return None
    fields: object
    try:
        if request.method == "GET":
            # As received: `request.url` is put together with the Host, which anyone can send.
            query: bytes = request.scope["query_string"]
            pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=200)
            fields, payload = dict(pairs), query_payload(pairs)
        else:
            fields, payload = json.loads(body), body
    except (ValueError, RecursionError):
        return None
    if not door.signatures.passes(request.headers.get("authorization"), payload):
        logger.warning("refused a webhook without a valid signature")
        return None
    if not isinstance(fields, dict):
        return None
    return {str(key): value for key, value in fields.items() if isinstance(value, str)}


def _context(door: VonageDoor, request: Request) -> Context | None:
    return door.seal.open(request.query_params.get("c", ""))


async def _answer(door: VonageDoor, fields: Fields, attempt_id: str) -> list[Action]:
    call = fields["uuid"]
    context = Context(
        call=call,
        from_number=_number(fields, "from"),
        to_number=_number(fields, "to"),
        direction="outbound" if attempt_id else "inbound",
        attempt_id=attempt_id,
    )
    agent = await door.front.reports.attempt_agent(attempt_id, call) if attempt_id else ""
    if agent is None:
        logger.warning("refused a call for an unknown attempt")
        return door.render(HangUp(), context)
    door.control.controlled_at(call, fields.get("region_url", "")[:200])
    answer = _offer(door, context, agent)
    door.front.reports.call_state(call, "in-progress" if attempt_id else "ringing")
    return answer


def _offer(door: VonageDoor, context: Context, agent: str = "") -> list[Action]:
    offer = CallOffer(
        carrier=CARRIER,
        carrier_call_id=context.call,
        account_id="",
        direction=context.direction,
        from_number=context.from_number,
        to_number=context.to_number,
        attempt_id=context.attempt_id,
        agent=agent,
        audio=AudioFormat.PCM24,
    )
    return door.render(offered(door.front, offer, context.again), context)


async def _event(door: VonageDoor, fields: Fields, context: Context | None) -> list[Action] | None:
    """Return the call's next instruction, where the event is one to be answered."""
    status, leg = fields.get("status", ""), fields.get("uuid") or fields.get("call_uuid", "")
    if context is not None and status in STREAM_OVER:
        # Whichever leg it names: our context is only in the URL of the stream's events.
        return _stream_over(door, context)
    if context is None or leg == context.call:
        await _caller_state(door, leg, status, context.attempt_id if context is not None else "")
    return None


def _stream_over(door: VonageDoor, context: Context) -> list[Action] | None:
    ended = door.front.calls.outcome(context.call)
    moved = door.control.moving(context.call) and (ended is None or ended.reason is EndReason.TRANSFERRED)
    if moved or door.streams.is_late(context):
        # What was asked for meanwhile must not be put aside by an answer.
        return None
    step = after(door.front, context.call, context.to_number, context.again, context.attempt_id)
    return door.render(step, context)


async def _caller_state(door: VonageDoor, call: str, status: str, attempt_id: str) -> None:
    state = STATES.get(status)
    if state is None or _is_uuid(call) is None:
        return
    door.front.reports.call_state(call, state)
    if attempt_id:
        await door.front.reports.attempt_state(attempt_id, call, state, None)
    if status in TERMINAL:
        door.front.calls.hung_up(call)


def _transferred(door: VonageDoor, fields: Fields, context: Context) -> list[Action] | None:
    """Take an event of the leg to a human; return what follows for the caller when nobody was reached."""
    status = fields.get("status", "")
    transfer = door.control.newest(context.call, context.ticket)
    if status == "completed" and fields.get("uuid") == context.call:
        door.front.calls.hung_up(context.call)
        return None
    if status == "answered" or (status == "completed" and _lasted(fields)):
        if transfer is not None:
            door.control.tell(transfer, TransferState.ANSWERED)
        return None
    if status not in NOT_REACHED or (transfer is not None and transfer.told is TransferState.ANSWERED):
        return None
    back = _come_back(door, context, transfer, NOT_REACHED[status]) if transfer is not None else None
    if back is not None:
        return back
    logger.info("a caller came back from a transfer of a call that is not here any more")
    ended = door.front.calls.outcome(context.call)
    if ended is not None and ended.reason is EndReason.TRANSFERRED:
        # The record was closed without word from Vonage: to hang up now would be to lose the caller.
        fallback = door.front.fallback(ended.agent, context.to_number)
        return door.render(Apologise(fallback.say or DEFAULT_APOLOGY, fallback.dial), context)
    return door.render(after(door.front, context.call, context.to_number, context.again, context.attempt_id), context)


def _come_back(door: VonageDoor, context: Context, transfer: Transfer, state: TransferState) -> list[Action] | None:
    """Bring a caller whose transfer failed back to the agent, who learns why; None when there is no way back."""
    try:
        resumed = door.front.calls.resume(context.call)
    except (Over, TokenRefused):
        return None
    door.media.supersede(context.call)
    door.control.tell(transfer, state)
    return door.render(Stream(resumed.token, resumed.again, context.attempt_id), context)


def _number(fields: Fields, key: str) -> str:
    """Return a number as E.164; of anything else what can be printed: it goes back to Vonage as `from`."""
    return plus("".join(filter(str.isprintable, fields.get(key, "")[:MAX_NUMBER])))


def _lasted(fields: Fields) -> bool:
    """Tell whether a leg that is over was ever answered: `completed` follows failures too, and may overtake them."""
    duration = fields.get("duration", "")[:12]
    return duration.isascii() and duration.isdigit() and int(duration) > 0


def _replied(ncco: list[Action] | None) -> Response:
    return Response(status_code=204) if ncco is None else JSONResponse(ncco)


def _refused() -> Response:
    return Response("forbidden", status_code=403, media_type="text/plain")
