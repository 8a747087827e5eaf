from gateway.simulator.local.wer import digits_of, word_errors


def test_numbers_are_compared_digit_by_digit_however_written() -> None:
    assert word_errors("order four two seven", "Order 427.") == (0, 4)
    assert word_errors("order 4 2 7", "order 4-27") == (0, 4)
    assert word_errors("order four two seven", "order 428") == (1, 4)
    assert word_errors("at ten thirty", "at 10:30") == (0, 5)


def test_ordinals_are_read_as_numbers() -> None:
    assert word_errors("the fourteenth of March", "the 14th of March")[0] == 0
    assert word_errors("the twenty-first", "the 21st")[0] == 0


def test_case_punctuation_and_fillers_do_not_count() -> None:
    assert word_errors("Um, hello! Is anyone there?", "hello is anyone there") == (0, 4)


def test_insertions_deletions_and_substitutions_count_one_each() -> None:
    assert word_errors("where is my package", "where was my old package please") == (3, 4)
    assert word_errors("where is my package", "") == (4, 4)
    assert word_errors("", "hello") == (1, 0)


def test_repeated_digits_are_counted_twice() -> None:
    assert digits_of("The number is double seven three one.") == "7731"
    assert digits_of("oh five") == "05"
