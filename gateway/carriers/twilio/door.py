"""What these webhooks have in common: what they need, who is believed, how they are answered."""

import logging
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qsl

from fastapi import Request, Response, WebSocket
from starlette.datastructures import Headers, MultiDict

from gateway.bodies import BodyRefused, read_body
from gateway.carriers.front import Front, Next
from gateway.carriers.twilio import verbs
from gateway.carriers.twilio.control import TwilioControl
from gateway.carriers.twilio.dialect import Dialect

__all__ = ["TERMINAL", "Signatures", "TwilioDoor", "raw_path", "refused", "signed_form", "xml"]

logger = logging.getLogger(__name__)

MAX_BODY = 64 * 1024
BODY_S = 5.0
"""Longest time for a webhook's body to arrive."""
TERMINAL = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
"""Values of `CallStatus` after which nothing more happens to a call."""


class Signatures(Protocol):
    """Says what is believed. `raw_path` is path and query as received."""

    def webhook(self, raw_path: str, body: bytes, form: MultiDict, headers: Headers) -> bool:
        """Check a form POST; `form` is what `body` holds."""

    def upgrade(self, raw_path: str, headers: Headers) -> bool:
        """Check a WebSocket upgrade."""


@dataclass(frozen=True, slots=True)
class TwilioDoor:
    """What the routes need."""

    front: Front
    dialect: Dialect
    account_id: str | None
    """The only account that is believed; None believes whoever signs with our token."""
    signatures: Signatures
    control: TwilioControl

    def say(self, following: Next) -> str:
        """Return how a call goes on, as TwiML."""
        return verbs.following(self.dialect, self.front.public_url, self.front.stream_origin, following)

    def admits(self, websocket: WebSocket) -> bool:
        """Whether a socket may be opened."""
        return self.signatures.upgrade(raw_path(websocket), websocket.headers)


async def signed_form(request: Request, door: TwilioDoor) -> MultiDict | None:
    """Return the form of a request that is the carrier's; None for any other."""
    try:
        body = await read_body(request, MAX_BODY, BODY_S)
    except BodyRefused:
        return None
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=False, max_num_fields=200)
    except ValueError:
        return None
    form = MultiDict(pairs)
    if not door.signatures.webhook(raw_path(request), body, form, request.headers):
        logger.warning("refused a webhook without a valid signature")
        return None
    account, is_id = str(form.get("AccountSid", "")), door.dialect.webhook_id.fullmatch
    if is_id(str(form.get("CallSid", ""))) is None or is_id(account) is None:
        return None
    return form if door.account_id in (None, account) else None


def raw_path(connection: Request | WebSocket) -> str:
    path: bytes = connection.scope.get("raw_path") or connection.scope["path"].encode()
    query: bytes = connection.scope["query_string"]
    return (path + b"?" + query if query else path).decode("ascii", "replace")


def xml(body: str) -> Response:
    return Response(body, media_type="text/xml")


def refused() -> Response:
    return Response("forbidden", status_code=403, media_type="text/plain")
