"""What Twilio's webhooks have in common: what they need, who is believed, how they are answered."""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from fastapi import Request, Response, WebSocket
from starlette.datastructures import MultiDict

from gateway.bodies import BodyRefused, read_body
from gateway.carriers.base import Switchboard
from gateway.carriers.front import Fallback, Reports
from gateway.carriers.twilio.control import TwilioControl
from gateway.carriers.twilio.signature import SIGNATURE_HEADER, SignatureCheck

__all__ = ["TERMINAL", "Fallback", "Reports", "TwilioDoor", "raw_path", "refused", "signed_form", "xml"]

logger = logging.getLogger(__name__)

MAX_BODY = 64 * 1024
BODY_S = 5.0
"""Longest time for a webhook's body to arrive."""
TERMINAL = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
"""Values of `CallStatus` after which nothing more happens to a call."""

_is_sid = re.compile(r"[A-Z]{2}[0-9a-zA-Z]{8,62}").fullmatch


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
    control: TwilioControl


async def signed_form(request: Request, door: TwilioDoor) -> MultiDict | None:
    """Return the form of a request that is Twilio's; None for any other."""
    try:
        body = await read_body(request, MAX_BODY, BODY_S)
    except BodyRefused:
        return None
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=False, max_num_fields=200)
    except ValueError:
        return None
    form = MultiDict(pairs)
    if not door.signatures.webhook(raw_path(request), form, request.headers.get(SIGNATURE_HEADER)):
        logger.warning("refused a webhook without a valid signature")
        return None
    account = str(form.get("AccountSid", ""))
    if _is_sid(str(form.get("CallSid", ""))) is None or _is_sid(account) is None:
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
