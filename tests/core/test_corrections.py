"""What counts as a claim of the agent, and what backs it."""

from gateway.core import Call, CallPlan
from gateway.core import commands as cmd
from gateway.core import events as ev
from gateway.core import operator as op
from gateway.core.plan import ToolRules
from tests.core.lists import active, ask, done, only, quiet, records, speech

BOOKED = "I have booked a room for you."
PLAN = CallPlan(tools={"book": ToolRules(filler=None, claims=("I have booked",))}, corrects_claims=True)


def says(call: Call, now: float, wish_id: str = "", text: str = BOOKED) -> list[cmd.Command]:
    commands = call.receive(ev.ResponseCreated(f"r{now}", wish_id), now)
    commands += call.receive(ev.AudioDelta(f"r{now}", f"a{now}", speech(1000)), now)
    commands += call.receive(ev.AgentSaid(f"r{now}", f"a{now}", text), now)
    return commands + call.receive(done(f"r{now}"), now + 0.1) + quiet(call, now + 2.0)


def goes_on(*calls: ev.PastCall) -> tuple[Call, str]:
    """A telephone call that goes on after a crash, and the wish for its first words."""
    call = Call(CallPlan(briefing_s=2.0, tools=PLAN.tools, corrects_claims=True))
    call.receive(ev.CallOffered(), 0.0)
    call.receive(ev.Briefed(calls=calls, resumed=True), 0.1)
    call.receive(ev.SessionReady("s"), 0.5)
    asked = only(call.receive(ev.StreamStarted("MZ1"), 1.0), cmd.CreateResponse)
    return call, asked[0].wish_id if asked else ""


def test_words_of_a_greeting_an_operator_or_a_business_are_no_claims_of_the_agent() -> None:
    greeted = active(CallPlan(greeting=BOOKED, tools=PLAN.tools))
    assert records(says(greeted, 2.0, "w1"), "claim_unbacked") == []
    call = active(PLAN)
    (said,) = only(ask(call, "o1", op.Say(BOOKED), 2.0), cmd.CreateResponse)
    assert records(says(call, 2.5, said.wish_id), "claim_unbacked") == []
    assert records(says(call, 6.0), "claim_unbacked"), "its own words are"


def test_what_was_done_before_a_crash_backs_a_claim_after_it() -> None:
    call, wish_id = goes_on(ev.PastCall("c1", "book", "{}", '{"room":2}'))
    assert records(says(call, 2.0, wish_id), "claim_unbacked") == []


def test_what_failed_before_a_crash_backs_nothing() -> None:
    call, wish_id = goes_on(ev.PastCall("c1", "book", "{}", '{"error":"fully booked"}'))
    assert records(says(call, 2.0, wish_id), "claim_unbacked")


def test_a_claim_waits_for_what_the_ledger_has_of_a_past_call() -> None:
    call, wish_id = goes_on(ev.PastCall("c1", "book", "{}"))
    assert records(says(call, 2.0, wish_id), "claim_unbacked") == []
    told = call.receive(ev.ToolResult("c1", True, "{}"), 5.0)
    (asked,) = only(told, cmd.CreateResponse)
    assert records(told + says(call, 6.0, asked.wish_id), "claim_unbacked") == []


def test_a_past_call_that_is_told_of_twice_is_asked_of_the_ledger_once() -> None:
    call = Call(CallPlan(briefing_s=2.0, tools=PLAN.tools))
    call.receive(ev.CallOffered(), 0.0)
    call.receive(ev.SessionReady("s"), 0.5)
    call.receive(ev.StreamStarted("MZ1"), 1.0)
    past = ev.PastCall("c1", "book", "{}")
    asked = only(call.receive(ev.Briefed(calls=(past, past), resumed=True), 1.1), cmd.InvokeTool)
    assert [one.tool_call_id for one in asked] == ["c1"]


def test_a_promise_backs_a_claim_until_it_is_broken() -> None:
    call = active(PLAN)
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(done("r1", ev.FunctionCall("c1", "book", "{}")), 2.0)
    call.receive(ev.ToolResult("c1", True, "{}", pending=True), 2.5)
    assert records(says(call, 3.0, "w1"), "claim_unbacked") == []
    call.receive(ev.ToolResult("c1", False, '{"error":"fully booked"}'), 8.0)
    assert records(says(call, 9.0, "w2", "I am sorry, there is no room."), "claim_unbacked")


def test_corrections_of_a_model_that_goes_on_claiming_come_to_an_end() -> None:
    call, corrected = active(PLAN), 0
    for number in range(12):
        corrected += len(records(says(call, 2.0 + 5 * number, f"w{number}"), "claim_corrected"))
    assert corrected == 3


def test_what_is_known_too_late_of_a_call_that_goes_on_is_told_silently_and_backs_claims() -> None:
    call = Call(CallPlan(briefing_s=2.0, tools=PLAN.tools))
    call.receive(ev.CallOffered(), 0.0)
    call.receive(ev.SessionReady("s"), 0.5)
    call.receive(ev.StreamStarted("MZ1"), 1.0)
    call.receive(ev.Tick(), 2.0)
    past = ev.PastCall("c1", "book", "{}", '{"room":2}')
    late = call.receive(ev.Briefed(words=(ev.PastWords("user", "A room."),), calls=(past,), resumed=True), 2.1)
    (item,) = only(late, cmd.CreateItem)
    assert "A room." in str(item) and "room" in str(item)
    assert only(late, cmd.CreateResponse) == []
    assert records(says(call, 3.0), "claim_unbacked") == []
