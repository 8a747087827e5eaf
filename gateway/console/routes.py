"""`/console`: the page, its sign-in, and what it does with a call.

    GET    /console                            the page; its parts under /console/static/
    GET    /console/session                    who is signed in, whether a key is needed, the agents
    POST   /console/session  {"key"}           sign in
    DELETE /console/session                    sign out
    POST   /console/calls  {"agent", "sdp"}    call an agent: the answer's SDP and the call's id
    GET    /console/calls/{id}/events          Server-Sent Events: what happens in the call
    POST   /console/calls/{id}/commands        as `POST /v1/calls/{id}/commands`, by the same desk

Refusals are `{"error": {"code", "message"}}` as those of `/v1/calls`. A call belongs to who made it.
"""

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from importlib import resources
from typing import Annotated, Protocol

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from gateway.carriers.base import Draining, Full
from gateway.console.guard import Guard, Stranger
from gateway.console.sessions import WrongKeys
from gateway.console.story import told, told_of_end
from gateway.errors import CarrierError, GatewayError, RemoteProtocolError
from gateway.operator.desk import CommandDesk
from gateway.operator.door import Door, Refused
from gateway.operator.requests import VARIANTS, CommandBody
from gateway.watching import TooManyWatchers, Watcher, Watching

__all__ = ["HEARTBEAT_S", "Phones", "console_router"]

logger = logging.getLogger(__name__)

HEARTBEAT_S = 15.0
STATIC = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "phone.js": "text/javascript; charset=utf-8",
    "story.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for "
    "'script'; trusted-types 'none'",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class SignInBody(_Body):
    key: Annotated[str, Field(max_length=512)] = ""
    """Empty where none is needed."""


class CallBody(_Body):
    agent: Annotated[str, Field(min_length=1, max_length=128)]
    sdp: Annotated[str, Field(min_length=1, max_length=16 * 1024)]


class Phones(Protocol):
    """Where the page's calls are made."""

    @property
    def agents(self) -> list[dict[str, str]]:
        """Who can be called: `name` each."""

    async def call(self, who: str, agent: str, sdp: str) -> tuple[str, str]:
        """Return the call's id and the answer's SDP. Raises `GatewayError`."""

    def owner(self, call_id: str) -> str | None:
        """Return who made a call; None for one that is not known."""


class _Answers:
    """Reads and answers requests of the page; `door` is the operators', for its bounded bodies."""

    def __init__(self, guard: Guard, door: Door, phones: Phones) -> None:
        self.guard = guard
        self.door = door
        self.phones = phones

    async def give(self, answer: Callable[[], Awaitable[Response]]) -> Response:
        try:
            response = await answer()
        except Stranger as stranger:
            response = _refusal(stranger.status, stranger.code, str(stranger))
        except Refused as refused:
            response = JSONResponse({"error": refused.body}, refused.status)
        response.headers.update(HEADERS)
        return response

    def own(self, request: Request, call_id: str) -> str:
        """Return who asks, for a call of theirs. Raises `Stranger`, `Refused`."""
        who = self.guard.who(request)
        if self.phones.owner(call_id) != who:
            raise Refused(404, "not_found", "no such call of yours")
        return who


Lifespan = Callable[[object], AbstractAsyncContextManager[None]]


def console_router(
    guard: Guard, door: Door, phones: Phones, desk: CommandDesk, watching: Watching, lifespan: Lifespan
) -> APIRouter:
    """Return the routes. `lifespan` is entered with the application's."""
    routes = APIRouter(prefix="/console", include_in_schema=False, lifespan=lifespan)
    answers = _Answers(guard, door, phones)
    _page(routes)
    _signing_in(routes, answers)
    _calling(routes, answers, desk, watching)
    return routes


def _page(routes: APIRouter) -> None:
    folder = resources.files(__package__) / "static"
    page = (folder / "page.html").read_bytes()
    parts = {name: (folder / name).read_bytes() for name in STATIC}

    @routes.get("")
    @routes.get("/")  # people type it
    async def show() -> Response:
        return Response(page, media_type="text/html; charset=utf-8", headers=HEADERS)

    @routes.get("/static/{name}")
    async def part(name: str) -> Response:
        if name not in parts:
            return Response("not found", 404, media_type="text/plain", headers=HEADERS)
        return Response(parts[name], media_type=STATIC[name], headers=HEADERS)


def _signing_in(routes: APIRouter, answers: _Answers) -> None:
    guard, wrong = answers.guard, WrongKeys()

    @routes.get("/session")
    async def session(request: Request) -> Response:
        async def answer() -> Response:
            try:
                who: str | None = guard.who(request)
            except Stranger as stranger:
                if stranger.status != 401:
                    raise
                who = None
            known = {"who": who, "needs_key": guard.needs_key(request)}
            return JSONResponse(known | {"agents": answers.phones.agents if who is not None else []})

        return await answers.give(answer)

    @routes.post("/session")
    async def sign_in(request: Request) -> Response:
        async def answer() -> Response:
            guard.same_site(request)
            body = await answers.door.read(request, SignInBody)
            try:
                who, token = guard.sign_in(request, body.key)
            except Stranger:
                wrong.count()
                raise
            logger.info("%s signed in to the console", who)
            response = JSONResponse({"who": who})
            guard.remember(response, token)
            return response

        return await answers.give(answer)

    @routes.delete("/session")
    async def sign_out(request: Request) -> Response:
        async def answer() -> Response:
            guard.same_site(request)
            response = JSONResponse({})
            guard.sign_out(request, response)
            return response

        return await answers.give(answer)


def _calling(routes: APIRouter, answers: _Answers, desk: CommandDesk, watching: Watching) -> None:
    @routes.post("/calls")
    async def call(request: Request) -> Response:
        async def answer() -> Response:
            who = answers.guard.who(request)
            body = await answers.door.read(request, CallBody)
            try:
                call_id, sdp = await answers.phones.call(who, body.agent, body.sdp)
            except GatewayError as refused:
                raise _not_called(refused) from None
            return JSONResponse({"call_id": call_id, "sdp": sdp})

        return await answers.give(answer)

    @routes.post("/calls/{call_id}/commands")
    async def command(call_id: str, request: Request) -> Response:
        async def answer() -> Response:
            who = answers.own(request, call_id)
            wanted = (await answers.door.read(request, CommandBody, VARIANTS)).root
            return JSONResponse({"id": wanted.id, "outcome": desk.run(call_id, who, wanted)})

        return await answers.give(answer)

    @routes.get("/calls/{call_id}/events")
    async def events(call_id: str, request: Request) -> Response:
        async def answer() -> Response:
            answers.own(request, call_id)
            return _stream(watching, call_id, _after(request))

        return await answers.give(answer)


def _stream(watching: Watching, call_id: str, after: int) -> Response:
    """Return what happens in a call as a stream. Raises `Refused`."""
    try:
        watching.check(call_id)
    except KeyError:
        raise Refused(410, "ended", "the call has ended") from None
    except TooManyWatchers as full:
        raise Refused(429, "too_many", str(full)) from None

    async def lines() -> AsyncIterator[str]:
        # Entered only now: a response that is never read would not leave its place.
        with suppress(KeyError, TooManyWatchers), watching.watch(call_id, after) as watcher:
            async for line in _lines(watcher):
                yield line

    return StreamingResponse(lines(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


async def _lines(watcher: Watcher) -> AsyncIterator[str]:
    missed = 0
    yield "retry: 2000\n\n"
    while True:
        entries = await watcher.more(HEARTBEAT_S)
        if watcher.missed > missed:
            missed = watcher.missed
            yield _event({"type": "missed", "entries": missed})
        for entry in entries:
            shown = told(entry)
            if shown is not None:
                yield _event(shown, entry.seq)
        if watcher.end is not None:
            yield _event(dict(told_of_end(watcher.end)))
            return
        if not entries:
            yield ": still here\n\n"


def _event(data: object, number: int | None = None) -> str:
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"


def _after(request: Request) -> int:
    """Return the last entry that a page which comes back has seen."""
    last = request.headers.get("last-event-id", "")
    return int(last) if last.isdecimal() and len(last) <= 9 else -1


def _not_called(refused: GatewayError) -> Refused:
    match refused:
        case RemoteProtocolError():
            return Refused(422, "invalid", str(refused))
        case Draining():
            return Refused(503, "draining", "the gateway is going away and takes no new calls")
        case Full():
            return Refused(503, "full", "all lines are taken")
        case CarrierError():
            logger.warning("a browser's call failed: %s", refused)
            return Refused(502, "no_connection", "no connection can be made")
        case _:
            return Refused(409, "refused", str(refused))


def _refusal(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse({"error": {"code": code, "message": message}}, status)
