"""A model whose frames can be changed on the wire, and a carrier socket that keeps to no rule."""

import asyncio
import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from gateway.simulator.carrier.twiml import Connect, parse_twiml
from gateway.simulator.model import ModelServer, Scenario, ScriptedEngine
from gateway.wire import TextSocket, WireClosed
from tests.world import ACCOUNT, CALLER, NUMBER, PUBLIC, World

__all__ = [
    "MEDIA_URL",
    "SILENCE",
    "Frame",
    "Rewrite",
    "RiggedModel",
    "Stream",
    "Wire",
    "open_media",
    "voice_token",
    "webhook",
]

Frame: TypeAlias = str | bytes | Mapping[str, Any]
Rewrite: TypeAlias = Callable[["Wire", dict[str, Any]], Sequence[Frame]]
SILENCE = base64.b64encode(b"\xff" * 160).decode()
MEDIA_URL = PUBLIC.replace("https", "wss") + "/twilio/media"


class Wire:
    """The server's end of one model socket; `number` counts the sockets of the server from 0."""

    def __init__(self, socket: TextSocket, number: int, rewrite: Rewrite) -> None:
        self.number = number
        self.sent: list[dict[str, Any]] = []
        """Client events, as they came."""
        self.reading = asyncio.Event()
        """Cleared, the server reads nothing more."""
        self.reading.set()
        self._socket = socket
        self._rewrite = rewrite

    async def receive(self) -> str | bytes:
        await self.reading.wait()
        frame = await self._socket.receive()
        if '"input_audio_buffer.append"' not in str(frame):
            self.sent.append(json.loads(frame))
        return frame

    async def send(self, frame: str | bytes) -> None:
        for changed in self._rewrite(self, json.loads(frame)):
            await self.put(changed)

    async def put(self, frame: Frame) -> None:
        """Send what the server did not."""
        raw = frame if isinstance(frame, str | bytes) else json.dumps(frame)
        await self._socket.send(raw)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._socket.close(code, reason)

    def types(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.sent if event["type"] == kind]


class RiggedModel(ModelServer):
    """A scripted server. `rewrite(wire, event)` returns the frames that go out in place of a server event."""

    def __init__(self, scenario: Scenario, rewrite: Rewrite | None = None) -> None:
        super().__init__(ScriptedEngine(scenario), scenario.server)
        self.wires: list[Wire] = []
        self._rewrite = rewrite or (lambda wire, event: [event])

    async def serve_socket(
        self, socket: TextSocket, query: Mapping[str, str], headers: Mapping[str, str], path: str = "/v1/realtime"
    ) -> None:
        wire = Wire(socket, len(self.wires), self._rewrite)
        self.wires.append(wire)
        await super().serve_socket(wire, query, headers, path)


async def webhook(
    w: World,
    path: str,
    form: Mapping[str, str] | None = None,
    *,
    signed_for: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Any:
    """POST a form as Twilio does; the signature is made for `signed_for`, by default for the address itself."""
    fields = {"CallSid": "CA" + "7" * 32, "AccountSid": ACCOUNT, "From": CALLER, "To": NUMBER, "Direction": "inbound"}
    fields |= {"CallStatus": "ringing", **(form or {})}
    signature = w.network.sign(signed_for or PUBLIC + path, fields)
    return await w.http.post(PUBLIC + path, data=fields, headers={"x-twilio-signature": signature, **(headers or {})})


async def voice_token(w: World, form: Mapping[str, str] | None = None) -> str:
    """Offer a call and return the stream token of the TwiML that answers."""
    reply = await webhook(w, "/twilio/voice", form)
    (connect, *_) = parse_twiml(reply.content).verbs
    assert isinstance(connect, Connect)
    return connect.stream.parameters["token"]


async def open_media(w: World) -> "Stream":
    """Open a signed media socket and say nothing."""
    headers = {"x-twilio-signature": w.network.sign(MEDIA_URL, {})}
    return Stream(await w.host.connect(MEDIA_URL, headers))


class Stream:
    """A media socket in the hands of a test."""

    def __init__(self, socket: TextSocket) -> None:
        self.socket = socket

    async def send(self, frame: Frame) -> None:
        raw = frame if isinstance(frame, str | bytes) else json.dumps(frame)
        await self.socket.send(raw)

    async def start(self, token: str, call_sid: str = "CA" + "7" * 32, account: str = ACCOUNT, **body: object) -> None:
        form = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
        ids = {"accountSid": account, "callSid": call_sid, "streamSid": "MZ" + "7" * 32, "tracks": ["inbound"]}
        start = {**ids, "mediaFormat": form, "customParameters": {"token": token}, **body}
        await self.send({"event": "start", "sequenceNumber": "1", "streamSid": "MZ" + "7" * 32, "start": start})

    async def audio(self, frames: int, payload: str = SILENCE) -> None:
        """Send audio in real time."""
        for _ in range(frames):
            await self.send({"event": "media", "media": {"track": "inbound", "payload": payload}})
            await asyncio.sleep(0.02)

    async def closed(self, within_s: float = 30.0) -> WireClosed:
        """Read until the other side closes."""
        async with asyncio.timeout(within_s):
            while True:
                try:
                    await self.socket.receive()
                except WireClosed as closed:
                    return closed
