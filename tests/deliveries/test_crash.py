"""A gateway that is killed in mid-call: the next process tells the business how the call ended."""

import asyncio
import os
import signal
from pathlib import Path

import httpx2
import pytest

from gateway.simulator.asgi import connect_websocket
from gateway.simulator.carrier import CallPlan, Pause, Say, Script, TwilioNetwork, Wait, tone
from gateway.simulator.model import ModelServer, Scenario, ScriptedEngine
from tests.deliveries.receiver import SECRET, Receiver, receiving
from tests.gateway_process import AGENTS, NUMBER, serving

pytestmark = pytest.mark.e2e

ACCOUNT, TOKEN, PUBLIC = "AC" + "1" * 32, "a-twilio-token", "https://gw.example.com"
TALKS = Script([Wait("agent_done"), Say(tone(440, 900)), Wait("agent_done"), Pause(60)])


def test_kill_nine_in_mid_call_leaves_an_end_that_is_told_once(tmp_path: Path) -> None:
    async def main() -> None:
        business = Receiver()
        scenario = Scenario.model_validate({"greeting": "Hello.", "turns": [{"heard": "Hi", "say": "Good morning."}]})
        async with receiving(business), ModelServer(ScriptedEngine(scenario)) as model:
            types = "[call.started, transcript.turn, call.ended]"
            agents = AGENTS + f"    events: {{url: '{business.url}', types: {types}}}\n"
            settings = {
                "GATEWAY_MODEL_URL": model.url,
                "GATEWAY_PUBLIC_URL": PUBLIC,
                "GATEWAY_WEBHOOK_SECRET": SECRET,
                "GATEWAY_WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8",
                "OPENAI_API_KEY": "sk-a-model-key",
                "TWILIO_AUTH_TOKEN": TOKEN,
            }
            async with serving(tmp_path, settings, agents) as first:
                await talk_and_kill(first.origin, first.process.pid, business)
            told = set(business.came)
            assert not any(id_.endswith("call_ended") for id_ in told)
            async with serving(tmp_path, settings, agents):
                await business.until(lambda: any(id_.endswith("call_ended") for id_ in business.came))
            (ended,) = [event["data"] for event in business.bodies.values() if event["type"] == "call.ended"]
            assert ended["reason"] == "gateway_restarted" and ended["answered_at"] is not None
            turns = [event["data"]["turn"] for event in business.bodies.values() if event["type"] == "transcript.turn"]
            by_seq = sorted(turns, key=lambda turn: int(turn["seq"]))
            assert sorted(ended["transcript"], key=lambda turn: int(turn["seq"])) == by_seq
            assert [turn["text"] for turn in by_seq][:2] == ["Hello, this is Acme.", "Hi"]
            async with serving(tmp_path, settings, agents):
                pass
            ends = [times for id_, times in business.came.items() if id_.endswith("call_ended")]
            assert ends == [1], "a third process has nothing to tell"

    asyncio.run(main())


async def talk_and_kill(origin: str, pid: int, business: Receiver) -> None:
    """Place a call and kill the gateway once two turns of it were told."""
    async with httpx2.AsyncClient(trust_env=False) as http, asyncio.TaskGroup() as group:
        network = TwilioNetwork(ACCOUNT, TOKEN, http, connect_websocket, route={PUBLIC: origin})
        plan = CallPlan(
            to=NUMBER,
            from_="+14155550101",
            voice_url=f"{PUBLIC}/twilio/voice",
            status_callback=f"{PUBLIC}/twilio/status",
            script=TALKS,
        )
        call = group.create_task(network.offer(plan).inbound(plan))
        await business.until(lambda: sum("transcript_turn" in id_ for id_ in business.came) >= 2)
        os.kill(pid, signal.SIGKILL)
        call.cancel()
