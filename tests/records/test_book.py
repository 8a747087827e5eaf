"""What is written about one call."""

import base64
import json
import wave
from array import array
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.core import commands as cmd
from gateway.core import events as ev
from gateway.core.audio import AudioFormat
from gateway.core.operator import MuteCaller
from gateway.core.plan import TransferMode, TurnMode, TurnTaking
from gateway.records.book import CallBook, Pricing, Summary
from gateway.records.recording import Recording
from gateway.store import CallRow, StoredCall
from gateway.store.memory import MemoryStore

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
PRICING = Pricing("gpt-realtime-2.1", None, "gpt-transcribe")
USAGE = {
    "input_tokens": 10,
    "input_token_details": {"audio_tokens": 10, "text_tokens": 0},
    "output_tokens": 100,
    "output_token_details": {"audio_tokens": 100, "text_tokens": 0},
}


class Written:
    """A book, and where it is written."""

    def __init__(self, pricing: Pricing = PRICING) -> None:
        self.store = MemoryStore()
        self.store.call_offered(CallRow("call_1", "twilio", "CA1", "inbound", "a", "+1", "+2", AT))
        self.ended: list[Summary] = []
        self.book = CallBook("call_1", self.store, pricing, 100.0, on_end=self.ended.append)

    @property
    def record(self) -> StoredCall:
        return self.store.calls["call_1"]

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.store.journals["call_1"]]


def test_transcription_counted_in_tokens_is_priced_by_the_length_of_the_turn() -> None:
    written = Written()
    written.book.event(ev.SpeechStarted("u1", 1_000), 101.0)
    written.book.event(ev.SpeechStopped("u1", 61_000), 161.0)
    written.book.event(ev.CallerSaid("u1", "hello", {"type": "tokens", "total_tokens": 30}), 162.0)
    written.book.end("caller_hangup", 170.0)
    assert written.record.cost_usd == Decimal("0.0045")


def test_transcription_counted_in_seconds_is_priced_by_them() -> None:
    written = Written()
    written.book.event(ev.CallerSaid("u1", "hello", {"type": "duration", "seconds": 120}), 162.0)
    written.book.end("caller_hangup", 170.0)
    assert written.record.cost_usd == Decimal("0.0090")


def test_what_was_spent_is_told_once_after_each_change() -> None:
    written = Written()
    assert written.book.spent() is None
    written.book.event(ev.ResponseDone("r1", "completed", "", (), USAGE), 101.0)
    spent = written.book.spent()
    assert isinstance(spent, ev.Spent) and spent.usd > 0
    assert written.book.spent() is None


def test_a_model_without_a_price_has_no_cost_and_says_why() -> None:
    written = Written(Pricing("my-own-model"))
    written.book.event(ev.ResponseDone("r1", "completed", "", (), USAGE), 101.0)
    assert written.book.spent() is None
    written.book.end("caller_hangup", 110.0)
    assert written.record.cost_usd is None
    assert written.record.usage is not None and "my-own-model" in str(written.record.usage["reason"])


def test_usage_that_is_none_is_noted_and_harms_nothing() -> None:
    written = Written()
    written.book.event(ev.ResponseDone("r1", "completed", "", (), {"input_tokens": -5}), 101.0)
    written.book.end("caller_hangup", 110.0)
    assert "usage_refused" in written.kinds()
    assert written.record.end_reason == "caller_hangup"


def test_latencies_and_barge_ins_are_summed_up() -> None:
    written = Written()
    for ms in (900, 700, 800):
        written.book.command(cmd.Record("turn_latency", {"item_id": "a", "ms": ms}), 101.0)
    for item_id in ("a", "b"):  # one interruption, two items
        written.book.command(cmd.Record("barge_in", {"item_id": item_id, "heard_ms": 5, "received_ms": 9}), 102.0)
    written.book.command(cmd.Record("barge_in", {"item_id": "c", "heard_ms": 5, "received_ms": 9}), 103.0)
    written.book.command(cmd.Record("resumed", {"why": "short", "after_ms": 400}), 104.0)
    written.book.end("caller_hangup", 110.0)
    assert written.record.latency == {
        "turns_ms": [900, 700, 800],
        "barge_ins": 2,
        "false_barge_ins": 1,
        "p50_ms": 800,
        "p95_ms": 900,
    }
    assert written.ended[0].duration_s == 10.0


DROP = cmd.Record("early_dropped", {"response_id": "r1", "calls": 0})


def usage_of(written: Written) -> dict[str, object]:
    written.book.end("caller_hangup", 110.0)
    assert written.record.usage is not None
    return {name: value for name, value in written.record.usage.items() if name.startswith("dropped")}


@pytest.mark.parametrize("drop_first", [False, True])
def test_what_a_dropped_answer_cost_is_counted_in_either_order(drop_first: bool) -> None:
    written = Written()
    if drop_first:
        written.book.command(DROP, 100.5)
    written.book.event(ev.ResponseDone("r1", "cancelled", "turn_detected", (), USAGE), 101.0)
    written.book.event(ev.ResponseDone("r2", "completed", "", (), USAGE), 102.0)
    if not drop_first:
        written.book.command(DROP, 103.0)
    dropped = {"dropped_answers": 1, "dropped_output_tokens": 100, "dropped_cost_usd": "0.00672"}
    assert usage_of(written) == dropped
    assert written.record.cost_usd == Decimal("0.01344")
    assert written.ended[0].dropped.cost_usd == Decimal("0.00672")


def test_a_dropped_answer_of_a_model_without_a_price_counts_its_tokens() -> None:
    written = Written(Pricing("my-own-model"))
    written.book.event(ev.ResponseDone("r1", "cancelled", "turn_detected", (), USAGE), 101.0)
    written.book.command(DROP, 103.0)
    assert usage_of(written) == {"dropped_answers": 1, "dropped_output_tokens": 100}


def test_a_dropped_answer_whose_usage_never_comes_is_counted() -> None:
    written = Written()
    written.book.command(DROP, 103.0)
    assert usage_of(written) == {"dropped_answers": 1, "dropped_output_tokens": 0, "dropped_cost_usd": "0.00"}


CARD, TOKEN, HUMAN = "4242424242424242", "vault_7Jx0Q2", "+14155550100"


def test_neither_digits_nor_tokens_nor_numbers_are_in_the_journal() -> None:
    written = Written()
    book = written.book
    book.event(ev.Dtmf("•"), 101.0)
    book.command(cmd.KeepSecret("s1", CARD), 101.0)
    book.event(ev.SecretKept("s1", TOKEN), 101.1)
    book.command(cmd.SubmitToolOutput("t1", f'{{"token": "{TOKEN}", "length": 16}}'), 101.2)
    call = ev.FunctionCall("t2", "pay", f'{{"card": "{TOKEN}"}}')
    book.event(ev.ResponseDone("r1", "completed", "", (call,), USAGE), 102.0)
    book.command(cmd.InvokeTool("t2", "pay", f'{{"card": "{TOKEN}"}}', 8.0), 102.1)
    book.event(ev.AgentSaid("r1", "a1", f"Your token is {TOKEN}."), 102.2)
    brief = "A caller."
    book.command(cmd.StartTransfer("x1", "billing", HUMAN, TransferMode.WARM, brief, "1", 25.0), 103.0)
    book.command(cmd.ConfigureTurns(TurnTaking(TurnMode.MANUAL, key="#"), True, True), 103.1)
    book.end("transferred", 110.0)
    entries = written.store.journals["call_1"]
    assert not any(secret in repr(entries) for secret in (CARD, TOKEN, HUMAN))
    told = {entry.kind: entry.data for entry in entries}
    assert told["KeepSecret"] == {"secret_id": "s1"}
    assert told["SecretKept"] == {"secret_id": "s1", "kept": True}
    assert told["InvokeTool"]["arguments"] == '{"card": "[token]"}'
    assert (told["StartTransfer"]["target"], told["StartTransfer"]["brief"]) == ("billing", brief)
    assert json.loads(json.dumps(told["ConfigureTurns"]))["turns"]["mode"] == "manual"


def test_a_start_of_speech_is_told_with_the_time_at_which_it_began() -> None:
    written = Written()
    written.book.command(cmd.OpenModel(), 100.0)
    for frame in range(100):
        written.book.command(cmd.AppendAudio("/" * 212 + "/w=="), 101.02 + frame * 0.02)
    written.book.event(ev.SpeechStarted("u1", 1_000), 103.0)  # 300 ms of padding stand before the voice
    written.book.command(cmd.ConfigureTurns(TurnTaking(prefix_padding_ms=500), True, True), 103.0)
    written.book.event(ev.SpeechStarted("u2", 1_000), 103.0)
    told = [entry.data for entry in written.store.journals["call_1"] if entry.kind == "SpeechStarted"]
    assert [data["began_s"] for data in told] == [pytest.approx(2.3, abs=0.025), pytest.approx(2.5, abs=0.025)]


def test_the_journal_counts_from_the_offer_and_names_what_an_operator_asked() -> None:
    written = Written()
    written.book.event(ev.VoiceStarted(101.25), 101.5)
    written.book.event(ev.VoiceStopped(102.25), 102.5)
    written.book.event(ev.OperatorAsked("c1", "desk", MuteCaller()), 103.0)
    voice, silence, asked = written.store.journals["call_1"]
    assert (voice.data, silence.data) == ({"at_s": 1.25}, {"ended_s": 2.25})
    assert asked.data == {"command_id": "c1", "who": "desk", "action": "MuteCaller"}


def test_a_recording_is_in_the_record_only_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder, path in ((tmp_path, str(tmp_path / "call.wav")), (tmp_path / "file", None)):
        store = MemoryStore()
        store.call_offered(CallRow("call_1", "twilio", "CA1", "inbound", "a", "+1", "+2", AT))

        def begin(at_s: float, rate_hz: int, wav: Path = folder / "call.wav") -> Recording:
            return Recording(wav, rate_hz, origin_s=at_s)

        book = CallBook("call_1", store, PRICING, 100.0, open_recording=begin)
        book.event(ev.StreamStarted("MZ1"), 101.0)
        book.end("caller_hangup", 110.0)
        assert store.calls["call_1"].recording_path == path


@pytest.mark.parametrize("back", AudioFormat)
def test_a_caller_who_comes_back_is_recorded_behind_what_was_recorded_before(tmp_path: Path, back: AudioFormat) -> None:
    """After a transfer that failed the call gets a second stream, perhaps in another format."""
    opened: list[float] = []

    def begin(at_s: float, rate_hz: int) -> Recording:
        opened.append(at_s)
        return Recording(tmp_path / "call.wav", rate_hz, origin_s=at_s)

    store = MemoryStore()
    store.call_offered(CallRow("call_1", "twilio", "CA1", "inbound", "a", "+1", "+2", AT))
    book = CallBook("call_1", store, PRICING, 100.0, open_recording=begin)
    book.event(ev.StreamStarted("MZ1"), 101.0)
    answered_at = store.calls["call_1"].answered_at
    loud = bytes([0x10]) * 8000
    book.event(ev.CallerAudio(base64.b64encode(loud).decode()), 102.0)
    book.event(ev.StreamStarted("MZ2", back), 121.0)
    book.event(ev.CallerAudio(base64.b64encode(b"\x10\x30" * 500 * back.bytes_per_ms).decode()), 122.0)
    book.end("caller_hangup", 123.0)
    with wave.open(str(tmp_path / "call.wav")) as recorded:
        assert recorded.getframerate() == 8000
        caller = [array("h", recorded.readframes(8000))[::2] for _ in range(22)]
    assert [second for second, samples in enumerate(caller) if any(samples)] == [0, 20]
    assert opened == [101.0]
    assert store.calls["call_1"].answered_at == answered_at


def test_audio_is_counted_and_never_written_into_the_journal() -> None:
    written = Written()
    payload = "/////w==" * 40
    for number in range(60):
        written.book.event(ev.CallerAudio(payload), 101.0 + number / 50)
    written.book.command(cmd.PlayAudio("a1", payload, 20.0), 103.0)
    written.book.command(cmd.Heard("a1", payload, 103.0, 20.0), 103.1)
    written.book.end("caller_hangup", 110.0)
    entries = written.store.journals["call_1"]
    assert [e.data["frames"] for e in entries if e.kind == "CallerAudio"] == [50, 10]
    assert payload not in str(entries)
    assert {"PlayAudio", "Heard"} <= set(written.kinds())
