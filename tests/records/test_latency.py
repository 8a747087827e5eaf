"""Figures from recordings whose true edges are known."""

from pathlib import Path
from time import process_time

import pytest

from gateway.records.latency import measure, percentile
from gateway.records.speech import RecordingError
from tests.records.conversation import write_wav

CALLER = [(3.0, 5.0), (9.0, 11.5), (17.0, 18.0)]
AGENT = [(0.5, 2.5), (5.78, 8.2), (12.85, 16.0), (18.62, 21.0)]


@pytest.mark.parametrize("noise", [0.0, 0.004, 0.02])
def test_known_gaps_are_measured_within_40_ms(tmp_path: Path, noise: float) -> None:
    figures = measure(write_wav(tmp_path / "call.wav", 22, CALLER, AGENT, noise=noise))
    assert [turn.v2v_ms for turn in figures.turns] == pytest.approx([780, 1350, 620], abs=40)
    assert [figures.p50_ms, figures.p95_ms] == pytest.approx([780, 1350], abs=40)
    assert (figures.barge_ins, figures.talk_over_ms, figures.dead_air_ms) == ((), 0, 0)


def test_a_breath_pause_is_not_the_end_of_a_turn(tmp_path: Path) -> None:
    caller = [(1.0, 2.0), (3.5, 4.0), (4.6, 5.0)]
    figures = measure(write_wav(tmp_path / "call.wav", 8, caller, [(5.9, 7.0)]))
    assert [turn.v2v_ms for turn in figures.turns] == pytest.approx([900], abs=40)


def test_a_reply_of_several_sentences_is_one_turn(tmp_path: Path) -> None:
    figures = measure(write_wav(tmp_path / "call.wav", 9, [(1.0, 2.0)], [(2.8, 4.0), (4.5, 6.0), (7.2, 8.0)]))
    assert [turn.v2v_ms for turn in figures.turns] == pytest.approx([800], abs=40)


def test_a_barge_in_is_timed_until_the_agent_stops(tmp_path: Path) -> None:
    figures = measure(write_wav(tmp_path / "call.wav", 9, [(3.0, 4.5)], [(1.0, 3.35), (5.3, 8.0)]))
    assert [one.stop_ms for one in figures.barge_ins] == pytest.approx([350], abs=40)
    assert figures.barge_ins[0].yielded
    assert figures.talk_over_ms == pytest.approx(350, abs=40)
    assert [turn.v2v_ms for turn in figures.turns] == pytest.approx([800], abs=40)


def test_a_backchannel_over_the_agent_is_no_turn(tmp_path: Path) -> None:
    figures = measure(write_wav(tmp_path / "call.wav", 9, [(3.0, 3.3)], [(1.0, 6.0), (7.0, 8.0)]))
    assert [one.yielded for one in figures.barge_ins] == [False]
    assert figures.turns == ()


def test_an_agent_that_speaks_over_the_caller_has_not_answered(tmp_path: Path) -> None:
    figures = measure(write_wav(tmp_path / "call.wav", 9, [(1.0, 4.0)], [(3.0, 5.0)]))
    assert (figures.turns, figures.barge_ins) == ((), ())
    assert figures.talk_over_ms == pytest.approx(1000, abs=40)


def test_long_silences_of_both_sides_are_dead_air(tmp_path: Path) -> None:
    figures = measure(write_wav(tmp_path / "call.wav", 12, [(3.0, 4.0)], [(0.5, 1.5), (8.0, 9.0)]))
    assert figures.dead_air_ms == pytest.approx(4000, abs=40)


def test_an_empty_or_silent_call_has_no_figures(tmp_path: Path) -> None:
    for seconds in (0, 3):
        figures = measure(write_wav(tmp_path / "call.wav", seconds, [], []))
        assert (figures.turns, figures.p50_ms, figures.p95_ms) == ((), None, None)
        assert figures.to_json()["duration_s"] == seconds


def test_percentiles_are_nearest_rank() -> None:
    assert percentile([], 50) is None
    assert [percentile([40, 10, 30, 20], percent) for percent in (0, 25, 50, 95, 100)] == [10, 10, 20, 40, 40]


def test_measuring_takes_a_fraction_of_the_calls_time(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "call.wav", 60, [], [])
    begun = process_time()
    measure(path)
    assert process_time() - begun < 3


@pytest.mark.parametrize(
    "content", [b"", b"RIFF", b"not a wave file at all", b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0"]
)
def test_what_is_no_recording_is_refused_with_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=r"call\.wav cannot be read"):
        measure(path)


def test_a_missing_or_mono_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="cannot be read"):
        measure(tmp_path / "none.wav")
    header = write_wav(tmp_path / "call.wav", 1, [], []).read_bytes()
    (tmp_path / "mono.wav").write_bytes(header[:22] + b"\x01\x00" + header[24:])
    with pytest.raises(RecordingError, match="expected two channels"):
        measure(tmp_path / "mono.wav")
