"""One call in which something goes wrong while a slot is being booked, and what it left behind."""

import asyncio
import json
import random
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import httpx2
from fastapi import FastAPI
from standardwebhooks import Webhook

from gateway.agents import load_agents
from gateway.app import create_app
from gateway.config import Settings
from gateway.simulator.carrier import CallPlan, CallReport, HangUp, Pause, Say, Script, TwilioNetwork, Wait
from gateway.simulator.carrier.script import Step
from gateway.simulator.clips import load_clips
from gateway.simulator.clock import run
from gateway.simulator.model import ModelOptions, ModelServer, SessionRecord
from gateway.simulator.tools.clerk import Clerk
from gateway.simulator.tools.life import Lives
from gateway.simulator.tools.shop import Manner, Shop
from gateway.simulator.world import ACCOUNT, CALLER, NUMBER, PUBLIC, SECRET, TOKEN, connector, world_settings
from gateway.store.memory import MemoryStore
from gateway.store.rows import StoredInvocation
from gateway.tools.ledger import is_repetition
from gateway.tools.netguard import NetGuard
from gateway.tools.webhook import WebhookInvoker
from gateway.wire import PipeEnd, TextSocket

__all__ = ["Booking", "Left", "Trouble", "book"]

TIMEOUT_S = 4.0
PENDING_S = 20.0
AFTER_S = 15.0
"""After the call: for what goes on without it, and late results."""
AGENTS = """
agents:
  desk:
    numbers: ["{number}"]
    instructions: You book slots.
    greeting: Hello, this is Acme.
    tools:
      - name: book
        description: Book a slot.
        parameters: {{type: object, properties: {{slot: {{type: string}}}}, required: [slot]}}
        url: https://shop.example.com/book
        effect: write
        idempotent: {idempotent}
        timeout_s: {timeout_s}
        pending_s: {pending_s}
    limits: {{max_cost_usd: null}}
"""


class Trouble(StrEnum):
    """What goes wrong, at a random instant between the caller's wish and the answer."""

    NONE = "nothing"
    BARGE_IN = "barge-in"
    HANG_UP = "hang-up"
    MODEL_LOSS = "model socket lost"
    KILL = "process killed"


@dataclass(slots=True, frozen=True)
class Booking:
    """One call, wholly decided by these values."""

    number: int
    trouble: Trouble
    manner: Manner
    idempotent: bool
    stubborn: bool
    seed: int


@dataclass(slots=True, frozen=True)
class Left:
    """What the call left behind."""

    booking: Booking
    bookings: int
    """Side effects in the business's own log."""
    requests: int
    rows: tuple[StoredInvocation, ...]
    """The ledger's writes, without those that only repeat another."""
    outputs: Counter[str]
    """Function outputs by model session and function call."""
    known: tuple[str, ...]
    """Every text that reached the newest session."""
    told: int
    """How often the newest session was told of a promised result."""
    lived: bool
    """Whether the call went on until the caller had nothing more to say."""
    asked: bool
    """Whether a session called the function in a response that was completed."""
    delivered: tuple[int, ...]
    """How the gateway answered late results."""
    end: str


def book(booking: Booking) -> Left:
    """Run one call, without real time. Equal bookings give equal calls."""
    return run(_book(booking))


async def _book(booking: Booking) -> Left:
    rng = random.Random(f"{booking.seed} {booking.number} {booking.trouble}")
    arguments = json.dumps({"slot": f"slot-{booking.number}"})
    clerk = Clerk(arguments, booking.stubborn, rng.random() < 0.4, rng.uniform(0.1, 0.8))
    with tempfile.TemporaryDirectory() as folder:
        stage = _Stage(booking, clerk, rng, Path(folder))
        return await stage.run()


class _Stage:
    def __init__(self, booking: Booking, clerk: Clerk, rng: random.Random, folder: Path) -> None:
        self._booking = booking
        self._clerk = clerk
        self._rng = rng
        self._folder = folder
        self._model = ModelServer(clerk, ModelOptions(seed=rng.getrandbits(32), epoch=0))
        self._sockets: list[PipeEnd] = []

    async def run(self) -> Left:
        rng, booking = self._rng, self._booking
        async with asyncio.TaskGroup() as group:
            shop = Shop(
                SECRET,
                booking.manner,
                booking.idempotent,
                before_s=rng.uniform(0.02, 1.5),
                after_s=rng.uniform(0.0, 1.5),
                spawn=group.create_task,
                deliver=self._deliver,
            )
            dial = connector(self._model, group, None, rng)

            async def open_socket(url: str, headers: Mapping[str, str]) -> TextSocket:
                socket = await dial(url, headers)
                if isinstance(socket, PipeEnd):
                    self._sockets.append(socket)
                return socket

            def make(store: MemoryStore) -> FastAPI:
                settings = _settings(self._folder, booking)
                invoker = WebhookInvoker(NetGuard(), default_secret=settings.webhook_secret, transport=shop.transport())
                agents = load_agents(settings.agents_file)
                return create_app(settings, agents, store=store, invoker=invoker, open_socket=open_socket)

            async with Lives(make) as self._lives, self._lives.http() as self._http:
                network = TwilioNetwork(ACCOUNT, TOKEN, self._http, self._lives.connect, seed=rng.getrandbits(32))
                ended_by = await self._call(network, group)
                await asyncio.sleep(AFTER_S)
                return self._left(shop, ended_by)

    async def _call(self, network: TwilioNetwork, group: asyncio.TaskGroup) -> str:
        rng, trouble = self._rng, self._booking.trouble
        delay_s = rng.uniform(0.0, 5.0)
        clips = load_clips()
        wish, hello = clips["appt-01-am_michael"].audio, clips["barge-02-am_michael"].audio
        steps: list[Step] = [Wait("agent_done"), Say(wish)]
        if trouble is Trouble.BARGE_IN:
            steps += [Pause(delay_s), Say(hello)]
        if trouble is Trouble.HANG_UP:
            steps += [Pause(delay_s), HangUp()]
        # Long enough for what a restart, a promise and a new session take.
        steps += [Wait("agent_done", within_s=30.0, quiet_ms=7000), HangUp()]
        plan = CallPlan(
            to=NUMBER,
            from_=CALLER,
            voice_url=f"{PUBLIC}/twilio/voice",
            status_callback=f"{PUBLIC}/twilio/status",
            script=Script(steps),
        )
        live = network.offer(plan)
        if trouble in (Trouble.MODEL_LOSS, Trouble.KILL):
            group.create_task(self._strike(live.report, len(wish) / 8000 + delay_s))
        report = await live.inbound(plan)
        return "script" if report.ended_by == "caller" and trouble is not Trouble.HANG_UP else report.ended_by

    async def _strike(self, report: CallReport, after_s: float) -> None:
        """Do the harm, so long after the caller has begun to say what they want."""
        while not report.deeds:  # noqa: ASYNC110 - the network tells nobody, and the clock is a virtual one
            await asyncio.sleep(0.02)
        await asyncio.sleep(after_s)
        if self._booking.trouble is Trouble.KILL:
            await self._lives.kill()
        elif self._sockets:
            await self._sockets[-1].close(1006)

    async def _deliver(self, result_id: str, body: str) -> int:
        """Post a late result, signed, as the business does."""
        now = datetime.now(UTC)
        headers = {
            "webhook-id": result_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(SECRET).sign(result_id, now, body),
            "content-type": "application/json",
        }
        try:
            answer = await self._http.post(f"{PUBLIC}/v1/tool-results/{result_id}", content=body, headers=headers)
        except httpx2.HTTPError:
            return 503
        return answer.status_code

    def _left(self, shop: Shop, ended_by: str) -> Left:
        store = self._lives.store
        newest = self._model.sessions[-1]
        told = [text for text in newest.texts() if text.startswith("The result of book")]
        return Left(
            booking=self._booking,
            bookings=shop.bookings.total(),
            requests=len(shop.asked),
            rows=tuple(row for row in store.invocations.values() if not is_repetition(row)),
            outputs=Counter(f"{it.id} {one.call_id}" for it in self._model.sessions for one in it.outputs),
            known=tuple(newest.texts()),
            told=len(told),
            lived=ended_by == "script",
            asked=any(_called(session) for session in self._model.sessions),
            delivered=tuple(shop.delivered),
            end=ended_by,
        )


def _called(session: SessionRecord) -> bool:
    return any(
        call.completed for reply in session.replies.values() if reply.status == "completed" for call in reply.calls
    )


def _settings(folder: Path, booking: Booking) -> Settings:
    agents = folder / "agents.yaml"
    agents.write_text(
        AGENTS.format(
            number=NUMBER, idempotent=str(booking.idempotent).lower(), timeout_s=TIMEOUT_S, pending_s=PENDING_S
        ),
        encoding="utf-8",
    )
    return Settings.alone(world_settings(folder, agents))
