"""The live view: what is known of the call, and how it looks in a small terminal and in a pipe."""

import asyncio
import io
import re

import pytest
from rich.console import Console

from gateway.demo.screen import show
from gateway.demo.watch import Watch
from gateway.store.rows import JournalEntry, JsonValue


def entry(at_s: float, kind: str, **data: JsonValue) -> JournalEntry:
    return JournalEntry("call_1", 0, at_s, "=", kind, data)


def told() -> Watch:
    """Return a call up to the answer after a barge-in."""
    watch = Watch()
    watch.enter("the caller calls")
    watch.words("item_1", "Hello, ")
    watch.words("item_1", "this is Acme.")
    watch.entry(entry(1.0, "AgentSaid", item_id="item_1", text="Hello, this is Acme."))
    watch.entry(entry(2.0, "SpeechStarted", item_id="item_2"))
    watch.entry(entry(4.0, "InvokeTool", tool_call_id="call_a", name="look_up_order", arguments='{"order_id":"427"}'))
    watch.entry(entry(4.4, "ToolResult", tool_call_id="call_a", output='{"status":"on the way"}', ok=True))
    watch.entry(entry(4.5, "CallerSaid", item_id="item_2", text="Where is order 427?"))
    watch.entry(entry(4.6, "turn_latency", item_id="item_3", ms=830))
    watch.words("item_3", "It is on the way and will arrive tomorrow.")
    watch.entry(entry(5.0, "Spent", usd=0.0123))
    watch.entry(entry(6.0, "barge_in", item_id="item_3", heard_ms=1000, received_ms=2000))
    return watch


def drawn(watch: Watch, *, terminal: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100, height=30, color_system=None, legacy_windows=False)

    async def once() -> None:
        async with show(watch, console):
            watch.entry(entry(7.0, "end", reason="agent_hangup"))

    asyncio.run(once())
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())


def test_the_screen_shows_both_sides_the_webhook_the_barge_in_latency_and_cost() -> None:
    screen = drawn(told(), terminal=True)
    for part in ("Hello, this is Acme.", "Where is order 427?", "look_up_order", "✂ 1000 ms", "830 ms", "$0.0123"):
        assert part in screen
    assert max(len(line) for line in screen.splitlines()) <= 100


def test_a_long_conversation_keeps_its_end_on_the_screen() -> None:
    watch = told()
    for number in range(40):
        watch.entry(entry(10.0 + number, "AgentSaid", item_id=f"later_{number}", text=f"Sentence {number}."))
    screen = drawn(watch, terminal=True)
    assert "Sentence 39." in screen
    assert "Hello, this is Acme." not in screen


def test_a_pipe_gets_one_plain_line_for_each_event() -> None:
    watch = told()
    watch.entry(entry(6.1, "AgentSaid", item_id="item_3", text="It is on the way."))
    assert drawn(watch, terminal=False) == "   7.00 s  end      agent_hangup\n"


def test_what_the_business_knows_of_the_caller_is_shown_before_the_first_word() -> None:
    watch, told_at = Watch(), []
    watch.tell = lambda at_s, who, what: told_at.append((at_s, who, what))
    watch.entry(entry(0.2, "Briefed", context=""))
    watch.entry(entry(0.3, "Briefed", context="The number belongs to Sam."))
    assert told_at == [(0.3, "webhook", "← The number belongs to Sam.")]
    assert "call.incoming → The number belongs" in drawn(watch, terminal=True)


def test_lines_are_told_in_the_order_of_time() -> None:
    watch, told_at = Watch(), []
    watch.tell = lambda at_s, who, what: told_at.append((at_s, who))
    watch.entry(entry(2.0, "SpeechStarted", item_id="item_2"))
    watch.entry(entry(4.0, "InvokeTool", tool_call_id="call_a", name="look_up_order", arguments="{}"))
    watch.entry(entry(4.4, "ToolResult", tool_call_id="call_a", output="sent", ok=True))
    assert told_at == []
    watch.entry(entry(4.5, "CallerSaid", item_id="item_2", text="Where is order 427?"))
    assert told_at == [(2.0, "caller"), (4.0, "webhook"), (4.4, "webhook")]


def test_nothing_waits_long_for_a_transcript_and_the_end_for_none() -> None:
    watch, told_at = Watch(), []
    watch.tell = lambda at_s, who, what: told_at.append(at_s)
    watch.entry(entry(2.0, "SpeechStarted", item_id="never_written"))
    watch.entry(entry(4.0, "turn_latency", item_id="item_3", ms=830))
    watch.entry(entry(31.9, "Spent", usd=0.1))
    assert told_at == []
    watch.entry(entry(32.1, "Spent", usd=0.1))
    assert told_at == [4.0]
    watch.entry(entry(33.0, "SpeechStarted", item_id="never_written_either"))
    watch.entry(entry(34.0, "end", reason="agent_hangup"))
    assert told_at == [4.0]
    watch.enter("listening to the recording")
    assert told_at == [4.0, 34.0, 34.0]


def test_a_transcript_that_comes_late_is_told_at_its_place() -> None:
    watch, told_at = Watch(), []
    watch.tell = lambda at_s, who, what: told_at.append((at_s, who))
    watch.entry(entry(5.86, "SpeechStarted", item_id="item_2"))
    watch.entry(entry(11.7, "turn_latency", item_id="item_3", ms=830))
    watch.entry(entry(11.9, "CallerSaid", item_id="item_2", text="Where is order 427?"))
    assert told_at == [(5.86, "caller"), (11.7, "latency")]


def test_what_is_said_cannot_steer_the_terminal() -> None:
    watch = told()
    watch.words("item_9", "\x1b[2J[bold]red[/bold]\r")
    assert watch.talks["item_9"].text == " [2J[bold]red[/bold] "
    assert "[bold]red[/bold]" in drawn(watch, terminal=True)


@pytest.mark.parametrize(
    "kind",
    ["AgentSaid", "Briefed", "barge_in", "claim_unbacked", "turn_latency", "Spent", "ToolResult", "end", "unheard_of"],
)
def test_an_entry_without_its_fields_is_survived(kind: str) -> None:
    watch = Watch()
    watch.entry(entry(1.0, kind))
    drawn(watch, terminal=True)
