"""Who ends a turn in whole calls: the server, a key, our own ear, an operator; and changes of it in mid-call."""

import asyncio
from pathlib import Path

import pytest

from gateway.simulator.carrier import BargeIn, Dtmf, HangUp, Pause, Say, Script, Wait
from tests.turns.calls import Called, Desk, agent, call, clip, crossed, scenario, unravel

ASK = clip("order-05-af_bella")
SPELLED = clip("order-04-am_michael")
"""Pauses for 800 ms."""
FIRST, SECOND, THIRD = "That is the first answer.", "And that is the second one.", "And this is the third."
LONG = "This is a long answer about an order that was sent on Monday, and which nobody has seen since."
DONE = Wait("agent_done", quiet_ms=2500)
BY_KEY = agent("turn_detection: manual")
BY_EAR = agent("turn_detection: {type: manual, key: null, own_ear: true, silence_duration_ms: 700}")
REVERSIBLE = "barge_in: reversible"
TURNS = scenario(
    turns=[{"heard": "one", "say": FIRST}, {"heard": "two", "say": SECOND}, {"heard": "three", "say": THIRD}]
)


def heard_whole(called: Called) -> None:
    called.faultless()
    unravel(called.heard, [audio for _, audio in called.answers], 0)


# --- manual ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [(), (REVERSIBLE,)], ids=["plain", "reversible"])
def test_a_key_ends_the_turn_however_long_the_caller_thinks(tmp_path: Path, more: tuple[str, ...]) -> None:
    script = Script([DONE, Say(ASK), Pause(6), Say(SPELLED), Dtmf("#"), DONE, Say(ASK), Dtmf("#"), DONE, HangUp()])
    called = call(tmp_path, TURNS, script, agents=agent("turn_detection: manual", *more), exact=True)
    heard_whole(called)
    assert called.said[1:] == [FIRST, SECOND]
    assert len(called.kinds("CommitInput")) == 2
    assert len(called.kinds("turn_latency")) == 2


@pytest.mark.parametrize("more", [(), (REVERSIBLE,)], ids=["plain", "reversible"])
def test_our_own_ear_ends_the_turn_after_its_silence(tmp_path: Path, more: tuple[str, ...]) -> None:
    text = "turn_detection: {type: manual, key: null, own_ear: true, silence_duration_ms: 1000}"
    script = Script([DONE, Say(SPELLED), DONE, Say(ASK), DONE, HangUp()])
    called = call(tmp_path, TURNS, script, agents=agent(text, *more), exact=True)
    heard_whole(called)
    assert called.said[1:] == [FIRST, SECOND]


@pytest.mark.parametrize("agents", [BY_KEY, BY_EAR, agent("turn_detection: manual", REVERSIBLE)])
def test_an_interruption_is_cut_and_answered_in_manual_turns_too(tmp_path: Path, agents: str) -> None:
    says = scenario(turns=[{"heard": "one", "say": LONG}, {"heard": "two", "say": SECOND}])
    key = [] if agents is BY_EAR else [Dtmf("#")]
    script = Script([DONE, Say(ASK), *key, BargeIn(ASK, 2000), *key, DONE, HangUp()])
    called = call(tmp_path, says, script, agents=agents, exact=True)
    called.faultless()
    (cut,) = called.session.truncations
    assert called.said[1:] == [LONG, SECOND]
    greeting, long, second = (audio for _, audio in called.answers)
    heard = called.heard[len(greeting) : -len(second)]
    assert called.heard == greeting + long[: len(heard)] + second
    assert abs(len(heard) // 8 - cut.audio_end_ms) <= 20


@pytest.mark.parametrize("agents", [BY_KEY, BY_EAR], ids=["by key", "by ear"])
def test_a_turn_that_ends_in_words_that_cannot_be_interrupted_is_answered_after_them(
    tmp_path: Path, agents: str
) -> None:
    notice = "This call is recorded, and you may say so if you do not want that."
    protected = f"{agents}    greeting_interruptible: false\n".replace("How can I help?", notice)
    key = [Dtmf("#")] if agents.startswith(BY_KEY) else []
    script = Script([BargeIn(ASK, 500), *key, DONE, HangUp()])
    called = call(tmp_path, TURNS, script, agents=protected, exact=True)
    heard_whole(called)
    assert called.said[1:] == [FIRST]


def test_an_operator_ends_the_turn_and_twice_at_once_is_once(tmp_path: Path) -> None:
    async def end(desk: Desk) -> None:
        await desk.at(9.0)
        await desk.done("end_turn", id="a")
        await desk.ask("end_turn", id="b")
        await asyncio.sleep(4)

    script = Script([DONE, Say(ASK), Pause(20), HangUp()])
    called = call(tmp_path, TURNS, script, agents=BY_KEY, exact=True, meanwhile=end)
    called.faultless()
    assert called.said[1:] and called.report.media.heard[1].start_s == pytest.approx(9.0, abs=0.3)


# --- changes in mid-call --------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [(), (REVERSIBLE,)], ids=["plain", "reversible"])
def test_manual_while_the_caller_speaks_takes_the_whole_turn(tmp_path: Path, more: tuple[str, ...]) -> None:
    async def change(desk: Desk) -> None:
        await desk.at(6.5)  # in the caller's words
        await desk.done("turn_taking", turn_detection="manual")

    script = Script([DONE, Pause(0.5), Say(SPELLED), Pause(2), Dtmf("#"), DONE, HangUp()])
    called = call(tmp_path, TURNS, script, agents=agent(*more), exact=True, meanwhile=change)
    heard_whole(called)
    assert called.said[1:] == [FIRST]
    assert len(called.kinds("CommitInput")) == 1


@pytest.mark.parametrize(("more", "at_s"), crossed([(), (REVERSIBLE,)], [5.5, 6.5, 8.0, 9.3]))
def test_back_to_the_server_at_any_time_loses_no_later_turn(tmp_path: Path, more: tuple[str, ...], at_s: float) -> None:
    async def change(desk: Desk) -> None:
        await desk.at(at_s)
        await desk.done("turn_taking", turn_detection="default")

    script = Script([DONE, Pause(0.5), Say(SPELLED), Pause(4.0), Say(ASK), DONE, HangUp()])
    called = call(tmp_path, TURNS, script, agents=agent("turn_detection: manual", *more), exact=True, meanwhile=change)
    called.faultless()
    assert called.said[-1] in (FIRST, SECOND, THIRD)
    last_words = max(deed.at_s for deed in called.report.deeds if deed.name == "say")
    assert called.report.media.heard[-1].start_s > last_words
    assert called.kinds("recover") == []


@pytest.mark.parametrize(
    ("more", "wanted"),
    crossed([(), (REVERSIBLE,)], ["patient", "manual", "spelling", {"type": "semantic_vad", "eagerness": "high"}]),
)
def test_a_change_while_the_agent_speaks_disturbs_nobody(
    tmp_path: Path, more: tuple[str, ...], wanted: str | dict[str, str]
) -> None:
    async def change(desk: Desk) -> None:
        await desk.heard(4.0)
        await desk.done("turn_taking", turn_detection=wanted)

    says = scenario(
        turns=[{"heard": "one", "say": LONG}, {"heard": "two.", "say": SECOND}], server={"audio_factor": 1.2}
    )
    key = [Dtmf("#")] if wanted == "manual" else []
    script = Script([DONE, Say(ASK), DONE, Say(ASK), *key, DONE, HangUp()])
    called = call(tmp_path, says, script, agents=agent(*more), exact=True, meanwhile=change)
    heard_whole(called)
    assert called.said[1:] == [LONG, SECOND]


# --- presets --------------------------------------------------------------------------------------------


def test_spelling_waits_for_the_groups_of_a_number(tmp_path: Path) -> None:
    script = Script([DONE, Say(SPELLED), DONE, HangUp()])
    answers = {}
    for preset in ("default", "spelling"):
        folder = tmp_path / preset
        folder.mkdir()
        called = call(folder, TURNS, script, agents=agent(f"turn_detection: {preset}"), exact=True)
        called.faultless()
        answers[preset] = called.said[1:]
    assert answers == {"default": [FIRST, SECOND], "spelling": [FIRST]}
