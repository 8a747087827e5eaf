"""Every check of the demo can fail: each gets evidence that was doctored in one place."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.demo.evidence import Evidence, Utterance
from gateway.demo.judge import TOLERANCE_MS, judge, passed, word_error_rate
from gateway.demo.story import BOOK, LOOK_UP, ORDER
from gateway.simulator.carrier.report import Segment
from gateway.simulator.model import SessionRecord, Truncation
from tests.demo.evidence import CUT_MS, Rows, entry, good, with_journal, with_rows

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
    assert not passed(judge(replace(good(), ledger=[])))


def hears(*utterances: Utterance) -> Doctor:
    return lambda evidence: replace(evidence, utterances=list(utterances))


@pytest.mark.parametrize(
    "doctor",
    [hears(), hears(Utterance("The status is on the way.", "The status is in a sway.", 3, 6))],
    ids=["silence", "other words"],
)
def test_a_recording_without_the_status_fails(doctor: Doctor) -> None:
    assert failed(doctor(good())) == {"status_heard"}


def request(what: str, *, signed: int = 1) -> dict[str, object]:
    return {"what": what, "signed": signed, "status": 200}


@pytest.mark.parametrize(
    "log",
    [
        [],
        [request(LOOK_UP)],
        [request(LOOK_UP), request(BOOK), request(BOOK)],
        [request(LOOK_UP), request(BOOK), request("cancel_order")],
        [request(LOOK_UP), request(BOOK), request("/tools", signed=0)],
    ],
    ids=["none", "one missing", "one twice", "another", "bad signature"],
)
def test_each_function_must_be_called_once_and_rightly(log: Rows) -> None:
    evidence = good()
    known = [row for row in evidence.business["log"] if row["what"] == "call.incoming"]
    assert failed(with_rows(evidence, "log", [*known, *log])) == {"webhook_once"}


@pytest.mark.parametrize(
    "other", [{"status": 404}, {"body": "{}"}, {"asked": '["look_up_order", {"order_id": "428"}]'}]
)
def test_the_right_order_must_be_looked_up_and_found(other: dict[str, object]) -> None:
    evidence = good()
    assert ORDER != "428"
    first, *rest = evidence.business["answers"]
    assert failed(with_rows(evidence, "answers", [{**first, **other}, *rest])) == {"webhook_once"}


@pytest.mark.parametrize("state", ["intended", "pending", "failed", "unknown"])
def test_a_write_whose_outcome_is_not_on_record_fails(state: str) -> None:
    evidence = good()
    assert failed(replace(evidence, ledger=[replace(evidence.ledger[0], state=state)])) == {"write_once"}


def test_a_write_that_is_on_record_twice_or_under_another_key_fails() -> None:
    evidence = good()
    row = evidence.ledger[0]
    assert failed(replace(evidence, ledger=[row, replace(row, key="again")])) == {"write_once"}
    assert failed(replace(evidence, ledger=[replace(row, key="other")])) == {"write_once"}


@pytest.mark.parametrize(
    "other", [{"time": "11:00"}, {"number": "+14155550123"}, None], ids=["another time", "another caller", "nothing"]
)
def test_an_appointment_that_the_business_does_not_have_so_fails(other: dict[str, object] | None) -> None:
    evidence = good()
    booked = evidence.business["appointments"][0]
    rows = [] if other is None else [{**booked, **other}]
    assert failed(with_rows(evidence, "appointments", rows)) == {"write_once"}


def test_a_caller_who_is_greeted_as_a_stranger_fails() -> None:
    evidence = good()
    greeting = entry("AgentSaid", item_id="item_first", text="Hello, this is Acme.")
    assert failed(replace(evidence, journal=[greeting, *evidence.journal])) == {"known_caller"}


def test_a_name_that_nobody_looked_up_fails() -> None:
    evidence = good()
    log = [row for row in evidence.business["log"] if row["what"] != "call.incoming"]
    assert failed(with_rows(evidence, "log", log)) == {"known_caller"}


@pytest.mark.parametrize("missing", ["call.started", "transcript.turn", "call.ended"])
def test_a_business_that_was_not_told_fails(missing: str) -> None:
    evidence = good()
    rows = [row for row in evidence.business["events"] if row["type"] != missing]
    assert failed(with_rows(evidence, "events", rows)) == {"events"}


def test_an_end_that_was_told_with_another_reason_fails() -> None:
    evidence = good()
    *rest, last = evidence.business["events"]
    told = [*rest, {**last, "body": '{"data": {"reason": "model_lost"}}'}]
    assert failed(with_rows(evidence, "events", told)) == {"events"}


def test_a_claim_without_its_function_fails() -> None:
    assert failed(with_journal(good(), entry("claim_unbacked", tool=BOOK))) == {"claims"}


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
    lost = replace(evidence, call=replace(evidence.call, end_reason="model_lost"))
    assert failed(lost) == {"end_record", "events"}


def test_a_call_without_a_record_fails() -> None:
    assert failed(replace(good(), call=None)) == {"end_record", "events"}


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
    evidence = good()
    quiet = [one for one in evidence.journal if one.kind != "barge_in"]
    assert failed(replace(evidence, sessions=None, journal=quiet)) == {"barge_in"}


def test_audio_that_the_model_never_sent_fails() -> None:
    evidence = good()
    evidence.report.media.heard.append(Segment(15.0, bytearray(b"\x10" * 800)))
    assert failed(evidence) == {"audio_untouched"}


def test_the_word_error_rate_is_over_all_words() -> None:
    evidence = replace(good(), utterances=[Utterance("", "", 1, 3), Utterance("", "", 0, 7)])
    assert word_error_rate(evidence) == pytest.approx(0.1)
    assert word_error_rate(replace(good(), utterances=None)) is None
