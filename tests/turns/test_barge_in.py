"""Interruptions in whole calls: what the caller hears of an answer, and what the model is told was heard."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.simulator.carrier import (
    Backchannel,
    BargeIn,
    HangUp,
    LineModel,
    Pause,
    Say,
    Script,
    Surroundings,
    Wait,
    heard_prefix_ms,
)
from gateway.simulator.carrier.loudness import level_dbfs
from gateway.simulator.engine import Answer, Context, Speech, Vad
from gateway.simulator.model import EnergyVad, Scenario
from gateway.simulator.model.scripted import babble
from tests.turns.calls import Called, agent, call, clip, crossed, scenario, unravel

REVERSIBLE = agent("barge_in: reversible")
PLAIN = agent()
ASK = clip("talk-02-af_heart")
NO_LISTEN = clip("barge-04-am_fenrir")
LONG = "This is a long answer about an order that was sent on Monday, and which nobody has seen since. " * 2
SECOND = "And this is the second part of the same answer, which comes as an item of its own."
LAST = "All right, we shall look for it."
ECHO_DBFS = -33.0
"""Turns that are softer are echo."""
DONE = Wait("agent_done", quiet_ms=2500)
FRAME_BYTES = 160
"""Most that may be lost or heard twice at a hold: nobody tells us when the carrier's frames of 20 ms begin."""


def story(word: str, *, two_items: bool = False, **server: object) -> Scenario:
    """An answer that is long, what is said into it, and the next turn."""
    say = [LONG, SECOND] if two_items else LONG
    return scenario(
        turns=[{"heard": "where is it", "say": say}, {"heard": word, "say": LAST}, {"heard": "and now", "say": LAST}],
        server=server,
    )


def cuts_are_true(called: Called, within_ms: int = 20) -> None:
    """Check that every truncation is what was heard, every deletion of nothing, and the rest was heard whole."""
    told = {cut.item_id: cut.audio_end_ms for cut in called.session.truncations}
    told |= {gone.item_id: 0 for gone in called.session.deletions if gone.kind == "assistant message"}
    for item in called.session.spoken.values():
        heard = heard_prefix_ms(bytes(item.audio), called.heard) or 0
        assert abs(heard - told.get(item.item_id, len(item.audio) // 8)) <= within_ms, item.text
        assert not item.late or bytes(item.late[:160]) not in called.heard


# --- what is no interruption --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "audio_factor"),
    crossed(["back-01-am_michael", "back-02-bm_george", "back-04-af_bella"], [1.2, 8.0]),
)
def test_a_word_of_listening_pauses_the_agent_and_nothing_is_lost(
    tmp_path: Path, name: str, audio_factor: float
) -> None:
    says = story("Mm-hm.", audio_factor=audio_factor)
    script = Script([DONE, Say(ASK), Backchannel(clip(name), 2000), DONE, Say(ASK), DONE, HangUp()])
    called = call(tmp_path, says, script, agents=REVERSIBLE, exact=True)
    called.faultless()
    assert [text for text, _ in called.answers][1:] == [LONG, LAST]
    seams = unravel(called.heard, [audio for _, audio in called.answers], FRAME_BYTES)
    assert len(seams) <= 1
    assert (len(called.kinds("held")), len(called.kinds("resumed"))) == (1, 1)
    assert len(called.report.media.clears) == 1
    assert not called.session.truncations
    assert called.kinds("barge_in") == []


class Echoing:
    """A model that understands what is loud as the caller's next words, and the rest as the echo of its own."""

    def __init__(self, turns: Sequence[tuple[str, str]]) -> None:
        """`turns` are what the caller says, and the answers."""
        self._words = [words for words, _ in turns]
        self._answers = dict(turns)
        self._said = ""

    def vad(self) -> Vad:
        return EnergyVad()

    async def transcribe(self, audio: bytes, prompt: str, turn: int) -> str:
        return self._words.pop(0) if level_dbfs(audio) > ECHO_DBFS else self._said

    async def respond(self, context: Context) -> Answer:
        if context.turn == 0:
            return Answer([Speech("Hello, this is Acme. How can I help?")])
        said = [item["content"][0].get("transcript") for item in context.items if item.get("role") == "user"]
        return Answer([Speech(self._answers.get(said[-1] if said else "", "Who is there?"))])

    async def speak(self, text: str, voice: str) -> bytes:
        self._said = text
        return babble(text)


@pytest.mark.parametrize("name", ["back-01-am_michael", ""])
def test_the_echo_of_the_agent_does_not_even_pause_it(tmp_path: Path, name: str) -> None:
    engine = Echoing([("where is it", LONG), *([("Mm-hm.", "")] if name else []), ("and now", LAST)])
    beside = [Backchannel(clip(name), 4000)] if name else []
    script = Script([DONE, Say(ASK), *beside, DONE, Say(ASK), DONE, HangUp()])
    echo = Surroundings(echo_db=-20, echo_delay_ms=120)
    called = call(tmp_path, scenario(), script, agents=REVERSIBLE, engine=engine, surroundings=echo)
    called.faultless()
    assert called.said[1:] == [LONG, LAST]
    assert len(called.kinds("held")) == len(called.report.media.clears) == len(beside)
    unravel(called.heard, [audio for _, audio in called.answers], FRAME_BYTES if name else 0)


# --- what is one --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agents", "two_items", "audio_factor"),
    crossed([PLAIN, REVERSIBLE] * 2, [False, False, True, True], [1.2, 8.0, 8.0, 1.2]),
)
def test_an_interruption_cuts_the_answer_where_it_was_heard_and_is_answered_once(
    tmp_path: Path, agents: str, two_items: bool, audio_factor: float
) -> None:
    says = story("No, listen.", two_items=two_items, audio_factor=audio_factor, cancel_ms=300, late_deltas=3)
    script = Script([DONE, Say(ASK), BargeIn(NO_LISTEN, 3000), DONE, Say(ASK), DONE, HangUp()])
    called = call(tmp_path, says, script, agents=agents, exact=True)
    called.faultless()
    assert len(called.session.truncations) == 1
    assert called.said.count(LAST) == 2
    cuts_are_true(called)


@pytest.mark.parametrize("agents", [PLAIN, REVERSIBLE], ids=["plain", "reversible"])
def test_an_interruption_in_the_second_item_leaves_the_first_alone(tmp_path: Path, agents: str) -> None:
    says = story("No, listen.", two_items=True)
    script = Script([DONE, Say(ASK), BargeIn(NO_LISTEN, len(LONG) * 65 + 1500), DONE, HangUp()])
    called = call(tmp_path, says, script, agents=agents, exact=True)
    called.faultless()
    (cut,) = called.session.truncations
    assert called.session.spoken[cut.item_id].text == SECOND
    cuts_are_true(called)


@pytest.mark.parametrize("agents", [PLAIN, REVERSIBLE], ids=["plain", "reversible"])
def test_on_a_slow_line_a_cut_is_as_true(tmp_path: Path, agents: str) -> None:
    says = story("No, listen.", two_items=True)
    script = Script([DONE, Say(ASK), BargeIn(NO_LISTEN, 3000), DONE, HangUp()])
    line = LineModel(uplink_ms=50, downlink_ms=50)
    called = call(tmp_path, says, script, agents=agents, exact=True, line=line)
    called.faultless()
    assert len(called.session.truncations) == 1
    cuts_are_true(called)


def test_a_short_word_that_means_stop_interrupts_once_it_is_understood(tmp_path: Path) -> None:
    says = story("Stop.", transcription_delay_ms=600)
    script = Script([DONE, Say(ASK), Backchannel(clip("back-02-af_bella"), 2000), DONE, HangUp()])
    called = call(tmp_path, says, script, agents=REVERSIBLE, exact=True)
    called.faultless()
    assert len(called.kinds("resumed")) == 1 and len(called.kinds("barge_in")) == 1
    assert called.at("resumed") < called.at("barge_in")
    assert len(called.session.truncations) == 1
    assert called.said[1:] == [LONG, LAST]


def test_a_real_interruption_after_a_word_of_listening_is_cut_where_it_was_heard(tmp_path: Path) -> None:
    says = scenario(
        turns=[
            {"heard": "where is it", "say": LONG},
            {"heard": "Mm-hm."},
            {"heard": "No, listen.", "say": LAST},
        ]
    )
    script = Script(
        [DONE, Say(ASK), Backchannel(clip("back-01-am_michael"), 1500), Pause(4.0), BargeIn(NO_LISTEN, 2000), DONE]
    )
    called = call(tmp_path, says, script, agents=REVERSIBLE, exact=True)
    called.faultless()
    assert called.said[1:] == [LONG, LAST]
    (cut,) = called.session.truncations
    greeting, long, last = (audio for _, audio in called.answers)
    unravel(called.heard, [greeting, long[: cut.audio_end_ms * 8], last], 160)


def test_two_words_of_listening_in_one_answer_lose_nothing(tmp_path: Path) -> None:
    says = scenario(
        turns=[{"heard": "where is it", "say": LONG}, {"heard": "Mm-hm."}, {"heard": "Right."}, {"say": LAST}]
    )
    script = Script(
        [
            DONE,
            Say(ASK),
            Backchannel(clip("back-01-am_michael"), 1500),
            Pause(5.0),
            Backchannel(clip("back-03-af_heart"), 2500),
            DONE,
            HangUp(),
        ]
    )
    called = call(tmp_path, says, script, agents=REVERSIBLE, exact=True)
    called.faultless()
    assert called.said[1:] == [LONG]
    assert len(called.kinds("resumed")) == 2
    unravel(called.heard, [audio for _, audio in called.answers], FRAME_BYTES)
