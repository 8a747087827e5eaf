"""A small voice application in the terms of Twilio, so that something else than the gateway judges the network."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped, unused-ignore]

from gateway.simulator.asgi import AsgiHost
from gateway.simulator.carrier import CallbackFaults, CallPlan, LineModel, Party, Script, TwilioNetwork

ACCOUNT = "AC00000000000000000000000000000001"
TOKEN = "test_auth_token_0123456789abcdef"
ORIGIN = "https://gw.example.com"
STREAM = f"""<Response><Connect><Stream url="wss://gw.example.com/media" statusCallback="{ORIGIN}/stream-status">
<Parameter name="token" value="t1"/></Stream></Connect><Redirect>{ORIGIN}/after</Redirect></Response>"""
GOODBYE = "<Response><Say>Goodbye.</Say><Hangup/></Response>"

Agent = Callable[["Peer"], Awaitable[None]]


class Peer:
    """The application's end of one media socket."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket
        self.stream_sid = ""

    async def receive(self) -> dict[str, object]:
        message: dict[str, object] = json.loads(await self.socket.receive_text())
        if message["event"] == "start":
            self.stream_sid = str(message["streamSid"])
        return message

    async def until(self, event: str) -> dict[str, object]:
        while (message := await self.receive())["event"] != event:
            pass
        return message

    async def play(self, audio: bytes) -> None:
        await self.send("media", media={"payload": base64.b64encode(audio).decode()})

    async def mark(self, name: str) -> None:
        await self.send("mark", mark={"name": name})

    async def send(self, event: str, **body: object) -> None:
        await self.socket.send_text(json.dumps({"event": event, "streamSid": self.stream_sid, **body}))


async def silent(peer: Peer) -> None:
    """Listen until the stream ends."""
    while True:
        await peer.receive()


@dataclass
class Application:
    """Answers webhooks from `pages` and media sockets with `agent`; records what came, checks every signature."""

    agent: Agent = silent
    pages: dict[str, str] = field(default_factory=lambda: {"/voice": STREAM, "/after": GOODBYE})
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    refuse_upgrade: bool = False
    delays_s: dict[str, float] = field(default_factory=dict)
    statuses: dict[str, list[int]] = field(default_factory=dict)
    """Statuses to answer a path with first, one a request."""

    @property
    def app(self) -> Starlette:
        paths = [Route("/{path:path}", self._webhook, methods=["POST", "GET"]), WebSocketRoute("/media", self._media)]
        return Starlette(routes=paths)

    def forms(self, path: str) -> list[dict[str, str]]:
        return [form for seen, form in self.requests if seen == path]

    async def _webhook(self, request: Request) -> Response:
        path = request.url.path
        form = {name: str(value) for name, value in (await request.form()).items()}
        url = ORIGIN + path + (f"?{request.url.query}" if request.url.query else "")
        assert RequestValidator(TOKEN).validate(url, form, request.headers["x-twilio-signature"])
        self.requests.append((path, form | dict(request.query_params)))
        self.tokens.append(request.headers["i-twilio-idempotency-token"])
        await asyncio.sleep(self.delays_s.get(path, 0.0))
        if waiting := self.statuses.get(path):
            return Response(status_code=waiting.pop(0))
        if path not in self.pages:
            return Response(status_code=204)
        return Response(self.pages[path], media_type="text/xml")

    async def _media(self, socket: WebSocket) -> None:
        signature = socket.headers["x-twilio-signature"]
        assert RequestValidator(TOKEN).validate("wss://gw.example.com/media", {}, signature)
        if self.refuse_upgrade:
            await socket.close()
            return
        await socket.accept()
        try:
            await self.agent(Peer(socket))
        except WebSocketDisconnect:
            return
        await socket.close()


@asynccontextmanager
async def network(
    application: Application,
    line: LineModel | None = None,
    faults: CallbackFaults | None = None,
    parties: Sequence[Party] = (),
) -> AsyncIterator[TwilioNetwork]:
    """A network joined to the application in this process."""
    async with AsyncExitStack() as stack:
        host = await stack.enter_async_context(AsgiHost(application.app))
        http = await stack.enter_async_context(host.http())
        yield TwilioNetwork(ACCOUNT, TOKEN, http, host.connect, line=line, faults=faults, parties=parties, seed=1)


def plan(script: Script, **more: object) -> CallPlan:
    base: Mapping[str, object] = {"to": "+14155550199", "from_": "+14155550101", "voice_url": f"{ORIGIN}/voice"}
    return CallPlan(**{**base, "script": script, "status_callback": f"{ORIGIN}/status", **more})  # type: ignore[arg-type]
