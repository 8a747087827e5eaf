"""Asterisk 22 with chan_websocket, the sample dialplan of `deploy/asterisk`, and what of ARI works outside Stasis.

Source: `chan_websocket.c` (what it does with each command, its queue of 1000 frames), `res/ari/resource_channels.c` and
`resource_asterisk.c`, `app_dial.c`. The dialplan is a person's: `Dial(WebSocket/…,g)` and then what the global variable
of the call says.
"""

import asyncio
import json
import random
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from urllib.parse import urlencode

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from gateway.config import Settings
from gateway.errors import ConfigError
from gateway.simulator.carriers.frame import (
    Ask,
    Audio,
    Bad,
    Carrier,
    CarrierNetwork,
    Clear,
    Dialled,
    Encoding,
    Frame,
    Happening,
    Leave,
    Limits,
    LiveCall,
    Mark,
    Pause,
    Reply,
    Step,
    WhenDrained,
)

__all__ = ["CARRIER", "AsteriskWire", "InDialplan", "ari", "ari_keys"]

TEXT_MOST = 128
MOST_AGAIN = 3
LASTED_S = 2.0
APOLOGY = "We are sorry, an error has occurred."
DIALSTATUS = {"busy": "BUSY", "no-answer": "NOANSWER", "failed": "CHANUNAVAIL", "rejected": "NOANSWER"}
FLOW = {Happening.FULL: "MEDIA_XOFF", Happening.ROOM: "MEDIA_XON"}
FORMATS = {Encoding.MULAW: "ulaw", Encoding.ALAW: "alaw", Encoding.PCM24: "slin24"} | {
    Encoding.PCM8: "slin",
    Encoding.PCM16: "slin16",
}
IGNORED, DROPPED, UNKNOWN, MALFORMED = 1, 2, 3, 4
COMPLETED = "completed "


class AsteriskWire:
    """`plain` speaks the text control of versions before 22.8."""

    def __init__(self, channel_id: str, encoding: Encoding = Encoding.MULAW, *, plain: bool = False) -> None:
        self.encoding = encoding
        self.limits = Limits(queue_ms=20_000, full_ms=18_000, room_ms=16_000, most_message_bytes=65_500)
        self.awaits_gone = False
        self._channel_id = channel_id
        self._plain = plain
        self._bulk = False
        self._leftover = b""
        self._asked_drained = False

    def hello(self) -> Sequence[Frame]:
        size = self.encoding.frame_bytes
        channel = "WebSocket/gateway/0x7f45a00172b0"
        told: dict[str, object] = {"connection_id": "gateway", "channel": channel, "channel_id": self._channel_id}
        told |= {"format": FORMATS[self.encoding], "optimal_frame_size": size, "ptime": 20}
        if self._plain:
            return [" ".join(["MEDIA_START", *(f"{name}:{value}" for name, value in told.items())])]
        return [json.dumps({"event": "MEDIA_START", **told, "channel_variables": {"DIALEDPEERNUMBER": "gateway"}})]

    def media(self, audio: bytes, number: int, at_ms: int) -> Frame:
        return audio

    def digit(self, digit: str) -> Sequence[Frame]:
        if self._plain:
            return [f"DTMF_END digit:{digit} channel_id:{self._channel_id}"]
        return [self._event("DTMF_END", digit=digit)]

    def read(self, frame: Frame, queued_ms: int) -> Iterable[Ask]:
        if isinstance(frame, bytes):
            yield from self._audio(frame)
            return
        if len(frame.encode()) > TEXT_MOST:
            yield Bad(IGNORED, f"a text command of {len(frame)} bytes is ignored")
            return
        command, told = self._parsed(frame)
        match command:
            case "FLUSH_MEDIA":
                self._bulk, self._leftover = False, b""
                yield Clear()
            case "START_MEDIA_BUFFERING":
                self._bulk = True
            case "STOP_MEDIA_BUFFERING":
                yield from self._stop_bulk(told)
            case "MARK_MEDIA":
                yield Mark(told)
            case _:
                yield self._control(command, queued_ms)

    def mark(self, name: str, *, cleared: bool) -> Sequence[Frame]:
        if cleared:
            return []  # flushed marks are never reported
        completed = name.startswith(COMPLETED)
        event = "MEDIA_BUFFERING_COMPLETED" if completed else "MEDIA_MARK_PROCESSED"
        told = name.removeprefix(COMPLETED)
        return [f"{event} {told}".rstrip() if self._plain else self._event(event, correlation_id=told)]

    def tell(self, what: Happening) -> Sequence[Frame]:
        event = FLOW.get(what, "")
        if what is Happening.DRAINED and self._asked_drained:
            self._asked_drained, event = False, "QUEUE_DRAINED"
        return [] if not event else [event if self._plain else self._event(event)]

    def stop(self) -> Sequence[Frame]:
        return []

    def _event(self, event: str, **more: object) -> str:
        return json.dumps({"event": event, "channel_id": self._channel_id, **more})

    def _audio(self, data: bytes) -> Iterable[Ask]:
        data = self._leftover + data if self._bulk else data
        whole = len(data) - len(data) % self.encoding.frame_bytes
        self._leftover = data[whole:] if self._bulk else b""
        if whole != len(data) and not self._bulk:
            yield Bad(DROPPED, f"{len(data) - whole} bytes outside of bulk mode are dropped")
        if whole:
            yield Audio(data[:whole])

    def _stop_bulk(self, told: str) -> Iterable[Ask]:
        if self._leftover:
            missing = (self.encoding.frame_bytes - len(self._leftover)) // self.encoding.sample_bytes
            yield Audio(self._leftover + self.encoding.silence * missing)
        self._bulk, self._leftover = False, b""
        yield Mark(COMPLETED + told)

    def _control(self, command: str, queued_ms: int) -> Ask:
        match command:
            case "HANGUP":
                return Leave()
            case "PAUSE_MEDIA" | "CONTINUE_MEDIA":
                return Pause(command == "PAUSE_MEDIA")
            case "REPORT_QUEUE_DRAINED":
                self._asked_drained = True
                return WhenDrained()
            case "GET_STATUS":
                return Reply([self._event("STATUS", queue_length=queued_ms // 20, bulk_media=self._bulk)])
            case "ANSWER" | "SET_MEDIA_DIRECTION":
                return Reply([])
        return Bad(UNKNOWN, f"command {command[:32]!r} unknown")

    def _parsed(self, frame: str) -> tuple[str, str]:
        if self._plain:
            command, _, told = frame.strip().partition(" ")
            return command, told
        try:
            message = json.loads(frame)
            return str(message["command"]), str(message.get("correlation_id", ""))
        except (ValueError, KeyError, AttributeError, TypeError):
            return "not JSON", ""


class InDialplan:
    """A caller in the dialplan; `variables` of the gateway's are global in a real Asterisk."""

    def __init__(self, call: LiveCall) -> None:
        self.call = call
        self.variables: dict[str, str] = {}
        self.dialstatus = ""

    @property
    def variable(self) -> str:
        """Its name: letters and digits of the call's id."""
        return "GATEWAY_NEXT_" + "".join(filter(str.isalnum, self.call.call_id))

    @property
    def ari(self) -> bool:
        """The dialplan's `GW_ARI`: whether the gateway can say anything."""
        return self.call.network.keys["ari"] == "yes"

    async def begin(self) -> Step | None:
        self.call.answer()
        return lambda: self.gateway(0)

    async def over(self) -> None:
        self.variables.clear()

    async def gateway(self, again: int, result: str = "none") -> Step | None:
        """Dial the gateway, then do what it has said."""
        self.dialstatus, began_s = "", self.call.clock()
        await self.connect(again, result)
        word = self.variables.pop(self.variable, "")
        if not word and not self.ari and self.call.clock() - began_s > LASTED_S:
            return None  # without ARI a call that has lasted is one that is over
        return await self.follow(word, again)

    async def connect(self, again: int, result: str) -> None:
        call, keys = self.call, self.call.network.keys
        told = {
            "call": call.call_id,
            "from": call.plan.from_,
            "to": call.plan.to,
            "again": str(again),
            "result": result,
        }
        told |= {"agent": call.plan.agent} if call.plan.agent else {}
        pair = b64encode(f"{keys['username']}:{keys['password']}".encode()).decode()
        headers = {"authorization": f"Basic {pair}", "sec-websocket-protocol": "media"}
        self.dialstatus = "ANSWER"
        url = f"{call.network.stream_origin}/asterisk/media?{urlencode(told)}"
        await call.stream(url, self.wire(), headers)

    def wire(self) -> AsteriskWire:
        """Return what the channel to the gateway speaks."""
        return AsteriskWire(f"{self.call.call_id}9")

    async def follow(self, word: str, again: int) -> Step | None:
        """Do what the gateway has said; nothing said: call it again, then apologise."""
        what, _, rest = word.partition(":")
        if what == "transfer":
            return await self._transfer(rest, again)
        if what in ("again", "") and again < MOST_AGAIN:
            await asyncio.sleep(again)
            return lambda: self.gateway(again + 1)
        if what != "hangup":
            await self.call.say(APOLOGY)
            if what == "apology" and rest:
                await self.call.dial(rest)
        return None

    async def _transfer(self, rest: str, again: int) -> Step | None:
        number, seconds, _context = rest.split(":")
        self.dialstatus = ""
        dialled = await self.call.dial(number, timeout_s=float(seconds), told=self._told)
        if dialled.status == "completed":
            return None
        return lambda: self.gateway(again, self._status(dialled))

    def _told(self, state: str) -> None:
        if state == "answered":
            self.dialstatus = "ANSWER"

    def _status(self, dialled: Dialled) -> str:
        self.dialstatus = DIALSTATUS[dialled.status]
        return self.dialstatus


def ari(network: CarrierNetwork) -> FastAPI:
    """Return ARI's stand-in. What a real one refuses outside of Stasis is refused here."""
    app = FastAPI(openapi_url=None)
    _authenticated(app, network)
    _channels(app, network)
    _globals(app, network)
    return app


def _caller(network: CarrierNetwork, channel_id: str) -> InDialplan | None:
    call = network.calls.get(channel_id)
    found = call.dialect if call is not None and not call.ended.is_set() else None
    return found if isinstance(found, InDialplan) else None


def _authenticated(app: FastAPI, network: CarrierNetwork) -> None:
    @app.middleware("http")
    async def authenticated(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        pair = f"{network.keys['ari_username']}:{network.keys['ari_password']}".encode()
        told = request.headers.get("authorization", "").removeprefix("Basic ")
        return await go_on(request) if b64decode(told + "==") == pair else Response(status_code=401)


def _channels(app: FastAPI, network: CarrierNetwork) -> None:
    @app.delete("/ari/channels/{channel_id}")
    async def hang_up(channel_id: str) -> Response:
        found = _caller(network, channel_id)
        network.asked(found.call if found else None, "hangup", 204 if found else 404)
        if found is None:
            return _not_found("Channel")
        found.call.hang_up()
        return Response(status_code=204)

    @app.get("/ari/channels/{channel_id}")
    async def look(channel_id: str) -> Response:
        found = _caller(network, channel_id)
        return JSONResponse({"id": channel_id, "state": "Up"}) if found else _not_found("Channel")

    @app.get("/ari/channels/{channel_id}/variable")
    async def value_of(channel_id: str, variable: str) -> Response:
        found = _caller(network, channel_id)
        if found is None or variable != "DIALSTATUS":
            return _not_found("Channel" if found is None else "Provided variable was")
        return JSONResponse({"value": found.dialstatus})

    @app.post("/ari/channels/{channel_id}/{action}")
    async def outside_stasis(channel_id: str, action: str) -> Response:
        network.asked(None, action, 409)
        return JSONResponse({"message": "Channel not in Stasis application"}, 409)


def _globals(app: FastAPI, network: CarrierNetwork) -> None:
    def owner(variable: str) -> InDialplan | None:
        every = (_caller(network, call_id) for call_id in network.calls)
        return next((one for one in every if one is not None and one.variable == variable), None)

    @app.post("/ari/asterisk/variable")
    async def set_global(request: Request) -> Response:
        told = await request.json()
        variable, value = str(told["variable"]), str(told.get("value", ""))
        found = owner(variable)
        if "value" not in told:  # removed
            if found is not None:
                found.variables.pop(variable, None)
            return Response(status_code=204)
        network.asked(found.call if found else None, f"variable {value.partition(':')[0]}".strip(), 204)
        if found is not None:
            found.variables[variable] = value
        return Response(status_code=204)

    @app.get("/ari/asterisk/variable")
    async def get_global(variable: str) -> Response:
        found = owner(variable)
        return JSONResponse({"value": found.variables.get(variable, "") if found else ""})


def _not_found(what: str) -> Response:
    return JSONResponse({"message": f"{what} not found"}, 404)


def ari_keys(settings: Settings) -> Mapping[str, str]:
    """Take what Asterisk presents and what its ARI asks for."""
    if settings.asterisk_password is None:
        raise ConfigError("GATEWAY_ASTERISK_PASSWORD is not set: the gateway takes no call from Asterisk")
    password = settings.asterisk_ari_password
    return {
        "username": settings.asterisk_username,
        "password": settings.asterisk_password.get_secret_value(),
        "ari_username": settings.asterisk_ari_username,
        "ari_password": password.get_secret_value() if password is not None else "",
        "ari": "yes" if settings.asterisk_ari_url is not None and password is not None else "no",
    }


def new_channel(rng: random.Random) -> str:
    """Return a channel's unique id."""
    return f"17953{rng.randrange(10**5):05}.{rng.randrange(10**6)}"


CARRIER = Carrier(
    name="asterisk",
    dialect=InDialplan,
    new_id=new_channel,
    keys=ari_keys,
    settings={"asterisk_password": "pbx-secret", "asterisk_ari_password": "ari-secret"},
    rest=ari,
    rest_setting="asterisk_ari_url",
)
