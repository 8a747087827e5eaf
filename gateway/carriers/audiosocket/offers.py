"""Which call a UUID is: the dialplan asks for one over HTTP before it connects, and it admits once, within a minute.

`/audiosocket/offer` takes the variables that chan_websocket has in its dial string (`call`, `from`, `to`, `agent`,
`again`, `result`), as a query or better as a form, which no access log shows. It answers a UUID of 36 characters, or
one word that says how to go on: `again`, `apology:` and perhaps a number to dial, or `hangup`.
"""

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass
from urllib.parse import parse_qsl
from uuid import uuid4

from fastapi import APIRouter, Request, Response

from gateway.bodies import BodyRefused, read_body
from gateway.carriers.asterisk.basic import BasicAuth
from gateway.carriers.asterisk.control import DialplanControl
from gateway.carriers.asterisk.routes import NotAdmitted, offer_of
from gateway.carriers.asterisk.variables import is_channel, known_of, result_of
from gateway.carriers.base import CallOffer, LiveCall, TokenRefused
from gateway.carriers.front import Again, Apologise, Front, HangUp, Next, Stream, again_of, offered

__all__ = ["NAME", "Offers", "router"]

logger = logging.getLogger(__name__)

NAME = "audiosocket"
MOST_WAITING = 1000
WAIT_S = 60.0
MAX_BODY = 4096
MAX_FIELDS = 32
BODY_S = 5.0


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A call that was offered."""

    until_s: float
    offer: CallOffer
    again: int
    channel_id: str
    """The caller's; "" when it is not known."""
    token: str


class Offers:
    """The calls whose connection is awaited."""

    def __init__(self, front: Front, control: DialplanControl) -> None:
        self._front = front
        self._control = control
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        """By UUID."""

    def take(self, known: dict[str, str]) -> str:
        """Offer a call; return its UUID, or how the dialplan goes on."""
        who, channel_id = str(uuid4()), known.get("call", "")
        channel_id = channel_id if is_channel(channel_id) else ""
        offer = offer_of(NAME, channel_id or who, known, comes_back=self._control.tells(channel_id))
        again = again_of(known.get("again", "0"))
        result = result_of(known)
        token = self._control.come_back(offer, result) if result else None
        if token is None:
            again = max(again, 1) if result else again
            what = offered(self._front, offer, again)
            if not isinstance(what, Stream):
                return _word(what)
            token = what.token
        self._waiting[who] = _Waiting(asyncio.get_running_loop().time() + WAIT_S, offer, again, channel_id, token)
        while len(self._waiting) > MOST_WAITING:
            self._waiting.popitem(last=False)
        return who

    def claim(self, who: str) -> tuple[CallOffer, LiveCall]:
        """Return the call that a UUID admits to, once. Raises `GatewayError`."""
        waiting = self._waiting.pop(who) if who in self._waiting else self._unasked(who)
        if asyncio.get_running_loop().time() > waiting.until_s:
            raise TokenRefused("the connection came too late")
        offer = waiting.offer
        live = self._front.calls.claim(waiting.token, offer.carrier_call_id, offer.account_id)
        return offer, self._control.caller(live, offer, waiting.again, waiting.channel_id, fills=False)

    def _unasked(self, who: str) -> _Waiting:
        """Development on loopback: any UUID is a call for the agent who is the default."""
        if not self._front.allow_unsigned:
            raise TokenRefused("the UUID is unknown or was used: the dialplan must ask /audiosocket/offer for one")
        offer = offer_of(NAME, who, {}, comes_back=False)
        what = offered(self._front, offer)
        if not isinstance(what, Stream):
            raise NotAdmitted(f"it is not taken now ({type(what).__name__}); the dialplan goes on")
        return _Waiting(asyncio.get_running_loop().time() + WAIT_S, offer, 0, "", what.token)


def router(offers: Offers, auth: BasicAuth) -> APIRouter:
    """Return the routes under `/audiosocket`."""
    routes = APIRouter(prefix="/audiosocket", include_in_schema=False)

    @routes.api_route("/offer", methods=["GET", "POST"])
    async def offer(request: Request) -> Response:
        told = request.headers.get("authorization")
        if not auth.admits(told):
            logger.warning("refused an offer: %s", auth.why_not(told))
            return Response("unauthorized", 401, {"www-authenticate": 'Basic realm="gateway"'}, "text/plain")
        try:
            body = await read_body(request, MAX_BODY, BODY_S)
        except BodyRefused as refused:
            return Response(refused.code, refused.status, media_type="text/plain")
        known = _fields(request.scope["query_string"] + b"&" + body)
        return Response(offers.take(known), media_type="text/plain")

    return routes


def _fields(encoded: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(encoded[: 2 * MAX_BODY].decode("ascii"), max_num_fields=MAX_FIELDS)
    except ValueError:
        return {}
    return known_of(dict(pairs))


def _word(what: Next) -> str:
    match what:
        case Again():
            return "again"
        case HangUp():
            return "hangup"
        case Apologise(_, dial):
            return f"apology:{dial or ''}"
    return "apology:"
