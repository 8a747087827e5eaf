"""Twilio's webhooks and its media socket.

`POST /twilio/voice` offers a call, `/twilio/media` carries its audio, `POST /twilio/after` says how the call goes
on when the stream is over, `POST /twilio/status` and `/twilio/stream-status` report. Nothing is believed before its
signature is checked; a refused request allocates nothing.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response, WebSocket
from starlette.datastructures import MultiDict
from starlette.requests import ClientDisconnect
from starlette.websockets import WebSocketDisconnect, WebSocketState

from gateway.carriers.base import RESUMABLE, CallOffer, Draining, Full, Over, Switchboard, TokenRefused
from gateway.carriers.twilio import codec, verbs
from gateway.carriers.twilio.leg import TwilioLeg
from gateway.carriers.twilio.signature import SIGNATURE_HEADER, SignatureCheck
from gateway.core.commands import EndReason
from gateway.errors import GatewayError, RemoteProtocolError
from gateway.wire import DIRECT_EXTENSION, DirectSocket, WireClosed

__all__ = ["Fallback", "Reports", "TwilioDoor", "router"]

logger = logging.getLogger(__name__)

MAX_BODY = 64 * 1024
BODY_S = 5.0
"""Longest time for a webhook's body to arrive."""
START_S = 5.0
"""From the accepted socket to a valid `start`."""
MAX_UNSTARTED = 200
"""Media sockets that may wait for their `start` at once."""
MOST_AGAIN = 3
"""How often one call may be offered again after its stream broke."""
TERMINAL = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
SPOKEN_END = frozenset(
    {EndReason.CALLER_HANGUP, EndReason.AGENT_HANGUP, EndReason.DURATION_LIMIT, EndReason.COST_LIMIT}
)
"""Ends after which the caller has nothing more to hear."""

_is_sid = re.compile(r"[A-Z]{2}[0-9a-zA-Z]{8,62}").fullmatch


@dataclass(frozen=True, slots=True)
class Fallback:
    """What the caller hears when the agent cannot go on."""

    say: str | None = None
    dial: str | None = None


class Reports(Protocol):
    """Where the carrier's word about a call goes."""

    def call_state(self, carrier_call_id: str, state: str, sequence: int | None = None) -> None:
        """Record the carrier's state of a call; it only moves forward."""

    def call_refused(self, offer: CallOffer, why: str) -> None:
        """Record a call that was turned away."""

    async def attempt_state(self, attempt_id: str, carrier_call_id: str, state: str, sequence: int | None) -> None:
        """Record the carrier's state of an outbound attempt."""

    async def attempt_agent(self, attempt_id: str, carrier_call_id: str) -> str | None:
        """Return the agent of an attempt that this call belongs to; None when there is no such attempt."""


@dataclass(frozen=True, slots=True)
class TwilioDoor:
    """What the routes need."""

    public_url: str
    stream_url: str
    """`wss://…/twilio/media`."""
    account_id: str | None
    """The only account that is believed; None believes whoever signs with our token."""
    signatures: SignatureCheck
    calls: Switchboard
    reports: Reports
    fallback: Callable[[str, str], Fallback]
    """Agent name and dialled number to what is said when it fails."""


def router(door: TwilioDoor) -> APIRouter:
    """Return the routes under `/twilio`."""
    routes = APIRouter(prefix="/twilio", include_in_schema=False)
    media = _MediaSockets(door)

    @routes.post("/voice")
    async def voice(request: Request) -> Response:
        form = await _signed_form(request, door)
        return _refused() if form is None else _xml(await _voice(door, form, request))

    @routes.post("/after")
    async def after(request: Request) -> Response:
        form = await _signed_form(request, door)
        return _refused() if form is None else _xml(_after(door, form, request))

    @routes.post("/status")
    async def status(request: Request) -> Response:
        form = await _signed_form(request, door)
        if form is None:
            return _refused()
        await _status(door, form, _attempt_id(request))
        return Response(status_code=204)

    @routes.post("/stream-status")
    async def stream_status(request: Request) -> Response:
        form = await _signed_form(request, door)
        if form is None:
            return _refused()
        if form.get("StreamEvent") == "stream-error":
            logger.warning("stream error reported for %s: %s", form["CallSid"], str(form.get("StreamError"))[:200])
        return Response(status_code=204)

    @routes.websocket("/media")
    async def media_socket(websocket: WebSocket) -> None:
        await media.serve(websocket)

    return routes


# --- webhooks -------------------------------------------------------------------------------------


async def _signed_form(request: Request, door: TwilioDoor) -> MultiDict | None:
    """Return the form of a request that is Twilio's; None for any other."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    return None
    except (ClientDisconnect, TimeoutError):
        return None
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=False, max_num_fields=200)
    except ValueError:
        return None
    form = MultiDict(pairs)
    if not door.signatures.webhook(_raw_path(request), form, request.headers.get(SIGNATURE_HEADER)):
        logger.warning("refused a webhook without a valid signature")
        return None
    account = str(form.get("AccountSid", ""))
    if _is_sid(str(form.get("CallSid", ""))) is None or _is_sid(account) is None:
        return None
    return form if door.account_id in (None, account) else None


def _raw_path(connection: Request | WebSocket) -> str:
    path: bytes = connection.scope.get("raw_path") or connection.scope["path"].encode()
    query: bytes = connection.scope["query_string"]
    return (path + b"?" + query if query else path).decode("ascii", "replace")


def _again(request: Request) -> int:
    text = request.query_params.get("again", "0")
    return int(text) if text in ("0", "1", "2", "3") else MOST_AGAIN


def _attempt_id(request: Request) -> str:
    return request.query_params.get("attempt", "")[:64]


async def _voice(door: TwilioDoor, form: MultiDict, request: Request) -> str:
    again, attempt_id = _again(request), _attempt_id(request)
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
            return _apology(door, offer.agent, offer.to_number)
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


def _after(door: TwilioDoor, form: MultiDict, request: Request) -> str:
    """The stream is over. Whatever happened, the caller is not left in silence."""
    again, attempt_id = _again(request), _attempt_id(request)
    ended = door.calls.outcome(str(form["CallSid"]))
    if ended is not None and ended.reason in SPOKEN_END:
        return verbs.hang_up()
    if (ended is None or ended.reason in RESUMABLE) and again < MOST_AGAIN:
        # At once the first time; then slower, so that a short trouble in between does not use up every try.
        return verbs.try_again(door.public_url, again + 1, pause_s=again, attempt_id=attempt_id)
    return _apology(door, ended.agent if ended is not None else "", str(form.get("To", "")))


def _apology(door: TwilioDoor, agent: str, to_number: str) -> str:
    fallback = door.fallback(agent, to_number)
    return verbs.apologise(fallback.say, fallback.dial, None)


async def _status(door: TwilioDoor, form: MultiDict, attempt_id: str) -> None:
    carrier_call_id, state = str(form["CallSid"]), str(form.get("CallStatus", ""))[:32]
    number = str(form.get("SequenceNumber", ""))
    sequence = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else None
    door.reports.call_state(carrier_call_id, state, sequence)
    if attempt_id:
        await door.reports.attempt_state(attempt_id, carrier_call_id, state, sequence)
    if state in TERMINAL:
        door.calls.hung_up(carrier_call_id)


def _xml(body: str) -> Response:
    return Response(body, media_type="text/xml")


def _refused() -> Response:
    return Response("forbidden", status_code=403, media_type="text/plain")


# --- media socket ---------------------------------------------------------------------------------


class _Socket:
    """A Starlette WebSocket as a `TextSocket`."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def receive(self) -> str | bytes:
        if self._websocket.application_state is WebSocketState.DISCONNECTED:
            raise WireClosed(1000)
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WireClosed(message.get("code", 1006), message.get("reason") or "")
        text: str | bytes | None = message.get("text")
        return text if text is not None else message.get("bytes", b"")

    async def send(self, text: str) -> None:
        try:
            await self._websocket.send_text(text)
        except (WebSocketDisconnect, RuntimeError):
            raise WireClosed(1006) from None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self._websocket.application_state is WebSocketState.DISCONNECTED:
            return
        try:
            await self._websocket.close(code, reason)
        except (WebSocketDisconnect, RuntimeError):
            raise WireClosed(1006) from None


def _direct(websocket: WebSocket) -> DirectSocket | None:
    """Return the socket under the ASGI connection, where the host hands it over: a frame then wakes no task."""
    offered = websocket.scope.get("extensions", {}).get(DIRECT_EXTENSION)
    return offered if isinstance(offered, DirectSocket) else None


class _MediaSockets:
    """Takes media sockets: signature before the upgrade, then a `start` with a token, then a leg."""

    def __init__(self, door: TwilioDoor) -> None:
        self._door = door
        self._unstarted = 0

    async def serve(self, websocket: WebSocket) -> None:
        door = self._door
        if self._unstarted >= MAX_UNSTARTED or not door.signatures.upgrade(
            _raw_path(websocket), websocket.headers.get(SIGNATURE_HEADER)
        ):
            logger.warning("refused a media socket before its upgrade")
            await websocket.close(1008)
            return
        await websocket.accept()
        socket = _Socket(websocket)
        start = await self._start(socket)
        if start is None:
            return
        try:
            token = start.parameters.get("token", "")
            session = door.calls.claim(token, start.carrier_call_id, start.account_id)
        except TokenRefused as refused:
            logger.warning("refused a media stream: %s", refused)
            await self._close(socket)
            return
        leg = TwilioLeg(_direct(websocket) or socket, start.stream_id, session.feed)
        session.attach(leg, start.stream_id)
        await leg.run()

    async def _start(self, socket: _Socket) -> codec.Start | None:
        """Wait for a valid `start`; close the socket when it does not come."""
        self._unstarted += 1
        try:
            async with asyncio.timeout(START_S):
                while True:
                    message = codec.decode(await socket.receive())
                    if isinstance(message, codec.Start):
                        return message
                    if not isinstance(message, codec.Connected) and message is not None:
                        raise RemoteProtocolError("expected start first")
        except WireClosed:
            return None
        except (TimeoutError, RemoteProtocolError) as refused:
            logger.info("closed a media socket without a start: %s", refused or "nothing came in time")
            await self._close(socket)
            return None
        finally:
            self._unstarted -= 1

    async def _close(self, socket: _Socket) -> None:
        try:
            await socket.close(1008)
        except WireClosed:
            return
