"""The whole product with Vonage's webhooks and sockets in a test's hands."""

import hashlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import jwt

from gateway.simulator.carriers.vonage import CARRIER
from gateway.simulator.carriers.world import CarrierWorld, carrier_world
from gateway.simulator.model import Scenario, ScriptedEngine
from gateway.simulator.world import CALLER, NUMBER, PUBLIC
from gateway.wire import TextSocket, WireClosed
from tests.clock import run
from tests.world import AGENTS

__all__ = ["CALL", "Desk", "Socket", "desk", "on_desk"]

CALL = "63f61863-4a51-4f6b-86e1-46edebcf9356"
LEG = "11111111-4a51-4f6b-86e1-46edebcf9356"
SCENARIO = Scenario.model_validate({"turns": [{"say": "You are welcome."}] * 3})
SECRET = str(CARRIER.settings["vonage_signature_secret"])


@dataclass
class Socket:
    """A media socket, Vonage's end."""

    socket: TextSocket
    texts: list[dict[str, Any]] = field(default_factory=list)
    audio: list[bytes] = field(default_factory=list)

    async def hear(self, frames: int) -> None:
        """Read until so many frames of audio have come."""
        while len(self.audio) < frames:
            frame = await self.socket.receive()
            if isinstance(frame, bytes):
                self.audio.append(frame)
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
    numbers: Any = field(default_factory=itertools.count)

    def sign(self, payload: bytes, **claims: Any) -> dict[str, str]:
        said = {
            "iat": int(time.time()),
            "jti": f"id{next(self.numbers)}",
            "application_id": CARRIER.settings["vonage_application_id"],
            "payload_hash": hashlib.sha256(payload).hexdigest(),
        }
        return {"authorization": "Bearer " + jwt.encode(said | claims, SECRET, algorithm="HS256")}

    async def get(self, path: str, query: Mapping[str, str]) -> httpx2.Response:
        payload = json.dumps(query, separators=(",", ":")).encode()
        url = f"{PUBLIC}/vonage/{path}?{urlencode(query)}"
        return await self.world.http.get(url, headers=self.sign(payload))

    async def post(self, url: str, body: Mapping[str, object], **claims: Any) -> httpx2.Response:
        """`url` is one that an NCCO named, or a path under `/vonage/`."""
        content = json.dumps(body).encode()
        full = url if url.startswith("https:") else f"{PUBLIC}/vonage/{url}"
        return await self.world.http.post(full, content=content, headers=self.sign(content, **claims))

    async def offer(self, **fields: str) -> list[dict[str, Any]]:
        """POST the answer webhook, and return the NCCO."""
        body = {"from": CALLER[1:], "to": NUMBER[1:], "uuid": CALL, "conversation_uuid": f"CON-{CALL}"} | fields
        answer = await self.post("answer", body)
        assert answer.status_code == 200, answer.text
        ncco: list[dict[str, Any]] = answer.json()
        return ncco

    async def event(self, url: str, status: str, leg: str = LEG) -> list[dict[str, Any]] | None:
        """POST an event; return the NCCO that answers, None for none."""
        answer = await self.post(url, {"uuid": leg, "status": status, "from": CALLER[1:], "to": "wss://gw"})
        assert answer.status_code in (200, 204), answer.text
        return answer.json() if answer.status_code == 200 else None

    async def open(self, connect: Mapping[str, Any]) -> Socket:
        """Open the socket that an NCCO asks for, and say hello."""
        (endpoint,) = connect["endpoint"]
        headers = {"authorization": endpoint["authorization"]["value"]}
        socket = await self.world.host.connect(endpoint["uri"], headers)
        hello = {"event": "websocket:connected", "content-type": endpoint["content-type"], **endpoint["headers"]}
        await socket.send(json.dumps(hello))
        return Socket(socket)


@asynccontextmanager
async def desk(folder: Path, agents: str = AGENTS, **settings: object) -> AsyncIterator[Desk]:
    async with carrier_world(folder, agents, CARRIER, ScriptedEngine(SCENARIO), settings=settings) as it:
        yield Desk(it)


def on_desk(folder: Path, test: Callable[[Desk], Coroutine[Any, Any, None]], **settings: object) -> None:
    """Run a test on the virtual clock; the calls it leaves are hung up by the stop."""

    async def main() -> None:
        async with desk(folder, **settings) as it:  # type: ignore[arg-type]
            await test(it)

    run(main())
