"""When `gateway simulate call` says that a call went well."""

import asyncio

import pytest

from gateway.simulator.carrier import CallReport, Dtmf, HangUp, Party, Pause, Script, Wait, parties
from gateway.simulator.carrier.report import Segment
from gateway.simulator.carrier.script import Step
from gateway.simulator.carriers.frame import LiveCall
from gateway.simulator.carriers.frame import Step as Follow
from gateway.simulator.placing import carry_out, went_well
from tests.simulator.carriers.test_live import HUMAN, call


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


@pytest.mark.parametrize(
    ("steps", "left"),
    [
        ([Pause(9), HangUp()], None),
        ([Wait("ringing", 9.0), HangUp()], "the call ended before step 1 of 2 was done"),
        ([Pause(9), Dtmf("1"), HangUp()], "the call ended before step 2 of 3 was done"),
        ([Wait("alone", 9.0), Pause(1)], None),
    ],
)
def test_steps_that_the_end_of_the_call_has_cut_off_are_told(steps: list[Step], left: str | None) -> None:
    async def begin(live: LiveCall) -> Follow | None:
        live.answer()
        await asyncio.sleep(2)
        return None

    made, _ = call(begin, Script(steps))
    assert (made.call.ended_by, made.call.script_error) == ("instructions", left)


def test_a_transfer_is_told_as_the_caller_saw_it(capsys: pytest.CaptureFixture[str]) -> None:
    async def begin(live: LiveCall) -> Follow | None:
        live.answer()
        await live.dial(HUMAN)
        for _ in range(3):
            live.warn(9102, "hangup: HTTP 503")
        return None

    made, _ = call(begin, people=[Party(HUMAN, parties.answers(ring_s=2.0, talk_s=5.0))])
    carry_out(lambda: (made.call, {"output_variables": {"action": "transfer"}}), None, as_json=False)
    said = capsys.readouterr().out
    assert "rings for 2.00 s" in said
    assert "bridged with +1•••0150 for 5.00 s" in said
    assert "output variables" in said and "action=transfer" in said
    assert said.count("9102") == 1 and "9102 hangup: HTTP 503 (3 times)" in said


def test_a_call_in_which_nothing_was_heard_did_not_go_well() -> None:
    silent = report()
    silent.media.heard.clear()
    assert not went_well(silent)
