"""The media socket of Asterisk's chan_websocket. It has no webhook: the socket itself offers the call.

`/asterisk/media`: Basic authentication before the upgrade, subprotocol `media`. The variables of the dial string say
who calls: `call` (the `UNIQUEID` of the caller's channel), `from`, `to`, perhaps `agent`, and when the dialplan comes
back `again` and `result`.
"""

import logging
from urllib.parse import parse_qsl

from fastapi import APIRouter, WebSocket

from gateway.carriers.asterisk.basic import BasicAuth
from gateway.carriers.asterisk.codec import AsteriskCodec
from gateway.carriers.asterisk.control import DialplanControl
from gateway.carriers.asterisk.variables import result_of
from gateway.carriers.base import CallOffer, LiveCall
from gateway.carriers.front import Front, HangUp, Stream, again_of, offered
from gateway.carriers.sockets import MediaSockets
from gateway.carriers.stream import Started
from gateway.carriers.streamleg import Manner
from gateway.errors import GatewayError

__all__ = ["NotAdmitted", "offer_of", "router"]

logger = logging.getLogger(__name__)

NAME = "asterisk"
MAX_QUERY_BYTES = 4096
MAX_FIELDS = 32


class NotAdmitted(GatewayError):
    """The gateway does not take this call now; the dialplan goes on."""


def router(front: Front, auth: BasicAuth, control: DialplanControl) -> APIRouter:
    """Return the routes under `/asterisk`."""
    routes = APIRouter(prefix="/asterisk", include_in_schema=False)
    media = MediaSockets(
        lambda started: _claim(front, control, started),
        lambda websocket: AsteriskCodec(_variables(websocket)),
        lambda websocket: auth.admits(websocket.headers.get("authorization")),
        manner=Manner(close_is_hang_up=True),
        subprotocols=("media",),
        why=lambda websocket: auth.why_not(websocket.headers.get("authorization")),
    )
    control.supersede = media.supersede

    @routes.websocket("/media")
    async def media_socket(websocket: WebSocket) -> None:
        await media.serve(websocket)

    return routes


def offer_of(carrier: str, call_id: str, known: dict[str, str], *, comes_back: bool) -> CallOffer:
    """Return the call that these variables of a dialplan offer."""
    return CallOffer(
        carrier=carrier,
        carrier_call_id=call_id,
        account_id="",
        direction="inbound",
        from_number=known.get("from", "")[:64],
        to_number=known.get("to", "")[:64],
        agent=known.get("agent", "")[:64],
        comes_back=comes_back,
    )


def _claim(front: Front, control: DialplanControl, started: Started) -> LiveCall:
    known = dict(started.parameters)
    channel_id = known.get("call", "")
    call_id = started.carrier_call_id
    offer = offer_of(NAME, call_id, known, comes_back=control.tells(channel_id))
    again = again_of(known.get("again", "0"))
    result = result_of(known)
    token = control.come_back(offer, result) if result else None
    if token is None:
        # One who comes back and is not known began on another node: what was said there is to be taken up.
        again = max(again, 1) if result else again
        what = offered(front, offer, again)
        if isinstance(what, HangUp) and again and not control.tells(channel_id):
            raise NotAdmitted(
                "it has ended, and comes back: the dialplan's GW_ARI is to be no, or ARI to be set up here"
            )
        if not isinstance(what, Stream):
            raise NotAdmitted(f"it is not taken now ({type(what).__name__}); the dialplan goes on")
        token = what.token
    live = front.calls.claim(token, call_id, offer.account_id)
    return control.caller(live, offer, again, channel_id, fills=True)


def _variables(websocket: WebSocket) -> dict[str, str]:
    query: bytes = websocket.scope["query_string"][:MAX_QUERY_BYTES]
    try:
        return dict(parse_qsl(query.decode("ascii"), max_num_fields=MAX_FIELDS))
    except ValueError:
        logger.info("the query of a media socket is not read: too many fields, or not ASCII")
        return {}
