"""What was heard of each item, from the bytes that were played."""

import pytest

from gateway.simulator.carrier.report import Segment
from gateway.simulator.model import Spoken
from gateway.simulator.turns.alignment import align
from gateway.simulator.turns.voice import exact_voice


def spoken(*texts: str) -> list[Spoken]:
    return [Spoken(text, "r", text, bytearray(exact_voice(text))) for text in texts]


def played(*parts: tuple[float, bytes]) -> list[Segment]:
    return [Segment(start_s, bytearray(audio)) for start_s, audio in parts]


def test_items_heard_whole_are_found_one_after_the_other() -> None:
    ear = align(played((1.0, exact_voice("one") + exact_voice("two"))), spoken("one", "two"))
    assert [item.heard_ms for item in ear.items] == [195, 195]
    assert [item.begins_s for item in ear.items] == pytest.approx([1.0, 1.195])
    assert [item.ends_s for item in ear.items] == pytest.approx([1.195, 1.39])
    assert ear.foreign_ms == 0


def test_a_cut_item_is_heard_to_the_sample_and_the_next_from_its_beginning() -> None:
    ear = align(played((0.5, exact_voice("first")[:801]), (3.0, exact_voice("second"))), spoken("first", "second"))
    assert [item.heard_ms for item in ear.items] == [100.125, 390]
    assert ear.items[1].begins_s == 3.0


def test_an_item_of_which_nothing_was_heard_is_passed_over() -> None:
    ear = align(played((0.0, exact_voice("one")[:160] + exact_voice("three"))), spoken("one", "two", "three"))
    assert [(item.text, item.heard_ms, item.begins_s) for item in ear.items] == [
        ("one", 20, 0.0),
        ("two", 0, None),
        ("three", 325, 0.02),
    ]


def test_audio_of_a_cut_item_that_goes_on_after_the_next_is_foreign() -> None:
    one, two = exact_voice("one"), exact_voice("two")
    ear = align(played((0.0, one[:480]), (1.0, two), (2.0, one[480:640])), spoken("one", "two"))
    assert [item.heard_ms for item in ear.items] == [60, 195]
    assert ear.foreign_ms == 20


def test_an_item_that_continues_as_the_next_begins_loses_no_byte_of_the_next() -> None:
    one = bytearray(exact_voice("one"))
    two = bytearray(exact_voice("two"))
    one[480] = two[0]  # so that the cut looks a byte later than it is
    items = [Spoken("1", "r", "one", one), Spoken("2", "r", "two", two)]
    ear = align(played((0.0, bytes(one[:480] + two))), items)
    assert [item.heard_ms for item in ear.items] == [60, 195]
    assert ear.foreign_ms == 0
