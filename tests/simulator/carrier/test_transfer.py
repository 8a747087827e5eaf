"""`<Dial>`: who rings, who answers, what the caller hears meanwhile and what the application is told."""

from dataclasses import dataclass
from typing import Any

import pytest

from gateway.simulator.carrier import (
    Callee,
    CallReport,
    DialOutcome,
    Dtmf,
    HangUp,
    Party,
    Pause,
    Script,
    TwilioNetwork,
    Wait,
    parties,
    tone,
)
from tests.clock import run
from tests.simulator.carrier.application import GOODBYE, ORIGIN, Application, network, plan

HUMAN, OTHER = "+14155550150", "+14155550151"
PATIENT = Script([], stay_s=120)
CALLBACK = 'statusCallback="/leg" statusCallbackEvent="initiated ringing answered completed"'
ACCEPT = (
    '<Response><Gather numDigits="1" timeout="5" action="/accepted"><Say>A caller asks for a refund.</Say></Gather>'
    "<Hangup/></Response>"
)


def dial(inside: str, attributes: str = "") -> str:
    return f'<Response><Dial action="/after" {attributes}>{inside}</Dial></Response>'


def number(to: str = HUMAN, attributes: str = "") -> str:
    return f"<Number {CALLBACK} {attributes}>{to}</Number>"


@dataclass
class Outcome:
    report: CallReport
    twilio: TwilioNetwork
    application: Application

    @property
    def after(self) -> dict[str, str]:
        (form,) = self.application.forms("/after")
        return form

    @property
    def children(self) -> list[CallReport]:
        calls = self.twilio.calls.values()
        return [call.report for call in calls if call.report.parent_sid == self.report.call_sid]

    def legs(self) -> list[tuple[str, str]]:
        return [(form["SequenceNumber"], form["CallStatus"]) for form in self.application.forms("/leg")]

    def sounds(self) -> list[tuple[str, float]]:
        whole = self.report.duration_s
        spans = [(one.kind, one.start_s, whole if one.end_s is None else one.end_s) for one in self.report.sounds]
        return [(kind, round(end - start, 1)) for kind, start, end in spans]


def transfer(document: str, *people: Party, script: Script = PATIENT, **pages: str) -> Outcome:
    application = Application(pages={"/voice": document, "/after": GOODBYE, **{f"/{k}": v for k, v in pages.items()}})

    async def main() -> Outcome:
        async with network(application, parties=people) as twilio:
            return Outcome(await twilio.call(plan(script)), twilio, application)

    return run(main())


def test_a_party_answers_and_is_bridged_until_it_hangs_up() -> None:
    seen = transfer(dial(number()), Party(HUMAN, parties.answers(ring_s=4, talk_s=20)))
    (child,) = seen.children
    assert seen.legs() == [("0", "initiated"), ("1", "ringing"), ("2", "in-progress"), ("3", "completed")]
    wanted = {"ParentCallSid": seen.report.call_sid, "Direction": "outbound-dial", "To": HUMAN, "From": "+14155550101"}
    assert all(wanted.items() <= form.items() for form in seen.application.forms("/leg"))
    assert {form["CallSid"] for form in seen.application.forms("/leg")} == {child.call_sid}
    told = {"DialCallStatus": "completed", "DialCallSid": child.call_sid, "DialCallDuration": "20"}
    assert (told | {"DialBridged": "true"}).items() <= seen.after.items()
    assert seen.sounds() == [("ring", 4.0), ("bridged", 20.0)]
    (bridge,) = seen.report.bridges
    assert (bridge.other_sid, bridge.start_s, bridge.end_s) == (child.call_sid, 4.0, 24.0)
    (theirs,) = child.bridges
    assert (theirs.other_sid, theirs.start_s, theirs.end_s) == (seen.report.call_sid, 0.0, 20.0)
    assert seen.report.deaf_times(0.1) == []


@pytest.mark.parametrize(
    ("behaviour", "status", "rang_s", "progress"),
    [
        (parties.busy(after_s=1), "busy", 1.0, ["initiated", "ringing", "busy"]),
        (parties.rejects(ring_s=3), "busy", 3.0, ["initiated", "ringing", "busy"]),
        (parties.silent(), "no-answer", 12.0, ["initiated", "ringing", "no-answer"]),
        (parties.answers(ring_s=13), "no-answer", 12.0, ["initiated", "ringing", "no-answer"]),
        (parties.unreachable(), "failed", 0.0, ["initiated", "failed"]),
    ],
)
def test_a_party_that_does_not_answer_brings_the_caller_back(
    behaviour: Callee, status: str, rang_s: float, progress: list[str]
) -> None:
    seen = transfer(dial(number(), 'timeout="12"'), Party(HUMAN, behaviour))
    assert (seen.after["DialCallStatus"], seen.after["DialBridged"]) == (status, "false")
    assert "DialCallDuration" not in seen.after
    assert [status for _, status in seen.legs()] == progress
    assert sum(seconds for _, seconds in seen.sounds()) == rang_s
    assert seen.report.bridges == []
    assert seen.report.says_heard == ["Goodbye."]


def test_a_number_that_nobody_has_is_not_answered() -> None:
    assert transfer(dial(number(), 'timeout="7"')).after["DialCallStatus"] == "no-answer"


def test_the_called_party_accepts_by_key_while_the_caller_hears_ringing() -> None:
    human = Party(HUMAN, parties.presses("1", ring_s=3, talk_s=10))
    seen = transfer(dial(number(attributes='url="/brief"')), human, brief=ACCEPT, accepted="<Response/>")
    (child,) = seen.children
    (accepted,) = seen.application.forms("/accepted")
    assert (accepted["Digits"], accepted["CallSid"]) == ("1", child.call_sid)
    assert child.says_heard == ["A caller asks for a refund."]
    assert seen.after["DialBridged"] == "true"
    (ring, bridged) = seen.report.sounds
    assert (ring.kind, bridged.kind, ring.end_s) == ("ring", "bridged", bridged.start_s)
    assert bridged.start_s > 5.0
    assert seen.report.deaf_times(0.1) == []


@pytest.mark.parametrize(
    "behaviour",
    [
        parties.presses("2"),
        parties.hangs_up(after_s=0.5),
        parties.machine(tone(440, 4000)),
    ],
)
def test_a_called_party_that_does_not_accept_is_never_bridged(behaviour: Callee) -> None:
    refuse = "<Response><Hangup/></Response>"
    seen = transfer(dial(number(attributes='url="/brief"')), Party(HUMAN, behaviour), brief=ACCEPT, accepted=refuse)
    assert (seen.after["DialCallStatus"], seen.after["DialBridged"]) == ("completed", "false")
    assert [kind for kind, _ in seen.sounds()] == ["ring"]
    assert seen.report.bridges == []
    assert [status for _, status in seen.legs()][-1] == "completed"


def test_the_first_of_several_to_answer_is_taken_and_the_others_are_canceled() -> None:
    people = [Party(HUMAN, parties.answers(ring_s=6)), Party(OTHER, parties.answers(ring_s=4, talk_s=5))]
    seen = transfer(dial(number() + number(OTHER)), *people)
    last = {form["To"]: form["CallStatus"] for form in seen.application.forms("/leg")}
    assert last == {HUMAN: "canceled", OTHER: "completed"}
    (slow, quick) = seen.children
    assert (slow.outcome, slow.ended_by) == ("canceled", "answered_elsewhere")
    assert seen.after["DialCallSid"] == quick.call_sid
    assert seen.sounds() == [("ring", 4.0), ("bridged", 5.0)]


def test_all_of_several_can_fail() -> None:
    people = [Party(HUMAN, parties.busy()), Party(OTHER, parties.silent())]
    seen = transfer(dial(number() + number(OTHER), 'timeout="9"'), *people)
    assert seen.after["DialCallStatus"] == "no-answer"
    assert seen.sounds() == [("ring", 9.0)]


def test_a_sip_address_can_be_dialled_with_another_caller_id() -> None:
    inside = '<Sip statusCallback="/leg">sip:desk@pbx.example.com</Sip>'
    document = dial(inside, 'callerId="+14155550199" answerOnBridge="true"')
    seen = transfer(document, Party("sip:desk@pbx.example.com", parties.answers(talk_s=3)))
    (form,) = seen.application.forms("/leg")
    assert (form["From"], form["CallStatus"]) == ("+14155550199", "completed")


def test_a_party_that_hangs_up_at_once_brings_the_caller_back() -> None:
    seen = transfer(dial(number()), Party(HUMAN, parties.answers(talk_s=0)))
    assert (seen.after["DialCallStatus"], seen.after["DialCallDuration"]) == ("completed", "0")
    assert seen.report.duration_s < 4


def test_the_time_limit_of_a_dial_ends_the_connection() -> None:
    seen = transfer(dial(number(), 'timeLimit="6"'), Party(HUMAN, parties.answers(talk_s=60)))
    assert seen.sounds()[-1] == ("bridged", 6.0)
    assert (seen.after["DialCallDuration"], seen.children[0].ended_by) == ("6", "dial_over")


@pytest.mark.parametrize("at_s", [0.5, 1.99, 2.0, 2.01, 2.5, 4.0, 5.0, 6.0, 8.0])
def test_a_caller_who_hangs_up_at_any_time_ends_the_other_call(at_s: float) -> None:
    human = Party(HUMAN, parties.presses("1", ring_s=2, talk_s=30))
    document = dial(number(attributes='url="/brief"'))
    seen = transfer(document, human, script=Script([], hang_up_at_s=at_s), brief=ACCEPT, accepted="<Response/>")
    (child,) = seen.children
    assert seen.report.ended_by == "caller"
    assert seen.report.duration_s == pytest.approx(at_s)
    assert child.outcome == ("completed" if at_s > 2 else child.outcome)
    assert child.outcome in ("completed", "canceled")
    assert [number for number, _ in seen.legs()] == [str(n) for n in range(len(seen.legs()))]
    assert seen.legs()[-1][1] == child.outcome
    assert all(bridge.end_s is not None for bridge in seen.report.bridges)
    assert seen.application.forms("/after") == []


def test_a_caller_waits_for_the_ringing_the_connection_and_its_end() -> None:
    script = Script([Wait("ringing"), Wait("bridged"), Dtmf("7"), Wait("alone"), Pause(0.2), HangUp()])
    seen = transfer(dial(number()), Party(HUMAN, parties.answers(ring_s=3, talk_s=5)), script=script)
    assert seen.report.script_error is None
    assert [key.name for key in seen.children[0].keys_heard] == ["7"]
    assert seen.report.duration_s == pytest.approx(8.2, abs=0.05)


def test_digits_can_be_played_to_the_far_end() -> None:
    seen = transfer('<Response><Play digits="w1W2"/></Response>')
    assert [(key.at_s, key.name) for key in seen.report.keys_heard] == [(0.5, "1"), (1.7, "2")]


def test_silence_at_the_callers_ear_is_told() -> None:
    document = f'<Response><Say>Please wait.</Say><Pause length="6"/><Redirect>{ORIGIN}/after</Redirect></Response>'
    seen = transfer(document)
    ((start, end),) = seen.report.deaf_times()
    assert (round(start, 2), round(end, 2)) == (0.78, 6.78)


def test_scripted_outcomes_come_before_the_parties() -> None:
    application = Application(pages={"/voice": dial(number()), "/after": GOODBYE})

    async def main() -> CallReport:
        async with network(application, parties=[Party(HUMAN, parties.answers())]) as twilio:
            return await twilio.call(plan(PATIENT, dials=[DialOutcome("busy")]))

    run(main())
    assert application.forms("/after")[0]["DialCallStatus"] == "busy"


def test_a_slow_status_callback_does_not_hold_up_the_caller() -> None:
    application = Application(pages={"/voice": dial(number()), "/after": GOODBYE}, delays_s={"/leg": 10.0})

    async def main() -> CallReport:
        async with network(application, parties=[Party(HUMAN, parties.busy())]) as twilio:
            return await twilio.call(plan(PATIENT))

    report = run(main())
    assert report.duration_s == pytest.approx(1.0 + 0.065 * len("Goodbye."), abs=0.05)


def test_two_runs_of_a_transfer_are_the_same() -> None:
    def once() -> Any:
        human = Party(HUMAN, parties.presses("1"))
        seen = transfer(dial(number(attributes='url="/brief"')), human, brief=ACCEPT, accepted="<Response/>")
        told = [(path, {**form, "Timestamp": ""}) for path, form in seen.application.requests]  # the day's time
        return [seen.report, *seen.children], told

    assert once() == once()


def test_the_figures_name_no_number() -> None:
    seen = transfer(dial(number()), Party(HUMAN, parties.answers(talk_s=3)))
    text = str(seen.report.figures()) + str(seen.children[0].figures())
    assert "4155550" not in text
    assert "bridged" in text
