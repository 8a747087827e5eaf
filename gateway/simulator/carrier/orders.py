"""What the REST API is asked for: forms read, bounded and checked as Twilio checks them."""

import re
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request

from gateway.simulator.carrier import twiml
from gateway.simulator.carrier.flow import APOLOGY
from gateway.simulator.carrier.plan import OutboundRequest

__all__ = ["Form", "RestError", "checked_url", "document", "method", "one", "order", "read_form"]

MAX_BODY_BYTES = 64 * 1024
MAX_TWIML = 4000
MAX_TIMEOUT_S = 600
_EVENTS = frozenset({"initiated", "ringing", "answered", "completed"})
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_PARTY = re.compile(r"(sip|sips|client):\S{1,200}")
Form = Mapping[str, Sequence[str]]


class RestError(Exception):
    """An answer in Twilio's error shape."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


async def read_form(request: Request) -> Form:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise RestError(413, 20413, "the request is too large")
    try:
        return parse_qs(body.decode(), max_num_fields=200)
    except (UnicodeDecodeError, ValueError) as error:
        raise RestError(400, 20001, "the request is not a form") from error


def order(form: Form) -> OutboundRequest:
    to, from_ = one(form, "To"), one(form, "From")
    if to is None:
        raise RestError(400, 21201, "No 'To' number is specified")
    if from_ is None:
        raise RestError(400, 21213, "No 'From' number is specified")
    if not (_NUMBER.fullmatch(to) or _PARTY.fullmatch(to)):
        raise RestError(400, 21211, "Invalid 'To' Phone Number")
    if not (_NUMBER.fullmatch(from_) or _PARTY.fullmatch(from_)):
        raise RestError(400, 21212, "Invalid 'From' Phone Number")
    url, text = one(form, "Url"), one(form, "Twiml")
    if url is None and text is None:
        raise RestError(400, 21205, "Url parameter is required")
    if url is None and len(text or "") > MAX_TWIML:
        raise RestError(400, 21205, f"Twiml is longer than {MAX_TWIML} characters")
    return OutboundRequest(
        to=to,
        from_=from_,
        url=checked_url(url, 21205) if url is not None else None,
        twiml=text if url is None else None,
        method=method(form, "Method"),
        fallback_url=_optional_url(form, "FallbackUrl"),
        status_callback=_optional_url(form, "StatusCallback"),
        status_events=_events(form),
        timeout_s=_seconds(form, "Timeout", 60, MAX_TIMEOUT_S),
        time_limit_s=_seconds(form, "TimeLimit", 14400, 86400),
        amd_callback=_optional_url(form, "AsyncAmdStatusCallback") if _wants_amd(form) else None,
    )


def _events(form: Form) -> Sequence[str]:
    events = [event for value in form.get("StatusCallbackEvent", ["completed"]) for event in value.split()]
    if unknown := set(events) - _EVENTS:
        raise RestError(400, 21626, f"Invalid StatusCallbackEvents: {', '.join(sorted(unknown))[:100]}")
    return events


def _wants_amd(form: Form) -> bool:
    machine = one(form, "MachineDetection") in ("Enable", "DetectMessageEnd")
    return machine and (one(form, "AsyncAmd") or "").lower() == "true"


def document(text: str | None) -> twiml.Document:
    if text is None:
        raise RestError(400, 20001, "one of Status, Url and Twiml is required")
    if len(text) > MAX_TWIML:
        raise RestError(400, 20001, f"Twiml is longer than {MAX_TWIML} characters")
    try:
        return twiml.parse_twiml(text.encode())
    except twiml.TwimlError:
        # Twilio accepts the request and fails the call.
        return twiml.Document([twiml.Say(APOLOGY), twiml.Hangup()])


def one(form: Form, name: str) -> str | None:
    values = form.get(name)
    return values[-1].strip() if values and values[-1].strip() else None


def checked_url(value: str, code: int) -> str:
    try:
        parts = urlsplit(value)
    except ValueError as error:
        raise RestError(400, code, "Url is not a valid URL") from error
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise RestError(400, code, "Url is not a valid URL")
    return value


def _optional_url(form: Form, name: str) -> str | None:
    value = one(form, name)
    return checked_url(value, 21609 if name == "StatusCallback" else 21205) if value is not None else None


def method(form: Form, name: str) -> str:
    return "GET" if (one(form, name) or "").upper() == "GET" else "POST"


def _seconds(form: Form, name: str, default: int, most: int) -> float:
    value = one(form, name)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and len(value) < 7) or not 0 < int(value) <= most:
        raise RestError(400, 20001, f"{name} must be a number from 1 to {most}")
    return float(value)
