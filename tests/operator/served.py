"""A gateway process, a carrier, a model and an operator, all on real sockets; and how soon commands take effect.

python -m tests.operator.served 50        # figures of 50 commands of each kind, as JSON
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from gateway.apikeys import named_hash
from gateway.records.latency import percentile
from gateway.simulator.asgi import connect_websocket
from gateway.simulator.carrier import CallPlan, CallReport, Pause, Say, Script, TwilioNetwork, tone
from gateway.simulator.model import ModelServer, Scenario, ScriptedEngine, SessionRecord
from tests.gateway_process import NUMBER, Served, serving

__all__ = ["KEY", "LiveShift", "clear_ms", "listening", "mute_ms", "shift", "talking"]

ACCOUNT, TOKEN = "AC" + "1" * 32, "a-twilio-token"
PUBLIC, CALLER = "https://gw.example.com", "+14155550101"
KEY = "a-key-of-the-night-shift"
LONG = "This is a long story about an order that was sent on Monday and came on Friday. " * 3
STEP_S = 0.001
WITHIN_S = 20.0
HUM_MS = 600_000
"""One sound without an end: the caller's turn is never over, so nothing is answered."""


@dataclass(slots=True)
class LiveShift:
    """An operator in front of one live call of a gateway process."""

    served: Served
    http: httpx2.AsyncClient
    report: CallReport
    session: SessionRecord
    call_id: str
    hang_up: Callable[[], None]
    """The caller does."""

    async def ask(self, command_id: str, action: str, **fields: object) -> str:
        """Return the outcome."""
        body = {"id": command_id, "action": action, **fields}
        answer = await self.http.post(f"/v1/calls/{self.call_id}/commands", json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["outcome"])

    async def until(self, condition: Callable[[], bool]) -> float:
        """Return the loop's time at which it held, late by a millisecond at most."""
        async with asyncio.timeout(WITHIN_S):
            while not condition():  # noqa: ASYNC110 - the reports have no events
                await asyncio.sleep(STEP_S)
        return asyncio.get_running_loop().time()


@asynccontextmanager
async def shift(folder: Path, script: Script) -> AsyncIterator[LiveShift]:
    """Start everything and take one call; on the way out the caller hangs up. The gateway still runs then."""
    scenario = Scenario.model_validate({"greeting": "Hello."})
    async with ModelServer(ScriptedEngine(scenario)) as model:
        settings = {
            "GATEWAY_MODEL_URL": model.url,
            "GATEWAY_PUBLIC_URL": PUBLIC,
            "GATEWAY_API_KEYS": named_hash("night-shift", KEY),
            "OPENAI_API_KEY": "sk-a-model-key",
            "TWILIO_AUTH_TOKEN": TOKEN,
        }
        headers = {"authorization": f"Bearer {KEY}"}
        async with (
            serving(folder, settings) as served,
            httpx2.AsyncClient(trust_env=False) as webhooks,
            httpx2.AsyncClient(base_url=served.origin, headers=headers, trust_env=False) as http,
            asyncio.TaskGroup() as group,
        ):
            network = TwilioNetwork(ACCOUNT, TOKEN, webhooks, connect_websocket, route={PUBLIC: served.origin})
            plan = CallPlan(
                to=NUMBER,
                from_=CALLER,
                voice_url=f"{PUBLIC}/twilio/voice",
                status_callback=f"{PUBLIC}/twilio/status",
                script=script,
            )
            call = network.offer(plan)
            group.create_task(call.inbound(plan))
            async with asyncio.timeout(WITHIN_S):
                while not call.report.media.heard:  # noqa: ASYNC110 - the greeting comes from another process
                    await asyncio.sleep(STEP_S)
            (view,) = (await http.get("/v1/calls/live")).json()["calls"]
            try:
                yield LiveShift(served, http, call.report, model.sessions[-1], view["call_id"], call.hang_up)
            finally:
                call.hang_up()


def listening() -> Script:
    """A caller who only listens."""
    return Script([Pause(HUM_MS / 1000)])


def talking() -> Script:
    """A caller who never stops humming."""
    return Script([Say(tone(440, HUM_MS))])


async def clear_ms(shift: LiveShift, number: int) -> float:
    """Have a long sentence said, cancel it, and return how long its audio took to be cleared at the carrier."""
    media = shift.report.media
    heard = sum(len(piece.audio) for piece in media.heard)
    await shift.ask(f"say-{number}", "say", text=LONG)
    await shift.until(lambda: sum(len(piece.audio) for piece in media.heard) > heard + 4000)
    clears = len(media.clears)
    asked_s = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as group:
        group.create_task(shift.ask(f"cancel-{number}", "cancel_reply"))
        cleared_s = await shift.until(lambda: len(media.clears) > clears)
    return (cleared_s - asked_s) * 1000


async def mute_ms(shift: LiveShift, number: int) -> float:
    """Mute the sounding caller and return when the model had the first silent frame, from the request on."""
    sound = shift.session.received.sound
    start = sound.sounding_ms
    await shift.ask(f"unmute-{number}", "unmute")
    await shift.until(lambda: sound.sounding_ms > start + 100)
    had = [sound.ms, sound.sounding_ms]

    def silent() -> bool:
        before, had[:] = tuple(had), [sound.ms, sound.sounding_ms]
        return had[0] > before[0] and had[1] == before[1]

    asked_s = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as group:
        group.create_task(shift.ask(f"mute-{number}", "mute_caller"))
        silent_s = await shift.until(silent)
    return (silent_s - asked_s) * 1000


async def figures(folder: Path, count: int) -> dict[str, dict[str, float | int | None]]:
    measured: dict[str, list[float]] = {
        "cancel_reply to clear at the carrier, ms": [],
        "mute_caller to silence at the model, ms": [],
    }
    clears, mutes = measured.values()
    async with shift(folder, listening()) as calm:
        for number in range(count):
            clears.append(await clear_ms(calm, number))
    async with shift(folder, talking()) as loud:
        for number in range(count):
            mutes.append(await mute_ms(loud, number))
    return {
        name: {"commands": len(times)} | {f"p{p}": percentile([round(ms) for ms in times], p) for p in (50, 95, 100)}
        for name, times in measured.items()
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        result = asyncio.run(figures(Path(place), int(sys.argv[1])))
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
