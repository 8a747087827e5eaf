"""Every check of the demo can fail: each gets evidence that was doctored in one place."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from gateway.demo.business import WebhookCall
from gateway.demo.evidence import Evidence, Utterance
from gateway.demo.judge import TOLERANCE_MS, judge, passed, word_error_rate
from gateway.demo.story import ORDER, STATUS
from gateway.simulator.carrier.report import Segment
from gateway.simulator.model import SessionRecord, Truncation
from tests.demo.evidence import CUT_MS, entry, good, with_journal

Doctor = Callable[[Evidence], Evidence]


def failed(evidence: Evidence) -> set[str]:
    return {check.name for check in judge(evidence) if check.ok is False}


def session_of(evidence: Evidence) -> SessionRecord:
    sessions = evidence.sessions
    assert sessions is not None
    return sessions[0]


def test_a_good_call_passes_every_check() -> None:
    checks = judge(good())
    assert [check.name for check in checks if check.ok is not True] == []
    assert passed(checks)


def test_one_failure_fails_the_whole() -> None:
    assert not passed(judge(replace(good(), webhook_calls=[])))


def hears(*utterances: Utterance) -> Doctor:
    return lambda evidence: replace(evidence, utterances=list(utterances))


@pytest.mark.parametrize(
    "doctor",
    [hears(), hears(Utterance("The status is on the way.", "The status is in a sway.", 3, 6))],
    ids=["silence", "other words"],
)
def test_a_recording_without_the_status_fails(doctor: Doctor) -> None:
    assert failed(doctor(good())) == {"status_heard"}


@pytest.mark.parametrize(
    "log",
    [
        [],
        [WebhookCall(ORDER, False, STATUS)],
        [WebhookCall("428", True, STATUS)],
        [WebhookCall(ORDER, True, "")],
        [WebhookCall(ORDER, True, STATUS)] * 2,
    ],
    ids=["none", "bad signature", "another order", "no answer", "twice"],
)
def test_the_webhook_must_be_called_once_and_rightly(log: Sequence[WebhookCall]) -> None:
    assert failed(replace(good(), webhook_calls=log)) == {"webhook_once"}


@pytest.mark.parametrize("off_ms", [-TOLERANCE_MS, TOLERANCE_MS])
def test_a_truncation_at_the_tolerance_passes(off_ms: int) -> None:
    assert failed(truncated(CUT_MS + off_ms)) == set()


@pytest.mark.parametrize("off_ms", [-TOLERANCE_MS - 1, TOLERANCE_MS + 1])
def test_a_truncation_beyond_the_tolerance_fails(off_ms: int) -> None:
    assert failed(truncated(CUT_MS + off_ms)) == {"barge_in"}


def test_a_refused_truncation_fails() -> None:
    assert failed(truncated(CUT_MS, accepted=False)) == {"barge_in"}


def test_a_second_barge_in_fails() -> None:
    assert failed(with_journal(good(), entry("barge_in", item_id="item_whole", heard_ms=10))) == {"barge_in"}


def truncated(at_ms: int, *, accepted: bool = True) -> Evidence:
    evidence = good()
    session = session_of(evidence)
    session.truncations.clear()
    session.truncations.append(Truncation("item_cut", at_ms, accepted, 11.0))
    return evidence


def test_an_end_for_another_reason_fails() -> None:
    evidence = good()
    assert evidence.call is not None
    assert failed(replace(evidence, call=replace(evidence.call, end_reason="model_lost"))) == {"end_record"}


def test_a_call_without_a_record_fails() -> None:
    assert failed(replace(good(), call=None)) == {"end_record"}


def test_a_second_end_record_fails() -> None:
    assert failed(with_journal(good(), entry("end", reason="agent_hangup"))) == {"end_record"}


def test_one_changed_byte_towards_the_caller_fails() -> None:
    evidence = good()
    evidence.report.media.heard[0].audio[4000] ^= 1
    assert failed(evidence) == {"audio_untouched"}


def test_one_changed_byte_towards_the_model_fails() -> None:
    evidence = good()
    evidence.report.media.said[0].audio[4000] ^= 1
    assert failed(evidence) == {"audio_untouched"}


def test_a_call_in_which_the_model_heard_nobody_fails() -> None:
    evidence = good()
    session_of(evidence).conversation.delete("item_user")
    assert failed(evidence) == {"audio_untouched"}


def test_a_recording_that_is_too_short_fails() -> None:
    evidence = good()
    evidence.report.duration_s = 30.0
    assert failed(evidence) == {"recording"}


def test_a_missing_recording_fails() -> None:
    assert failed(replace(good(), latency=None)) == {"recording"}


def test_a_protocol_warning_fails() -> None:
    evidence = good()
    evidence.report.warn(3.0, 31951, "an unknown message type")
    assert failed(evidence) == {"carrier"}


def test_a_caller_who_waited_in_vain_fails() -> None:
    evidence = good()
    evidence.report.script_error = "step 1: waited too long for agent_done (30 s)"
    assert failed(evidence) == {"carrier"}


def test_lost_frames_fail() -> None:
    evidence = good()
    evidence.report.media.frames_dropped = 1
    assert failed(evidence) == {"carrier"}


def test_an_error_that_the_model_sent_fails() -> None:
    evidence = good()
    session_of(evidence).errors.append({"code": "invalid_value"})
    assert failed(evidence) == {"model"}


@pytest.mark.parametrize("kind", ["ModelFault", "ModelClosed", "recover"])
def test_trouble_with_the_model_in_the_journal_fails(kind: str) -> None:
    assert failed(with_journal(good(), entry(kind))) == {"model"}


def test_a_model_session_left_open_fails() -> None:
    evidence = good()
    session_of(evidence).closed = None
    assert failed(evidence) == {"sessions_closed"}


def test_without_the_local_model_what_it_would_see_is_skipped_and_not_passed() -> None:
    checks = judge(replace(good(), sessions=None))
    assert {check.name for check in checks if check.ok is None} == {"barge_in", "audio_untouched", "sessions_closed"}
    assert passed(checks)


def test_without_the_local_model_a_missing_barge_in_still_fails() -> None:
    assert failed(replace(good(), sessions=None, journal=[entry("end", reason="agent_hangup")])) == {"barge_in"}


def test_audio_that_the_model_never_sent_fails() -> None:
    evidence = good()
    evidence.report.media.heard.append(Segment(15.0, bytearray(b"\x10" * 800)))
    assert failed(evidence) == {"audio_untouched"}


def test_the_word_error_rate_is_over_all_words() -> None:
    evidence = replace(good(), utterances=[Utterance("", "", 1, 3), Utterance("", "", 0, 7)])
    assert word_error_rate(evidence) == pytest.approx(0.1)
    assert word_error_rate(replace(good(), utterances=None)) is None
