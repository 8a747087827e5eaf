"""Load runs, small: what is counted, and that each fault does what is promised. Large ones are run by the command."""

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.simulator.carrier import CallReport
from gateway.simulator.carrier.report import Segment
from gateway.simulator.load.callers import payload_bytes
from gateway.simulator.load.frames import FRAME_BYTES, caller_audio, read_number
from gateway.simulator.load.judge import Evidence, judge, percentile
from gateway.simulator.load.plan import LoadPlan
from gateway.simulator.load.reports import CallerLog, ItemReport, ModelReport, SessionReport, from_line, to_line
from gateway.simulator.model import EnergyVad
from gateway.simulator.model.scripted import babble

LIMIT_S = 240
"""A machine that does much else at the same time is waited for."""


def run(fault: str, folder: Path) -> Mapping[str, object]:
    command = [sys.executable, "-m", "gateway", "simulate", "load", "--calls", "6", "--seconds", "5", "--json"]
    done = subprocess.run([*command, "--fault", fault], cwd=folder, capture_output=True, timeout=LIMIT_S, check=False)
    document: Mapping[str, object] = json.loads(done.stdout)
    assert (done.returncode, document["problems"]) == (0, [])
    assert done.stderr == b""
    return document


@pytest.mark.e2e
def test_no_frame_of_any_call_is_lost_in_either_direction(tmp_path: Path) -> None:
    document = run("none", tmp_path)
    assert document["end_reasons"] == {"caller_hangup": 6}
    assert document["caller_frames"] == {"sent": 1500, "arrived": 1500, "lost": 0, "out_of_order": 0}
    assert document["model_sessions_left_open"] == 0
    assert document["at_once"] == 6


@pytest.mark.e2e
def test_a_drain_lets_every_call_finish_and_sends_new_ones_elsewhere(tmp_path: Path) -> None:
    document = run("drain", tmp_path)
    assert document["end_reasons"] == {"caller_hangup": 6}
    gateway = document["gateway"]
    assert isinstance(gateway, dict) and gateway["exit_code"] == 0


@pytest.mark.e2e
def test_a_killed_model_leaves_no_caller_without_a_word_and_no_call_without_a_reason(tmp_path: Path) -> None:
    document = run("kill-model", tmp_path)
    reasons, waits = document["end_reasons"], document["ms_from_kill_to_next_verb"]
    assert isinstance(reasons, dict) and sum(reasons.values()) == 6
    assert isinstance(waits, dict) and waits["n"] == 6
    assert set(reasons) <= {"model_lost", "model_unreachable"}


def test_every_frame_carries_its_call_and_number() -> None:
    audio = caller_audio(1999, turns=2, turn_s=4.5, speech_s=1.0)
    frames = [audio[at : at + FRAME_BYTES] for at in range(0, len(audio), FRAME_BYTES)]
    assert [read_number(frame) for frame in frames] == [(1999, number) for number in range(450)]
    assert len(set(frames)) == 450


def test_a_changed_frame_and_a_plain_one_have_no_number() -> None:
    frame = caller_audio(1, 1, 1.0, 0.5)[:FRAME_BYTES]
    assert read_number(b"\x55" + frame[1:]) is None
    assert read_number(frame[1:] + frame[:1]) is None
    assert read_number(frame[:80]) is None
    assert read_number(b"\xff" * FRAME_BYTES) is None


def test_numbers_are_silent_and_the_voice_is_loud() -> None:
    audio, detector = caller_audio(1, 1, 2.0, 1.0), EnergyVad()
    heard = [detector.probability(audio[at : at + FRAME_BYTES]) for at in range(0, len(audio), FRAME_BYTES)]
    assert min(heard[:50]) > 0.5 > max(heard[50:])


@pytest.mark.parametrize("size", [1, 2, 3, 160, 1440])
def test_the_length_of_audio_is_told_from_its_message(size: int) -> None:
    payload = base64.b64encode(b"\x01" * size).decode()
    assert payload_bytes(f'{{"event":"media","streamSid":"MZ","media":{{"payload":"{payload}"}}}}') == size
    assert payload_bytes('{"event":"mark"}') == 0


def test_an_unknown_fault_is_a_sentence() -> None:
    with pytest.raises(ConfigError, match="--fault must be one of none, drain, kill-model"):
        LoadPlan(1, 1.0, "fire")


def test_a_short_run_has_one_turn_that_leaves_time_for_the_answer() -> None:
    plan = LoadPlan(1, 1.0)
    assert (plan.turns, plan.turn_s, plan.frames) == (1, 4.5, 225)


def test_percentiles_are_of_nearest_rank() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, percent) for percent in (50, 99, 100)] == [50.0, 99.0, 100.0]
    assert percentile([], 50) is None


# --- the judgement --------------------------------------------------------------------------------

TEXT = "The answer."
SOUND = babble(TEXT)


def evidence(**session: object) -> Evidence:
    """One call of three frames, heard whole; `session` changes what the model saw."""
    report = CallReport("CA1", outcome="completed", ended_by="caller", duration_s=3.0)
    report.media.heard.append(Segment(1.0, bytearray(SOUND)))
    report.media.frames_sent = 3
    log = CallerLog(0, sent_at=[1.0, 1.02, 1.04], pieces=[(2.5, 0)], began_s=0.0, ended_s=4.0, report=report)
    item = ItemReport(TEXT, len(SOUND), hashlib.sha256(SOUND).hexdigest(), 2.4, None)
    seen = SessionReport(0, 480, [0, 1, 2], [1.01, 1.03, 1.05], [item], 0)
    model = ModelReport(0, [replace(seen, **session)])  # type: ignore[arg-type]  # a test's own choice of fields
    return Evidence(LoadPlan(1, 1.0), [log], model, {"CA1": "caller_hangup"})


def problems(seen: Evidence) -> list[str]:
    found = judge(seen)["problems"]
    assert isinstance(found, list)
    return found


def test_a_clean_run_is_ok_and_its_latencies_are_those_of_the_clocks() -> None:
    document = judge(evidence())
    assert document["ok"] is True
    assert document["added_latency_ms"] == {
        "caller": {"p50": 10.0, "p99": 10.0, "max": 10.0, "n": 3},
        "caller_while_all_calls_are_up": {"p50": 10.0, "p99": 10.0, "max": 10.0, "n": 2},
        "agent": {"p50": 100.0, "p99": 100.0, "max": 100.0, "n": 1},
    }


def test_a_lost_frame_is_named() -> None:
    found = problems(evidence(numbers=[0, 2], times=[1.01, 1.05], audio_bytes=320))
    assert found == [
        "call 0: 1 caller frames did not reach the model, the first is 1",
        "call 0: 480 bytes were sent, 320 reached the model",
    ]


def test_frames_that_come_twice_or_in_disorder_are_told() -> None:
    assert problems(evidence(numbers=[0, 2, 1])) == ["call 0: 2 caller frames out of order or twice"]


def test_agent_audio_that_was_not_heard_is_told() -> None:
    seen = evidence()
    report = seen.callers[0].report
    assert report is not None
    del report.media.heard[0].audio[-160:]
    assert problems(seen) == [f"call 0: 160 of {len(SOUND)} bytes of an answer were not heard"]
    report.media.heard[0].audio += SOUND[-160:] + b"\x11"
    assert problems(seen) == ["call 0: 1 bytes were heard that the model did not say"]


def test_an_answer_that_was_cut_may_end_early() -> None:
    seen = evidence()
    report, model = seen.callers[0].report, seen.model
    assert report is not None and model is not None
    del report.media.heard[0].audio[-160:]
    cut = replace(model.sessions[0].items[0], cut_ms=100)
    seen.model = ModelReport(0, [replace(model.sessions[0], items=[cut])])
    document = judge(seen)
    assert document["ok"] is True
    assert document["agent_audio_bytes"] == {"spoken": len(SOUND), "heard": len(SOUND) - 160, "cut": 160}


def test_a_call_without_a_record_and_a_session_left_open_are_told() -> None:
    seen = evidence()
    assert seen.model is not None
    seen.end_reasons, seen.model = {}, replace(seen.model, open_sessions=1)
    assert problems(seen) == ["call 0 has no end record", "1 model sessions were left open"]


def test_a_killed_model_must_be_apologised_for() -> None:
    seen = evidence()
    seen.plan, seen.model, seen.end_reasons = LoadPlan(1, 1.0, "kill-model"), None, {"CA1": "model_lost"}
    assert problems(seen) == ["call 0 heard no apology"]


def test_a_caller_who_waits_too_long_for_the_next_verb_is_told() -> None:
    seen = evidence()
    seen.struck_s, seen.callers[0].stream_closed_s = 10.0, 12.9
    assert judge(seen)["ok"] is True
    seen.callers[0].stream_closed_s = 13.1
    assert problems(seen) == ["1 callers waited longer than 3 s for the next verb, one 3100 ms"]


def test_a_model_report_survives_its_line() -> None:
    model = evidence().model
    assert model is not None
    assert from_line(to_line(model)) == model
