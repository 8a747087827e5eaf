"""Every mark is resolved once, whatever the carrier does with those that a clear has dropped."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.carriers.markbook import MOST, MarkBook


def test_a_mark_is_news_once() -> None:
    book = MarkBook()
    book.sent("a")
    assert [book.echoed("a"), book.echoed("a"), book.echoed("never sent")] == [True, False, False]


def test_an_echo_after_a_clear_is_late_and_the_same_name_may_be_used_again() -> None:
    book = MarkBook()
    book.sent("a")
    book.cleared()
    assert not book.echoed("a")
    book.sent("a")
    assert book.echoed("a")


def test_a_carrier_that_never_echoes_does_not_fill_the_memory() -> None:
    book = MarkBook()
    for number in range(3 * MOST):
        book.sent(str(number))
    assert len(book) == MOST


@given(st.lists(st.tuples(st.sampled_from(("sent", "echoed", "cleared")), st.sampled_from("abc"))))
def test_no_history_yields_more_news_than_marks(history: list[tuple[str, str]]) -> None:
    book, sent, news = MarkBook(), 0, 0
    for what, name in history:
        if what == "sent":
            book.sent(name)
            sent += 1
        elif what == "echoed":
            news += book.echoed(name)
        else:
            book.cleared()
        assert news <= sent
