"""The evidence of a call on which everything went well, to be doctored."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from gateway.demo.evidence import Evidence, Utterance
from gateway.demo.story import BOOK, CALLER, LOOK_UP, ORDER, STATUS, TIME
from gateway.records.latency import CallLatency, Turn
from gateway.records.speech import Channels
from gateway.simulator.carrier.report import CallReport, Segment
from gateway.simulator.model import SessionRecord, Spoken, Truncation
from gateway.simulator.model.conversation import Conversation, Item
from gateway.simulator.model.scripted import babble
from gateway.store.rows import JournalEntry, JsonValue, StoredCall, StoredInvocation

__all__ = ["CUT_MS", "Rows", "entry", "good", "with_journal", "with_rows"]

Rows = Sequence[Mapping[str, object]]

CUT_MS = 1500
"""How much of the interrupted answer was played."""
WHOLE = babble("Your order is on the way.")
CUT = babble("This is a long answer that somebody interrupts because it goes on and on.")
ASKED = babble("Where is my order?")


def entry(kind: str, **data: JsonValue) -> JournalEntry:
    return JournalEntry("call_1", 0, 1.0, "=", kind, data)


def with_journal(evidence: Evidence, *entries: JournalEntry) -> Evidence:
    return replace(evidence, journal=[*evidence.journal, *entries])


def with_rows(evidence: Evidence, table: str, rows: Rows) -> Evidence:
    """Give a table of the business other rows."""
    return replace(evidence, business={**evidence.business, table: rows})


def good() -> Evidence:
    """Return fresh evidence with which every check passes."""
    return Evidence(
        report=_report(),
        call=_call(),
        journal=[
            entry("AgentSaid", item_id="item_first", text="Hello Sam, this is Acme."),
            entry("barge_in", item_id="item_cut", heard_ms=CUT_MS),
            entry("AgentSaid", item_id="item_booked", text="I have booked you in for Tuesday."),
            entry("end", reason="agent_hangup"),
        ],
        business=_business(),
        ledger=[_invocation()],
        sessions=[_session()],
        utterances=[Utterance("The status is on the way.", "The status is on the way", 0, 6)],
        latency=CallLatency(Channels((), (), 0.01, 0.01, 20.0), (Turn(1.0, 2.0),), (), 0, 0),
    )


def _business() -> dict[str, Rows]:
    asked = {"look": [LOOK_UP, {"order_id": ORDER}], "book": [BOOK, {"time": TIME}]}
    bodies = {"look": f'{{"status": "{STATUS}"}}', "book": "{}"}
    kinds = ("call.started", "transcript.turn", "transcript.turn", "call.ended")
    ended = json.dumps({"data": {"reason": "agent_hangup"}})
    return {
        "log": [{"what": what, "signed": 1, "status": 200} for what in ("call.incoming", LOOK_UP, BOOK, *kinds)],
        "answers": [
            {"key": key, "asked": json.dumps(what), "status": 200, "body": bodies[key]} for key, what in asked.items()
        ],
        "appointments": [{"date": "2026-11-24", "time": TIME, "number": CALLER}],
        "events": [{"id": str(at), "type": kind, "body": ended} for at, kind in enumerate(kinds)],
    }


def _invocation() -> StoredInvocation:
    at = datetime(2026, 11, 22, tzinfo=UTC)
    return StoredInvocation(
        key="book",
        message_id="msg_1",
        call_id="call_1",
        carrier_call_id="CA1",
        tool_call_id="call_x",
        agent="orders",
        tool=BOOK,
        from_number=CALLER,
        arguments=None,
        arguments_hash="",
        idempotent=True,
        state="done",
        output="{}",
        detail="HTTP 200",
        created_at=at,
        updated_at=at,
        owner="",
    )


def _report() -> CallReport:
    report = CallReport("CA1", outcome="completed", ended_by="twiml", duration_s=20.0)
    report.media.heard.append(Segment(1.0, bytearray(WHOLE)))
    report.media.heard.append(Segment(10.0, bytearray(CUT[: CUT_MS * 8])))
    report.media.said.append(Segment(5.0, bytearray(ASKED)))
    return report


def _session() -> SessionRecord:
    conversation = Conversation("conv_1", 100)
    conversation.add(Item("item_user", {"role": "user"}, bytearray(ASKED)), None)
    record = SessionRecord("sess_1", "gpt-realtime-2.1", 0.0, conversation, closed=(30.0, 1000, ""))
    record.keep(Spoken("item_whole", "resp_1", "", bytearray(WHOLE)))
    record.keep(Spoken("item_cut", "resp_2", "", bytearray(CUT)))
    record.truncations.append(Truncation("item_cut", CUT_MS, True, 11.0))
    return record


def _call() -> StoredCall:
    at = datetime(2026, 11, 22, tzinfo=UTC)
    return StoredCall(
        call_id="call_1",
        carrier="twilio",
        carrier_call_id="CA1",
        direction="inbound",
        agent="orders",
        from_number="+14155550101",
        to_number="+14155550199",
        carrier_state=None,
        carrier_sequence=None,
        offered_at=at,
        answered_at=at,
        ended_at=at,
        end_reason="agent_hangup",
        end_detail=None,
        duration_ms=20_000,
        usage=None,
        cost_usd=Decimal("0.05"),
        latency=None,
        recording_path=None,
        agents_hash="",
        owner="",
    )
