"""Somebody hangs up at any instant of a transfer: nobody is left alone on a line, and one record is written."""

import asyncio

import pytest

from gateway.simulator.carrier import CallbackFaults, Callee, Dtmf, Party, Say, Script, Wait, parties, tone
from tests.carriers.twilio.stage import HUMAN, agents, stage
from tests.clock import run

pytestmark = pytest.mark.usefixtures("no_errors_logged")

SPEECH = tone(440, 900)
SOON_S = 4.0
"""Twice the answer of a slow API; a call whose stream is closed waits for its requests 2 s."""
INSTANTS_S = [4.4 + 0.71 * step for step in range(13)]
"""From the caller's question over ringing, brief and key to the conversation."""


async def hang_up_at(mode: str, human: Callee, at_s: float, rest_s: float) -> str | None:
    script = Script([Wait("agent_done"), Say(SPEECH)], stay_s=100, hang_up_at_s=at_s)
    async with stage(agents(mode), [Party(HUMAN, human)], faults=CallbackFaults(duplicate=True)) as s:
        s.rest.answer_s = rest_s
        report = await s.call(script)
        assert report.ended_by == "caller"
        async with asyncio.timeout(SOON_S):
            for call in list(s.network.calls.values()):
                await call.finished()
            await s.gateway.registry.empty()
        await s.settled()
        assert all(call.facts.ended for call in s.network.calls.values())
        assert len(s.humans) <= 1
        return s.record.end_reason


@pytest.mark.parametrize("rest_s", [0.05, 1.3])
@pytest.mark.parametrize(
    ("mode", "human", "ends"),
    [
        ("warm", parties.presses("1", ring_s=1, talk_s=60), {"caller_hangup", "transferred"}),
        ("warm", parties.silent(), {"caller_hangup"}),
        ("blind", parties.answers(ring_s=3, talk_s=60), {"caller_hangup", "transferred"}),
    ],
    ids=["accepted", "ringing", "blind"],
)
def test_a_caller_may_hang_up_at_any_instant(mode: str, human: Callee, ends: set[str], rest_s: float) -> None:
    assert {run(hang_up_at(mode, human, at_s, rest_s)) for at_s in INSTANTS_S} == ends


async def human_hangs_up_at(at_s: float, rest_s: float) -> str | None:
    leaves = Callee(ring_s=1, script=Script([Wait("agent_done", 30, 400), Dtmf("1")], stay_s=60, hang_up_at_s=at_s))
    async with stage(agents("warm"), [Party(HUMAN, leaves)]) as s:
        s.rest.answer_s = rest_s
        report = await s.call(Script([Wait("agent_done"), Say(SPEECH)], stay_s=25))
        await s.settled()
        moved = any(verb.name == "Dial" for verb in report.verbs)
        # On our stream the caller waits until they are tired of it; in a conference nobody may be left waiting.
        assert report.ended_by != "caller" if moved else report.ended_by == "caller"
        assert moved or s.outputs == [{"transferred": False, "reason": s.states[-1]}]
        return s.record.end_reason


@pytest.mark.parametrize("rest_s", [0.05, 1.3])
def test_a_human_may_hang_up_at_any_instant(rest_s: float) -> None:
    ends = {run(human_hangs_up_at(0.2 + 0.53 * step, rest_s)) for step in range(14)}
    assert ends == {"caller_hangup", "transferred"}
