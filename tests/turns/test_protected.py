"""Words that the caller cannot interrupt are heard whole, and what the caller says into them is answered afterwards."""

from pathlib import Path

import pytest

from gateway.simulator.carrier import BargeIn, Dtmf, HangUp, LineModel, Pause, Say, Script, Surroundings, Wait
from tests.turns.calls import Desk, agent, call, clip, crossed, scenario, unravel

NOTICE = "Hello, this is Acme. This call is recorded, and you may say so if you do not want that."
GREETED = (f'greeting: "{NOTICE}"', "greeting_interruptible: false")
KINDS = {
    "plain": (),
    "reversible": ("barge_in: reversible",),
    "early": ("early_reply: {server_silence_ms: 200, confirm_ms: 500}",),
    "both": ("barge_in: reversible", "early_reply: {server_silence_ms: 200, confirm_ms: 500}"),
}
ASK = clip("order-05-af_bella")
ANSWER = "It has been sent on Monday."
DONE = Wait("agent_done", quiet_ms=2500)


def agents(kind: str) -> str:
    text = agent(*KINDS[kind])
    return text.replace("    greeting: Hello, this is Acme. How can I help?\n", "".join(f"    {x}\n" for x in GREETED))


@pytest.mark.parametrize(("kind", "after_ms"), crossed(list(KINDS), [200, 2500, 5200]))
def test_a_greeting_is_heard_whole_and_the_words_into_it_are_answered_once(
    tmp_path: Path, kind: str, after_ms: int
) -> None:
    says = scenario(turns=[{"heard": "Has order 7184 shipped yet?", "say": ANSWER}])
    script = Script([BargeIn(ASK, after_ms), DONE, HangUp()])
    called = call(tmp_path, says, script, agents=agents(kind), exact=True, line=LineModel(uplink_ms=30, downlink_ms=30))
    called.faultless()
    assert called.said == [NOTICE, ANSWER]
    unravel(called.heard, [audio for _, audio in called.answers], 0)
    assert called.report.media.clears == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_caller_who_only_listens_to_it_is_not_answered(tmp_path: Path, kind: str) -> None:
    says = scenario(turns=[{"heard": NOTICE, "say": "Nobody asked."}])
    echo = Surroundings(echo_db=-20, echo_delay_ms=120) if "reversible" in KINDS[kind] else Surroundings()
    called = call(tmp_path, says, Script([DONE, Pause(5), HangUp()]), agents=agents(kind), surroundings=echo)
    called.faultless()
    assert called.said == [NOTICE]


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_operator_says_cannot_be_interrupted_either(tmp_path: Path, kind: str) -> None:
    async def say(desk: Desk) -> None:
        await desk.at(6.5)
        await desk.done("say", text=NOTICE, interruptible=False)

    says = scenario(greeting="Hello.", turns=[{"heard": "Has order 7184 shipped yet?", "say": ANSWER}])
    script = Script([DONE, Pause(4.5), Say(ASK), DONE, HangUp()])
    called = call(tmp_path, says, script, agents=agent(*KINDS[kind]), exact=True, meanwhile=say)
    called.faultless()
    assert called.said[1:] == [NOTICE, ANSWER]
    unravel(called.heard, [audio for _, audio in called.answers], 0)


def test_a_key_does_not_interrupt_it_and_is_told_afterwards(tmp_path: Path) -> None:
    says = scenario(turns=[{"heard": "keys", "say": "You pressed five."}])
    called = call(tmp_path, says, Script([Pause(2), Dtmf("5"), DONE, HangUp()]), agents=agents("plain"), exact=True)
    called.faultless()
    assert called.said == [NOTICE, "You pressed five."]
    unravel(called.heard, [audio for _, audio in called.answers], 0)
