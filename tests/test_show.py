"""The commands that look: tables for people, one JSON document for programs, one line for mistakes."""

import asyncio
import json
import re
import wave
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.errors import GatewayError
from gateway.records.pcm import to_pcm
from gateway.records.speech import RecordingError
from gateway.show import check, list_calls, show_call, voice_to_voice
from gateway.simulator.carrier import tone
from gateway.store.rows import CallEnd, CallRow, JournalEntry, JsonValue, StoreError
from gateway.store.store import Store

CALLER, CALLED = "+14155550101", "+14155550199"
FIRST, SECOND = "call_aa11", "call_aa22"


def recording(path: Path) -> Path:
    """A second of the caller, 0.6 s of silence, a second of the agent."""
    speech, silence = tone(300, 1000), b"\xff" * 8000
    left = to_pcm(speech + silence + silence)
    right = to_pcm(silence + silence[:4800] + speech + silence[:3200])
    both = bytearray(2 * len(left))
    both[0::4], both[1::4], both[2::4], both[3::4] = left[0::2], left[1::2], right[0::2], right[1::2]
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(both))
    return path


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with settings that point into it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_DATABASE_URL", f"sqlite:///{tmp_path / 'calls.db'}")
    for name in ("OPENAI_API_KEY", "TWILIO_AUTH_TOKEN", "GATEWAY_AGENTS_FILE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def taken(place: Path) -> Path:
    """Two calls in the store; the first has ended and has a journal and a recording."""
    entries: list[tuple[float, str, dict[str, JsonValue]]] = [
        (0.5, "StreamStarted", {}),
        (1.0, "CallerSaid", {"item_id": "i1", "text": "Where is [bold]my[/bold] order?\x1b[31m"}),
        (2.0, "InvokeTool", {"tool_call_id": "t1", "name": "get_order", "arguments": "{}"}),
        (2.5, "ToolResult", {"tool_call_id": "t1", "ok": True, "output": "shipped"}),
    ]

    async def fill() -> None:
        async with Store.open(f"sqlite:///{place / 'calls.db'}") as store:
            for minute, call_id in enumerate((FIRST, SECOND)):
                at = datetime(2026, 1, 2, 3, minute, tzinfo=UTC)
                row = CallRow(call_id, "twilio", f"CA{call_id}", "inbound", "support", CALLER, CALLED, at)
                store.call_offered(row)
            for number, (at_s, kind, data) in enumerate(entries):
                store.put(JournalEntry(FIRST, number, at_s, "<", kind, data))
            path = str(recording(place / "first.wav"))
            end = CallEnd(FIRST, datetime(2026, 1, 2, 3, 1, tzinfo=UTC), "caller_hangup", 4200)
            store.call_ended(end)
            store.call_updated(FIRST, cost_usd=Decimal("0.0123"), recording_path=path, latency={"p50_ms": 640})
            await store.flush()

    asyncio.run(fill())
    return place


def test_calls_are_listed_newest_first_with_masked_numbers(taken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list_calls(10) == 0
    shown = capsys.readouterr().out
    assert shown.index(SECOND) < shown.index(FIRST)
    assert all(word in shown for word in ("caller_hangup", "live", "640 ms", "$0.0123", "+1•••0101"))
    assert CALLER not in shown


def test_the_list_as_json_is_one_document_with_masked_numbers(taken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list_calls(1, as_json=True) == 0
    (call,) = json.loads(capsys.readouterr().out)["calls"]
    assert (call["call_id"], call["end_reason"], call["from_number"]) == (SECOND, None, "+1•••0101")


def test_an_empty_store_lists_no_calls(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(_create(place))
    assert list_calls(10) == 0
    assert capsys.readouterr().out == "no calls yet\n"


def test_one_call_is_told_and_words_of_a_caller_steer_nothing(taken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show_call("call_aa1") == 0
    shown = capsys.readouterr().out
    assert "Where is [bold]my[/bold] order?" in shown
    assert "get_order answers shipped" in shown
    assert "\x1b" not in shown and CALLER not in shown


def test_a_call_is_shown_as_rows_for_a_reader(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokens: dict[str, JsonValue] = {"audio_in": 1200, "audio_in_cached": 200, "audio_out": 900, "text_in": 30}
    parts: dict[str, JsonValue] = {"audio_in": "0.0320", "audio_out": "0.0576", "image_in": "0", "text_in": "?"}
    usage: dict[str, JsonValue] = {"usage": tokens, "parts": parts, "priced_as": "gpt-x", "as_of": "2026-01-01"}
    usage |= {"dropped_answers": 2, "dropped_output_tokens": 120, "dropped_cost_usd": "0.00772"}
    latency: dict[str, JsonValue] = {"turns_ms": [700, 900], "barge_ins": 1, "p50_ms": 700, "p95_ms": 900}
    functions: dict[str, JsonValue] = {"ok": 3, "error": 1, "pending": 0, "repeated": 2, "fillers": 1}
    functions |= {"claims_unbacked": 2, "claims_corrected": 1}
    latency |= {"false_barge_ins": 3, "functions": functions}
    entries: list[tuple[str, dict[str, JsonValue]]] = [
        ("SpeechStarted", {"item_id": "c1"}),
        ("SpeechStopped", {"item_id": "c1"}),
        ("AgentSaid", {"item_id": "a1", "text": "It is a long story."}),
        ("barge_in", {"item_id": "a1", "heard_ms": 2200, "received_ms": 13_300}),
        ("SpeechStarted", {"item_id": "c2"}),
        ("CallerSaid", {"item_id": "c2", "text": " "}),
        ("SpeechStarted", {"item_id": "c3"}),
        ("CallerSaid", {"item_id": "c3", "text": "Stop."}),
    ]

    async def fill() -> None:
        at = datetime(2026, 1, 2, 3, tzinfo=UTC)
        async with Store.open(f"sqlite:///{place / 'calls.db'}") as store:
            store.call_offered(CallRow(FIRST, "twilio", "CA1", "inbound", "support", CALLER, CALLED, at))
            for number, (kind, data) in enumerate(entries):
                store.put(JournalEntry(FIRST, number, 1.0 + number, "<", kind, data))
            store.call_ended(CallEnd(FIRST, at, "caller_hangup", 9000, usage=usage, latency=latency))
            await store.flush()

    asyncio.run(fill())
    assert show_call(FIRST) == 0
    shown = capsys.readouterr().out
    for row in (
        r"tokens +audio 1200 in \(200 cached\), 900 out; text 30 in",
        r"cost parts +audio in \$0\.0320, audio out \$0\.0576; prices of gpt-x, 2026-01-01",
        r"latency +p50 700 ms, p95 900 ms; each 700, 900",
        r"barge-ins +1; 3 that proved to be none",
        r"dropped answers +2 \(120 output tokens, \$0\.0077\)",
        r"functions +3 ok, 1 failed, 2 repeated; 1 silence filled",
        r"claims +2 not backed by a function, corrections asked for: 1",
        r"agent +said +It is a long story\. \[heard 2\.2 of 13\.3 s\]",
        r"caller +said +Stop\.",
    ):
        assert re.search(row, shown), row
    assert shown.count("(no transcript)") == 2
    assert "{" not in shown and "None" not in shown and "recording path" not in shown


def test_one_call_as_json_has_its_timeline(taken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show_call(FIRST, as_json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert [line["kind"] for line in document["timeline"]] == [
        "stream_started",
        "said",
        "tool_call",
        "tool_result",
        "end",
    ]
    wait = {"name": "get_order", "begin_s": 2.0, "end_s": 2.5, "ok": True, "pending_s": None, "ended": ""}
    assert document["tools"] == [wait]
    assert Decimal(document["cost_usd"]) == Decimal("0.0123")


def test_the_picture_of_a_call_is_drawn(taken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show_call(FIRST, taken / "call.svg", as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["recording"]["p50_ms"] == 600
    assert (taken / "call.svg").read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda folder: show_call("nothing"), StoreError, "no call has the id 'nothing'"),
        (lambda folder: show_call("call_aa"), StoreError, "several calls start with"),
        (lambda folder: show_call(SECOND, folder / "x.svg"), RecordingError, "was not recorded"),
        (lambda folder: show_call(FIRST, folder / "no" / "x.svg"), RecordingError, "cannot be written"),
        (lambda folder: voice_to_voice(folder / "calls.db"), RecordingError, "cannot be read as a WAV file"),
        (lambda folder: voice_to_voice(folder / "absent.wav"), RecordingError, "cannot be read"),
    ],
)
def test_a_mistake_is_one_line(taken: Path, call: Callable[[Path], int], error: type[GatewayError], words: str) -> None:
    with pytest.raises(error, match=words) as told:
        call(taken)
    assert "\n" not in str(told.value)


def test_looking_creates_no_database(place: Path) -> None:
    with pytest.raises(StoreError, match="there is no database"):
        list_calls(10)
    assert not (place / "calls.db").exists()


def test_a_database_that_is_away_is_one_line(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE_URL", "postgresql://user:hidden@127.0.0.1:1/none")
    with pytest.raises(GatewayError, match=r"at postgresql://user:\*\*\*@127\.0\.0\.1:1/none cannot be used") as told:
        list_calls(10)
    assert "hidden" not in str(told.value)
    assert "\n" not in str(told.value)


def test_voice_to_voice_is_measured_from_a_file(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = recording(place / "call.wav")
    assert voice_to_voice(path) == 0
    assert "600 ms" in capsys.readouterr().out
    assert voice_to_voice(path, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["p50_ms"] == 600


def test_a_check_that_fails_is_exit_code_1_and_says_what_to_do(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(network=False, as_json=True) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    failed = [one for one in document["checks"] if not one["ok"]]
    assert failed and all(one["fix"] for one in failed)
    assert check(network=False) == 1
    assert "FAIL" in capsys.readouterr().out


def test_settings_that_cannot_be_read_are_a_failed_check(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "many")
    assert check(network=False, as_json=True) == 1
    names = [one["name"] for one in json.loads(capsys.readouterr().out)["checks"]]
    assert names == ["settings", "agents file"]


def test_a_complete_set_up_passes(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "agents.yaml").write_text("agents:\n  one:\n    default: true\n    instructions: Help.\n")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-key")
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "test-token")
    monkeypatch.setenv("GATEWAY_PUBLIC_URL", "https://voice.example.com")
    assert check(network=False) == 0
    assert "0 failed" in capsys.readouterr().out


async def _create(folder: Path) -> None:
    async with Store.open(f"sqlite:///{folder / 'calls.db'}"):
        pass
