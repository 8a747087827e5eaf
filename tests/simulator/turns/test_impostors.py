"""What became of answers, and how soon they came: judged on made-up calls, and one real call of each kind."""

import pytest

from gateway.simulator.carrier import CallReport
from gateway.simulator.carrier.report import Segment
from gateway.simulator.clips.labelled import Stretch, Utterance, load_noise, load_utterances
from gateway.simulator.model import Spoken
from gateway.simulator.turns.early import Call as Question
from gateway.simulator.turns.early import asking_call
from gateway.simulator.turns.fates import judge_fates
from gateway.simulator.turns.impostors import CONDITIONS, Call, listening_call
from gateway.simulator.turns.stage import Said
from gateway.simulator.turns.tracing import Traced, trace
from gateway.simulator.turns.voice import exact_voice


def utterance(*bounds_ms: tuple[int, int], text: str = "wait a moment please") -> Utterance:
    stretches = tuple(Stretch(start, end, text) for start, end in bounds_ms)
    return Utterance("clip", text, "barge-ins", "voice", stretches, bytes(8 * (bounds_ms[-1][1] + 200)))


def said(kind: str, begins_s: float, ms: int = 800) -> Said:
    return Said(kind, utterance((100, 100 + ms)), begins_s)


def heard(text: str, begins_s: float, ms: float) -> list[Traced]:
    audio = exact_voice(text)
    return trace([Segment(begins_s, bytearray(audio[: round(ms * 8)]))], [Spoken("i", "r", text, bytearray(audio))])


def report(duration_s: float = 60.0) -> CallReport:
    return CallReport("CA1", duration_s=duration_s)


LONG = "an answer of some seconds, which may be interrupted"
LONG_MS = len(LONG) * 65


def test_an_answer_cut_by_a_murmur_is_a_false_interruption() -> None:
    fates = judge_fates(heard(LONG, 10.0, 1000), [said("backchannel", 10.5, 400)], report())
    assert (fates.false_interruptions, fates.by_backchannel, fates.backchannels, fates.real) == (1, 1, 1, 0)


def test_an_answer_cut_by_an_interruption_is_none() -> None:
    fates = judge_fates(heard(LONG, 10.0, 1000), [said("barge_in", 10.6)], report())
    assert (fates.false_interruptions, fates.real, fates.missed) == (0, 1, 0)
    assert [round(ms) for ms in fates.reactions_ms] == [300]


def test_an_agent_that_speaks_on_over_an_interruption_has_missed_it() -> None:
    fates = judge_fates(heard(LONG, 10.0, LONG_MS), [said("barge_in", 10.1, 500)], report())
    assert (fates.real, fates.missed, fates.reactions_ms) == (1, 1, ())


def test_an_answer_heard_to_its_end_is_no_false_interruption() -> None:
    fates = judge_fates(heard(LONG, 10.0, LONG_MS - 100), [], report())
    assert (fates.turns, fates.false_interruptions) == (1, 0)


def test_an_answer_that_pauses_and_goes_on_is_one_answer_with_a_pause() -> None:
    audio = exact_voice(LONG)
    segments = [Segment(1.0, bytearray(audio[:8000])), Segment(2.5, bytearray(audio[7200:]))]
    (answer,) = trace(segments, [Spoken("i", "r", LONG, bytearray(audio))])
    assert answer.heard_ms == LONG_MS
    assert [round(pause, 3) for pause in answer.pauses()] == [0.5]


def test_half_a_turn_is_half_of_its_words() -> None:
    one = Said("say", utterance((100, 900), text="one two three four"), 5.0)
    assert one.words(5.0, 5.5) == ["one", "two"]
    assert one.words(5.5, 6.0) == ["three", "four"]


def test_every_clip_is_labelled_within_its_length_and_29_have_pauses() -> None:
    utterances = load_utterances()
    assert sum(one.has_pause for one in utterances) == 29
    assert all(0 < one.speech[0].start_ms and one.ends_ms * 8 <= len(one.audio) for one in utterances)
    assert len({one.name for one in utterances}) == len(utterances)
    assert {len(load_noise(name)) for name in ("babble", "street", "pink", "hold-music")} == {80_000}


@pytest.mark.e2e
def test_a_listening_caller_hears_answers_and_interrupts_some() -> None:
    fates = listening_call(Call(CONDITIONS[0], "plain", 1001, 300.0))
    assert fates.turns >= 6
    assert (fates.missed, fates.stuck) == (0, False)
    assert fates.false_interruptions == fates.by_backchannel


def test_an_utterance_is_answered_after_it_is_over() -> None:
    replies = asking_call(Question("plain", ("bill-01-am_michael",), 1, 300.0))
    (reply,) = replies.replies
    assert reply.ms is not None
    assert 700 < reply.ms < 1600
    assert (reply.cut_off, reply.pause, replies.errors) == (False, False, 0)
