"""Whole calls on the virtual clock, of an agent that tells a business of them."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from standardwebhooks import Webhook

from gateway.simulator.carrier import CallReport, Script
from gateway.simulator.model import Scenario
from gateway.store.rows import JournalEntry, StoredCall, StoredDelivery
from tests.clock import run
from tests.world import AGENTS, SECRET, Business, world

TYPES = "call.started, transcript.turn, call.ended, callback.requested, caller.opted_out, tool.unknown"
EVENTS = f"events: {{url: https://business.example.com/events, types: [{TYPES}]}}"


def agent(*lines: str) -> str:
    return AGENTS + "".join(f"    {line}\n" for line in lines)


@dataclass
class Told(Business):
    """A business that takes events, each verified."""

    events: list[dict[str, Any]] = field(default_factory=list)
    incoming: list[dict[str, Any]] = field(default_factory=list)
    answer: dict[str, Any] = field(default_factory=dict)
    """To `call.incoming`."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def app(self) -> FastAPI:
        app = super().app()

        @app.post("/events")
        async def take(request: Request) -> Response:
            body = await request.body()
            self.events.append(Webhook(SECRET).verify(body, dict(request.headers)))
            if self.events[-1]["type"] == "call.ended":
                self.ended.set()
            return Response(status_code=204)

        @app.post("/incoming")
        async def incoming(request: Request) -> Response:
            self.incoming.append(Webhook(SECRET).verify(await request.body(), dict(request.headers)))
            return Response(json.dumps(self.answer), media_type="application/json")

        return app

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the data of the events of a kind, in the order in which they came."""
        return [event["data"] for event in self.events if event["type"] == kind]


@dataclass
class Left:
    """What a call left behind."""

    report: CallReport
    record: StoredCall
    journal: Sequence[JournalEntry]
    deliveries: list[StoredDelivery]
    business: Told
    said_to_model: str
    """Everything the model was sent as text."""


def call(folder: Path, script: Script, scenario: Scenario, agents: str, business: Told | None = None) -> Left:
    """Place one call and wait until the business knows that it ended."""

    async def main() -> Left:
        told = business or Told()
        async with world(folder, scenario, agents=agents, business=told) as it, asyncio.timeout(600):
            report = await it.call(script)
            await it.settled()
            await told.ended.wait()
            texts = " ".join(it.session.texts())
            return Left(report, it.record, it.journal, list(it.store.deliveries.values()), told, texts)

    return run(main())
