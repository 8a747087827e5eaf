"""jambonz' webhooks and its media socket.

`POST /jambonz/call` offers a call, `/jambonz/media` carries its audio, `POST /jambonz/after` says how the call goes on
when the stream is over, `POST /jambonz/status` reports both legs; `POST /jambonz/transfer` answers with the dial of a
transfer and `POST /jambonz/transferred` is asked what follows it.
"""

import base64
import binascii
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request, Response, WebSocket
from fastapi.responses import JSONResponse

from gateway.bodies import BodyRefused, read_body
from gateway.carriers.base import CallOffer, Over, TokenRefused
from gateway.carriers.front import (
    DEFAULT_APOLOGY,
    Apologise,
    Front,
    HangUp,
    Next,
    Stream,
    after,
    again_of,
    offered,
)
from gateway.carriers.jambonz.codec import JambonzCodec
from gateway.carriers.jambonz.control import JambonzControl
from gateway.carriers.jambonz.signature import SIGNATURE_HEADER, SignatureCheck
from gateway.carriers.jambonz.verbs import SOCKET_USER, Verb, Verbs, pause
from gateway.carriers.sockets import MediaSockets, by_token
from gateway.carriers.streamleg import Manner
from gateway.carriers.transfers import Stage, Transfer
from gateway.carriers.upgradetokens import UpgradeTokens
from gateway.core.audio import AudioFormat
from gateway.core.commands import EndReason
from gateway.core.events import TransferState

__all__ = ["CARRIER", "JambonzDoor", "router"]

logger = logging.getLogger(__name__)

CARRIER = "jambonz"
SUBPROTOCOLS = ("audio.drachtio.org", "audio.jambonz.org")
"""jambonz closes a socket on which its subprotocol was not selected; its name depends on the installation."""
MAX_BODY = 64 * 1024
BODY_S = 5.0
"""Longest time for a webhook's body to arrive."""
MAX_NUMBER = 64
MAX_EARLY = 120
"""How often, a second apart, an outgoing call may say that it is not answered yet."""
NOT_ANSWERED = frozenset({"trying", "ringing", "early-media", "queued"})
STATES = {
    "trying": "initiated",
    "ringing": "ringing",
    "early-media": "ringing",
    "in-progress": "in-progress",
    "completed": "completed",
    "failed": "failed",
    "busy": "busy",
    "no-answer": "no-answer",
    "queued": "queued",
}
"""jambonz' states of a call to ours."""
TERMINAL = frozenset({"completed", "failed", "busy", "no-answer"})
NOT_REACHED = {"busy": TransferState.BUSY, "no-answer": TransferState.NO_ANSWER}
"""`dial_call_status` to what the agent learns; anything else has failed."""

_is_sid = re.compile(r"[0-9A-Za-z-]{8,64}").fullmatch

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class JambonzDoor:
    """What the routes need."""

    front: Front
    account_id: str | None
    """The only account that is believed; None believes whoever signs with our secret."""
    signatures: SignatureCheck
    verbs: Verbs
    control: JambonzControl
    tokens: UpgradeTokens = field(default_factory=UpgradeTokens)

    def render(self, step: Next) -> list[Verb]:
        """Say a step in verbs, and expect its stream."""
        if isinstance(step, Stream):
            self.tokens.add(step.token)
        return self.verbs.next(step)

    def admits(self, websocket: WebSocket) -> bool:
        """Tell whether a socket brings the password of a call, before it is one."""
        authorization = websocket.headers.get("authorization")
        if authorization is None:
            return self.front.allow_unsigned
        user, password = _basic(authorization)
        return user == SOCKET_USER and self.tokens.knows(password)


def router(door: JambonzDoor) -> APIRouter:
    """Return the routes under `/jambonz`."""
    routes = APIRouter(prefix="/jambonz", include_in_schema=False)
    media = MediaSockets(
        by_token(door.front.calls),
        lambda websocket: JambonzCodec(),
        door.admits,
        manner=Manner(close_is_hang_up=True),
        subprotocols=SUBPROTOCOLS,
    )

    @routes.post("/call")
    async def call(request: Request) -> Response:
        fields = await _signed(request, door)
        return _refused() if fields is None else JSONResponse(await _call(door, fields, request))

    @routes.post("/after")
    async def after_stream(request: Request) -> Response:
        fields = await _signed(request, door)
        return _refused() if fields is None else JSONResponse(_after(door, fields, request))

    @routes.post("/status")
    async def status(request: Request) -> Response:
        fields = await _signed(request, door)
        if fields is None:
            return _refused()
        await _status(door, fields, _attempt(request))
        return Response(status_code=204)

    @routes.post("/transfer")
    async def transfer(request: Request) -> Response:
        fields = await _signed(request, door)
        if fields is None:
            return _refused()
        dial = door.control.dial(fields["call_sid"], _ticket(request))
        return JSONResponse(dial if dial is not None else _after(door, fields, request))

    @routes.post("/transferred")
    async def transferred(request: Request) -> Response:
        fields = await _signed(request, door)
        return _refused() if fields is None else JSONResponse(_transferred(door, media, fields, request))

    @routes.websocket("/media")
    async def media_socket(websocket: WebSocket) -> None:
        await media.serve(websocket)

    return routes


async def _signed(request: Request, door: JambonzDoor) -> Fields | None:
    """Return the fields of a request that is jambonz'; None for any other."""
    try:
        body = await read_body(request, MAX_BODY, BODY_S)
    except BodyRefused:
        return None
    if not door.signatures.passes(request.headers.get(SIGNATURE_HEADER), body):
        logger.warning("refused a webhook without a valid signature")
        return None
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or not _sid(fields, "call_sid") or not _sid(fields, "account_sid"):
        return None
    return fields if door.account_id in (None, fields["account_sid"]) else None


async def _call(door: JambonzDoor, fields: Fields, request: Request) -> list[Verb]:
    again, attempt_id = again_of(request.query_params.get("again", "0")), _attempt(request)
    outbound = _text(fields, "direction") == "outbound"
    status = _text(fields, "call_status")
    if outbound and status in NOT_ANSWERED:
        # What is heard now is ring-back or an announcement: neither is greeted, neither is for the model.
        return _not_yet(door, request, again, attempt_id)
    call = fields["call_sid"]
    agent = await door.front.reports.attempt_agent(attempt_id, call) if attempt_id else ""
    if agent is None:
        logger.warning("refused a call for an unknown attempt")
        return door.render(HangUp())
    offer = CallOffer(
        carrier=CARRIER,
        carrier_call_id=call,
        account_id=fields["account_sid"],
        direction="outbound" if outbound else "inbound",
        from_number=_number(fields, "from"),
        to_number=_number(fields, "to"),
        attempt_id=attempt_id,
        agent=agent,
        audio=AudioFormat.PCM24,
    )
    answer = door.render(offered(door.front, offer, again))
    door.front.reports.call_state(call, STATES.get(status, "ringing"))
    return answer


def _not_yet(door: JambonzDoor, request: Request, again: int, attempt_id: str) -> list[Verb]:
    count = request.query_params.get("early", "0")
    early = int(count) if count.isdecimal() and len(count) < 4 else MAX_EARLY
    if early >= MAX_EARLY:
        return door.render(HangUp())
    return [*pause(1), door.verbs.call(again, attempt_id, early + 1)]


def _after(door: JambonzDoor, fields: Fields, request: Request) -> list[Verb]:
    call = fields["call_sid"]
    if _text(fields, "call_status") in TERMINAL:
        # The caller has hung up; nobody hears what we answer.
        door.front.calls.hung_up(call)
        return door.render(HangUp())
    transfer = door.control.newest(call)
    if transfer is not None and transfer.stage is Stage.CALLING and door.front.calls.outcome(call) is None:
        # The transfer has taken the stream: jambonz tells the verb's hook of that, and ignores the answer.
        return []
    again = again_of(request.query_params.get("again", "0"))
    return door.render(after(door.front, call, _number(fields, "to"), again, _attempt(request)))


async def _status(door: JambonzDoor, fields: Fields, attempt_id: str) -> None:
    call, status = fields["call_sid"], _text(fields, "call_status")
    parent = fields.get("parent_call_sid")
    if isinstance(parent, str) and parent:
        # Of the leg to a human.
        transfer = door.control.newest(parent)
        if transfer is not None and transfer.stage is Stage.CALLING and status == "in-progress":
            door.control.tell(transfer, TransferState.ANSWERED)
        return
    state = STATES.get(status)
    if state is None:
        return
    door.front.reports.call_state(call, state)
    if attempt_id:
        await door.front.reports.attempt_state(attempt_id, call, state, None)
    if status in TERMINAL:
        door.front.calls.hung_up(call)


def _transferred(door: JambonzDoor, media: MediaSockets, fields: Fields, request: Request) -> list[Verb]:
    call, dialled = fields["call_sid"], _text(fields, "dial_call_status")
    transfer = door.control.newest(call, _ticket(request))
    if _text(fields, "call_status") in TERMINAL:
        door.front.calls.hung_up(call)
        return door.render(HangUp())
    if dialled in ("completed", "in-progress"):
        if transfer is not None:
            door.control.tell(transfer, TransferState.ANSWERED)
        return door.render(HangUp())
    if transfer is not None:
        back = _come_back(door, media, transfer, NOT_REACHED.get(dialled, TransferState.FAILED), _attempt(request))
        if back is not None:
            return back
    logger.info("a caller came back from a transfer of a call that is not here any more")
    ended = door.front.calls.outcome(call)
    if ended is not None and ended.reason is EndReason.TRANSFERRED:
        # The record was closed without word from jambonz: to hang up now would be to lose the caller.
        fallback = door.front.fallback(ended.agent, _number(fields, "to"))
        return door.render(Apologise(fallback.say or DEFAULT_APOLOGY, fallback.dial))
    return door.render(after(door.front, call, _number(fields, "to"), 0, _attempt(request)))


def _come_back(
    door: JambonzDoor, media: MediaSockets, transfer: Transfer, state: TransferState, attempt_id: str
) -> list[Verb] | None:
    """Bring a caller whose transfer failed back to the agent, who learns why; None when there is no way back."""
    try:
        resumed = door.front.calls.resume(transfer.carrier_call_id)
    except (Over, TokenRefused):
        return None
    media.supersede(transfer.carrier_call_id)
    door.control.tell(transfer, state)
    return door.render(Stream(resumed.token, resumed.again, attempt_id))


def _attempt(request: Request) -> str:
    return request.query_params.get("attempt", "")[:64]


def _ticket(request: Request) -> str:
    return request.query_params.get("ticket", "")[:64]


def _sid(fields: Fields, key: str) -> bool:
    value = fields.get(key)
    return isinstance(value, str) and _is_sid(value) is not None


def _text(fields: Fields, key: str) -> str:
    value = fields.get(key)
    return value[:MAX_NUMBER] if isinstance(value, str) else ""


def _number(fields: Fields, key: str) -> str:
    """Return a number as E.164 where it can be told: trunks differ in whether they send the plus."""
    number = _text(fields, key)
    return f"+{number}" if number.isascii() and number.isdigit() and 10 <= len(number) <= 15 else number


def _basic(authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization[:1000].partition(" ")
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return (user, password) if scheme.lower() == "basic" else ("", "")


def _refused() -> Response:
    return Response("forbidden", status_code=403, media_type="text/plain")
