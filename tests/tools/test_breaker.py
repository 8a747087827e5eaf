"""The breaker: five failures in a row, half a minute of peace, one request to try."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tools.breaker import Admission, Breaker

HOST = "https://api.example.com"


def ask(breaker: Breaker, now: float, answered: bool | None, host: str = HOST) -> Admission:
    """One whole request, if it is let through."""
    admission = breaker.admit(host, now)
    if admission is not Admission.REFUSED:
        breaker.settle(host, admission, answered, now)
    return admission


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(5):
        assert ask(breaker, now, False) is Admission.FREE
    return breaker


def test_the_fifth_failure_in_a_row_closes_the_way_for_half_a_minute() -> None:
    breaker = opened()
    assert breaker.admit(HOST, 0.0) is Admission.REFUSED
    assert breaker.admit(HOST, 29.9) is Admission.REFUSED
    assert breaker.admit(HOST, 30.0) is Admission.PROBE


def test_failures_that_are_not_in_a_row_do_not_count() -> None:
    breaker = Breaker()
    for _ in range(10):
        for answered in (False, False, False, False, True):
            assert ask(breaker, 0.0, answered) is Admission.FREE


def test_what_tells_nothing_about_the_host_counts_neither_way() -> None:
    breaker = Breaker()
    for answered in (False, None, False, None, False, None, False, None, False):
        ask(breaker, 0.0, answered)
    assert breaker.admit(HOST, 0.0) is Admission.REFUSED


def test_one_request_tries_and_the_others_wait_for_it() -> None:
    breaker = opened()
    assert [breaker.admit(HOST, 31.0) for _ in range(3)] == [Admission.PROBE, Admission.REFUSED, Admission.REFUSED]
    breaker.settle(HOST, Admission.PROBE, True, 32.0)
    assert breaker.admit(HOST, 32.0) is Admission.FREE


def test_a_failed_try_is_another_half_minute() -> None:
    breaker = opened()
    assert ask(breaker, 31.0, False) is Admission.PROBE
    assert breaker.admit(HOST, 60.9) is Admission.REFUSED
    assert breaker.admit(HOST, 61.0) is Admission.PROBE


def test_a_try_that_was_given_up_lets_the_next_one_try() -> None:
    breaker = opened()
    assert ask(breaker, 31.0, None) is Admission.PROBE
    assert breaker.admit(HOST, 31.0) is Admission.PROBE


def test_requests_from_before_neither_prolong_nor_replace_the_try() -> None:
    breaker = opened()
    for _ in range(10):
        breaker.settle(HOST, Admission.FREE, False, 20.0)
    assert breaker.admit(HOST, 30.0) is Admission.PROBE
    breaker.settle(HOST, Admission.FREE, False, 31.0)
    breaker.settle(HOST, Admission.FREE, None, 31.0)
    assert breaker.admit(HOST, 31.0) is Admission.REFUSED
    breaker.settle(HOST, Admission.FREE, True, 31.0)  # an answer is an answer
    assert breaker.admit(HOST, 31.0) is Admission.FREE


def test_hosts_fail_each_for_itself() -> None:
    breaker = opened()
    assert breaker.admit("https://other.example.com", 0.0) is Admission.FREE


def test_the_host_that_failed_least_lately_is_forgotten() -> None:
    breaker = Breaker(failures=1, max_hosts=2)
    for host in ("a", "b", "a", "c"):
        breaker.settle(host, Admission.FREE, False, 0.0)
    assert [breaker.admit(host, 0.0) for host in ("a", "b", "c")] == [
        Admission.REFUSED,
        Admission.FREE,
        Admission.REFUSED,
    ]


@given(
    st.lists(
        st.tuples(st.floats(0, 20), st.sampled_from(["a", "b", "c"]), st.sampled_from([True, False, None])),
        max_size=80,
    )
)
def test_a_host_that_answers_again_is_always_found_out(history: list[tuple[float, str, bool | None]]) -> None:
    breaker, now = Breaker(max_hosts=2), 0.0
    for pause, host, answered in history:
        now += pause
        ask(breaker, now, answered, host)
    for host in ("a", "b", "c"):
        assert ask(breaker, now + 30.0, True, host) is not Admission.REFUSED
        assert breaker.admit(host, now + 30.0) is Admission.FREE


@pytest.mark.parametrize("answered", [True, None])
def test_hosts_without_failures_are_not_kept(answered: bool | None) -> None:
    breaker = Breaker(max_hosts=1)
    breaker.settle("failing", Admission.FREE, False, 0.0)
    for number in range(100):
        ask(breaker, 0.0, answered, f"host-{number}")
    for _ in range(4):
        ask(breaker, 0.0, False, "failing")
    assert breaker.admit("failing", 0.0) is Admission.REFUSED
