from datetime import date

import pytest

from gateway.simulator.local.when import dates, say_date, times

from .conftest import TODAY


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        ("tomorrow", ["2026-11-23"]),
        ("next Tuesday", ["2026-11-24"]),
        ("on Sunday", ["2026-11-29"]),
        ("on June 3rd", ["2027-06-03"]),
        ("June third", ["2027-06-03"]),
        ("the twenty-fourth", ["2026-11-24"]),
        ("the 5th", ["2026-12-05"]),
        ("from the 14th of March to the 21st", ["2027-03-14", "2027-03-21"]),
        ("Thursday, not Tuesday", ["2026-11-26"]),
        ("2027-02-30", []),
        ("February 30th", []),
        ("next week some time", []),
    ],
)
def test_dates_are_found(heard: str, expected: list[str]) -> None:
    assert dates(heard, TODAY) == expected


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        ("at 10 30", ["10:30"]),
        ("at ten thirty", ["10:30"]),
        ("around three p.m.", ["15:00"]),
        ("at half past seven", ["19:30"]),
        ("quarter to nine", ["08:45"]),
        ("eleven o'clock", ["11:00"]),
        ("at 4:15", ["16:15"]),
        ("7 am", ["07:00"]),
        ("8 in the evening? at 8", ["20:00"]),
        ("noon", ["12:00"]),
        ("order 4 2 7", []),
    ],
)
def test_times_are_found(heard: str, expected: list[str]) -> None:
    assert times(heard) == expected


def test_a_day_of_december_is_followed_by_january() -> None:
    assert dates("the 3rd", date(2026, 12, 20)) == ["2027-01-03"]


def test_dates_are_said_with_their_ordinal() -> None:
    assert [say_date(date(2026, 11, day)) for day in (1, 2, 3, 11, 24)] == [
        "Sunday, November 1st",
        "Monday, November 2nd",
        "Tuesday, November 3rd",
        "Wednesday, November 11th",
        "Tuesday, November 24th",
    ]
