import pytest

from gateway.simulator.local.spoken import digit_runs, numbers, spell_digits


@pytest.mark.parametrize(
    ("heard", "digits"),
    [
        ("the status of order number four two seven", "427"),
        ("the status of order 427?", "427"),
        ("Order 4 27.", "427"),
        ("order for 27", "427"),
        ("Order number 9 15 3 please", "9153"),
        ("nine one five three", "9153"),
        ("double seven three one", "7731"),
        ("double 7 3 1", "7731"),
        ("triple zero five", "0005"),
        ("3-8-0-6-2", "38062"),
        ("three ate oh six too", "38062"),
        ("five five one, two oh nine", "551209"),
        ("four twenty seven", "427"),
        ("nine hundred", "900"),
    ],
)
def test_a_digit_string_is_read_however_it_was_written(heard: str, digits: str) -> None:
    assert [run.digits for run in digit_runs(heard)] == [digits]


@pytest.mark.parametrize("heard", ["I would like to go for a walk", "oh dear", "we ate too much", "come to the desk"])
def test_homophones_away_from_digits_are_words(heard: str) -> None:
    assert digit_runs(heard) == []


def test_a_number_said_to_be_wrong_is_marked() -> None:
    assert [(run.digits, run.negated) for run in digit_runs("I meant two three seven, not two three eleven")] == [
        ("237", False),
        ("2311", True),
    ]


def test_a_run_of_digits_without_end_is_bounded() -> None:
    assert len(digit_runs("7 " * 5000)[0].digits) == 40


def test_quantities_are_numbers_and_homophones_are_not() -> None:
    assert [value for value, _ in numbers("forty two tickets for 3 people, $42.50")] == [42.0, 3.0, 42.5]


def test_long_numbers_are_spelled_and_times_are_not() -> None:
    assert spell_digits("Order 427 at 10:30 costs 12.50 and 007") == "Order 4 2 7 at 10:30 costs 12.50 and 0 0 7"
