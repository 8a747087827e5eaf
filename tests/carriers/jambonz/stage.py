"""The whole product with jambonz' webhooks and sockets in a test's hands."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from gateway.simulator.carriers.jambonz import ACCOUNT, CARRIER
from gateway.simulator.carriers.world import CarrierWorld, carrier_world
from gateway.simulator.model import Scenario, ScriptedEngine
from gateway.simulator.world import CALLER, NUMBER, PUBLIC
from gateway.wire import TextSocket, WireClosed
from tests.clock import run
from tests.world import AGENTS

__all__ = ["CALL", "Desk", "Socket", "basic", "on_desk"]

CALL = "e2f0a9d2-7a1c-4a6e-9f7a-6e3d0f6f3c11"
SCENARIO = Scenario.model_validate({"turns": [{"say": "You are welcome."}] * 3})
SECRET = str(CARRIER.settings["jambonz_webhook_secret"])


@dataclass
class Socket:
    """A media socket, jambonz' end."""

    socket: TextSocket
    texts: list[dict[str, Any]] = field(default_factory=list)
    audio: bytes = b""

    async def hear(self, more_bytes: int = 1) -> None:
        """Read until so much more audio has come."""
        wanted = len(self.audio) + more_bytes
        while len(self.audio) < wanted:
            frame = await self.socket.receive()
            if isinstance(frame, bytes):
                self.audio += frame
            else:
                self.texts.append(json.loads(frame))

    async def closed(self) -> int:
        """Read until the application closes."""
        while True:
            try:
                await self.socket.receive()
            except WireClosed as closed:
                return closed.code


@dataclass
class Desk:
    world: CarrierWorld

    def sign(self, body: bytes, *, skew_s: int = 0) -> dict[str, str]:
        moment = int(time.time()) + skew_s
        digest = hmac.new(SECRET.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
        return {"jambonz-signature": f"t={moment},v1={digest}"}

    async def send(self, url: str, content: bytes) -> httpx2.Response:
        full = url if url.startswith("https:") else f"{PUBLIC}/jambonz/{url}"
        return await self.world.http.post(full, content=content, headers=self.sign(content))

    async def post(self, url: str, **fields: object) -> list[dict[str, Any]]:
        """POST a webhook and return the verbs; `url` is one that a verb named, or a path under `/jambonz/`."""
        body = {"call_sid": CALL, "account_sid": ACCOUNT, "direction": "inbound", "from": CALLER, "to": NUMBER}
        answer = await self.send(url, json.dumps(body | {"call_status": "in-progress"} | fields).encode())
        assert answer.status_code in (200, 204), answer.text
        return list(answer.json()) if answer.status_code == 200 else []

    async def open(self, listen: Mapping[str, Any], **metadata: object) -> Socket:
        """Open the socket that a verb asks for, and send its metadata."""
        auth = listen["wsAuth"]
        headers = basic(auth["username"], auth["password"]) | {"sec-websocket-protocol": "audio.drachtio.org"}
        socket = await self.world.host.connect(listen["url"], headers)
        said = {"callSid": CALL, "accountSid": ACCOUNT, "sampleRate": listen["sampleRate"], "mixType": "mono"}
        await socket.send(json.dumps(said | dict(listen["metadata"]) | metadata))
        return Socket(socket)


def basic(user: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def on_desk(folder: Path, test: Callable[[Desk], Coroutine[Any, Any, None]], **settings: object) -> None:
    """Run a test on the virtual clock; the calls it leaves are hung up by the stop."""

    async def main() -> None:
        async with carrier_world(folder, AGENTS, CARRIER, ScriptedEngine(SCENARIO), settings=settings) as it:
            await test(Desk(it))

    run(main())
