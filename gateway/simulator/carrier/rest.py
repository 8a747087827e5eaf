"""A stand-in for Twilio's REST API, the part that places, changes and lists calls (API version 2010-04-01).

`TwilioRest(...).app` is an ASGI application whose lifespan owns the calls placed through it. Errors have Twilio's
JSON shape. Hanging up an ended call answers 404 with code 20404.
"""

import asyncio
import base64
import binascii
import hmac
import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.simulator.carrier import twiml
from gateway.simulator.carrier.call import LiveCall
from gateway.simulator.carrier.courier import http_date
from gateway.simulator.carrier.facts import API_VERSION
from gateway.simulator.carrier.network import TwilioNetwork
from gateway.simulator.carrier.orders import RestError, checked_url, document, method, one, order, read_form
from gateway.simulator.carrier.parties import unreachable
from gateway.simulator.carrier.plan import Callee, OutboundRequest

__all__ = ["TwilioRest"]

STOP_S = 10.0
"""How long the live calls get to end when the server stops."""
_PAGE = 50


class TwilioRest:
    """REST for the account of `network`; `answer` says for each number called who picks up, and how.

    Without it that is the network's parties, and no other number exists.
    """

    def __init__(
        self,
        network: TwilioNetwork,
        answer: Callable[[str], Callee] | None = None,
        *,
        calls_per_s: int | None = None,
        api_keys: Mapping[str, str] | None = None,
    ) -> None:
        """Take `api_keys` (key SID to secret) besides account SID and auth token.

        Above `calls_per_s` creations in one second the answer is 429, code 20429; None never limits.
        """
        self._network = network
        self._answer = answer or self._party
        self._calls_per_s = calls_per_s
        self._credentials = {network.account_sid: network.auth_token, **(api_keys or {})}
        self._recent: deque[float] = deque()
        self._failures: deque[tuple[RestError, bool]] = deque()
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

    def fail_next(self, status: int, code: int, *, created: bool = False) -> None:
        """Answer the next creation with an error; with `created` the call is placed all the same."""
        self._failures.append((RestError(status, code, "a simulated failure"), created))

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
        form = await read_form(request)
        self._limit()
        wish = order(form)
        if self._group is None:
            raise RestError(503, 20503, "the simulated network is stopping")
        failure, created = self._failures.popleft() if self._failures else (None, True)
        if failure is not None and not created:
            raise failure
        call = self._network.queue(wish)
        sid = call.facts.call_sid
        # The resource is shown as it was queued, whatever happens next.
        resource = self._resource(call)
        task = self._tasks[sid] = self._group.create_task(self._run(call, wish))
        task.add_done_callback(lambda _: self._tasks.pop(sid, None))
        if failure is not None:
            raise failure
        return JSONResponse(resource, 201)

    async def _run(self, call: LiveCall, wish: OutboundRequest) -> None:
        await call.outbound(wish, self._answer(wish.to))

    def _party(self, number: str) -> Callee:
        return self._network.party(number) or unreachable()

    async def _update(self, request: Request) -> Response:
        call, form = self._call(request), await read_form(request)
        status, text, url = one(form, "Status"), one(form, "Twiml"), one(form, "Url")
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
            call.interrupt(twiml.Document([twiml.Redirect(checked_url(url, 21205), method(form, "Method"))]))
        else:
            call.interrupt(document(text))
        return JSONResponse(self._resource(call))

    async def _fetch(self, request: Request) -> Response:
        return JSONResponse(self._resource(self._call(request)))

    async def _list(self, request: Request) -> Response:
        query = dict(request.query_params)
        size, number = _count(query.pop("PageSize", ""), _PAGE, 1000), _count(query.pop("Page", ""), 0, 10_000)
        query.pop("PageToken", None)
        if unknown := query.keys() - {"To", "From", "Status"}:
            raise RestError(400, 20001, f"not simulated: filter by {', '.join(sorted(unknown))[:100]}")
        found = [call for call in reversed(self._network.calls.values()) if _matches(call, query)]
        start = number * size
        page = [self._resource(call) for call in found[start : start + size]]
        uri = f"{request.url.path}?{urlencode({**query, 'PageSize': size, 'Page': number + 1})}"
        frame = {"page": number, "page_size": size, "start": start, "end": start + max(0, len(page) - 1)}
        following = uri if len(found) > start + size else None
        links = {"uri": request.url.path, "next_page_uri": following, "previous_page_uri": None}
        return JSONResponse({"calls": page, **frame, **links, "first_page_uri": request.url.path})

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
            "parent_call_sid": facts.parent_sid,
            "duration": str(seconds) if facts.ended else None,
            "date_created": http_date(call.created_at),
            "date_updated": http_date(self._network.wall()),
            "uri": f"/{API_VERSION}/Accounts/{facts.account_sid}/Calls/{facts.call_sid}.json",
        }


def _matches(call: LiveCall, wanted: Mapping[str, str]) -> bool:
    facts = {"To": call.facts.to, "From": call.facts.from_, "Status": call.facts.status}
    return all(facts[name] == value for name, value in wanted.items())


def _count(value: str, default: int, most: int) -> int:
    return min(int(value), most) if value.isascii() and value.isdigit() and len(value) < 6 else default


def _error(error: RestError) -> Response:
    more = f"https://www.twilio.com/docs/errors/{error.code}"
    body = {"code": error.code, "message": str(error), "more_info": more, "status": error.status}
    headers = {"www-authenticate": 'Basic realm="Twilio API"'} if error.status == 401 else {}
    return JSONResponse(body, error.status, headers)


def _not_found(request: Request) -> RestError:
    return RestError(404, 20404, f"The requested resource {request.url.path} was not found")
