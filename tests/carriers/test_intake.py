"""The caller's timeline: gaps concealed, order restored, silence filled, and never more than time has passed."""

import asyncio
import base64
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.carriers.intake import PATIENCE_S, SLACK_MS, Intake
from gateway.core.audio import AudioFormat, payload_ms
from tests.clock import run


class Line:
    """An intake and what it has fed, on a virtual clock."""

    def __init__(self, audio: AudioFormat = AudioFormat.PCMU, *, reorders: bool = False) -> None:
        self.audio = audio
        self.fed: list[bytes] = []
        self.intake = Intake(lambda payload: self.fed.append(base64.b64decode(payload)), audio, reorders=reorders)
        self.intake.begin()

    def frame(self, number: int) -> bytes:
        return bytes([number % 200 + 1]) * (20 * self.audio.bytes_per_ms)

    def take(self, number: int, *, numbered: bool = True) -> None:
        self.intake.take(base64.b64encode(self.frame(number)).decode(), number if numbered else None)

    async def steady(self, *numbers: int, numbered: bool = True) -> None:
        for number in numbers:
            await asyncio.sleep(0.02)
            self.take(number, numbered=numbered)

    @property
    def ms(self) -> float:
        return sum(len(piece) for piece in self.fed) / self.audio.bytes_per_ms

    @property
    def real(self) -> list[bytes]:
        return [piece for piece in self.fed if piece.strip(self.audio.silence)]


def on_the_clock(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await test()

    run(main())


@pytest.mark.parametrize("audio", AudioFormat)
def test_what_comes_in_order_passes_at_once_and_untouched(audio: AudioFormat) -> None:
    async def test() -> None:
        line = Line(audio)
        await line.steady(*range(1, 51))
        assert line.fed == [line.frame(number) for number in range(1, 51)]
        assert (line.intake.filled_ms, line.intake.concealed_ms) == (0, 0)
        line.intake.close()

    on_the_clock(test)


@pytest.mark.parametrize("audio", AudioFormat)
def test_a_caller_who_sends_nothing_any_more_is_silent_and_not_absent(audio: AudioFormat) -> None:
    async def test() -> None:
        line = Line(audio)
        await line.steady(*range(1, 11))
        await asyncio.sleep(10)
        assert 10_000 < line.ms <= 10_200
        assert set(line.fed[-1]) == set(audio.silence)
        line.intake.close()
        before = line.ms
        await asyncio.sleep(5)
        assert line.ms == before

    on_the_clock(test)


def test_a_stream_that_never_sends_has_a_clock_all_the_same() -> None:
    async def test() -> None:
        line = Line()
        await asyncio.sleep(3)
        assert 2800 < line.ms <= 3000
        line.intake.close()

    on_the_clock(test)


def test_silence_is_not_filled_before_the_carriers_patience_is_over() -> None:
    async def test() -> None:
        line = Line()
        await line.steady(1, numbered=False)
        await asyncio.sleep(PATIENCE_S - 0.02)
        await line.steady(2, numbered=False)
        assert line.fed == [line.frame(1), line.frame(2)]
        line.intake.close()

    on_the_clock(test)


def test_frames_that_were_only_late_are_all_heard_and_the_next_fill_is_shorter() -> None:
    async def test() -> None:
        line = Line()
        await line.steady(*range(1, 6))
        await asyncio.sleep(1.0)
        for number in range(6, 56):
            line.take(number)
        assert line.real == [line.frame(number) for number in range(1, 56)]
        await asyncio.sleep(0.9)
        assert line.ms == pytest.approx(2000, abs=110)
        line.intake.close()

    on_the_clock(test)


def test_a_single_lost_frame_is_concealed_by_the_one_before_it() -> None:
    async def test() -> None:
        line = Line()
        await line.steady(1, 2)
        await asyncio.sleep(0.02)
        await line.steady(4, 5)
        assert line.fed == [line.frame(number) for number in (1, 2, 2, 4, 5)]
        line.intake.close()

    on_the_clock(test)


def test_several_lost_frames_are_silence_and_the_timeline_keeps_its_length() -> None:
    async def test() -> None:
        line = Line()
        await line.steady(1, 2)
        await asyncio.sleep(0.02 * 7)
        await line.steady(10, 11)
        assert line.real == [line.frame(number) for number in (1, 2, 10, 11)]
        assert line.ms == 11 * 20
        line.intake.close()

    on_the_clock(test)


def test_frames_out_of_order_are_put_in_order_where_the_carrier_does_not_promise_it() -> None:
    async def test() -> None:
        line = Line(reorders=True)
        await line.steady(1, 3, 2, 5, 6, 4, 7)
        assert line.fed == [line.frame(number) for number in range(1, 8)]
        line.intake.close()

    on_the_clock(test)


def test_a_frame_that_comes_after_it_was_given_up_is_dropped() -> None:
    async def test() -> None:
        line = Line(reorders=True)
        await line.steady(1, 3, 4, 5, 2, 6)
        assert line.fed == [line.frame(number) for number in (1, 1, 3, 4, 5, 6)]
        line.intake.close()

    on_the_clock(test)


def test_frames_that_wait_for_a_lost_one_are_let_go_when_the_stream_stops() -> None:
    async def test() -> None:
        line = Line(reorders=True)
        await line.steady(1, 2, 4)
        await asyncio.sleep(1)
        assert line.real == [line.frame(number) for number in (1, 2, 2, 4)]
        line.intake.close()

    on_the_clock(test)


def test_a_count_that_stands_still_does_not_make_the_caller_mute() -> None:
    async def test() -> None:
        line = Line()
        await line.steady(*[1] * 20)
        assert line.fed == [line.frame(1)] * 20
        line.intake.close()

    on_the_clock(test)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.one_of(st.none(), st.integers(-5, 60), st.integers(-(2**60), 2**60)), st.integers(0, 400)),
        max_size=60,
    ),
    st.booleans(),
)
def test_whatever_a_carrier_counts_what_is_made_up_stays_within_the_time_that_passed(
    frames: list[tuple[int | None, int]], reorders: bool
) -> None:
    async def test() -> None:
        line, loop = Line(reorders=reorders), asyncio.get_running_loop()
        begun, given_ms = loop.time(), 0.0
        payload = base64.b64encode(line.frame(7)).decode()
        for number, pause_ms in frames:
            await asyncio.sleep(pause_ms / 1000)
            line.intake.take(payload, number)
            given_ms += payload_ms(payload)
            passed_ms = (loop.time() - begun) * 1000
            # Late frames are heard on top of what was filled for them; nothing else goes beyond the clock.
            assert line.intake.filled_ms + line.intake.concealed_ms <= passed_ms + SLACK_MS + 20
        await asyncio.sleep(2)
        passed_ms = (loop.time() - begun) * 1000
        assert passed_ms - 400 <= line.ms <= passed_ms + given_ms + SLACK_MS
        line.intake.close()

    on_the_clock(test)


def test_a_frame_that_is_late_is_waited_for_though_one_before_it_was_given_up() -> None:
    async def test() -> None:
        line = Line(reorders=True)
        await line.steady(1, 2, 4, 6, 8)  # 3 is lost, 5 and 7 only come late
        await line.steady(5, 7, 9)
        assert line.real == [line.frame(number) for number in (1, 2, 2, 4, 5, 6, 7, 8, 9)]
        line.intake.close()

    on_the_clock(test)


@pytest.mark.parametrize("frame_ms", [100, 200, 400, 1000, 5000])
def test_carriers_with_long_frames_are_heard_whole_and_at_most_a_frame_ahead_of_the_clock(frame_ms: int) -> None:
    async def test() -> None:
        line = Line()
        frame = bytes([7]) * (frame_ms * 8)
        for number in range(20_000 // frame_ms):
            await asyncio.sleep(frame_ms / 1000)
            line.intake.take(base64.b64encode(frame).decode(), number)
            assert (number + 1) * frame_ms <= line.ms <= (number + 2) * frame_ms
        assert len(line.real) == 20_000 // frame_ms
        line.intake.close()

    on_the_clock(test)
