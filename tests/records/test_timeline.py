"""A journal is told in the order of the conversation, however late its parts came, and however broken it is."""

from datetime import UTC, datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.records.journal import JournalEntry
from gateway.records.timeline import Interruption, Latency, ToolWait, tell
from gateway.store import JsonValue, StoredCall


def journal(*rows: tuple[float, str, str, dict[str, JsonValue]]) -> list[JournalEntry]:
    return [
        JournalEntry("call-1", seq, at_s, direction, kind, data)  # type: ignore[arg-type]
        for seq, (at_s, direction, kind, data) in enumerate(rows)
    ]


def ended_call(reason: str | None) -> StoredCall:
    at = datetime(2026, 11, 22, 9, tzinfo=UTC)
    return StoredCall(
        call_id="call-1",
        carrier="twilio",
        carrier_call_id="CA1",
        direction="inbound",
        agent="orders",
        from_number="+15550001",
        to_number="+15550002",
        carrier_state="completed",
        carrier_sequence=3,
        offered_at=at,
        answered_at=at,
        ended_at=at,
        end_reason=reason,
        end_detail="killed \x1b[31mhard",
        duration_ms=61_500,
        usage=None,
        cost_usd=None,
        latency=None,
        recording_path=None,
        agents_hash="",
        owner="n/1",
    )


ORDER = journal(
    (0.3, "<", "StreamStarted", {"stream_id": "MZ1"}),
    (0.3, ">", "OpenModel", {}),
    (1.0, "<", "AgentSaid", {"item_id": "a1", "response_id": "r1", "text": "Hello, Acme."}),
    (1.6, ">", "Heard", {"item_id": "a1", "begins_s": 0.9, "ms": 500}),
    (2.0, "<", "SpeechStarted", {"item_id": "c1", "audio_start_ms": 1700}),
    (4.0, "<", "SpeechStopped", {"item_id": "c1", "audio_end_ms": 3500}),
    (4.1, ">", "InvokeTool", {"tool_call_id": "t1", "name": "get_order", "arguments": '{"id": 427}'}),
    (4.3, "<", "CallerSaid", {"item_id": "c1", "text": "Where is order 427?"}),
    (4.6, "<", "ToolResult", {"tool_call_id": "t1", "ok": True, "output": '{"status": "shipped"}'}),
    (5.1, "=", "turn_latency", {"item_id": "a2", "ms": 1100}),
    (5.2, "<", "AgentSaid", {"item_id": "a2", "text": "It has shipped and …"}),
    (6.0, "=", "barge_in", {"item_id": "a2", "heard_ms": 880}),
    (6.1, ">", "Heard", {"item_id": "a2", "begins_s": 5.1, "ms": 880}),
    (7.0, "<", "ModelClosed", {"code": "1006", "reason": "lost", "permanent": False}),
    (7.0, ">", "OpenModel", {}),
    (9.0, "<", "LegEnded", {"reason": "caller_hangup", "detail": ""}),
    (9.0, "=", "end", {"reason": "caller_hangup", "detail": ""}),
)


def test_a_call_is_told_in_the_order_in_which_it_was_heard() -> None:
    told = [(line.at_s, line.who, line.what) for line in tell(None, ORDER).lines]
    assert told == [
        (0.3, "gateway", "the media stream is up"),
        (0.3, "gateway", "opens the model session"),
        (0.9, "agent", "Hello, Acme."),
        (2.0, "caller", "begins to speak"),
        (2.0, "caller", "Where is order 427?"),
        (4.0, "caller", "stops"),
        (4.1, "tool", 'get_order {"id": 427}'),
        (4.6, "tool", 'get_order answers {"status": "shipped"}'),
        (5.1, "agent", "first audio after the caller"),
        (5.1, "agent", "It has shipped and …"),
        (6.0, "caller", "interrupts the agent"),
        (7.0, "model", "1006 lost"),
        (7.0, "gateway", "opens another model session"),
        (9.0, "caller", "caller_hangup"),
        (9.0, "gateway", "caller_hangup"),
    ]


def test_waits_barge_ins_and_latencies_are_collected() -> None:
    timeline = tell(None, ORDER)
    assert timeline.call_id == "call-1"
    assert timeline.tools == (ToolWait("get_order", 4.1, 4.6, True),)
    assert timeline.barge_ins == (Interruption(6.0, 880),)
    assert timeline.latencies == (Latency(5.1, 1100),)
    assert timeline.recorded_from_s == 0.3
    assert [line.ms for line in timeline.lines if line.kind == "tool_result"] == [500]


def test_a_tool_without_an_answer_waits_to_the_end() -> None:
    asked = journal((1.0, ">", "InvokeTool", {"tool_call_id": "t1", "name": "slow", "arguments": "{}"}))
    assert tell(None, asked).tools == (ToolWait("slow", 1.0, None, None),)


def test_the_end_record_stands_in_for_a_lost_end() -> None:
    line = tell(ended_call("gateway_restarted"), ORDER[:3]).lines[-1]
    assert (line.at_s, line.kind, line.what) == (61.5, "end", "gateway_restarted: killed  [31mhard")
    assert tell(ended_call(None), []).lines == ()


VALUES = st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.lists(st.integers(), max_size=2)
KINDS = st.sampled_from(
    [*sorted({entry.kind for entry in ORDER}), "ModelFault", "ResponseDone", "Dtmf", "recover", "?"]
)
FIELDS = st.sampled_from(
    ["item_id", "text", "ms", "heard_ms", "begins_s", "tool_call_id", "name", "ok", "status", "code"],
)
ROWS = st.lists(st.tuples(st.floats(0, 100), st.just("="), KINDS, st.dictionaries(FIELDS, VALUES)))


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ROWS)
def test_any_journal_is_told_and_never_steers_a_terminal(
    rows: list[tuple[float, str, str, dict[str, JsonValue]]],
) -> None:
    for line in tell(None, journal(*rows)).lines:
        assert line.what == "" or line.what.isprintable()


def test_the_end_of_a_stream_that_we_closed_is_no_news() -> None:
    ours = journal((1.0, ">", "HangUp", {"reason": "agent_hangup"}), (1.1, "<", "LegEnded", {"reason": "leg_lost"}))
    assert [line.kind for line in tell(None, ours).lines] == ["hang_up"]
