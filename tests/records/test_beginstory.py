"""What was known before the first word is told: in time or not, in short, and of a call that goes on."""

import asyncio

import pytest

from gateway.core import CallPlan
from gateway.core import events as ev
from gateway.core.plan import ToolRules
from gateway.vault import Vault
from tests.records.recorded import RecordedCall

PLAN = CallPlan(greeting="Hello.", briefing_s=2.0, tools={"book": ToolRules(filler=None)})
KNOWN = "Ms Smith, gold customer. " + "x" * 400
SHORT = KNOWN[:200] + "…"
ARGUMENTS = '{"day": "friday"}'


def offered(plan: CallPlan = PLAN) -> RecordedCall:
    """A call whose stream is not up."""
    return RecordedCall(plan, stream=False)


def test_a_look_up_in_time_is_told_in_short_with_how_long_it_took() -> None:
    call = offered()
    call.receive(ev.Briefed(KNOWN, "Hello Ms Smith."), 0.8)
    call.receive(ev.StreamStarted("MZ1"), 1.0)
    told = [(line.what, line.ms) for line in call.lines("briefed")]
    assert told == [
        (f"what is known of the caller is there in time: {SHORT}", 800),
        ('a greeting for this caller takes the place of the agent\'s own: "Hello Ms Smith."', 800),
    ]


def test_a_look_up_that_comes_too_late_is_told_as_such() -> None:
    call = offered()
    call.receive(ev.StreamStarted("MZ1"), 1.0)
    call.receive(ev.Tick(), 2.0)
    call.receive(ev.Briefed(KNOWN, "Hello Ms Smith."), 2.5)
    told = [(line.what, line.ms) for line in call.lines("briefed")]
    assert told == [
        (f"what is known of the caller comes too late for the first word: the agent is told now: {SHORT}", 2500),
        ('a greeting for this caller comes too late, it is not said: "Hello Ms Smith."', 2500),
    ]


def test_a_late_look_up_of_an_agent_that_lets_the_caller_speak_first_is_late_too() -> None:
    call = offered(CallPlan(briefing_s=2.0))
    call.receive(ev.StreamStarted("MZ1"), 1.0)
    call.receive(ev.Tick(), 2.0)
    call.receive(ev.Briefed("Ms Smith"), 2.5)
    assert [line.what for line in call.lines("briefed")] == [
        "what is known of the caller comes too late for the first word: the agent is told now: Ms Smith"
    ]


@pytest.mark.parametrize(("at_s", "told"), [(0.05, 0), (1.5, 1)])
def test_nothing_found_out_is_told_only_where_it_was_waited_for(at_s: float, told: int) -> None:
    call = offered()
    call.receive(ev.Briefed(), at_s)
    call.receive(ev.StreamStarted("MZ1"), 1.6)
    assert [line.what for line in call.lines("briefed")] == ["nothing is found out about the caller"] * told


def test_a_telephone_call_that_goes_on_says_what_it_was_told() -> None:
    call = offered()
    call.receive(ev.StreamStarted("MZ1"), 1.0)
    words = [ev.PastWords("user", f"Word {number}.") for number in range(6)] + [
        ev.PastWords("assistant", "One moment.")
    ]
    calls = (
        ev.PastCall("c1", "book", ARGUMENTS, '{"room":2}'),
        ev.PastCall("c2", "pay", "{}"),
    )
    call.receive(ev.Briefed(words=tuple(words), calls=calls, resumed=True), 1.1)
    assert [(line.who, line.what) for line in call.lines("resumed_call", "before", "briefed")] == [
        ("gateway", "the telephone call goes on; the model is told of 7 turns and 2 function calls from before"),
        ("caller", "Word 3."),
        ("caller", "Word 4."),
        ("caller", "Word 5."),
        ("agent", "One moment."),
        ("tool", f'book {ARGUMENTS}: answered {{"room":2}}'),
        ("tool", "pay {}: its end is not known here"),
    ]
    call.receive(ev.ToolResult("c2", True, '{"paid":true}'), 1.6)
    assert call.told("tool_") == [
        (1.1, "asks the ledger what came of pay {}"),
        (1.6, 'pay answers {"paid":true}'),
    ]


def test_a_token_that_only_the_ledger_knows_is_masked_in_a_call_that_goes_on() -> None:
    token = asyncio.run(Vault().keep("4242424242424242"))
    call = offered()
    call.receive(ev.StreamStarted("MZ1"), 1.0)
    calls = (ev.PastCall("c1", "pay", f'{{"card": "{token}"}}'), ev.PastCall("c2", "look", "{}", f'{{"t": "{token}"}}'))
    call.receive(ev.Briefed(calls=calls, resumed=True), 1.1)
    assert token not in repr(call.journal)
    assert call.told("tool_call") == [(1.1, 'asks the ledger what came of pay {"card": "[token]"}')]
    assert [what for _, what in call.told("before")] == [
        'pay {"card": "[token]"}: its end is not known here',
        'look {}: answered {"t": "[token]"}',
    ]
