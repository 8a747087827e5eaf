"""Did the call really work? Each check asks one party, names its figure, and can fail.

A check that cannot be made (the real model shows nobody what it received) is skipped and says so; it never passes.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.business.functions import FUNCTIONS
from gateway.core.claims import ClaimRules
from gateway.demo.evidence import Evidence
from gateway.demo.story import BOOK, CALLER, LOOK_UP, NAME, ORDER, STATUS, TIME
from gateway.simulator.carrier import heard_prefix_ms
from gateway.simulator.local.wer import normal_words
from gateway.simulator.model import SessionRecord

__all__ = ["TOLERANCE_MS", "Check", "judge", "passed", "word_error_rate"]

TOLERANCE_MS = 40
"""How far a truncation may lie from what was really played of the item."""
LENGTH_S = 0.5
"""How far the recording's length may lie from the call's."""
BYTES_PER_MS = 8
CUT_BYTES = 2 * BYTES_PER_MS
"""Where an item was cut is known to the millisecond only."""
ENDS = ("agent_hangup", "caller_hangup")
OK = 200
UNSEEN = "skipped: only the local model shows what it received"


@dataclass(frozen=True, slots=True)
class Check:
    """One question and its answer."""

    name: str
    question: str
    ok: bool | None
    """None: skipped."""
    figure: str


def judge(evidence: Evidence) -> list[Check]:
    """Answer every question."""
    return [check(evidence) for check in CHECKS]


def passed(checks: Sequence[Check]) -> bool:
    """Whether nothing failed."""
    return all(check.ok is not False for check in checks)


def word_error_rate(evidence: Evidence) -> float | None:
    """Return errors by words over all items heard to their end; None when nobody listened."""
    words = sum(one.words for one in evidence.utterances or ())
    return sum(one.errors for one in evidence.utterances or ()) / words if words else None


def _status_heard(evidence: Evidence) -> Check:
    name, question = "status_heard", f"“{STATUS}” is heard in the recording"
    if evidence.utterances is None and evidence.sessions is None:
        return Check(name, question, None, "skipped: listening needs the speech packages")
    heard = [normal_words(one.heard) for one in evidence.utterances or ()]
    ok = any(_within(normal_words(STATUS), words) for words in heard)
    rate = word_error_rate(evidence)
    return Check(name, question, ok, "nothing was heard" if rate is None else f"word error rate {rate:.1%}")


def _webhook(evidence: Evidence) -> Check:
    """Whether the business was asked for each function once, rightly signed, and for the order that was said."""
    log, answers = evidence.business["log"], evidence.business["answers"]
    called = [str(row["what"]) for row in log if row["what"] in FUNCTIONS]
    unsigned = sum(not row["signed"] for row in log)
    asked = json.dumps([LOOK_UP, {"order_id": ORDER}])
    told = [row for row in answers if row["asked"] == asked and row["status"] == OK and STATUS in str(row["body"])]
    ok = sorted(called) == sorted((LOOK_UP, BOOK)) and not unsigned and len(told) == 1
    figure = f"{len(called)} in the business's log, {unsigned} wrongly signed"
    return Check("webhook_once", f"each function called once and signed, for order {ORDER}", ok, figure)


def _written(evidence: Evidence) -> Check:
    rows = [row for row in evidence.ledger if row.tool == BOOK]
    keys = [row["key"] for row in evidence.business["answers"] if json.loads(str(row["asked"]))[0] == BOOK]
    booked = [(row["time"], row["number"]) for row in evidence.business["appointments"]]
    same = [row.key for row in rows] == keys
    ok = [row.state for row in rows] == ["done"] and same and booked == [(TIME, CALLER)]
    states = ", ".join(row.state for row in rows) or "no row"
    figure = f"ledger: {states}; {len(booked)} in the business's table; {'the same key' if same else 'other keys'}"
    return Check("write_once", "the appointment is on record once, on both sides", ok, figure)


def _known(evidence: Evidence) -> Check:
    asked = [row["status"] for row in evidence.business["log"] if row["what"] == "call.incoming"]
    said = [str(data.get("text")) for data in evidence.notes("AgentSaid")]
    first = said[0] if said else ""
    ok = asked == [OK] and NAME.lower() in normal_words(first)
    return Check("known_caller", "the caller is known before the first word", ok, f"“{first[:60]}”")


def _events(evidence: Evidence) -> Check:
    kinds = Counter(str(row["type"]) for row in evidence.business["events"])
    ended = [json.loads(str(row["body"])) for row in evidence.business["events"] if row["type"] == "call.ended"]
    reason = evidence.call.end_reason if evidence.call is not None else None
    ok = kinds["call.started"] == 1 and [one["data"].get("reason") for one in ended] == [reason]
    figure = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "none came"
    return Check("events", "the business was told of the call", ok and kinds["transcript.turn"] > 0, figure)


def _claims(evidence: Evidence) -> Check:
    rules = ClaimRules({BOOK: ("I have booked", "your appointment is booked", "you are booked")})
    claims = sum(len(rules.find(str(data.get("text")))) for data in evidence.notes("AgentSaid"))
    unbacked = len(evidence.notes("claim_unbacked"))
    figure = f"{claims} said, {unbacked} without its function"
    return Check("claims", "the agent claims only what was done", not unbacked, figure)


def _barge_in(evidence: Evidence) -> Check:
    name, question = "barge_in", "one barge-in, truncated where it was heard"
    noted = evidence.notes("barge_in")
    if evidence.sessions is None:
        return Check(name, question, None if noted else False, UNSEEN if noted else "no barge-in was noticed")
    cuts = [(session, cut) for session in evidence.sessions for cut in session.truncations]
    if len(cuts) != 1 or len(noted) != 1:
        return Check(name, question, False, f"{len(cuts)} truncations, {len(noted)} barge-ins noted")
    session, cut = cuts[0]
    heard = _as_sent(session, evidence.report.media.played_bytes()).get(cut.item_id)
    if heard is None or not cut.accepted:
        return Check(name, question, False, "the truncation was refused" if heard else "the item was not played")
    heard_ms = heard // BYTES_PER_MS
    off_ms = cut.audio_end_ms - heard_ms
    figure = f"{cut.audio_end_ms} ms told, {heard_ms} ms played: {off_ms:+d} (of ±{TOLERANCE_MS})"
    return Check(name, question, abs(off_ms) <= TOLERANCE_MS, figure)


def _end(evidence: Evidence) -> Check:
    reason = evidence.call.end_reason if evidence.call is not None else None
    ends = len(evidence.notes("end"))
    figure = reason or "there is no end record"
    ok = reason in ENDS and ends == 1 and evidence.report.outcome == "completed"
    return Check("end_record", "goodbye, hang-up, one end record", ok, figure)


def _carrier(evidence: Evidence) -> Check:
    report = evidence.report
    troubles = [f"{warning.name} {warning.detail}" for warning in report.warnings]
    troubles += [report.script_error] if report.script_error else []
    dropped = report.media.frames_dropped + report.media.audio_discarded_bytes
    troubles += [f"{dropped} frames or bytes lost"] if dropped else []
    figure = troubles[0] if troubles else f"{report.media.frames_sent} frames in, {report.media.messages_received} out"
    return Check("carrier", "no complaint from the telephone network", not troubles, figure)


def _model(evidence: Evidence) -> Check:
    faults = len(evidence.notes("ModelFault")) + len(evidence.notes("ModelClosed")) + len(evidence.notes("recover"))
    errors = [error for session in evidence.sessions or () for error in session.errors]
    figure = "no error" if not faults and not errors else f"{len(errors)} errors sent, {faults} faults noted"
    if errors:
        figure += f": {errors[0].get('code')}"
    return Check("model", "no error from the model", not faults and not errors, figure)


def _untouched(evidence: Evidence) -> Check:
    name, question = "audio_untouched", "every mu-law byte unchanged, both ways"
    if evidence.sessions is None:
        return Check(name, question, None, UNSEEN)
    played, said = evidence.report.media.played_bytes(), evidence.report.said_bytes()
    agent = [_as_sent(session, played) for session in evidence.sessions]
    caller = [
        bool(item.audio) and bytes(item.audio) in said
        for session in evidence.sessions
        for item in session.conversation
        if item.role == "user"
    ]
    lengths = [length for one in agent for length in one.values()]
    foreign = len(played) - sum(length or 0 for length in lengths)
    arrived = sum(length is not None for length in lengths)
    figure = f"agent {arrived} of {len(lengths)} items, caller {sum(caller)} of {len(caller)} turns"
    if foreign > CUT_BYTES:
        figure += f"; {foreign} bytes that nobody sent"
    ok = bool(lengths and caller) and all(caller) and arrived == len(lengths) and foreign <= CUT_BYTES
    return Check(name, question, ok, figure)


def _closed(evidence: Evidence) -> Check:
    name, question = "sessions_closed", "every model session is closed"
    if evidence.sessions is None:
        return Check(name, question, None, UNSEEN)
    open_sessions = sum(session.open for session in evidence.sessions)
    ok = bool(evidence.sessions) and not open_sessions
    return Check(name, question, ok, f"{len(evidence.sessions)} opened, {open_sessions} still open")


def _recorded(evidence: Evidence) -> Check:
    question = "the recording is as long as the call"
    if evidence.latency is None:
        return Check("recording", question, False, "there is no recording that can be read")
    recorded_s, call_s = evidence.latency.speech.duration_s, evidence.report.duration_s
    figure = f"{recorded_s:.1f} s of {call_s:.1f} s"
    return Check("recording", question, abs(recorded_s - call_s) <= LENGTH_S, figure)


CHECKS: tuple[Callable[[Evidence], Check], ...] = (
    _status_heard,
    _webhook,
    _written,
    _known,
    _events,
    _claims,
    _barge_in,
    _end,
    _untouched,
    _recorded,
    _carrier,
    _model,
    _closed,
)


def _as_sent(session: SessionRecord, played: bytes) -> dict[str, int | None]:
    """Return for each item how many of its bytes were played as they were sent; None when it was not.

    An item counts when all of it was played; a truncated one when its beginning was.
    """
    cut = {truncation.item_id for truncation in session.truncations}
    lengths: dict[str, int | None] = {}
    for item_id, spoken in session.spoken.items():
        audio = bytes(spoken.audio)
        if audio and item_id not in cut:
            lengths[item_id] = len(audio) if audio in played else None
    # Cut in a pause, an item seems to go on in the silence with which the next one begins: the others bound it.
    left = len(played) - sum(length or 0 for length in lengths.values())
    for item_id in cut & session.spoken.keys():
        heard_ms = heard_prefix_ms(bytes(session.spoken[item_id].audio), played)
        lengths[item_id] = min(heard_ms * BYTES_PER_MS, left) if heard_ms is not None and left > 0 else None
    return lengths


def _within(wanted: Sequence[str], words: Sequence[str]) -> bool:
    size = len(wanted)
    return any(list(words[at : at + size]) == list(wanted) for at in range(len(words) - size + 1))
