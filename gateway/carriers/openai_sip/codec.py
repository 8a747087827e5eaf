"""The webhook `realtime.call.incoming`: its body, and the telephone numbers in a caller's SIP headers. Pure.

SIP headers are written by whoever sends the INVITE: only their numbers are read, defensively, and nothing is decided by
them but which agent answers. Who calls: P-Asserted-Identity (RFC 3325), which a trunk adds where From is withheld, then
From. Who was called: To; where that names the OpenAI project and no number, P-Called-Party-ID (RFC 7315 §4.2), then the
first Diversion (RFC 5806: the newest).
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from gateway.errors import RemoteProtocolError

__all__ = ["CALLED_HEADERS", "CALLER_HEADERS", "INCOMING", "Incoming", "decode", "is_call_id", "number_in"]

INCOMING = "realtime.call.incoming"
CALLER_HEADERS = ("p-asserted-identity", "from")
CALLED_HEADERS = ("to", "p-called-party-id", "diversion")
MAX_HEADERS = 100
"""Headers that are looked at; those behind them are not."""
MAX_VALUE = 1024
"""Characters of one that are looked at."""
E164_DIGITS = (11, 15)
"""Digits that count as a whole international number although the + is missing, as many trunks send them."""

is_call_id = re.compile(r"rtc_[A-Za-z0-9_-]{1,120}").fullmatch
_uri = re.compile(r"(?<![A-Za-z0-9+.-])(sips?|tel):([^\s<>\",]{1,512})", re.IGNORECASE)
_separators = re.compile(r"[-.()]")
_is_number = re.compile(r"\+?[0-9]{2,15}").fullmatch
_context = re.compile(r";phone-context=(\+[0-9]{1,7})(?:;|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A call that waits to be accepted."""

    call_id: str
    created_at: float
    """Unix time."""
    from_number: str
    """E.164 where the headers allow it; "" when they hold no number."""
    to_number: str


def decode(body: bytes) -> Incoming | None:
    """Return the call that a webhook tells of; None for another event. Raises `RemoteProtocolError`."""
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        raise RemoteProtocolError("expected JSON, got something else") from None
    if not isinstance(event, dict):
        raise RemoteProtocolError("expected a JSON object")
    if event.get("type") != INCOMING:
        return None
    data, created_at = event.get("data"), event.get("created_at")
    if not isinstance(data, dict):
        raise RemoteProtocolError("expected an object as data")
    call_id = data.get("call_id")
    if not isinstance(call_id, str) or is_call_id(call_id) is None:
        raise RemoteProtocolError("expected rtc_… as data.call_id")
    if not isinstance(created_at, int | float) or isinstance(created_at, bool) or not 0 <= created_at < 1e11:
        raise RemoteProtocolError("expected a Unix time as created_at")
    headers = list(_headers(data.get("sip_headers")))
    caller, called = (_first(headers, names) for names in (CALLER_HEADERS, CALLED_HEADERS))
    return Incoming(call_id, float(created_at), caller, called)


def number_in(value: str) -> str:
    """Return the telephone number of the first SIP or tel URI that has one, E.164 where it can be told; else "".

    RFC 3261 §19.1.1 and §20.10 (`"Name" <sip:+1415…@host;user=phone>;tag=…`), RFC 3966 (`tel:`, `phone-context`).
    """
    for found in _uri.finditer(value[:MAX_VALUE]):
        user = found[2] if found[1].lower() == "tel" else found[2].partition("@")[0] if "@" in found[2] else ""
        number = _e164(unquote(user, errors="replace"))
        if number:
            return number
    return ""


def _e164(user: str) -> str:
    # A password is no part of who it is, and neither are parameters but the one that completes a number.
    digits = _separators.sub("", user.partition(";")[0].partition(":")[0])
    if _is_number(digits) is None or not digits.isascii():
        return ""
    if digits.startswith("+"):
        return digits
    context = _context.search(user)
    if context is not None:
        return (context[1] + digits)[:16]
    whole = E164_DIGITS[0] <= len(digits) <= E164_DIGITS[1] and not digits.startswith("0")
    return f"+{digits}" if whole else digits


def _headers(listed: object) -> Iterable[tuple[str, str]]:
    entries: list[Any] = listed if isinstance(listed, list) else []
    for entry in entries[:MAX_HEADERS]:
        if isinstance(entry, Mapping):
            name, value = entry.get("name"), entry.get("value")
            if isinstance(name, str) and isinstance(value, str):
                yield name.strip().lower()[:64], value[:MAX_VALUE]


def _first(headers: list[tuple[str, str]], names: Iterable[str]) -> str:
    """Return the first number by the order of names, then of headers."""
    found = (number_in(value) for wanted in names for name, value in headers if name == wanted)
    return next((number for number in found if number), "")
