"""One carrier's real door, a recording switchboard behind it, and the carrier's end of a media socket."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import import_module

import httpx2
from fastapi import FastAPI
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from gateway.carriers.base import CallOffer, Ended, Leg, Resumed, TokenRefused
from gateway.carriers.front import Carrier, Fallback, Front
from gateway.config import Settings
from gateway.core.audio import AudioFormat
from gateway.core.events import CallerAudio, Event, LegEnded, TransferProgress
from gateway.simulator.asgi import AsgiHost
from gateway.wire import TextSocket, WireClosed
from tests.conformance.legs.rig import Asked, Rig

__all__ = ["PUBLIC_URL", "Recorder", "Stage", "on_stage"]

PUBLIC_URL = "https://gw.example.com"


@dataclass(eq=False)
class Recorder:
    """Stands where the registry and one live call stand: takes every offer, and writes down what the call is told."""

    offers: list[CallOffer] = field(default_factory=list)
    told: list[Event] = field(default_factory=list)
    leg: Leg | None = None
    audio: AudioFormat | None = None
    claimed: int = 0
    known: dict[str, str] = field(default_factory=dict)
    attached: asyncio.Event = field(default_factory=asyncio.Event)

    # the switchboard

    def offer(self, offer: CallOffer, *, again: int = 0) -> str:
        self.offers.append(offer)
        token = f"tok{len(self.offers):029}"
        self.known[token] = offer.carrier_call_id
        return token

    def claim(self, token: str, carrier_call_id: str, account_id: str) -> "Recorder":
        if self.known.pop(token, None) != carrier_call_id:
            raise TokenRefused("the token is unknown or was used")
        self.claimed += 1
        return self

    def resume(self, carrier_call_id: str) -> Resumed:
        raise TokenRefused("nothing is being transferred")

    def transfer_progress(self, carrier_call_id: str, progress: TransferProgress) -> None:
        self.told.append(progress)

    def hung_up(self, carrier_call_id: str) -> None:
        pass

    def outcome(self, carrier_call_id: str) -> Ended | None:
        return None

    # the call

    def attach(self, leg: Leg, stream_id: str, audio: AudioFormat = AudioFormat.PCMU) -> None:
        self.leg, self.audio = leg, audio
        self.attached.set()

    def feed(self, event: Event) -> None:
        self.told.append(event)

    # the reports

    def call_state(self, carrier_call_id: str, state: str, sequence: int | None = None) -> None:
        pass

    def call_refused(self, offer: CallOffer, why: str) -> None:
        pass

    async def attempt_state(self, attempt_id: str, carrier_call_id: str, state: str, sequence: int | None) -> None:
        pass

    async def attempt_agent(self, attempt_id: str, carrier_call_id: str) -> str | None:
        return None


class Stage:
    """A call on one carrier's socket: what the carrier does, what the call is told, what the carrier is asked."""

    def __init__(self, rig: Rig, carrier: Carrier, app: FastAPI, host: AsgiHost, recorder: Recorder) -> None:
        self.rig = rig
        self.carrier = carrier
        self._work: list[asyncio.Task[None]] = []
        self._app = app
        self.host = host
        self.recorder = recorder
        self.asked: list[Asked] = []
        self.closed: WireClosed | None = None
        self._socket: TextSocket | None = None
        self._reader: asyncio.Task[None] | None = None

    async def connect(self, *, token: str | None = None) -> None:
        """Open the media socket with everything that the carrier would present."""
        if token is None:
            token = await self.offer() if self.rig.offers_first else ""
        self.rig.token = token
        self._socket = await self.rig.open(self, token)
        self._reader = asyncio.create_task(self._read(self._socket))

    async def connect_socket(self, path: str, headers: Mapping[str, str]) -> TextSocket:
        return await self.host.connect(PUBLIC_URL.replace("https", "wss") + path, headers)

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        self._work.append(asyncio.create_task(work))

    def begin(self, leg: Leg) -> None:
        self.recorder.attach(leg, "browser")

    def feed(self, event: Event) -> None:
        self.recorder.feed(event)

    async def offer(self) -> str:
        """Offer a call, by the carrier's webhook where the door insists on it; return the token of its stream."""
        asked = self.rig.webhook()
        if asked is None:
            return self.recorder.offer(self.rig.offer())
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(self._app), base_url=PUBLIC_URL) as client:
            answer = await client.request(asked.method, asked.path, headers=dict(asked.headers), content=asked.body)
        assert answer.status_code == 200, answer.text
        return self.rig.token_of(answer.text, self.recorder.known)

    async def start(self) -> None:
        """Open the socket and say hello; return once the call has its stream."""
        await self.connect()
        await self.send(*self.rig.hello())
        async with asyncio.timeout(3):
            await self.recorder.attached.wait()

    async def send(self, *frames: str | bytes) -> None:
        """Send what the gateway still takes."""
        assert self._socket is not None, "connect first"
        try:
            for frame in frames:
                await self._socket.send(frame)
        except WireClosed:
            return
        await asyncio.sleep(0.001)

    async def speak(self, *numbers: int) -> list[bytes]:
        """Send frames of the caller, 20 ms apart; return them as the gateway should hand them on."""
        for number in numbers:
            await asyncio.sleep(0.02)
            await self.send(self.rig.media(number, self.rig.wire(number)))
        return [self.rig.heard(self.rig.wire(number)) for number in numbers]

    async def hang_up(self, code: int = 1000) -> None:
        assert self._socket is not None, "connect first"
        try:
            await self._socket.close(code)
        except WireClosed:
            return
        await asyncio.sleep(0.01)

    @property
    def leg(self) -> Leg:
        assert self.recorder.leg is not None, "the stream has not started"
        return self.recorder.leg

    @property
    def told(self) -> list[Event]:
        """What the call was told, but for audio."""
        return [event for event in self.recorder.told if not isinstance(event, CallerAudio)]

    @property
    def heard(self) -> bytes:
        """The caller's audio as the model would get it."""
        return b"".join(self.rig.bytes_of(event) for event in self.recorder.told if isinstance(event, CallerAudio))

    @property
    def ends(self) -> list[LegEnded]:
        return [event for event in self.recorder.told if isinstance(event, LegEnded)]

    def asked_for(self, kind: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.kind == kind]

    async def _read(self, socket: TextSocket) -> None:
        try:
            while True:
                asked = self.rig.read(await socket.receive())
                self.asked.append(asked)
                for frame in self.rig.obey(asked):
                    await socket.send(frame)
        except WireClosed as closed:
            self.closed = closed

    async def leave(self) -> None:
        if self._socket is not None:
            await self.hang_up()
        if self._reader is not None:
            await asyncio.wait({self._reader}, timeout=1)
            self._reader.cancel()
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)


@asynccontextmanager
async def on_stage(rig: Rig, *, allow_unsigned: bool = False) -> AsyncIterator[Stage]:
    """Open the carrier's door, as the application does."""
    recorder = Recorder()
    front = Front(
        public_url=PUBLIC_URL,
        stream_origin=PUBLIC_URL.replace("https", "wss"),
        allow_unsigned=allow_unsigned,
        calls=recorder,
        reports=recorder,
        fallback=lambda agent, number: Fallback(),
        transport=httpx2.ASGITransport(_vendor),
    )
    carrier = Carrier(rig.name) if rig.socketless else open_door(rig, front)
    app = FastAPI(redirect_slashes=False, openapi_url=None)
    if carrier.router is not None:
        app.include_router(carrier.router)
    async with AsgiHost(app) as host, carrier.running():
        stage = Stage(rig, carrier, app, host, recorder)
        try:
            yield stage
        finally:
            await stage.leave()


async def _vendor(scope: Scope, receive: Receive, send: Send) -> None:
    """The carrier's REST API, which agrees to everything."""
    await JSONResponse({"data": {"result": "ok"}})(scope, receive, send)


def open_door(rig: Rig, front: Front) -> Carrier:
    settings = Settings.alone({"public_url": PUBLIC_URL, **rig.settings})
    if rig.package == "twilio":
        from gateway.doors import open_carriers

        return next(open_carriers(settings, front, None))
    door: Carrier = import_module(f"gateway.carriers.{rig.package}").open_carrier(settings, front)
    return door
