"""The playout buffer, and what of an item was heard."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.simulator.carrier import heard_prefix_ms, tone
from gateway.simulator.carrier.playout import MAX_QUEUE_BYTES, Playout
from gateway.simulator.carrier.report import CallReport, MediaLog, Segment

ITEM = tone(440, 2000) + b"\xff" * 800 + tone(555, 1000)


def test_a_mark_with_nothing_queued_is_due_at_once() -> None:
    assert Playout().mark("a")


def test_a_mark_waits_for_the_frame_being_played() -> None:
    playout = Playout()
    playout.add(b"\1" * 160)
    assert playout.tick() == (b"\1" * 160, [])
    assert not playout.mark("a")
    assert playout.tick() == (b"", ["a"])


def test_audio_of_odd_size_comes_out_whole() -> None:
    playout = Playout()
    playout.add(b"\1" * 100)
    playout.add(b"\2" * 100)
    assert playout.tick()[0] == b"\1" * 100 + b"\2" * 60
    assert playout.tick()[0] == b"\2" * 40


def test_more_than_ten_minutes_are_discarded() -> None:
    playout = Playout()
    assert playout.add(bytes(MAX_QUEUE_BYTES - 1)) == 0
    assert playout.add(bytes(3)) == 2


@given(st.lists(st.one_of(st.binary(min_size=1, max_size=500), st.sampled_from(["mark", "clear", "tick"]))))
def test_audio_keeps_its_order_and_each_mark_comes_back_once(steps: list[bytes | str]) -> None:
    playout, sent, played, dropped, asked, echoed = Playout(), b"", b"", 0, 0, 0
    for step in [*steps, *["tick"] * 200]:
        if isinstance(step, bytes):
            sent += step
            playout.add(step)
        elif step == "mark":
            asked += 1
            echoed += playout.mark("m")
        elif step == "clear":
            size, names = playout.clear()
            sent, dropped, echoed = sent[: len(sent) - size], dropped + size, echoed + len(names)
        else:
            frame, names = playout.tick()
            played, echoed = played + frame, echoed + len(names)
        assert sent.startswith(played)
    if playout.queued_bytes == 0:
        assert (played, echoed) == (sent, asked)


def test_the_heard_part_of_an_item_is_found_byte_by_byte() -> None:
    assert heard_prefix_ms(ITEM, tone(700, 300) + ITEM[:9600] + tone(700, 300)) == 1200
    assert heard_prefix_ms(ITEM, ITEM) == 3100
    assert heard_prefix_ms(ITEM, tone(700, 3000)) is None
    assert heard_prefix_ms(ITEM, b"") is None
    assert heard_prefix_ms(b"", ITEM) is None
    assert heard_prefix_ms(b"\xff" * 800, ITEM) is None


def test_silence_of_an_underrun_is_not_counted() -> None:
    assert heard_prefix_ms(ITEM, ITEM[:8000] + b"\xff" * 480 + ITEM[8000:12000] + b"\xff" * 4000) == 1500


def test_a_very_short_hearing_is_found() -> None:
    assert heard_prefix_ms(ITEM, b"\xff" * 800 + ITEM[:80] + b"\xff" * 800) == 10


def test_channels_lie_on_one_clock() -> None:
    media = MediaLog([Segment(0.5, bytearray(b"\1" * 800))], [Segment(0.0, bytearray(b"\2" * 800))])
    report = CallReport("CA1", duration_s=1.0, media=media)
    both = report.two_channels()
    assert len(both) == 16000
    assert both[0::2] == b"\2" * 800 + b"\xff" * 7200
    assert both[1::2] == b"\xff" * 4000 + b"\1" * 800 + b"\xff" * 3200
    assert report.silences(0.3) == [(0.1, 0.5), (0.6, 1.0)]


def test_a_short_gap_in_speech_is_an_underrun_and_a_long_one_is_not() -> None:
    audio = bytearray(b"\1" * 800)
    media = MediaLog([Segment(0.0, audio), Segment(0.14, audio), Segment(2.0, audio)])
    assert media.underruns == 1
