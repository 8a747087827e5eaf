"""The model's audio clock against the call's."""

import pytest

from gateway.records.audioclock import AudioClock


def steady(seconds: float) -> AudioClock:
    """Frames of 20 ms, the first of which ended at 10.02."""
    clock = AudioClock()
    for frame in range(round(seconds * 50)):
        clock.append(20.0, 10.02 + frame * 0.02)
    return clock


@pytest.mark.parametrize("ms", [0, 20, 105, 990, 1000])
def test_a_moment_is_told_where_audio_comes_steadily(ms: int) -> None:
    assert steady(1.0).time_of(ms) == pytest.approx(10.0 + ms / 1000, abs=0.021)


def test_a_moment_after_a_gap_is_not_before_the_gap() -> None:
    clock = steady(1.0)
    for frame in range(50):
        clock.append(20.0, 20.02 + frame * 0.02)
    assert clock.time_of(1500) == pytest.approx(20.5, abs=0.021)
    assert clock.time_of(500) == pytest.approx(10.5, abs=0.021)


def test_what_was_kept_back_was_heard_by_the_model_when_it_was_let_go() -> None:
    clock = steady(1.0)
    clock.append(1200.0, 15.0)
    clock.append(1200.0, 15.0)
    moment = clock.time_of(2800)
    assert moment is not None and 13.5 <= moment <= 15.0


def test_a_new_session_counts_anew_and_what_is_not_known_is_not_told() -> None:
    assert AudioClock().time_of(100) is None
    clock = steady(1.0)
    clock.restart()
    clock.append(20.0, 30.0)
    assert clock.time_of(10) == pytest.approx(30.0, abs=0.021)
    assert clock.time_of(5000) == pytest.approx(30.0, abs=0.021)


def test_it_stays_small() -> None:
    clock = steady(100.0)
    assert clock.time_of(99_500) == pytest.approx(109.5, abs=0.021)
