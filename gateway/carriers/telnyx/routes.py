"""Telnyx' webhook `POST /telnyx/voice`, which tells everything that happens to a call, and the media socket.

A webhook is answered at once and never with an instruction: what is to be done is done by REST beside it. Deliveries
repeat, so each event is taken once, by its id. One that offers a call while this node takes none is answered 503:
Telnyx delivers it again, to whichever node is ready then.
"""

import logging
import re
from collections import OrderedDict
from dataclasses import dataclass, field

from fastapi import APIRouter, Request, Response, WebSocket

from gateway.bodies import BodyRefused, read_body
from gateway.carriers.errands import Errands
from gateway.carriers.front import Reports
from gateway.carriers.sockets import MediaSockets
from gateway.carriers.stream import Frame, Message
from gateway.carriers.streamleg import Manner
from gateway.carriers.telnyx.callers import Callers
from gateway.carriers.telnyx.codec import EncodingRefused, TelnyxCodec
from gateway.carriers.telnyx.control import TelnyxControl
from gateway.carriers.telnyx.events import Event, decode
from gateway.carriers.telnyx.line import Line
from gateway.carriers.telnyx.rest import TelnyxRest
from gateway.carriers.telnyx.signature import SignatureCheck
from gateway.errors import RemoteProtocolError

__all__ = ["MANNER", "TelnyxDoor", "router"]

logger = logging.getLogger(__name__)

MAX_BODY = 64 * 1024
BODY_S = 5.0
"""Longest time for a webhook's body to arrive."""
KEPT_IDS = 20_000
"""Events that are remembered: thirty a second, for as long as a signature is valid."""
TOKEN = "x-telnyx-streaming-auth-token"
MANNER = Manner(exact_frames=True, idle_silence=True, reorders=True)
"""Telnyx takes no less than 20 ms a message, does not promise the order of its own, and ends a call as if it were hung
up when nothing has come from us for about 1.5 s."""
ENDS = {
    "normal_clearing": "completed",
    "time_limit": "completed",
    "user_busy": "busy",
    "no_answer": "no-answer",
    "timeout": "no-answer",
    "originator_cancel": "canceled",
}
"""`hangup_cause` to the state that is recorded of a call we placed; any other has failed."""

_is_token = re.compile(r"[A-Za-z0-9_-]{16,128}").fullmatch


@dataclass(frozen=True, slots=True)
class TelnyxDoor:
    """What the routes need."""

    signatures: SignatureCheck
    callers: Callers
    control: TelnyxControl
    rest: TelnyxRest
    errands: Errands
    reports: Reports
    seen: OrderedDict[str, None] = field(default_factory=OrderedDict)
    """Ids of events that were taken, oldest first."""


def router(door: TelnyxDoor) -> APIRouter:
    """Return the routes under `/telnyx`."""
    routes = APIRouter(prefix="/telnyx", include_in_schema=False)
    media = MediaSockets(
        door.callers.claim,
        lambda websocket: _codec(door, websocket),
        lambda websocket: _is_token(_token(websocket)) is not None and _waits(door, websocket),
        manner=MANNER,
    )

    @routes.post("/voice")
    async def voice(request: Request) -> Response:
        try:
            body = await read_body(request, MAX_BODY, BODY_S)
        except BodyRefused as refused:
            return _text(refused.code, refused.status)
        if not door.signatures.passes(body, request.headers):
            logger.warning("refused a webhook without a valid signature")
            return _text("forbidden", 403)
        try:
            event = decode(body)
        except RemoteProtocolError as broken:
            logger.warning("refused a signed webhook: %s", broken)
            return _text("malformed", 400)
        if event is not None and _first_time(door, event) and not await _take(door, event):
            door.seen.pop(event.event_id, None)
            return _text("draining", 503)
        return Response(status_code=200)

    @routes.websocket("/media")
    async def media_socket(websocket: WebSocket) -> None:
        token = _token(websocket)
        line = door.callers.expected(token)
        try:
            await media.serve(websocket)
        finally:
            if line is not None:
                door.callers.stream_over(line, token)

    return routes


class _LineCodec(TelnyxCodec):
    """Tells the call when its stream is in a codec that it cannot speak: no other stream would be better."""

    def __init__(self, token: str, line: Line, callers: Callers) -> None:
        super().__init__(token, line.offer.audio)
        self._line_token = token
        self._callers = callers

    def decode(self, frame: Frame) -> Message:
        try:
            return super().decode(frame)
        except EncodingRefused as refused:
            line = self._callers.expected(self._line_token)
            if line is not None:
                self._callers.cannot_stream(line, str(refused))
            raise


def _codec(door: TelnyxDoor, websocket: WebSocket) -> TelnyxCodec:
    token = _token(websocket)
    line = door.callers.expected(token)
    return TelnyxCodec(token) if line is None else _LineCodec(token, line, door.callers)


def _waits(door: TelnyxDoor, websocket: WebSocket) -> bool:
    """Whether a call waits for this stream: a stranger's socket is refused before it costs anything."""
    return door.callers.expected(_token(websocket)) is not None


def _token(websocket: WebSocket) -> str:
    return websocket.headers.get(TOKEN, "")


def _first_time(door: TelnyxDoor, event: Event) -> bool:
    if event.event_id in door.seen:
        return False
    door.seen[event.event_id] = None
    while len(door.seen) > KEPT_IDS:
        door.seen.popitem(last=False)
    return True


async def _take(door: TelnyxDoor, event: Event) -> bool:
    """Take an event. False: it is an offer, and this node takes no calls."""
    if "ticket" in event.state:
        door.control.human(event, event.state["ticket"])
    elif "caller" in event.state:
        if event.kind == "call.hangup":
            # The fallback number has hung up, or was not reached.
            door.errands.soon(door.rest.end(event.state["caller"]))
    elif event.state.get("attempt"):
        return await _of_ours(door, event, event.state["attempt"])
    elif event.kind == "call.initiated":
        if event.get("direction") == "incoming":
            return _offered(door, event)
    else:
        _of_a_caller(door, event)
    return True


def _offered(door: TelnyxDoor, event: Event) -> bool:
    if not door.callers.offer(event):
        return False
    door.reports.call_state(event.call_id, "ringing")
    return True


def _of_a_caller(door: TelnyxDoor, event: Event) -> None:
    match event.kind:
        case "call.answered":
            door.reports.call_state(event.call_id, "in-progress")
            door.callers.answered(event)
        case "call.hangup":
            door.reports.call_state(event.call_id, "completed")
            door.callers.hung_up(event.call_id)
            door.control.caller_gone(event.call_id)
        case "call.bridged":
            door.control.caller_bridged(event.call_id)
        case "call.speak.ended":
            door.callers.spoken(event)
        case "streaming.failed":
            door.callers.stream_failed(event)


async def _of_ours(door: TelnyxDoor, event: Event, attempt_id: str) -> bool:
    """Take an event of a call that we placed."""
    match event.kind:
        case "call.initiated":
            await door.reports.attempt_state(attempt_id, event.call_id, "initiated", None)
        case "call.answered":
            agent = await door.reports.attempt_agent(attempt_id, event.call_id)
            if agent is None:
                logger.warning("refused a call for an unknown attempt")
                door.errands.soon(door.rest.end(event.call_id))
            else:
                door.callers.offer(event, attempt_id=attempt_id, agent=agent)
        case "call.hangup":
            state = ENDS.get(event.get("hangup_cause"), "failed")
            await door.reports.attempt_state(attempt_id, event.call_id, state, None)
    _of_a_caller(door, event)
    return True


def _text(body: str, status: int) -> Response:
    return Response(body, status_code=status, media_type="text/plain")
