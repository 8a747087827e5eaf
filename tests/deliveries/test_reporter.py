"""The reporter in front of a log: what is queued, in which order, how large, and what after a crash."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from gateway.deliveries import Reporter, tell_orphans
from gateway.deliveries.events import MOST_BYTES, EventType, delivery_id
from gateway.store.memory import MemoryStore
from gateway.store.rows import CallEnd, CallRow, DeliveryRow, InvocationRow, JournalEntry, JsonValue
from gateway.tools.request import CallFacts
from tests.clock import run

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ALL: tuple[EventType, ...] = (
    *("call.started", "transcript.turn", "call.ended", "callback.requested", "caller.opted_out", "tool.unknown"),
)
CALL = CallRow("call_1", "twilio", "CA1", "inbound", "support", "+14155550101", "+14155550199", NOON)
FACTS = CallFacts("call_1", "support", "inbound", "+14155550101", "+14155550199", carrier_call_id="CA1")
END = CallEnd("call_1", NOON + timedelta(seconds=9), "caller_hangup", 9000, usage={"t": 5}, cost_usd=Decimal("0.0120"))


@dataclass(frozen=True)
class Address:
    types: tuple[str, ...] = ALL
    url: str = "https://business.example.com/events"
    secret: str | None = "env:EVENTS_SECRET"


class Log(MemoryStore):
    """A store that tells in which order it was written to."""

    def __init__(self) -> None:
        super().__init__(lambda: NOON)
        self.order: list[str] = []

    def deliver(self, row: DeliveryRow) -> None:
        self.order.append(row.delivery_id)
        super().deliver(row)

    def call_ended(self, end: CallEnd) -> None:
        self.order.append("end")
        super().call_ended(end)

    def data(self, kind: str, key: str = "") -> dict[str, Any]:
        (row,) = [row for row in self.deliveries.values() if row.type == kind and key in row.delivery_id]
        data: dict[str, Any] = json.loads(row.body)["data"]
        return data


class Reported:
    """A call that is reported."""

    def __init__(self, address: Address | None = None, variables: dict[str, object] | None = None) -> None:
        self.log, self.woken, self.seq = Log(), 0, 0
        self.reporter = Reporter(
            self.log, lambda _: address, wake=self.wake, variables_of=lambda _: variables or {}, clock=lambda: NOON
        )
        self.reporter.call_offered(CALL)
        self.reporter.call_updated("call_1", answered_at=NOON)

    def wake(self) -> None:
        self.woken += 1

    def add(self, kind: str, at_s: float = 1.0, /, **data: JsonValue) -> None:
        self.seq += 1
        self.reporter.put(JournalEntry("call_1", self.seq, at_s, "<", kind, data))

    def tool(self, name: str, arguments: str = "{}", output: str = '{"ok":true}', **result: JsonValue) -> None:
        self.add("InvokeTool", tool_call_id=name, name="book", arguments=arguments)
        self.add("ToolResult", tool_call_id=name, ok=True, output=output, detail="HTTP 200", **result)


def test_the_delivery_of_an_end_is_queued_before_the_end() -> None:
    it = Reported(Address())
    it.add("CallerSaid", item_id="c", text="Hello?")
    it.reporter.call_ended(END)
    assert it.log.order == ["call_1:call_started", "call_1:transcript_turn:c", "call_1:call_ended", "end"]
    assert it.woken == 3
    assert it.log.calls["call_1"].end_reason == "caller_hangup" and len(it.log.journals["call_1"]) == 1


def test_nothing_is_told_for_an_agent_without_events() -> None:
    it = Reported(None)
    it.tool("t1")
    it.reporter.tell("caller.opted_out", FACTS, "", {})
    it.reporter.call_ended(END)
    assert it.log.order == ["end"] and it.woken == 0


def test_an_end_holds_the_record_of_the_call() -> None:
    it = Reported(Address(), {"customer": 7})
    it.tool("t1", '{"at":"nine"}')
    it.add("CallerSaid", item_id="c", text="Hello?")
    it.reporter.call_ended(replace(END, recording_path="/recordings/call_1.wav"))
    data = it.log.data("call.ended")
    assert data["call"] == {
        **{"id": "call_1", "direction": "inbound", "from": "+14155550101", "to": "+14155550199", "agent": "support"},
        **{"metadata": {}, "carrier": "twilio", "carrier_call_id": "CA1"},
    }
    assert (data["reason"], data["duration_s"], data["cost_usd"], data["usage"]) == (
        "caller_hangup",
        9.0,
        "0.0120",
        {"t": 5},
    )
    assert (data["answered_at"], data["recording"], data["variables"]) == (
        "2026-11-22T12:00:00.000Z",
        True,
        {"customer": 7},
    )
    (tool,) = data["tools"]
    assert (tool["call_id"], tool["arguments"], tool["outcome"]) == ("t1", {"at": "nine"}, "done")
    (row,) = [row for row in it.log.deliveries.values() if row.type == "call.ended"]
    assert (row.secret, row.url, row.agent) == ("env:EVENTS_SECRET", "https://business.example.com/events", "support")
    assert "recordings" not in row.body, "where it lies is nobody else's business"


def test_functions_are_told_with_what_became_of_them() -> None:
    it = Reported(Address())
    it.add("InvokeTool", tool_call_id="none", name="book", arguments="{}")
    it.tool("later", pending=True)
    it.add("InvokeTool", tool_call_id="bad", name="book", arguments="{not json")
    it.add("ToolResult", tool_call_id="bad", ok=False, output='{"error":"no"}', detail="bad_arguments")
    it.add("InvokeTool", tool_call_id="lost", name="book", arguments="{}")
    it.reporter.tell("tool.unknown", FACTS, "lost", {"tool": {"name": "book", "call_id": "lost"}})
    it.add("ToolResult", tool_call_id="lost", ok=False, output="{}", detail="no answer in time")
    it.add("ToolResult", tool_call_id="nobody asked", ok=True, output="{}")
    it.reporter.call_ended(END)
    outcomes = {tool["call_id"]: tool["outcome"] for tool in it.log.data("call.ended")["tools"]}
    assert outcomes == {"none": "no_result", "later": "pending", "bad": "failed", "lost": "unknown"}
    assert it.log.data("tool.unknown")["call"]["id"] == "call_1"
    assert it.log.data("tool.unknown")["tool"] == {"name": "book", "call_id": "lost"}


def test_a_long_call_is_cut_in_the_middle_and_says_so() -> None:
    it = Reported(Address(("call.ended",)))
    for number in range(3000):
        it.add("CallerSaid", float(number), item_id=f"c{number}", text=f"Turn {number}: äöü ✓ " + '"\\' * 20)
        it.tool(f"t{number}", json.dumps({"text": "✓" * 3000}), json.dumps(["\n" * 9000]))
    it.reporter.call_ended(replace(END, usage={"x": "y" * 500_000}, latency={"turns_ms": [1] * 100_000}))
    (row,) = it.log.deliveries.values()
    assert len(row.body.encode()) <= MOST_BYTES
    data = json.loads(row.body)["data"]
    turns = data["transcript"]
    assert turns[0]["text"].startswith("Turn 0:") and turns[-1]["text"].startswith("Turn 2999:")
    (note,) = [turn for turn in turns if turn["role"] == "note"]
    assert data["transcript_omitted"] + len(turns) - 1 == 3000 and str(data["transcript_omitted"]) in note["text"]
    assert data["tools_omitted"] + len(data["tools"]) == 3000 and data["tools_omitted"] > 0
    assert (data["usage"], data["latency"]) == ({}, {})


@pytest.mark.parametrize("hostile", [float("nan"), float("inf"), "\ud800", "x" * 300_000, object(), {1: {2: 3}}])
def test_nothing_that_is_no_json_keeps_an_end_from_being_told(hostile: Any) -> None:
    it = Reported(Address(), {"v": hostile})
    it.add("CallerSaid", item_id="c", text="half \ud800 a pair")
    it.tool("t1", '{"n": NaN}', "[" * 5000)
    it.reporter.call_ended(replace(END, usage={"u": hostile}, latency={"l": hostile}, end_detail="\ud800"))
    (row,) = [row for row in it.log.deliveries.values() if row.type == "call.ended"]
    assert len(row.body.encode()) <= MOST_BYTES and json.loads(row.body)["data"]["reason"] == "caller_hangup"


@pytest.mark.parametrize("hostile", [float("nan"), "x" * 300_000, object()])
def test_what_cannot_be_sent_is_left_out_of_what_happened(hostile: Any) -> None:
    it = Reported(Address())
    it.reporter.tell("callback.requested", FACTS, "t1", {"arguments": {"reason": hostile}})
    data = it.log.data("callback.requested")
    assert data.keys() == {"call"} and data["call"]["from"] == "+14155550101"


def test_ids_are_fit_for_a_signature_and_the_same_for_the_same_event() -> None:
    assert delivery_id("call_1", "call.ended") == "call_1:call_ended"
    strange = delivery_id("call_1", "transcript.turn", "item.\n✓ " * 100)
    assert strange == delivery_id("call_1", "transcript.turn", "item.\n✓ " * 100)
    assert "." not in strange and strange.isascii() and strange.isprintable() and len(strange) <= 128
    assert strange != delivery_id("call_1", "transcript.turn", "item.\n✓ " * 101)


def test_a_call_whose_process_died_is_told_of_under_the_same_ids() -> None:
    it = Reported(Address())
    it.add("CallerSaid", 1.0, item_id="c1", text="Hello?")
    it.add("CallerSaid", 2.0, item_id="c2", text="Is anybody there?")
    it.log.deliveries.pop("call_1:transcript_turn:c2")  # not committed when the process was killed

    async def main() -> Log:
        after = Log()
        after.deliveries, after.journals = it.log.deliveries, it.log.journals
        ended = replace(it.log.calls["call_1"], end_reason="gateway_restarted", duration_ms=2000, ended_at=NOON)
        after.calls = {"call_1": replace(ended, answered_at=NOON)}
        reporter = Reporter(after, lambda _: Address(), clock=lambda: NOON)
        before = dict(after.deliveries)
        assert await tell_orphans(after, reporter, clock=lambda: NOON) == 1
        assert all(after.deliveries[key] is row for key, row in before.items()), "what was told stays as it was"
        assert await tell_orphans(after, reporter, clock=lambda: NOON) == 0, "nothing twice"
        return after

    after = run(main())
    assert set(after.deliveries) == {
        *("call_1:call_started", "call_1:transcript_turn:c1", "call_1:transcript_turn:c2", "call_1:call_ended")
    }
    data = after.data("call.ended")
    assert (data["reason"], [turn["text"] for turn in data["transcript"]]) == (
        "gateway_restarted",
        ["Hello?", "Is anybody there?"],
    )
    assert after.data("transcript.turn", "c2")["turn"]["seq"] == 1


def test_the_end_of_a_lost_call_takes_the_ledgers_word_for_its_functions() -> None:
    it = Reported(Address())
    states = ("intended", "pending", "unknown", "failed", "done")
    for name in (*states, "read", "journalled"):
        it.add("InvokeTool", 1.0, tool_call_id=name, name="book", arguments="{}")
    it.add("ToolResult", 2.0, tool_call_id="journalled", ok=False, output='"unsure"', detail="HTTP 500")

    async def main() -> dict[str, Any]:
        for name in (*states, "journalled", "of another call"):
            call_id = "call_2" if name == "of another call" else "call_1"
            await it.log.begin_invocation(invocation(name, call_id))
            if name != "intended":
                state = "unknown" if name == "journalled" else name if name in states else "done"
                it.log.end_invocation(f"CA1:{name}", state, f'"{state}"', "HTTP 200")
        ended = replace(it.log.calls["call_1"], end_reason="gateway_restarted", duration_ms=2000, ended_at=NOON)
        it.log.calls = {"call_1": ended}
        reporter = Reporter(it.log, lambda _: Address(), clock=lambda: NOON)
        assert await tell_orphans(it.log, reporter, clock=lambda: NOON) == 1
        return it.log.data("call.ended")

    tools = {tool["call_id"]: tool for tool in run(main())["tools"]}
    assert {name: tool["outcome"] for name, tool in tools.items()} == {
        "intended": "unknown",
        "pending": "pending",
        "unknown": "unknown",
        "failed": "failed",
        "done": "done",
        "read": "no_result",
        "journalled": "unknown",
    }
    assert (tools["done"]["output"], tools["done"]["detail"]) == ("done", "HTTP 200")


def test_a_refusal_that_comes_after_a_broken_promise_is_a_refusal() -> None:
    it = Reported(Address())
    it.add("InvokeTool", 1.0, tool_call_id="t1", name="book", arguments="{}")
    it.add("ToolResult", 2.0, tool_call_id="t1", ok=True, pending=True, output='"in progress"')
    it.reporter.tell("tool.unknown", FACTS, "t1", {})
    it.add("ToolResult", 3.0, tool_call_id="t1", ok=False, output='"fully booked"')
    it.reporter.call_ended(END)
    (tool,) = it.log.data("call.ended")["tools"]
    assert (tool["outcome"], tool["output"]) == ("failed", "fully booked")


def invocation(name: str, call_id: str) -> InvocationRow:
    return InvocationRow(
        key=f"CA1:{name}",
        message_id=f"msg_{name}",
        call_id=call_id,
        carrier_call_id="CA1",
        tool_call_id=name,
        agent="support",
        tool="book",
        from_number="+14155550101",
        arguments="{}",
        arguments_hash="ab" * 32,
        idempotent=False,
        created_at=NOON,
    )
