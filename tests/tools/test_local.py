"""Calls that are promised, and numbers that are not called any more: only the caller's own, only when it is allowed."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.agents.around import Callbacks
from gateway.agents.functions import OPT_OUT_TOOL, SCHEDULE_CALLBACK_TOOL
from gateway.agents.policy import ToolPolicy
from gateway.errors import ToolError
from gateway.outbound.hours import NumberRules
from gateway.outbound.policy import CallingWindow, DialPolicy
from gateway.store import StoredCallback
from gateway.store.memory import MemoryStore
from gateway.tools.catalogue import ToolKind, catalogue_tool, parse_arguments
from gateway.tools.local import NOT_NUMBERS, LocalTools
from gateway.tools.request import CallFacts, ToolOutcome, ToolRequest
from tests import clock

NOW = datetime(2026, 6, 10, 19, 0, tzinfo=UTC)
"""Wednesday, noon in Los Angeles."""
CALL = CallFacts("c-1", "shop", "inbound", "+14155552671", "+14155550100", carrier_call_id="CA1")
TOOLS = {
    str(spec["name"]): catalogue_tool(
        str(spec["name"]),
        ToolKind.LOCAL,
        str(spec["description"]),
        spec["parameters"],
        ToolPolicy(effect="write", idempotent=True),
    )
    for spec in (SCHEDULE_CALLBACK_TOOL, OPT_OUT_TOOL)
}


class Line:
    """One call that calls the two functions."""

    def __init__(self, call: CallFacts = CALL, callbacks: Callbacks | None = None) -> None:
        self.store = MemoryStore(self.now)
        self.call = call
        self.at = NOW
        rules = NumberRules(DialPolicy(frozenset({"US", "AU"}), CallingWindow("09:00", "20:00")))
        self.tools = LocalTools(self.store, rules, lambda agent: callbacks or Callbacks(), self.now)

    def now(self) -> datetime:
        return self.at

    def ask(self, name: str, arguments: Mapping[str, object], tool_call_id: str = "call_1") -> ToolOutcome:
        tool = TOOLS[name]
        checked = parse_arguments(tool, json.dumps(arguments))
        return asyncio.run(self.tools.invoke(ToolRequest(self.call, tool, tool_call_id, checked)))

    def schedule(self, tool_call_id: str = "call_1", **arguments: object) -> ToolOutcome:
        return self.wish(arguments, tool_call_id)

    def wish(self, arguments: Mapping[str, object], tool_call_id: str = "call_1") -> ToolOutcome:
        return self.ask("schedule_callback", {"reason": "prices", **arguments}, tool_call_id)

    def waiting(self) -> list[StoredCallback]:
        return [row for row in self.store.callbacks.values() if row.state == "waiting"]


def sentence(outcome: ToolOutcome) -> str:
    assert not outcome.ok
    return str(json.loads(outcome.output)["error"])


@pytest.mark.parametrize(
    ("arguments", "due_at"),
    [
        ({"at": "2026-06-10T15:00"}, datetime(2026, 6, 10, 22, 0, tzinfo=UTC)),
        ({"at": "2026-06-10 15:00:30"}, datetime(2026, 6, 10, 22, 0, 30, tzinfo=UTC)),
        ({"at": "2026-06-11T18:00-04:00"}, datetime(2026, 6, 11, 22, 0, tzinfo=UTC)),
        ({"at": "2026-06-11T22:00Z"}, datetime(2026, 6, 11, 22, 0, tzinfo=UTC)),
        ({"in_minutes": 90}, NOW + timedelta(minutes=90)),
    ],
)
def test_a_call_is_promised_for_a_time_on_the_callers_clock(arguments: dict[str, object], due_at: datetime) -> None:
    line = Line()
    outcome = line.wish(arguments)
    (row,) = line.waiting()
    assert (row.due_at, row.to_number, row.from_number) == (due_at, "+14155552671", "+14155550100")
    assert (row.agent, row.reason, row.zone, row.tries) == ("shop", "prices", "America/Los_Angeles", 3)
    assert outcome.ok
    local = due_at - timedelta(hours=7)
    expected = f"{local:%A, %d %B %Y, %H:%M} local time there (America/Los_Angeles)"
    assert json.loads(outcome.output) == {"status": "arranged", "time": expected}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"at": "2026-06-10T11:00"}, "that time is over: it is now Wednesday, 10 June 2026, 12:00 local time there"),
        ({"at": "2026-06-25T12:01"}, "for the next 14 days only; it is now Wednesday, 10 June 2026, 12:00"),
        (
            {"at": "2026-06-10T20:00"},
            "outside the hours in which calls are allowed; the next time is Thursday, 11 June",
        ),
        ({"at": "2026-06-11T03:00"}, "the next time is Thursday, 11 June 2026, 09:00 local time there"),
        ({"at": "2026-02-30T12:00"}, "no such date"),
        ({"at": "tomorrow"}, "must be a date and time such as"),
        ({"at": "2026-06-11"}, "must be a date and time such as"),
        ({"at": "0001-01-01T00:00"}, "that time is over"),
        ({"at": "0001-01-01T00:00+23:59"}, "no such date"),
        ({"at": "9999-12-31T23:59-12:00"}, "no such date"),
        ({}, "either `at` or `in_minutes`"),
        ({"at": "2026-06-11T12:00", "in_minutes": 5}, "either `at` or `in_minutes`"),
    ],
)
def test_a_time_that_cannot_be_kept_is_refused_with_a_way_out(arguments: dict[str, object], told: str) -> None:
    line = Line()
    assert told in sentence(line.wish(arguments))
    assert line.waiting() == []


def test_no_other_number_can_be_asked_for() -> None:
    with pytest.raises(ToolError, match="number"):
        Line().schedule(in_minutes=5, number="+19005550100")


@pytest.mark.parametrize("number", ["", "anonymous", "sip:a@b.example", *sorted(NOT_NUMBERS)])
def test_a_withheld_number_is_neither_called_back_nor_noted(number: str) -> None:
    line = Line(replace(CALL, from_number=number))
    assert "withheld" in sentence(line.schedule(in_minutes=30))
    assert "withheld" in sentence(line.ask("opt_out", {}))
    assert (line.store.callbacks, line.store.opt_outs) == ({}, {})


@pytest.mark.parametrize("number", ["+19005551234", "+18765551234", "+442079460000", "+14155550"])
def test_a_number_that_the_rules_never_allow_is_promised_nothing(number: str) -> None:
    line = Line(replace(CALL, from_number=number))
    assert "cannot be called back" in sentence(line.schedule(in_minutes=30))
    assert "cannot be called back" in sentence(line.schedule(at="2026-06-11T12:00"))


def test_where_the_zone_is_not_certain_the_model_is_told_to_ask_for_it() -> None:
    line = Line(replace(CALL, from_number="+61491570156"))  # a mobile number may be in any part of Australia
    assert "time zone" in sentence(line.schedule(at="2026-06-11T12:00"))
    outcome = line.schedule(at="2026-06-11T17:00+10:00")
    assert json.loads(outcome.output)["time"] == "Thursday, 11 June 2026, 07:00 UTC"
    assert line.waiting()[0].zone is None


def test_the_same_function_call_once_more_changes_nothing() -> None:
    line = Line()
    first = line.schedule(in_minutes=60)
    line.at = NOW + timedelta(minutes=5)
    assert line.schedule(in_minutes=60).output == first.output
    (row,) = line.waiting()
    assert row.due_at == NOW + timedelta(minutes=60)


def test_a_newer_wish_replaces_the_older() -> None:
    line = Line()
    line.schedule("call_1", in_minutes=60)
    line.schedule("call_2", in_minutes=120)
    (row,) = line.waiting()
    assert row.due_at == NOW + timedelta(minutes=120)
    assert len(line.store.callbacks) == 2


def test_the_agent_file_says_who_calls_how_far_ahead_and_how_often() -> None:
    line = Line(callbacks=Callbacks(agent="sales", max_days=1, attempts=5))
    assert "next 1 days" in sentence(line.schedule(at="2026-06-11T13:00"))
    assert line.schedule(at="2026-06-11T11:00").ok
    assert [(row.agent, row.tries) for row in line.waiting()] == [("sales", 5)]


def test_on_a_call_that_we_placed_the_called_party_is_meant() -> None:
    line = Line(replace(CALL, direction="outbound", from_number="+14155550100", to_number="+14155552671"))
    assert line.schedule(in_minutes=30).ok
    (row,) = line.waiting()
    assert (row.to_number, row.from_number) == ("+14155552671", "+14155550100")
    assert line.ask("opt_out", {}).ok
    assert set(line.store.opt_outs) == {"+14155552671"}


def test_who_asked_not_to_be_called_is_promised_nothing() -> None:
    line = Line()
    assert json.loads(line.ask("opt_out", {}).output)["status"].startswith("noted")
    assert line.ask("opt_out", {}, "call_2").ok
    assert "asked not to be called" in sentence(line.schedule(in_minutes=30))


def test_where_no_calls_are_placed_none_is_promised() -> None:
    store = MemoryStore()
    request = ToolRequest(CALL, TOOLS["schedule_callback"], "call_1", {"in_minutes": 5})
    rules = NumberRules(DialPolicy(frozenset({"US"})))
    for tools in (LocalTools(store, None, lambda _: Callbacks()), LocalTools(store, rules, lambda _: None)):
        assert "no calls can be arranged" in sentence(asyncio.run(tools.invoke(request)))


class Silent(MemoryStore):
    async def opted_out(self, number: str) -> bool:
        await asyncio.Event().wait()
        return False

    async def add_opt_out(self, number: str, source: str, at: datetime) -> bool:
        await asyncio.Event().wait()
        return False


@pytest.mark.parametrize("name", ["schedule_callback", "opt_out"])
def test_a_store_that_does_not_answer_promises_nothing_in_the_tools_time(name: str) -> None:
    async def scenario() -> tuple[ToolOutcome, float]:
        rules = NumberRules(DialPolicy(frozenset({"US"})))
        tools = LocalTools(Silent(), rules, lambda _: Callbacks(), lambda: NOW)
        request = ToolRequest(CALL, TOOLS[name], "call_1", {"in_minutes": 5})
        return await tools.invoke(request), asyncio.get_running_loop().time()

    outcome, took_s = clock.run(scenario())
    assert "do not promise" in sentence(outcome)
    assert took_s == 8.0
