"""A caller who gives no sign in whole calls: prompts and a goodbye by wall clock, whatever noise the line makes."""

import json
from pathlib import Path

import pytest

from gateway.simulator.carrier import Dtmf, HangUp, Pause, Say, Script, Surroundings, Wait
from gateway.simulator.clips.labelled import load_noise
from gateway.simulator.engine import Answer, Context, Vad
from gateway.simulator.model import Scenario
from gateway.simulator.turns.voice import ExactVoice
from tests.turns.calls import Called, agent, call, clip, crossed, scenario, unravel

PROMPTS = ("Are you still there?", "Hello, can you hear me?")
AFTER_S = 8
IDLE = f"idle: {json.dumps({'after_s': AFTER_S, 'prompts': PROMPTS})}"
GOODBYE = "Goodbye to you."
ASK = clip("order-05-af_bella")
DONE = Wait("agent_done", quiet_ms=1000)
SILENT = Script([Pause(200)])
KINDS = [(), ("barge_in: reversible",), ("early_reply: true",)]


class Deaf:
    """A model whose server takes any sound for speech, and whose transcription finds no words in it."""

    def __init__(self, says: Scenario) -> None:
        self._voice = ExactVoice(says, GOODBYE)

    def vad(self) -> Vad:
        return self._voice.vad()

    async def transcribe(self, audio: bytes, prompt: str, turn: int) -> str:
        return ""

    async def respond(self, context: Context) -> Answer:
        return await self._voice.respond(context)

    async def speak(self, text: str, voice: str) -> bytes:
        return await self._voice.speak(text, voice)


def ends_idle(called: Called) -> None:
    assert called.report.script_error is None
    assert list(called.session.errors) == []
    assert called.w.record.end_reason == "idle"
    assert called.said[-1] == GOODBYE
    assert called.report.duration_s - called.report.media.heard[-1].end_s <= 1.0


@pytest.mark.parametrize("more", KINDS, ids=["plain", "reversible", "early"])
def test_a_silent_caller_hears_two_prompts_and_a_goodbye(tmp_path: Path, more: tuple[str, ...]) -> None:
    called = call(tmp_path, scenario(), SILENT, agents=agent(IDLE, *more), exact=True)
    ends_idle(called)
    assert called.said[1:] == [*PROMPTS, GOODBYE]
    unravel(called.heard, [audio for _, audio in called.answers], 0)
    heard = called.report.media.heard
    for before, after in zip(heard, heard[1:], strict=False):
        assert AFTER_S - 0.1 <= after.start_s - before.end_s <= AFTER_S + 1.0


@pytest.mark.parametrize(
    ("place", "more"),
    crossed([("pink", -60.0), ("pink", -45.0), ("hold-music", -30.0), ("babble", -35.0), ("street", -30.0)], KINDS),
)
def test_noise_and_hold_music_keep_no_call_alive(
    tmp_path: Path, place: tuple[str, float], more: tuple[str, ...]
) -> None:
    noise, dbfs = place
    around = Surroundings(noise=load_noise(noise), noise_dbfs=dbfs)
    engine = Deaf(scenario(default="Pardon?"))
    called = call(tmp_path, scenario(), SILENT, agents=agent(IDLE, *more), engine=engine, surroundings=around)
    assert called.w.record.end_reason == "idle"
    # Each time the server takes noise for a turn it answers: that is the model's, and ours to bound.
    assert called.report.duration_s <= 180


def test_a_word_or_a_key_is_a_sign_of_life_and_the_prompts_begin_anew(tmp_path: Path) -> None:
    says = scenario(turns=[{"heard": "I am here.", "say": "Good."}, {"heard": "keys", "say": "You pressed one."}])
    script = Script([DONE, Pause(10), Say(ASK), DONE, Pause(20), Dtmf("1"), Pause(200)])
    called = call(tmp_path, says, script, agents=agent(IDLE), exact=True)
    ends_idle(called)
    assert called.said[1:] == [PROMPTS[0], "Good.", *PROMPTS, "You pressed one.", *PROMPTS, GOODBYE]


@pytest.mark.parametrize("more", KINDS, ids=["plain", "reversible", "early"])
def test_a_caller_who_talks_for_long_is_not_prompted_in_mid_sentence(tmp_path: Path, more: tuple[str, ...]) -> None:
    talk = ASK[: 2000 * 8] * 15
    # With an early reply every pause between two words is a turn to the server.
    says = scenario(turns=[{"heard": "That was long.", "say": "Thank you."}], repeat=True)
    script = Script([DONE, Say(talk), DONE, HangUp()])
    called = call(tmp_path, says, script, agents=agent(IDLE, *more), exact=True)
    called.faultless()
    assert called.kinds("idle") == []
    assert called.said[-1] == "Thank you."


def test_a_caller_in_manual_turns_is_there_as_long_as_our_ear_hears_them(tmp_path: Path) -> None:
    talk = ASK[: 2000 * 8] * 12
    says = scenario(turns=[{"heard": "That was long.", "say": "Thank you."}])
    agents = agent(IDLE, 'turn_detection: {type: manual, key: "#", own_ear: true, silence_duration_ms: 3000}')
    called = call(tmp_path, says, Script([DONE, Say(talk), Dtmf("#"), DONE, HangUp()]), agents=agents, exact=True)
    called.faultless()
    assert called.kinds("idle") == []


def test_a_caller_who_keys_a_number_in_is_not_idle(tmp_path: Path) -> None:
    arguments = {"max_digits": 20, "min_digits": 4, "prompt": "Please key in your number."}
    says = scenario(turns=[{"heard": "Pay.", "calls": [{"name": "collect_digits", "arguments": arguments}]}])
    keys = [step for digit in "123456#" for step in (Dtmf(digit), Pause(3.0))]
    script = Script([DONE, Say(ASK), DONE, *keys, HangUp()])
    called = call(tmp_path, says, script, agents=agent(IDLE, "collect_digits: true"), exact=True)
    called.faultless()
    assert '{"digits": "123456"}' in called.texts
    assert called.kinds("idle") == []


def test_a_slow_tool_is_no_idleness(tmp_path: Path) -> None:
    turn = {
        "heard": "Where is it?",
        "calls": [{"name": "lookup_order", "arguments": {"order_id": "1"}}],
        "think_ms": 9000,
    }
    says = scenario(turns=[{**turn, "result": "It has {status}."}])
    called = call(tmp_path, says, Script([DONE, Say(ASK), DONE, HangUp()]), agents=agent(IDLE), exact=True)
    called.faultless()
    assert called.said[1:] == ["It has shipped."]
