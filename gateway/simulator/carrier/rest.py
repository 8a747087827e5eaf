"""A stand-in for Twilio's REST API, the part that places, changes and lists calls (API version 2010-04-01).

`TwilioRest(...).app` is an ASGI application whose lifespan owns the calls placed through it. Errors have Twilio's
JSON shape. Hanging up an ended call answers 404 with code 20404.
"""

import asyncio
import base64
import binascii
import hmac
import math
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.simulator.carrier import twiml
from gateway.simulator.carrier.call import LiveCall
from gateway.simulator.carrier.courier import http_date
from gateway.simulator.carrier.facts import API_VERSION
from gateway.simulator.carrier.flow import End
from gateway.simulator.carrier.network import TwilioNetwork
from gateway.simulator.carrier.plan import Callee, OutboundRequest

__all__ = ["RestError", "TwilioRest"]

MAX_BODY_BYTES = 64 * 1024
MAX_TWIML = 4000
MAX_TIMEOUT_S = 600
STOP_S = 10.0
"""How long the live calls get to end when the server stops."""
_PAGE = 50
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


class TwilioRest:
    """REST for the account of `network`; `answer` says for each number called who picks up, and how."""

    def __init__(
        self,
        network: TwilioNetwork,
        answer: Callable[[str], Callee],
        *,
        calls_per_s: int | None = None,
        api_keys: Mapping[str, str] | None = None,
    ) -> None:
        """Take `api_keys` (key SID to secret) besides account SID and auth token.

        Above `calls_per_s` creations in one second the answer is 429, code 20429; None never limits.
        """
        self._network = network
        self._answer = answer
        self._calls_per_s = calls_per_s
        self._credentials = {network.account_sid: network.auth_token, **(api_keys or {})}
        self._recent: deque[float] = deque()
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        account = f"/{API_VERSION}/Accounts/{{account}}"
        self.app = Starlette(
            routes=[
                Route(f"{account}.json", self._guarded(self._account), methods=["GET"]),
                Route(f"{account}/Calls.json", self._guarded(self._create), methods=["POST"]),
                Route(f"{account}/Calls.json", self._guarded(self._list), methods=["GET"]),
                Route(f"{account}/Calls/{{sid}}.json", self._guarded(self._update), methods=["POST"]),
                Route(f"{account}/Calls/{{sid}}.json", self._guarded(self._fetch), methods=["GET"]),
            ],
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                yield
            finally:
                self._group = None
                await self._stop()

    async def _stop(self) -> None:
        for sid in self._tasks:
            self._network.calls[sid].hang_up()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=STOP_S)
        for task in self._tasks.values():
            task.cancel()

    def _guarded(self, handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                self._authenticate(request)
                return await handler(request)
            except RestError as error:
                return _error(error)

        return answer

    def _authenticate(self, request: Request) -> None:
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        try:
            user, _, password = base64.b64decode(value, validate=True).partition(b":")
        except (binascii.Error, ValueError):
            user = password = b""
        expected = self._credentials.get(user.decode("utf-8", "replace"), "")
        right = hmac.compare_digest(password, expected.encode())
        if scheme.lower() != "basic" or not expected or not right:
            raise RestError(401, 20003, "Authenticate")
        if request.path_params["account"] != self._network.account_sid:
            raise _not_found(request)

    async def _account(self, request: Request) -> Response:
        sid = self._network.account_sid
        now = http_date(self._network.wall())
        account = {"sid": sid, "friendly_name": "simulated", "status": "active", "type": "Full"}
        dates = {"date_created": now, "date_updated": now, "owner_account_sid": sid}
        return JSONResponse({**account, **dates, "uri": f"/{API_VERSION}/Accounts/{sid}.json"})

    async def _create(self, request: Request) -> Response:
        form = await _form(request)
        self._limit()
        order = _order(form)
        if self._group is None:
            raise RestError(503, 20503, "the simulated network is stopping")
        call = self._network.queue(order)
        sid = call.facts.call_sid
        # The resource is shown as it was queued, whatever happens next.
        resource = self._resource(call)
        task = self._tasks[sid] = self._group.create_task(self._run(call, order))
        task.add_done_callback(lambda _: self._tasks.pop(sid, None))
        return JSONResponse(resource, 201)

    async def _run(self, call: LiveCall, order: OutboundRequest) -> None:
        await call.outbound(order, self._answer(order.to))

    async def _update(self, request: Request) -> Response:
        call, form = self._call(request), await _form(request)
        status, text, url = _one(form, "Status"), _one(form, "Twiml"), _one(form, "Url")
        if call.facts.ended:
            raise _not_found(request)
        if status in ("completed", "canceled"):
            if status == "canceled" and call.facts.status == "in-progress":
                raise RestError(400, 21220, "Invalid call state: an answered call cannot be canceled")
            call.hang_up()
        elif status is not None:
            raise RestError(400, 21218, "Status must be completed or canceled")
        elif call.facts.status != "in-progress":
            raise RestError(400, 21220, "Call is not in-progress. Cannot redirect.")
        elif url is not None:
            call.interrupt(twiml.Document([twiml.Redirect(_url(url, 21205), _method(form, "Method"))]))
        else:
            call.interrupt(_document(text))
        return JSONResponse(self._resource(call))

    async def _fetch(self, request: Request) -> Response:
        return JSONResponse(self._resource(self._call(request)))

    async def _list(self, request: Request) -> Response:
        wanted = {name: request.query_params.get(name) for name in ("To", "From", "Status")}
        found = [call for call in reversed(self._network.calls.values()) if _matches(call, wanted)]
        size = request.query_params.get("PageSize", "")
        size_value = min(max(int(size), 1), 1000) if size.isascii() and size.isdigit() and len(size) < 6 else _PAGE
        page = [self._resource(call) for call in found[:size_value]]
        uri = request.url.path
        frame = {"page": 0, "page_size": size_value, "start": 0, "end": max(0, len(page) - 1)}
        links = {"uri": uri, "first_page_uri": uri, "next_page_uri": None, "previous_page_uri": None}
        return JSONResponse({"calls": page, **frame, **links})

    def _call(self, request: Request) -> LiveCall:
        call = self._network.calls.get(request.path_params["sid"])
        if call is None:
            raise _not_found(request)
        return call

    def _limit(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._recent and now - self._recent[0] >= 1.0:
            self._recent.popleft()
        if self._calls_per_s is not None and len(self._recent) >= self._calls_per_s:
            raise RestError(429, 20429, "Too Many Requests")
        self._recent.append(now)

    def _resource(self, call: LiveCall) -> dict[str, object]:
        facts, seconds = call.facts, math.ceil(call.report.duration_s)
        status = "queued" if facts.status == "initiated" else facts.status
        return {
            "sid": facts.call_sid,
            "account_sid": facts.account_sid,
            "api_version": API_VERSION,
            "to": facts.to,
            "from": facts.from_,
            "status": status,
            "direction": facts.direction,
            "duration": str(seconds) if facts.ended else None,
            "date_created": http_date(call.created_at),
            "date_updated": http_date(self._network.wall()),
            "uri": f"/{API_VERSION}/Accounts/{facts.account_sid}/Calls/{facts.call_sid}.json",
        }


def _matches(call: LiveCall, wanted: Mapping[str, str | None]) -> bool:
    facts = {"To": call.facts.to, "From": call.facts.from_, "Status": call.facts.status}
    return all(value is None or facts[name] == value for name, value in wanted.items())


def _error(error: RestError) -> Response:
    more = f"https://www.twilio.com/docs/errors/{error.code}"
    body = {"code": error.code, "message": str(error), "more_info": more, "status": error.status}
    headers = {"www-authenticate": 'Basic realm="Twilio API"'} if error.status == 401 else {}
    return JSONResponse(body, error.status, headers)


def _not_found(request: Request) -> RestError:
    return RestError(404, 20404, f"The requested resource {request.url.path} was not found")


async def _form(request: Request) -> Form:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise RestError(413, 20413, "the request is too large")
    try:
        return parse_qs(body.decode(), max_num_fields=200)
    except (UnicodeDecodeError, ValueError) as error:
        raise RestError(400, 20001, "the request is not a form") from error


def _order(form: Form) -> OutboundRequest:
    to, from_ = _one(form, "To"), _one(form, "From")
    if to is None:
        raise RestError(400, 21201, "No 'To' number is specified")
    if from_ is None:
        raise RestError(400, 21213, "No 'From' number is specified")
    if not (_NUMBER.fullmatch(to) or _PARTY.fullmatch(to)):
        raise RestError(400, 21211, "Invalid 'To' Phone Number")
    if not (_NUMBER.fullmatch(from_) or _PARTY.fullmatch(from_)):
        raise RestError(400, 21212, "Invalid 'From' Phone Number")
    url, text = _one(form, "Url"), _one(form, "Twiml")
    if url is None and text is None:
        raise RestError(400, 21205, "Url parameter is required")
    if url is None and len(text or "") > MAX_TWIML:
        raise RestError(400, 21205, f"Twiml is longer than {MAX_TWIML} characters")
    return OutboundRequest(
        to=to,
        from_=from_,
        url=_url(url, 21205) if url is not None else None,
        twiml=text if url is None else None,
        method=_method(form, "Method"),
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
    machine = _one(form, "MachineDetection") in ("Enable", "DetectMessageEnd")
    return machine and (_one(form, "AsyncAmd") or "").lower() == "true"


def _document(text: str | None) -> twiml.Document | End:
    if text is None:
        raise RestError(400, 20001, "one of Status, Url and Twiml is required")
    if len(text) > MAX_TWIML:
        raise RestError(400, 20001, f"Twiml is longer than {MAX_TWIML} characters")
    try:
        return twiml.parse_twiml(text.encode())
    except twiml.TwimlError:
        # Twilio accepts the request and fails the call.
        return End("application_error")


def _one(form: Form, name: str) -> str | None:
    values = form.get(name)
    return values[-1].strip() if values and values[-1].strip() else None


def _url(value: str, code: int) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise RestError(400, code, "Url is not a valid URL")
    return value


def _optional_url(form: Form, name: str) -> str | None:
    value = _one(form, name)
    return _url(value, 21609 if name == "StatusCallback" else 21205) if value is not None else None


def _method(form: Form, name: str) -> str:
    return "GET" if (_one(form, name) or "").upper() == "GET" else "POST"


def _seconds(form: Form, name: str, default: int, most: int) -> float:
    value = _one(form, name)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and len(value) < 7) or not 0 < int(value) <= most:
        raise RestError(400, 20001, f"{name} must be a number from 1 to {most}")
    return float(value)
