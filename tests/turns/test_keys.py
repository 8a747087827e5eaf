"""Keys in whole calls: told to the model, collected, and pressed towards the far end."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.hearing import ToneDetector
from gateway.simulator.carrier import BargeIn, Dtmf, HangUp, Pause, Say, Script, Wait
from gateway.simulator.carrier.script import Key, Step
from gateway.simulator.model import Scenario
from tests.turns.calls import Called, Desk, agent, call, clip, scenario, unravel

ASK = clip("order-05-af_bella")
DONE = Wait("agent_done", quiet_ms=2500)
PROMPT = "Please key in your number, then press the pound key."
LONG = "This is a long answer about an order that was sent on Monday, and which nobody has seen since."
COLLECTS = agent("collect_digits: true")
KINDS = [(), ("barge_in: reversible",), ("early_reply: {server_silence_ms: 300, confirm_ms: 500}",)]
NAMES = ["plain", "reversible", "early"]
LATER = [pytest.param(KINDS[0], id="plain"), *(pytest.param(more, marks=pytest.mark.e2e) for more in KINDS[1:])]


def collects(arguments: Mapping[str, object], prompt: str = PROMPT) -> Scenario:
    made = {"name": "collect_digits", "arguments": {"prompt": prompt, **arguments}}
    return scenario(turns=[{"heard": "I want to pay.", "calls": [made], "result": "Thank you."}])


def outcome(called: Called) -> str:
    (output,) = called.session.outputs
    return output.output


# --- to the model ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", KINDS, ids=NAMES)
def test_keys_are_told_to_the_model_together_and_answered_once(tmp_path: Path, more: tuple[str, ...]) -> None:
    says = scenario(turns=[{"heard": "keys", "say": "You pressed some keys."}])
    called = call(tmp_path, says, Script([DONE, Dtmf("4271"), Pause(8), HangUp()]), agents=agent(*more), exact=True)
    called.faultless()
    assert "pressed these keys of the telephone: 4 2 7 1" in called.texts
    assert called.said[1:] == ["You pressed some keys."]


@pytest.mark.parametrize("more", KINDS, ids=NAMES)
@pytest.mark.parametrize("in_band", [False, True], ids=["out of band", "in band"])
def test_a_key_in_mid_sentence_is_told_and_the_sentence_answered(
    tmp_path: Path, more: tuple[str, ...], in_band: bool
) -> None:
    says = scenario(turns=[{"say": "First."}, {"say": "Second."}, {"say": "Third."}])
    script = Script([DONE, Say(ASK, keys=[Key(900, "5")], in_band=in_band), DONE, HangUp()])
    called = call(tmp_path, says, script, agents=agent(*more), exact=True)
    called.faultless()
    assert "pressed these keys of the telephone: 5" in called.texts
    # Whatever comes first, the last answer has seen both, and is heard to its end.
    assert called.said[-1] == "Second."
    assert called.heard.endswith(called.answers[-1][1])


@pytest.mark.parametrize("more", KINDS, ids=NAMES)
def test_a_key_interrupts_what_is_said(tmp_path: Path, more: tuple[str, ...]) -> None:
    says = scenario(turns=[{"heard": "Go on.", "say": LONG}, {"heard": "keys", "say": "Yes?"}])
    script = Script([DONE, Say(ASK), Wait("agent_speaking"), Pause(2.0), Dtmf("0"), Pause(8), HangUp()])
    called = call(tmp_path, says, script, agents=agent(*more), exact=True)
    called.faultless()
    (cut,) = called.session.truncations
    assert called.said[1:] == [LONG, "Yes?"]
    greeting, _, last = (audio for _, audio in called.answers)
    heard_ms = (len(called.heard) - len(greeting) - len(last)) // 8
    assert abs(heard_ms - cut.audio_end_ms) <= 40


# --- a collector ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", LATER)
@pytest.mark.parametrize(
    ("arguments", "steps", "output"),
    [
        ({"max_digits": 4}, [Dtmf("4271")], '{"digits": "4271"}'),
        ({"max_digits": 8}, [Dtmf("427#")], '{"digits": "427"}'),
        ({"max_digits": 8, "terminator": "*"}, [Dtmf("4#7*")], '{"digits": "4#7"}'),
        ({"max_digits": 8}, [Dtmf("427"), Pause(6)], '{"digits": "427"}'),
        ({"max_digits": 4, "min_digits": 4}, [Dtmf("42#"), DONE, Dtmf("4271")], '{"digits": "4271"}'),
        ({"max_digits": 4, "min_digits": 4}, [Dtmf("42"), Pause(10), Dtmf("4271")], '{"digits": "4271"}'),
        (
            {"max_digits": 4, "min_digits": 4},
            [Dtmf("42#"), DONE, Dtmf("1#"), Pause(3)],
            '{"error": "no complete entry", "digits_missing": true}',
        ),
        (
            {"max_digits": 4},
            [Pause(80)],
            '{"error": "no complete entry", "digits_missing": true}',
        ),
    ],
    ids=["length", "terminator", "another terminator", "pause", "again", "again after a pause", "given up", "silence"],
)
def test_a_collector_ends_as_it_was_asked_to(
    tmp_path: Path, more: tuple[str, ...], arguments: Mapping[str, object], steps: list[Step], output: str
) -> None:
    script = Script([DONE, Say(ASK), DONE, *steps, Pause(4), HangUp()])
    called = call(tmp_path, collects(arguments), script, agents=agent("collect_digits: true", *more), exact=True)
    called.faultless()
    assert outcome(called) == output
    assert called.said[-1] == "Thank you."
    assert "pressed these keys" not in called.texts
    again = 1 if len(steps) > 2 or output.startswith('{"error') else 0
    assert called.said.count(PROMPT) == 1 + again


def test_the_first_key_silences_the_prompt(tmp_path: Path) -> None:
    script = Script([DONE, Say(ASK), Wait("agent_speaking"), Pause(1), Dtmf("427#"), DONE, HangUp()])
    called = call(tmp_path, collects({"max_digits": 8}), script, agents=COLLECTS, exact=True)
    called.faultless()
    assert outcome(called) == '{"digits": "427"}'
    (cut,) = called.session.truncations
    assert 900 <= cut.audio_end_ms <= 1100


@pytest.mark.parametrize("think_ms", [0, 400, 1200])
def test_keys_that_come_with_the_question_are_collected_and_no_prompt_talks_into_them(
    tmp_path: Path, think_ms: int
) -> None:
    says = collects({"max_digits": 8})
    says = says.model_copy(update={"turns": [says.turns[0].model_copy(update={"think_ms": think_ms})]})
    script = Script([DONE, Say(ASK), Pause(0.2), Dtmf("42715"), Pause(0.3), Dtmf("9#"), DONE, HangUp()])
    called = call(tmp_path, says, script, agents=COLLECTS, exact=True)
    called.faultless()
    assert outcome(called) == '{"digits": "427159"}'
    assert called.said[-1] == "Thank you."
    pressed = [deed.at_s for deed in called.report.deeds if deed.name == "dtmf"]
    talk = [piece for piece in called.report.media.heard if piece.start_s > pressed[0]]
    assert sum(min(piece.end_s, pressed[-1] + 0.5) - piece.start_s for piece in talk[:-1]) <= 0.6


def test_an_operators_collector_tells_the_model_and_it_answers(tmp_path: Path) -> None:
    async def ask(desk: Desk) -> None:
        await desk.at(5.0)
        await desk.done("collect_digits", max_digits=4, prompt="Your code, please.")
        refused = await desk.ask("collect_digits", id="second")
        assert refused.status_code == 409

    says = scenario(greeting="Hello.", default="Thank you, I have got it.")
    script = Script([DONE, Pause(4), DONE, Dtmf("4271"), DONE, HangUp()])
    called = call(tmp_path, says, script, agents=agent(), exact=True, meanwhile=ask)
    called.faultless()
    assert '{"digits": "4271"}' in called.texts
    assert called.said[1] == "Your code, please." and len(called.said) == 3


# --- towards the far end --------------------------------------------------------------------------------


def pressed(called: Called) -> str:
    """Return the keys in what the caller heard, each clean enough for any receiver."""
    return ToneDetector().feed(called.report.heard_bytes())


@pytest.mark.parametrize("more", KINDS, ids=NAMES)
def test_the_model_presses_keys_that_the_far_end_hears(tmp_path: Path, more: tuple[str, ...]) -> None:
    keys = {"name": "send_digits", "arguments": {"digits": "12#9*0"}}
    says = scenario(turns=[{"heard": "Press.", "calls": [keys], "result": "I have pressed them."}])
    script = Script([DONE, Say(ASK), DONE, HangUp()])
    called = call(tmp_path, says, script, agents=agent("send_digits: true", *more), exact=True)
    called.faultless()
    assert pressed(called) == "12#9*0"
    greeting, said = (audio for _, audio in called.answers)
    assert called.heard.startswith(greeting) and called.heard.endswith(said)


@pytest.mark.parametrize("more", KINDS, ids=NAMES)
def test_keys_wait_for_words_and_words_for_keys(tmp_path: Path, more: tuple[str, ...]) -> None:
    keys = {"name": "send_digits", "arguments": {"digits": "4711#"}}
    says = scenario(turns=[{"heard": "Press.", "say": LONG, "calls": [keys], "result": "I have pressed them."}])
    script = Script([DONE, Say(ASK), DONE, HangUp()])
    called = call(tmp_path, says, script, agents=agent("send_digits: true", *more), exact=True)
    called.faultless()
    greeting, long, said = (audio for _, audio in called.answers)
    assert called.heard.startswith(greeting + long)
    assert called.heard.endswith(said)
    assert pressed(called) == "4711#"


def test_an_operators_keys_wait_until_the_agent_has_finished(tmp_path: Path) -> None:
    async def press(desk: Desk) -> None:
        await desk.heard(4.0)
        await desk.done("send_digits", digits="42#")

    says = scenario(turns=[{"heard": "Go on.", "say": LONG}])
    called = call(tmp_path, says, Script([DONE, Say(ASK), DONE, HangUp()]), agents=agent(), exact=True, meanwhile=press)
    called.faultless()
    greeting, long = (audio for _, audio in called.answers)
    assert called.heard.startswith(greeting + long)
    assert pressed(called) == "42#"


@pytest.mark.parametrize("more", KINDS, ids=NAMES)
def test_a_caller_who_talks_into_the_keys_does_not_stop_them_and_is_answered(
    tmp_path: Path, more: tuple[str, ...]
) -> None:
    keys = {"name": "send_digits", "arguments": {"digits": "123456789"}}
    says = scenario(
        turns=[
            {"heard": "Press.", "calls": [keys], "result": "I have pressed them."},
            {"heard": "Wait, wait.", "say": "Yes?"},
        ]
    )
    script = Script([DONE, Say(ASK), BargeIn(clip("barge-01-bf_emma"), 500), DONE, HangUp()])
    called = call(tmp_path, says, script, agents=agent("send_digits: true", *more), exact=True)
    called.faultless()
    assert pressed(called) == "123456789"
    assert called.said[-1] == "Yes?"
    unravel(called.heard[-len(called.answers[-1][1]) :], [called.answers[-1][1]], 0)
