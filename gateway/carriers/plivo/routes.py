"""Plivo's webhooks and its media socket.

`/plivo/answer` offers a call, `/plivo/media` carries its audio, `/plivo/after` says how the call goes on when the
stream is over, `/plivo/hangup` and `/plivo/stream-status` report. Those of transfers: `/plivo/transfer` is what the
caller's leg is sent to, `/plivo/transferred` is asked what follows the `<Dial>`, `/plivo/transfer/status` hears that
the human answers. Plivo is told per number whether it sends POST or GET: both are taken. Nothing is believed before its
signature is checked.
"""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response, WebSocket

from gateway.bodies import BodyRefused, read_body
from gateway.carriers.base import CallOffer, LiveCall, Over, TokenRefused
from gateway.carriers.front import DEFAULT_APOLOGY, Apologise, Front, HangUp, Next, Stream, after, again_of, offered
from gateway.carriers.plivo import verbs
from gateway.carriers.plivo.codec import PlivoCodec
from gateway.carriers.plivo.control import PlivoControl
from gateway.carriers.plivo.signature import SignatureCheck
from gateway.carriers.sockets import MediaSockets
from gateway.carriers.stream import Started
from gateway.carriers.streamleg import Manner
from gateway.carriers.transfers import Transfer
from gateway.core.commands import EndReason
from gateway.core.events import TransferState

__all__ = ["MANNER", "PlivoDoor", "open_media", "router"]

logger = logging.getLogger(__name__)

MANNER = Manner(acknowledges_clear=True, close_is_hang_up=True)
MAX_BODY = 64 * 1024
BODY_S = 5.0
MOST_FIELDS = 200
TERMINAL = frozenset({"completed", "busy", "failed", "timeout", "no-answer", "cancel"})
"""Values of `CallStatus` after which nothing more happens to a call."""
NOT_REACHED = {
    "busy": TransferState.BUSY,
    "no-answer": TransferState.NO_ANSWER,
    "timeout": TransferState.NO_ANSWER,
}
"""`DialStatus` to what the agent learns; anything else has failed."""

_is_call_id = re.compile(r"[A-Za-z0-9-]{8,64}").fullmatch
_is_number = re.compile(r"\+?[1-9][0-9]{6,14}").fullmatch

Fields = dict[str, str]


@dataclass(frozen=True, slots=True)
class PlivoDoor:
    """What the routes need."""

    front: Front
    signatures: SignatureCheck
    control: PlivoControl
    media: MediaSockets


def open_media(front: Front, signatures: SignatureCheck) -> MediaSockets:
    """Return what takes the media sockets: signed, and with the one-use token that the XML carried.

    The account is not compared: webhooks do not name it, and the token is of one call only.
    """

    def claim(started: Started) -> LiveCall:
        return front.calls.claim(started.token, started.carrier_call_id, "")

    return MediaSockets(
        claim,
        lambda _: PlivoCodec(),
        lambda websocket: signatures.upgrade(_raw_path(websocket), websocket.headers),
        manner=MANNER,
    )


def router(door: PlivoDoor) -> APIRouter:
    """Return the routes under `/plivo`."""
    routes = APIRouter(prefix="/plivo", include_in_schema=False)

    def webhook(path: str, answer: Callable[[PlivoDoor, Fields, Request], str | None]) -> None:
        async def take(request: Request) -> Response:
            fields = await _signed_fields(request, door.signatures)
            if fields is None:
                return Response("forbidden", status_code=403, media_type="text/plain")
            said = answer(door, fields, request)
            return Response(status_code=200) if said is None else Response(said, media_type="text/xml")

        routes.add_api_route(path, take, methods=["POST", "GET"])

    webhook("/answer", _answer)
    webhook("/after", _after)
    webhook("/hangup", _hangup)
    webhook("/stream-status", _stream_status)
    webhook("/transfer", _transfer)
    webhook("/transferred", _transferred)
    webhook("/transfer/status", _human_status)
    routes.add_api_websocket_route("/media", door.media.serve)
    return routes


# --- who is believed --------------------------------------------------------------------------------


def _raw_path(connection: Request | WebSocket) -> str:
    path: bytes = connection.scope.get("raw_path") or connection.scope["path"].encode()
    query: bytes = connection.scope["query_string"]
    return (path + b"?" + query if query else path).decode("ascii", "replace")


async def _signed_fields(request: Request, signatures: SignatureCheck) -> Fields | None:
    """Return what Plivo says of a call; None when it is not Plivo who says it, or it names no call."""
    try:
        body = await read_body(request, MAX_BODY, BODY_S)
        form = parse_qsl(
            body.decode(errors="surrogateescape"),
            keep_blank_values=True,
            errors="surrogateescape",
            max_num_fields=MOST_FIELDS,
        )
    except (BodyRefused, ValueError):
        return None
    if not signatures.webhook(request.method, _raw_path(request), form, request.headers):
        logger.warning("refused a webhook without a valid signature")
        return None
    fields = dict(form) if request.method == "POST" else dict(request.query_params)
    return fields if _is_call_id(fields.get("CallUUID", "")) is not None else None


# --- what follows -----------------------------------------------------------------------------------


def _answer(door: PlivoDoor, fields: Fields, request: Request) -> str:
    outbound = fields.get("Direction", "inbound") == "outbound"
    offer = CallOffer(
        carrier="plivo",
        carrier_call_id=fields["CallUUID"],
        account_id="",
        direction="outbound" if outbound else "inbound",
        from_number=_e164(fields.get("From", "")),
        to_number=_e164(fields.get("To", "")),
    )
    if fields.get("CallStatus") in TERMINAL:
        door.front.calls.hung_up(offer.carrier_call_id)
        return _said(door, offer.carrier_call_id, HangUp())
    step = offered(door.front, offer, again_of(request.query_params.get("again", "0")))
    if isinstance(step, Stream):
        door.front.reports.call_state(offer.carrier_call_id, fields.get("CallStatus", "ringing")[:32])
    return _said(door, offer.carrier_call_id, step)


def _after(door: PlivoDoor, fields: Fields, request: Request) -> str:
    carrier_call_id = fields["CallUUID"]
    door.control.heard_of(carrier_call_id)
    transfer = door.control.newest(carrier_call_id)
    if transfer is not None:
        # Not asked when the transfer itself took the stream; but whoever is asked must not begin the call anew.
        back = _come_back(door, transfer, TransferState.FAILED)
        if back is not None:
            return back
    again = again_of(request.query_params.get("again", "0"))
    step = after(door.front, carrier_call_id, _e164(fields.get("To", "")), again)
    return _said(door, carrier_call_id, step)


def _hangup(door: PlivoDoor, fields: Fields, request: Request) -> None:
    carrier_call_id, state = fields["CallUUID"], fields.get("CallStatus", "completed")[:32]
    door.front.reports.call_state(carrier_call_id, state)
    if state in TERMINAL:
        door.control.heard_of(carrier_call_id)
        door.front.calls.hung_up(carrier_call_id)


def _stream_status(door: PlivoDoor, fields: Fields, request: Request) -> None:
    event = fields.get("Event", "")
    if "fail" in event.lower() or "error" in event.lower():
        logger.warning("plivo reports trouble with the stream of %s: %r", fields["CallUUID"], event[:64])


def _transfer(door: PlivoDoor, fields: Fields, request: Request) -> str:
    transfer = door.control.newest(fields["CallUUID"], _ticket(request))
    xml = door.control.dial(transfer.ticket) if transfer is not None else None
    # A transfer that nobody wants any more: the caller is asked after as any other whose stream is over.
    return _after(door, fields, request) if xml is None else xml


def _transferred(door: PlivoDoor, fields: Fields, request: Request) -> str:
    carrier_call_id, status = fields["CallUUID"], fields.get("DialStatus", "")[:32]
    transfer = door.control.newest(carrier_call_id, _ticket(request))
    if fields.get("CallStatus") in TERMINAL:
        door.control.heard_of(carrier_call_id)
        door.front.calls.hung_up(carrier_call_id)
        return _said(door, carrier_call_id, HangUp())
    if status in ("completed", "answer", "answered"):
        if transfer is not None:
            door.control.tell(transfer, TransferState.ANSWERED)
        return _said(door, carrier_call_id, HangUp())
    if transfer is not None:
        back = _come_back(door, transfer, NOT_REACHED.get(status, TransferState.FAILED))
        if back is not None:
            return back
    ended = door.front.calls.outcome(carrier_call_id)
    if ended is not None and ended.reason is EndReason.TRANSFERRED:
        # The record was closed without word from Plivo: to hang up now would be to lose the caller.
        to_number = _e164(fields.get("To", ""))
        fallback = door.front.fallback(ended.agent, to_number)
        return _said(door, carrier_call_id, Apologise(fallback.say or DEFAULT_APOLOGY, fallback.dial))
    return _after(door, fields, request)


def _human_status(door: PlivoDoor, fields: Fields, request: Request) -> None:
    transfer = door.control.newest(fields["CallUUID"], _ticket(request))
    answers = fields.get("DialAction") in ("answer", "connected") or fields.get("DialBLegStatus") == "answer"
    if transfer is not None and answers:
        door.control.tell(transfer, TransferState.ANSWERED)


def _come_back(door: PlivoDoor, transfer: Transfer, state: TransferState) -> str | None:
    """Bring a caller whose transfer failed back to the agent, who learns why; None when there is no way back.

    The old stream is over by the carrier's own word, so the call hears of that first, whatever its socket shows.
    """
    try:
        resumed = door.front.calls.resume(transfer.carrier_call_id)
    except (Over, TokenRefused):
        return None
    door.media.supersede(transfer.carrier_call_id)
    door.control.tell(transfer, state)
    return _said(door, transfer.carrier_call_id, Stream(resumed.token, resumed.again))


def _said(door: PlivoDoor, carrier_call_id: str, step: Next) -> str:
    if isinstance(step, Stream):
        door.control.stream_begins(carrier_call_id)
    return verbs.render(door.front.public_url, door.front.stream_origin, step)


def _ticket(request: Request) -> str:
    return request.query_params.get("ticket", "")[:64]


def _e164(number: str) -> str:
    """Plivo leaves the `+` out; what is no telephone number stays as it is, printable and short."""
    if _is_number(number) is not None:
        return "+" + number.removeprefix("+")
    return "".join(filter(str.isprintable, number))[:64]
