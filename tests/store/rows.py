"""Rows for tests, and a store on a fresh SQLite file or a real PostgreSQL."""

from datetime import UTC, datetime, timedelta

from gateway.store import AttemptRow, CallEnd, CallRow, JournalEntry

OFFERED_AT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def call(call_id: str = "call-1", *, minute: int = 0, carrier_call_id: str = "CA1") -> CallRow:
    offered_at = OFFERED_AT + timedelta(minutes=minute)
    return CallRow(call_id, "twilio", carrier_call_id, "inbound", "orders", "+15550001", "+15550002", offered_at)


def entry(seq: int, call_id: str = "call-1", kind: str = "SpeechStarted") -> JournalEntry:
    return JournalEntry(call_id, seq, seq / 10, "<", kind, {"item_id": f"item_{seq}"})


def end(call_id: str = "call-1", reason: str = "caller_hangup") -> CallEnd:
    return CallEnd(call_id, OFFERED_AT + timedelta(seconds=90), reason, 90_000)


def attempt(attempt_id: str = "a-1:1") -> AttemptRow:
    return AttemptRow(attempt_id, "twilio", "orders", "+15550001", "+15550002", OFFERED_AT)
