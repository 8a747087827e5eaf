"""Whatever happens to the packets, the sound that is forwarded goes on, in order, and loses no time."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.carriers.browser.intake import FRAME, HELD, SILENCE, Intake
from tests.clock import run

SILENT = SILENCE * FRAME


def sound(number: int) -> bytes:
    return bytes([number % 200 + 1]) * FRAME


def forwarded(work: Callable[[Intake], Awaitable[None]]) -> tuple[list[bytes], Intake]:
    """Return what was forwarded of what `work` puts in."""
    out: list[bytes] = []

    async def main() -> Intake:
        intake = Intake(out.append)
        keeping = asyncio.get_running_loop().create_task(intake.run())
        await work(intake)
        keeping.cancel()
        return intake

    return out, run(main())


def packets(*numbers: int, start: int = 0) -> Callable[[Intake], Awaitable[None]]:
    """Put these packets in, one each 20 ms, of a stream that begins at a timestamp."""

    async def work(intake: Intake) -> None:
        for number in numbers:
            intake.packet((start + number * FRAME) % 2**32, sound(number))
            await asyncio.sleep(0.02)

    return work


def test_what_comes_in_order_is_forwarded_at_once_and_as_it_is() -> None:
    out, intake = forwarded(packets(0, 1, 2, start=2**32 - FRAME))
    assert out == [sound(0), sound(1), sound(2)]
    assert intake.figures.received == 3 and not intake.figures.dropped


def test_packets_that_change_places_are_put_in_order() -> None:
    assert forwarded(packets(0, 2, 1, 3))[0] == [sound(n) for n in range(4)]


def test_a_lost_packet_is_concealed_by_the_last_one_and_the_time_is_kept() -> None:
    out, intake = forwarded(packets(0, 1, 3, 4, 5, 6))
    assert out == [sound(0), sound(1), sound(1), sound(3), sound(4), sound(5), sound(6)]
    assert intake.figures.concealed_ms == 20


def test_a_longer_gap_is_the_last_packet_once_more_and_then_silence() -> None:
    out, _ = forwarded(packets(0, 4, 5, 6, 7))
    assert out == [sound(0), sound(0), SILENT, SILENT, sound(4), sound(5), sound(6), sound(7)]


def test_no_more_than_three_packets_wait_for_a_gap() -> None:
    async def work(intake: Intake) -> None:
        for number in (0, 2, 3, 4, 5):
            intake.packet(number * FRAME, sound(number))

    out, _ = forwarded(work)
    assert HELD == 3 and out[-1] == sound(5)


def test_a_packet_that_waits_alone_is_forwarded_after_60_ms() -> None:
    async def work(intake: Intake) -> None:
        intake.packet(0, sound(0))
        intake.packet(2 * FRAME, sound(2))
        await asyncio.sleep(0.065)

    assert forwarded(work)[0] == [sound(0), sound(0), sound(2)]


def test_late_and_double_packets_are_dropped() -> None:
    out, intake = forwarded(packets(0, 1, 1, 0, 3, 3, 2))
    assert out == [sound(n) for n in range(4)]
    assert intake.figures.dropped == 3


def test_a_stream_that_stops_is_silence_at_the_clock_s_pace() -> None:
    async def work(intake: Intake) -> None:
        intake.packet(0, sound(0))
        await asyncio.sleep(1.005)

    out, intake = forwarded(work)
    assert out == [sound(0)] + [SILENT] * 50
    assert intake.figures.silent_ms == 1000


def test_a_stream_that_never_begins_is_silence_too() -> None:
    assert forwarded(lambda _: asyncio.sleep(0.505))[0] == [SILENT] * 25


def test_a_loop_that_stood_still_itself_reads_before_it_fills() -> None:
    async def work(intake: Intake) -> None:
        loop = asyncio.get_running_loop()
        time.sleep(0.2)  # noqa: ASYNC251 - the loop stands still
        for number in range(5):
            loop.call_later(0.005, intake.packet, number * FRAME, sound(number))
        await asyncio.sleep(0.01)

    out: list[bytes] = []

    async def main() -> None:
        intake = Intake(out.append)
        keeping = asyncio.get_running_loop().create_task(intake.run())
        await asyncio.sleep(0.01)
        await work(intake)
        keeping.cancel()

    asyncio.run(main())
    assert out == [sound(number) for number in range(5)]


def test_words_that_were_only_late_are_not_lost() -> None:
    async def work(intake: Intake) -> None:
        intake.packet(0, sound(0))
        await asyncio.sleep(0.5)
        for number in range(1, 25):
            intake.packet(number * FRAME, sound(number))

    out, _ = forwarded(work)
    assert out[-24:] == [sound(number) for number in range(1, 25)]


def test_a_jump_of_the_timestamp_is_a_new_beginning() -> None:
    async def work(intake: Intake) -> None:
        for timestamp, number in ((0, 0), (FRAME, 1), (5_000_000, 2), (5_000_000 + FRAME, 3), (100, 4)):
            intake.packet(timestamp, sound(number))
            await asyncio.sleep(0.02)

    assert forwarded(work)[0] == [sound(n) for n in range(5)]


def test_a_flood_is_cut_at_two_seconds() -> None:
    async def work(intake: Intake) -> None:
        for number in range(1000):
            intake.packet(number * FRAME, sound(number))

    out, intake = forwarded(work)
    assert 99 <= len(out) <= 100
    assert intake.figures.dropped == 1000 - len(out)


@pytest.mark.filterwarnings("ignore")
@given(
    st.lists(
        st.tuples(st.integers(0, 2**32 - 1) | st.integers(0, 4000), st.integers(0, 400), st.floats(0, 0.3)), max_size=60
    )
)
@settings(max_examples=150, deadline=None)
def test_no_packets_at_all_stop_the_clock_or_flood_the_model(stream: list[tuple[int, int, float]]) -> None:
    lasted = [0.0]

    async def work(intake: Intake) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for timestamp, size, pause in stream:
            intake.packet(timestamp, b"\x11" * size)
            await asyncio.sleep(pause)
        await asyncio.sleep(0.2)
        lasted[0] = loop.time() - begun

    out, intake = forwarded(work)
    covered_s = sum(map(len, out)) / 8000
    gaps_s = sum(8000 for _ in stream) / 8000  # each may conceal a second at most
    assert lasted[0] - 0.13 - sum(pause for *_, pause in stream if pause < 0.13) <= covered_s
    assert covered_s <= lasted[0] + 2.1 + gaps_s
    assert intake.figures.received == len(stream)
