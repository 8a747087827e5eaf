"""Whole calls, on the virtual clock."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from standardwebhooks import Webhook

from gateway.core.events import LegEnd, LegEnded
from gateway.simulator import world as simulated
from gateway.simulator.carrier import BargeIn, HangUp, LineModel, Pause, Say, Script, Wait, heard_prefix_ms, tone
from gateway.simulator.model import ModelOptions, Scenario, ScriptedEngine
from tests.clock import run
from tests.world import AGENTS, CALLER, NUMBER, SECRET, world

ORDER = Scenario.model_validate(
    {
        "turns": [
            {
                "heard": "what is the status of order 427",
                "match": r"order (\d+)",
                "say": "Let me look that up.",
                "calls": [{"name": "lookup_order", "arguments": {"order_id": "{1}"}}],
                "result": "Order {order_id} has {status}. It left our warehouse this morning and will be there soon.",
            },
            {"heard": "wait, when exactly", "say": "On Tuesday."},
            {"heard": "thank you, goodbye", "say": "Goodbye.", "calls": [{"name": "hang_up"}]},
        ]
    }
)
SPEECH = tone(440, 900)
ASK_AND_BARGE = Script(
    [
        Wait("agent_done"),
        Say(SPEECH),
        Wait("agent_speaking"),
        BargeIn(SPEECH, after_ms=2500),
        Wait("agent_done"),
        Say(SPEECH),
    ]
)


def test_a_caller_asks_is_answered_interrupts_and_says_goodbye(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path, ORDER) as w:
            report = await w.call(ASK_AND_BARGE)
            await w.settled()
            assert report.script_error is None
            assert report.warnings == []
            assert report.ended_by == "twiml"
            assert w.record.end_reason == "agent_hangup"
            assert [call["data"]["arguments"] for call in w.business.calls] == [{"order_id": "427"}]  # type: ignore[index]
            for cut in w.session.truncations:
                heard = heard_prefix_ms(bytes(w.session.spoken[cut.item_id].audio), report.media.played_bytes())
                assert heard is not None and abs(heard - cut.audio_end_ms) <= 40
            assert len(w.session.truncations) == 1
            assert not w.session.open
            assert w.session.errors == type(w.session.errors)([], maxlen=w.session.errors.maxlen)

    run(main())


def test_a_caller_who_hangs_up_ends_the_call_and_the_session(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as w:
            await w.call(Script([Wait("agent_speaking"), Pause(0.5), HangUp()]))
            await w.settled()
            assert w.record.end_reason == "caller_hangup"
            assert not w.session.open

    run(main())


def journal_of_a_call(folder: Path, seed: int) -> list[tuple[object, ...]]:
    async def main() -> list[tuple[object, ...]]:
        scenario = ORDER.model_copy(update={"server": ModelOptions(seed=seed, epoch=1_800_000_000)})
        async with world(folder, scenario, line=LineModel(uplink_ms=40, downlink_ms=40, jitter_ms=15)) as w:
            await w.call(ASK_AND_BARGE)
            await w.settled()
            return [(entry.at_s, entry.direction, entry.kind, entry.data) for entry in w.journal]

    folder.mkdir()
    return run(main())


def test_the_same_seed_gives_the_same_journal_and_another_seed_another(tmp_path: Path) -> None:
    first = journal_of_a_call(tmp_path / "a", seed=1)
    assert len(first) > 50
    assert first == journal_of_a_call(tmp_path / "b", seed=1)
    assert first != journal_of_a_call(tmp_path / "c", seed=2)


@pytest.mark.e2e
def test_a_call_outlives_the_hour_of_a_session(tmp_path: Path) -> None:
    turn = {"heard": "tell me more", "say": "This is an answer that goes on for some time, so that one hears it."}
    scenario = Scenario.model_validate({"turns": [turn], "repeat": True})
    asks = [step for _ in range(129) for step in (Say(SPEECH), Wait("agent_done"), Pause(22))]
    agents = AGENTS.replace("    fallback:", "    limits: {max_duration_s: 7200, max_cost_usd: null}\n    fallback:")

    async def main() -> None:
        async with world(tmp_path, scenario, agents=agents) as w:
            report = await w.call(Script([Wait("agent_done"), *asks, HangUp()]))
            await w.settled()
            assert report.script_error is None
            assert report.duration_s > 3600
            assert w.record.end_reason == "caller_hangup"
            # The model's session ends after an hour: a new one took over and the caller was answered all the same.
            assert len(w.model.sessions) == 2
            assert len(w.kinds("turn_latency")) >= 128
            assert report.media.underruns == 0

    run(main())


@pytest.mark.parametrize(
    ("to", "max_calls", "drains", "reason"),
    [
        ("+14155550177", 10, False, "refused_no_agent"),
        (NUMBER, 0, False, "refused_full"),
        (NUMBER, 10, True, "refused_draining"),
    ],
)
def test_a_call_that_is_turned_away_leaves_a_record_too(
    tmp_path: Path, to: str, max_calls: int, drains: bool, reason: str
) -> None:
    async def main() -> None:
        async with world(tmp_path) as w:
            w.gateway.registry.max_calls = max_calls
            if drains:
                w.gateway.registry.drain()
            await w.call(Script(), to=to)
            assert w.record.end_reason == reason
            assert not w.model.sessions

    run(main())


class Clerk:
    """A business that says when it is asked, and answers slowly or promises an answer."""

    def __init__(self, delay_s: float = 0.0, *, promises: bool = False) -> None:
        self.delay_s, self.promises = delay_s, promises
        self.asked = asyncio.Event()
        self.calls: list[dict[str, Any]] = []

    def app(self) -> FastAPI:
        app = FastAPI(openapi_url=None)

        @app.post("/lookup")
        async def lookup(request: Request) -> Response:
            self.calls.append(await request.json())
            self.asked.set()
            await asyncio.sleep(self.delay_s)
            if self.promises:
                return JSONResponse({"status": "pending"}, 202)
            return JSONResponse({"result": {"order_id": "427", "status": "shipped"}})

        return app


async def deliver(http: httpx2.AsyncClient, message_id: str, result: object) -> int:
    """Send a promised result to the gateway."""
    body, at = json.dumps({"result": result}), datetime.now(UTC)
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(SECRET).sign(message_id, at, body),
    }
    return (await http.post(f"/v1/tool-results/{message_id}", content=body, headers=headers)).status_code


def test_a_promised_result_is_told_to_the_model_once_when_it_comes(tmp_path: Path) -> None:
    async def main() -> None:
        clerk = Clerk(promises=True)
        async with simulated.world(tmp_path, AGENTS, ScriptedEngine(ORDER), ORDER.server, business=clerk.app()) as w:

            async def later() -> int:
                await clerk.asked.wait()
                await asyncio.sleep(10)
                return await deliver(w.http, clerk.calls[0]["id"], {"order_id": "427", "status": "shipped"})

            script = Script([Wait("agent_done"), Say(SPEECH), Wait("agent_done"), Pause(30), HangUp()])
            _, status = await asyncio.gather(w.call(script), later())
            await w.settled()
            assert status == 200
            told = [item for item in w.kinds("CreateItem") if "shipped" in json.dumps(item["item"])]
            assert len(told) == 1
            row = await w.store.invocation_by_message(clerk.calls[0]["id"])
            assert row is not None and (row.state, row.tool) == ("done", "lookup_order")
            assert await deliver(w.http, clerk.calls[0]["id"], {}) == 409

    run(main())


def test_a_write_under_way_when_the_caller_hangs_up_is_finished_and_kept(tmp_path: Path) -> None:
    async def main() -> None:
        clerk = Clerk(delay_s=3)
        async with simulated.world(tmp_path, AGENTS, ScriptedEngine(ORDER), ORDER.server, business=clerk.app()) as w:
            calling = asyncio.create_task(w.call(Script([Wait("agent_done"), Say(SPEECH), Pause(60)])))
            await clerk.asked.wait()
            for session in w.gateway.registry.sessions():
                session.feed(LegEnded(LegEnd.CALLER_HANGUP))
            await w.settled()
            (row,) = w.store.invocations.values()
            assert row.state == "intended" and w.record.end_reason == "caller_hangup"
            await asyncio.sleep(4)
            (row,) = w.store.invocations.values()
            assert (row.state, row.output) == ("done", '{"order_id":"427","status":"shipped"}')
            assert len(clerk.calls) == 1
            calling.cancel()

    run(main())


def test_a_gateway_that_stops_lets_its_writes_finish(tmp_path: Path) -> None:
    async def main() -> None:
        clerk = Clerk(delay_s=3)
        async with simulated.world(tmp_path, AGENTS, ScriptedEngine(ORDER), ORDER.server, business=clerk.app()) as w:
            calling = asyncio.create_task(w.call(Script([Wait("agent_done"), Say(SPEECH), Pause(60)])))
            await clerk.asked.wait()
        calling.cancel()
        (row,) = w.store.invocations.values()
        assert row.state == "done" and len(clerk.calls) == 1

    run(main())


def test_what_the_file_fixes_goes_to_the_business_whatever_the_model_says(tmp_path: Path) -> None:
    fixed = AGENTS.replace("timeout_s: 5", "bounds: {phone: {fixed: '{{caller}}'}}")
    fixed = fixed.replace("{order_id: {type: string}}", "{order_id: {type: string}, phone: {type: string}}")

    async def main() -> None:
        clerk = Clerk()
        async with simulated.world(tmp_path, fixed, ScriptedEngine(ORDER), ORDER.server, business=clerk.app()) as w:
            await w.call(Script([Wait("agent_done"), Say(SPEECH), Wait("agent_done"), HangUp()]))
            await w.settled()
            (call,) = clerk.calls
            assert call["data"]["arguments"] == {"order_id": "427", "phone": CALLER}

    run(main())
