"""A client for tests: speaks to a session through an in-memory pipe and checks every event it receives.

Each event must validate strictly against the official SDK's union, and the deltas of every item must join to
what its `.done` events say.
"""

import asyncio
import base64
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from gateway.simulator.engine import Engine
from gateway.simulator.model import ModelOptions, ModelServer, Scenario, ScriptedEngine, SessionRecord, parse_scenario
from gateway.simulator.model.scripted import babble
from gateway.wire import PipeEnd, WireClosed, pipe

SERVER_EVENT: TypeAdapter[RealtimeServerEvent] = TypeAdapter(RealtimeServerEvent)

PCMU = {"type": "audio/pcmu"}
QUERY = {"model": "gpt-realtime-2.1"}
OPTIONS = {"epoch": 1_800_000_000}
SILENCE = b"\xff"

DELTAS = {
    "response.output_audio_transcript.done": ("response.output_audio_transcript.delta", "transcript"),
    "response.output_text.done": ("response.output_text.delta", "text"),
    "response.function_call_arguments.done": ("response.function_call_arguments.delta", "arguments"),
}

Event = dict[str, Any]


def silence(ms: int) -> bytes:
    return SILENCE * (8 * ms)


def speech(text: str = "some caller is speaking here") -> bytes:
    """About two seconds of sound that the energy detector takes for speech."""
    return babble(text)


class Client:
    """One connection. Every received event is kept in `events`."""

    def __init__(self, socket: PipeEnd) -> None:
        self.socket = socket
        self.events: list[Event] = []
        self.closed: WireClosed | None = None
        self.allow_garbage = False
        self._deltas: dict[tuple[str, str], str] = defaultdict(str)

    async def send(self, kind: str, **fields: object) -> None:
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def append(self, audio: bytes) -> None:
        await self.send("input_audio_buffer.append", audio=base64.b64encode(audio).decode())

    async def configure(self, **session: object) -> Event:
        """Update the session and return what it was updated to."""
        await self.send("session.update", session={"type": "realtime", **session})
        session_now: Event = (await self.until("session.updated"))["session"]
        return session_now

    async def telephone(self, **detection: object) -> Event:
        """Configure mu-law both ways and server VAD."""
        vad = {"type": "server_vad", **detection}
        return await self.configure(
            audio={"input": {"format": PCMU, "turn_detection": vad}, "output": {"format": PCMU}}
        )

    async def receive(self) -> Event:
        """Return the next event. Raises `WireClosed`."""
        try:
            frame = await self.socket.receive()
        except WireClosed as closed:
            self.closed = closed
            raise
        try:
            event: Event = json.loads(frame)
        except ValueError:
            assert self.allow_garbage, frame
            return await self.receive()
        SERVER_EVENT.validate_json(frame, strict=True)
        self._check_deltas(event)
        self.events.append(event)
        return event

    async def until(self, kind: str, **fields: object) -> Event:
        """Receive up to the next event of a type, with these fields, and return it."""
        async with asyncio.timeout(600):
            while True:
                event = await self.receive()
                if event["type"] == kind and all(event.get(key) == value for key, value in fields.items()):
                    return event

    async def error(self) -> Event:
        """Receive up to the next `error` and return its error object."""
        error: Event = (await self.until("error"))["error"]
        return error

    async def drain(self) -> list[Event]:
        """Receive until the socket closes and return all events."""
        try:
            while True:
                await self.receive()
        except WireClosed:
            return self.events

    async def say(self, text: str) -> None:
        """Add a written user turn and ask for a response."""
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        await self.send("conversation.item.create", item=item)
        await self.send("response.create")

    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events]

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["type"] == kind]

    def audio(self, item_id: str) -> bytes:
        """Return the audio received for an item."""
        deltas = self.of("response.output_audio.delta")
        return b"".join(base64.b64decode(event["delta"]) for event in deltas if event["item_id"] == item_id)

    def _check_deltas(self, event: Event) -> None:
        kind = event["type"]
        if kind.endswith(".delta") and "item_id" in event:
            self._deltas[kind, event["item_id"]] += event["delta"]
        if kind in DELTAS:
            delta_kind, field = DELTAS[kind]
            assert event[field] == self._deltas[delta_kind, event["item_id"]]


class Desk:
    """A server in process; `dial` and `connect` open sessions with it."""

    def __init__(self, server: ModelServer, group: asyncio.TaskGroup) -> None:
        self.server = server
        self.clients: list[Client] = []
        self._group = group

    def dial(self, query: Mapping[str, str] = QUERY, headers: Mapping[str, str] | None = None) -> Client:
        ours, theirs = pipe()
        self._group.create_task(self.server.serve_socket(theirs, query, headers or {}))
        self.clients.append(Client(ours))
        return self.clients[-1]

    async def connect(self) -> Client:
        client = self.dial()
        await client.until("session.created")
        return client

    @property
    def record(self) -> SessionRecord:
        """The latest session's record."""
        return self.server.sessions[-1]


@asynccontextmanager
async def desk(script: str | Engine = "", **options: object) -> AsyncIterator[Desk]:
    """Yield a server with a scenario or an engine; its sessions are closed at the end."""
    scenario = parse_scenario(script) if isinstance(script, str) else Scenario()
    engine: Engine = ScriptedEngine(scenario) if isinstance(script, str) else script
    settings = scenario.server.model_dump() | OPTIONS | options
    async with asyncio.TaskGroup() as group:
        opened = Desk(ModelServer(engine, ModelOptions.model_validate(settings)), group)
        try:
            yield opened
        finally:
            for client in opened.clients:
                await client.socket.close()
