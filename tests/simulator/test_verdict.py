"""When `gateway simulate call` says that a call went well."""

import pytest

from gateway.simulator.carrier import CallReport
from gateway.simulator.carrier.report import Segment
from gateway.simulator.placing import went_well


def report(**more: str) -> CallReport:
    made = CallReport("CA1", outcome="completed", ended_by="caller")
    made.media.heard.append(Segment(0.5))
    for name, value in more.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize("by", ["caller", "twiml", "end_of_twiml", "rest"])
def test_a_call_that_ended_in_order_went_well(by: str) -> None:
    assert went_well(report(ended_by=by))


@pytest.mark.parametrize(
    "more",
    [
        {"ended_by": "application_error"},
        {"ended_by": "redirect_limit"},
        {"script_error": "step 1: nothing was heard"},
        {"outcome": "failed"},
    ],
)
def test_a_call_that_broke_off_did_not_although_twilio_calls_it_completed(more: dict[str, str]) -> None:
    assert not went_well(report(**more))


def test_a_call_in_which_nothing_was_heard_did_not_go_well() -> None:
    silent = report()
    silent.media.heard.clear()
    assert not went_well(silent)
