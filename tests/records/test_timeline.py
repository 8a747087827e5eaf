"""A journal is told in the order of the conversation, however late its parts came, and however broken it is."""

from datetime import UTC, datetime
from typing import TypeAlias

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
    (6.0, "=", "barge_in", {"item_id": "a2", "heard_ms": 880, "received_ms": 1700}),
    (6.0, "=", "heard_text", {"item_id": "a2", "text": "It has", "heard_ms": 880, "received_ms": 1700, "estimate": 1}),
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
        (5.1, "agent", "It has … [cut here, estimate]"),
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


EVERYTHING = journal(
    (1.0, "=", "held", {}),
    (1.5, "=", "resumed", {"why": "backchannel", "after_ms": 500}),
    (2.0, "=", "early_dropped", {"response_id": "r9", "calls": 2}),
    (3.0, "=", "early_released", {"response_id": "r10", "held_ms": 310}),
    (4.0, "=", "operator", {"command_id": "c", "who": "desk", "action": "MuteCaller", "outcome": "done"}),
    (4.1, "=", "muted", {"caller": 1, "agent": 0}),
    (4.2, "=", "muted", {"caller": 0, "agent": 0}),
    (4.3, ">", "ConfigureTurns", {"turns": {"mode": "manual", "key": "#"}, "creates": True, "interrupts": True}),
    (5.0, "<", "Dtmf", {"digit": "4"}),
    (5.1, "=", "digits", {"count": 1, "secure": 0, "status": "done"}),
    (6.0, "<", "Dtmf", {"digit": "•"}),
    (6.1, "=", "digits", {"count": 16, "secure": 1, "status": "done"}),
    (6.2, "<", "SecretKept", {"secret_id": "s1", "kept": True}),
    (6.5, ">", "SendDigits", {"digits": "2#"}),
    (7.0, "=", "idle", {"prompt": 1}),
    (7.5, "=", "idle", {"prompt": 0}),
    (8.0, "=", "transfer", {"transfer_id": "t1", "target": "billing", "state": "ringing", "detail": ""}),
    (8.5, "=", "transfer", {"transfer_id": "t1", "target": "billing", "state": "no_answer", "detail": "25 s"}),
    (9.0, "=", "cut_short", {"item_id": "a9", "heard_ms": 100, "received_ms": 900}),
    (9.5, "=", "end", {"reason": "transferred", "detail": ""}),
)


def test_everything_that_happens_is_told_in_plain_words() -> None:
    assert [(line.who, line.what) for line in tell(None, EVERYTHING).lines] == [
        ("agent", "pauses: the caller makes a sound"),
        ("agent", "goes on: the caller only showed that they listen"),
        ("gateway", "drops the early answer: the caller goes on, with 2 function calls that did not run"),
        ("gateway", "lets the early answer out: the caller has finished"),
        ("gateway", "desk asks for MuteCaller: done"),
        ("gateway", "the agent does not hear the caller"),
        ("gateway", "both hear each other"),
        ("gateway", "takes turns by manual"),
        ("caller", "presses 4"),
        ("caller", "keys in 1 digit: complete"),
        ("caller", "keys in 16 digits, kept secret: complete"),
        ("gateway", "keeps the digits in the vault"),
        ("gateway", "presses 2#"),
        ("gateway", "the caller gives no sign: prompt 1"),
        ("gateway", "the caller gives no sign: goodbye"),
        ("gateway", "transfer to billing rings"),
        ("gateway", "transfer to billing fails: no answer (25 s)"),
        ("model", "cuts off words that must be heard; they are said again"),
        ("gateway", "transferred"),
    ]


def agent_lines(*rows: tuple[float, str, str, dict[str, JsonValue]]) -> list[tuple[float, str, str]]:
    lines = tell(None, journal(*rows)).lines
    return [(line.at_s, line.kind, line.what) for line in lines if line.who == "agent"]


Row: TypeAlias = tuple[float, str, str, dict[str, JsonValue]]
SAID: Row = (
    1.0, "<", "AgentSaid", {"item_id": "a1", "response_id": "r1", "text": "One two three four."},
)  # fmt: skip


def test_an_agents_line_says_what_was_heard_whenever_that_was_told() -> None:
    heard: JsonValue = {"item_id": "a1", "text": "One two", "heard_ms": 900, "received_ms": 1800, "estimate": 1}
    assert isinstance(heard, dict)
    cut = (2.0, "=", "heard_text", heard)
    expected = [(1.0, "said", "One two … [cut here, estimate]")]
    assert agent_lines(SAID, cut) == expected
    assert agent_lines((0.5, "=", "heard_text", heard), SAID) == expected


def test_an_item_of_which_less_than_a_word_was_heard_was_not_said() -> None:
    cut: dict[str, JsonValue] = {"item_id": "a1", "text": "", "heard_ms": 60, "received_ms": 1800}
    told = [(1.0, "unheard", "[not a word of it was heard] One two three four.")]
    assert agent_lines(SAID, (2.0, "=", "heard_text", cut)) == told


def test_an_item_of_which_nothing_was_heard_says_so() -> None:
    told = [(1.0, "unheard", "[not a word of it was heard] One two three four.")]
    assert agent_lines(SAID, (2.0, "=", "heard_text", {"item_id": "a1", "text": "", "heard_ms": 0})) == told
    assert agent_lines(SAID, (2.0, "=", "cancelled", {"item_id": "a1", "heard_ms": 0, "received_ms": 5})) == told
    assert agent_lines(SAID, (2.0, "=", "early_dropped", {"response_id": "r1", "calls": 0})) == told


def test_a_cut_without_its_words_says_how_long_was_heard() -> None:
    cut: dict[str, JsonValue] = {"item_id": "a1", "heard_ms": 900, "received_ms": 1800}
    assert agent_lines(SAID, (2.0, "=", "barge_in", cut)) == [(1.0, "said", "One two three four. [heard 0.9 of 1.8 s]")]


def test_what_the_end_of_the_call_cut_is_no_whole_sentence() -> None:
    rows: list[Row] = [SAID]
    rows += [(1.0 + at / 10, ">", "PlayAudio", {"item_id": "a1", "ms": 180.0}) for at in range(6)]
    rows.append((1.8, "<", "AgentSaid", {"item_id": "a2", "text": "Five."}))
    rows.append((1.9, ">", "Heard", {"item_id": "a1", "begins_s": 1.1, "ms": 700.0}))
    end: Row = (1.9, "<", "LegEnded", {"reason": "caller_hangup"})
    assert agent_lines(*rows) == [(1.1, "said", "One two three four."), (1.8, "said", "Five.")]
    assert agent_lines(*rows, end) == [
        (1.1, "said", "One two three four. [heard 0.7 s, then the call ended]"),
        (1.8, "unheard", "[not a word of it was heard] Five."),
    ]


def test_one_interruption_that_cuts_two_items_is_one() -> None:
    both = journal(
        (2.0, "=", "barge_in", {"item_id": "a1", "heard_ms": 900, "received_ms": 1800}),
        (2.0, "=", "barge_in", {"item_id": "a2", "heard_ms": 0, "received_ms": 700}),
        (9.0, "=", "barge_in", {"item_id": "a3", "heard_ms": 30, "received_ms": 700}),
    )
    assert tell(None, both).barge_ins == (Interruption(2.0, 900), Interruption(9.0, 30))


def test_a_callers_line_stands_where_the_voice_began_not_where_that_was_noticed() -> None:
    lines = tell(
        None,
        journal(
            (1.3, "<", "SpeechStarted", {"item_id": "c1", "audio_start_ms": 700, "began_s": 1.0}),
            (5.0, "<", "CallerSaid", {"item_id": "c1", "text": "Hello."}),
            (1.1, ">", "Heard", {"item_id": "a1", "begins_s": 1.1, "ms": 100}),
            (1.2, "<", "AgentSaid", {"item_id": "a1", "text": "Hi."}),
        ),
    ).lines
    assert [(line.at_s, line.what) for line in lines if line.kind == "said"] == [(1.0, "Hello."), (1.1, "Hi.")]


def test_a_turn_that_we_ended_ourselves_stands_where_its_voice_began() -> None:
    lines = tell(
        None,
        journal(
            (1.2, "<", "VoiceStarted", {"at_s": 1.0}),
            (4.0, "<", "InputCommitted", {"item_id": "c1"}),
            (5.0, "<", "InputCommitted", {"item_id": "c2"}),
            (6.0, "<", "CallerSaid", {"item_id": "c2", "text": "Second."}),
            (7.0, "<", "CallerSaid", {"item_id": "c1", "text": "First."}),
        ),
    ).lines
    assert [(line.at_s, line.what) for line in lines] == [(1.0, "First."), (5.0, "Second.")]


PLAIN = st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.sampled_from(["a", "b", "own:wait_1"])
PARTS = st.dictionaries(st.sampled_from(["tool_call_id", "name", "text", "output", "role"]), PLAIN, max_size=3)
VALUES = PLAIN | st.lists(st.integers() | PARTS, max_size=2)
KINDS = st.sampled_from(
    [
        *sorted({entry.kind for entry in (*ORDER, *EVERYTHING)}),
        *("ModelFault", "ResponseDone", "recover", "early_dropped", "InputCommitted", "VoiceStarted", "?"),
        *("tool_repeated", "tool_cancelled", "tool_timeout", "tool_action", "say_refused", "confirmation_asked"),
        *("confirmed", "filler", "CreateResponse", "ResponseCreated", "Briefed", "briefed_late", "resumed_call"),
        *("claim_unbacked", "claim_corrected", "ConfigureLanguage", "SubmitToolOutput", "CallOffered"),
    ]
)
NAMES = (
    "item_id response_id text ms heard_ms begins_s at_s tool_call_id name ok status code turns secure count prompt "
    "pending say action target follows arguments output again tools wish_id context greeting resumed words calls tool"
)
FIELDS = st.sampled_from(NAMES.split())
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


def test_a_second_stream_does_not_move_the_recording() -> None:
    streams = journal((0.3, "<", "StreamStarted", {}), (30.0, "<", "StreamStarted", {}))
    assert tell(ended_call("caller_hangup"), streams).recorded_from_s == 0.3
