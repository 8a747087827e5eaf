"""What operators do to whole calls has the effect that was asked for, and no other."""

import asyncio
from pathlib import Path

import pytest

from gateway.simulator.carrier import Dtmf, HangUp, Pause, Say, Script, Wait
from tests.turns.calls import Desk, agent, call, clip, crossed, scenario

ASK = clip("order-05-af_bella")
LONG = "This is a long answer about an order that was sent on Monday, and which nobody has seen since."
DONE = Wait("agent_done", quiet_ms=2500)
KINDS = {
    "plain": (),
    "reversible": ("barge_in: reversible",),
    "early": ("early_reply: {server_silence_ms: 300, confirm_ms: 500}",),
}


@pytest.mark.parametrize(
    ("kind", "action", "audio_factor"), crossed(list(KINDS), ["cancel_reply", "mute_agent"], [1.2, 8.0, 8.0, 1.2])
)
def test_an_answer_that_an_operator_ends_is_not_waited_for(
    tmp_path: Path, kind: str, action: str, audio_factor: float
) -> None:
    async def end(desk: Desk) -> None:
        await desk.heard(4.0)
        await desk.done(action)
        await desk.done(action, id="again")
        await asyncio.sleep(20)
        await desk.done("unmute")

    says = scenario(turns=[{"heard": "Where is it?", "say": LONG}], server={"audio_factor": audio_factor})
    script = Script([DONE, Say(ASK), Pause(40), HangUp()])
    called = call(tmp_path, says, script, agents=agent(*KINDS[kind]), exact=True, meanwhile=end)
    called.faultless()
    assert called.kinds("recover") == []
    assert len(called.session.truncations) == 1
    assert len(called.heard) < 8000 * 4.3


def test_an_empty_answer_does_not_shorten_the_time_of_the_next(tmp_path: Path) -> None:
    empty = {"heard": "Where is it?", "say": [{"text": "", "silent": True}]}
    says = scenario(turns=[empty, {"heard": "Well?", "say": LONG, "think_ms": 4000}])
    script = Script([DONE, Say(ASK), Dtmf("#"), Pause(5.5), Say(ASK), Dtmf("#"), DONE, HangUp()])
    called = call(tmp_path, says, script, agents=agent("turn_detection: manual"), exact=True)
    assert called.kinds("recover") == []
    assert called.said[-1] == LONG
