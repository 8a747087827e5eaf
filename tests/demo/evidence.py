"""The evidence of a call on which everything went well, to be doctored."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from gateway.demo.business import WebhookCall
from gateway.demo.evidence import Evidence, Utterance
from gateway.demo.story import ORDER, STATUS
from gateway.records.latency import CallLatency, Turn
from gateway.records.speech import Channels
from gateway.simulator.carrier.report import CallReport, Segment
from gateway.simulator.model import SessionRecord, Spoken, Truncation
from gateway.simulator.model.conversation import Conversation, Item
from gateway.simulator.model.scripted import babble
from gateway.store.rows import JournalEntry, JsonValue, StoredCall

__all__ = ["CUT_MS", "entry", "good", "with_journal"]

CUT_MS = 1500
"""How much of the interrupted answer was played."""
WHOLE = babble("Your order is on the way.")
CUT = babble("This is a long answer that somebody interrupts because it goes on and on.")
CALLER = babble("Where is my order?")


def entry(kind: str, **data: JsonValue) -> JournalEntry:
    return JournalEntry("call_1", 0, 1.0, "=", kind, data)


def with_journal(evidence: Evidence, *entries: JournalEntry) -> Evidence:
    return replace(evidence, journal=[*evidence.journal, *entries])


def good() -> Evidence:
    """Return fresh evidence with which every check passes."""
    return Evidence(
        report=_report(),
        call=_call(),
        journal=[entry("barge_in", item_id="item_cut", heard_ms=CUT_MS), entry("end", reason="agent_hangup")],
        webhook_calls=[WebhookCall(ORDER, True, STATUS)],
        sessions=[_session()],
        utterances=[Utterance("The status is on the way.", "The status is on the way", 0, 6)],
        latency=CallLatency(Channels((), (), 0.01, 0.01, 20.0), (Turn(1.0, 2.0),), (), 0, 0),
    )


def _report() -> CallReport:
    report = CallReport("CA1", outcome="completed", ended_by="twiml", duration_s=20.0)
    report.media.heard.append(Segment(1.0, bytearray(WHOLE)))
    report.media.heard.append(Segment(10.0, bytearray(CUT[: CUT_MS * 8])))
    report.media.said.append(Segment(5.0, bytearray(CALLER)))
    return report


def _session() -> SessionRecord:
    conversation = Conversation("conv_1", 100)
    conversation.add(Item("item_user", {"role": "user"}, bytearray(CALLER)), None)
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
