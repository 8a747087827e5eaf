"""A call retold from its journal: who said or did what, when.

A transcript comes late and in any order, so a caller's line stands where the speech began and an agent's line where
the caller began to hear it, and says what of it was heard (`words.py`). Kinds and fields that are missing or strange
are passed over: a journal of another version, or one with dropped rows, is still told as far as it goes. Texts are
made safe for a terminal.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from gateway.records.beginstory import BeginStory
from gateway.records.story import (
    Interruption,
    Latency,
    Line,
    Timeline,
    ToolWait,
    Who,
    brief,
    clean,
    number,
    parts,
    text,
)
from gateway.records.toolstory import ToolStory
from gateway.records.words import Words
from gateway.store import JournalEntry, StoredCall

__all__ = ["Interruption", "Latency", "Line", "Timeline", "ToolWait", "Who", "tell"]

COLLECT_DIGITS = "collect_digits"
"""The function of the gateway, and what operators call theirs."""
HIDDEN_DIGIT = "•"
"""Stands in the journal for a key of a secret entry."""
RESUMED: Mapping[str, str] = MappingProxyType(
    {
        "short": "it was only a short sound",
        "no_words": "there were no words in it",
        "echo": "it was our own echo",
        "backchannel": "the caller only showed that they listen",
    }
)
TRANSFER: Mapping[str, str] = MappingProxyType(
    {
        "asked": "is asked for",
        "ringing": "rings",
        "answered": "is answered",
        "accepted": "is accepted",
        "busy": "fails: busy",
        "no_answer": "fails: no answer",
        "rejected": "fails: rejected",
        "failed": "fails",
    }
)
DIGITS: Mapping[str, str] = MappingProxyType(
    {"done": "complete", "again": "incomplete, asked again", "failed": "no complete entry"}
)
MUTED: Mapping[tuple[bool, bool], str] = MappingProxyType(
    {
        (True, True): "the agent does not hear the caller, nor the caller the agent",
        (True, False): "the agent does not hear the caller",
        (False, True): "the caller does not hear the agent",
        (False, False): "both hear each other",
    }
)


def tell(call: StoredCall | None, journal: Iterable[JournalEntry]) -> Timeline:
    """Tell a call; `call` adds the end when the journal lacks it."""
    entries = list(journal)
    words = Words(entries)
    told, tools, beginning = _Told(words), ToolStory(entries, words), BeginStory(entries)
    for entry in entries:
        told.lines += beginning.tell(entry)
        told.lines += tools.tell(entry)
        tell_kind = _KINDS.get(entry.kind)
        if tell_kind is not None:
            tell_kind(told, entry)
    told.finish(call, entries[-1].at_s if entries else 0.0)
    return Timeline(
        call.call_id if call is not None else entries[0].call_id if entries else "",
        tuple(sorted(told.lines, key=lambda line: line.at_s)),
        tuple(tools.waits()),
        tuple(told.barge_ins),
        tuple(told.latencies),
        told.recorded_from_s,
    )


@dataclass(slots=True)
class _Told:
    words: Words
    lines: list[Line] = field(default_factory=list)
    barge_ins: list[Interruption] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)
    recorded_from_s: float = 0.0
    collecting: str = ""
    """The function call, or the operator, whose entry of keys is not over; the response that made it is `collector`."""
    collector: str = ""
    language: str = ""
    sessions: int = 0
    hung_up: bool = False
    ended: bool = False

    def line(self, at_s: float, who: Who, kind: str, what: str, ms: int | None = None) -> None:
        self.lines.append(Line(at_s, who, kind, what, ms))

    def finish(self, call: StoredCall | None, last_s: float) -> None:
        if call is not None and call.end_reason is not None and not self.ended:
            at_s = last_s if call.duration_ms is None else call.duration_ms / 1000
            detail = f": {clean(call.end_detail)}" if call.end_detail else ""
            self.line(at_s, "gateway", "end", f"{clean(call.end_reason)}{detail}")


def _stream_started(told: _Told, entry: JournalEntry) -> None:
    told.recorded_from_s = told.recorded_from_s or entry.at_s  # a caller who comes back is in the same recording
    told.line(entry.at_s, "gateway", "stream_started", "the media stream is up")


def _speech(told: _Told, entry: JournalEntry) -> None:
    if entry.kind == "SpeechStarted":
        told.line(told.words.begin_s(entry), "caller", "speech_started", "begins to speak")
    else:
        told.line(entry.at_s, "caller", "speech_stopped", "stops")


def _caller_said(told: _Told, entry: JournalEntry) -> None:
    told.line(told.words.begin_s(entry), "caller", "said", text(entry.data, "text"))


def _agent_said(told: _Told, entry: JournalEntry) -> None:
    at_s, heard = told.words.begin_s(entry), told.words.heard(entry)
    if heard is None:
        told.line(at_s, "agent", "unheard", f"[not a word of it was heard] {text(entry.data, 'text')}")
    else:
        told.line(at_s, "agent", "said", heard)


def _dtmf(told: _Told, entry: JournalEntry) -> None:
    digit = text(entry.data, "digit")
    if digit != HIDDEN_DIGIT:  # of a secret entry, how many there were is told at its end
        told.line(entry.at_s, "caller", "dtmf", f"presses {digit}")


def _digits(told: _Told, entry: JournalEntry) -> None:
    secret = ", kept secret" if entry.data.get("secure") else ""
    status = text(entry.data, "status")
    if status != "again":
        told.collecting = ""
    count = text(entry.data, "count")
    digits = f"{count} digit{'' if count == '1' else 's'}{secret}"
    told.line(entry.at_s, "caller", "digits", f"keys in {digits}: {DIGITS.get(status, status)}")


def _barge_in(told: _Told, entry: JournalEntry) -> None:
    if told.barge_ins and told.barge_ins[-1].at_s == entry.at_s:
        return  # one interruption may cut several items; the first was the one that played
    heard = number(entry.data, "heard_ms")
    heard_ms = None if heard is None else round(heard)
    told.barge_ins.append(Interruption(entry.at_s, heard_ms))
    told.line(entry.at_s, "caller", "barge_in", "interrupts the agent", heard_ms)


def _cut_short(told: _Told, entry: JournalEntry) -> None:
    told.line(entry.at_s, "model", "cut_short", "cuts off words that must be heard; they are said again")


def _held(told: _Told, entry: JournalEntry) -> None:
    told.line(entry.at_s, "agent", "held", "pauses: the caller makes a sound")


def _resumed(told: _Told, entry: JournalEntry) -> None:
    after, why = number(entry.data, "after_ms"), text(entry.data, "why")
    what = f"goes on: {RESUMED.get(why, why)}"
    told.line(entry.at_s, "agent", "resumed", what, None if after is None else round(after))


def _early_dropped(told: _Told, entry: JournalEntry) -> None:
    calls = number(entry.data, "calls") or 0
    if told.collector == text(entry.data, "response_id"):
        told.collecting = ""
    tools = f", with {calls:.0f} function calls that did not run" if calls else ""
    told.line(entry.at_s, "gateway", "early_dropped", f"drops the early answer: the caller goes on{tools}")


def _early_released(told: _Told, entry: JournalEntry) -> None:
    held = number(entry.data, "held_ms")
    what = "lets the early answer out: the caller has finished"
    told.line(entry.at_s, "gateway", "early_released", what, None if held is None else round(held))


def _operator(told: _Told, entry: JournalEntry) -> None:
    who, action, outcome = (text(entry.data, name) for name in ("who", "action", "outcome"))
    told.line(entry.at_s, "gateway", "operator", f"{who or 'an operator'} asks for {action}: {outcome}")
    if action == COLLECT_DIGITS and outcome == "done":
        told.collecting, told.collector = text(entry.data, "command_id"), ""


def _transfer(told: _Told, entry: JournalEntry) -> None:
    target, state, detail = (text(entry.data, name) for name in ("target", "state", "detail"))
    what = f"transfer to {target} {TRANSFER.get(state, state)}{' (' if detail else ''}{detail}{')' if detail else ''}"
    told.line(entry.at_s, "gateway", "transfer", what)


def _idle(told: _Told, entry: JournalEntry) -> None:
    prompt = number(entry.data, "prompt") or 0
    what = f"the caller gives no sign: prompt {prompt:.0f}" if prompt > 0 else "the caller gives no sign: goodbye"
    told.line(entry.at_s, "gateway", "idle", what)


def _muted(told: _Told, entry: JournalEntry) -> None:
    if "item_id" in entry.data:
        return  # an item that a mute has cut: its line says what of it was heard
    sides = (bool(entry.data.get("caller")), bool(entry.data.get("agent")))
    told.line(entry.at_s, "gateway", "muted", MUTED[sides])


def _turns(told: _Told, entry: JournalEntry) -> None:
    turns = entry.data.get("turns")
    mode = text(turns, "mode") if isinstance(turns, Mapping) else ""
    told.line(entry.at_s, "gateway", "turns", f"takes turns by {mode}")


def _send_digits(told: _Told, entry: JournalEntry) -> None:
    told.line(entry.at_s, "gateway", "send_digits", f"presses {text(entry.data, 'digits')}")


def _secret_kept(told: _Told, entry: JournalEntry) -> None:
    kept = entry.data.get("kept") is True
    told.line(entry.at_s, "gateway", "secret", "keeps the digits in the vault" if kept else "cannot keep the digits")


def _turn_latency(told: _Told, entry: JournalEntry) -> None:
    ms = number(entry.data, "ms")
    if ms is not None:
        told.latencies.append(Latency(entry.at_s, round(ms)))
        told.line(entry.at_s, "agent", "answers", "first audio after the caller", round(ms))


def _claim(told: _Told, entry: JournalEntry) -> None:
    said, tool = brief(text(entry.data, "text")), text(entry.data, "tool")
    if entry.kind == "claim_unbacked":
        told.line(entry.at_s, "agent", entry.kind, f'claims "{said}", but {tool} was not carried out')
    else:
        told.line(entry.at_s, "gateway", entry.kind, f"has the model set right what it claimed of {tool}")


def _language(told: _Told, entry: JournalEntry) -> None:
    section = entry.data.get("transcription")
    language = text(section, "language") if isinstance(section, Mapping) else ""
    if language and language != told.language:  # a new session is told of it again
        told.language = language
        told.line(entry.at_s, "gateway", "language", f"expects the caller to speak {language}")


def _output(told: _Told, entry: JournalEntry) -> None:
    if told.collecting and text(entry.data, "tool_call_id") == told.collecting:
        told.collecting = ""  # refused, or over


def _response_done(told: _Told, entry: JournalEntry) -> None:
    status = text(entry.data, "status")
    if status in ("failed", "incomplete"):
        why = text(entry.data, "reason")
        told.line(entry.at_s, "model", "error", f"response {status} {why}".rstrip())
    for call in parts(entry.data, "calls"):
        if status == "completed" and text(call, "name") == COLLECT_DIGITS and not told.collecting:
            told.collecting, told.collector = text(call, "tool_call_id"), text(entry.data, "response_id")


def _trouble(told: _Told, entry: JournalEntry) -> None:
    parts = [text(entry.data, name) for name in ("code", "message", "reason")]
    kind = "closed" if entry.kind == "ModelClosed" else "error"
    told.line(entry.at_s, "model", kind, " ".join(part for part in parts if part) or "no reason given")


def _open_model(told: _Told, entry: JournalEntry) -> None:
    told.sessions += 1
    what = "opens the model session" if told.sessions == 1 else "opens another model session"
    told.line(entry.at_s, "gateway", "model_opened", what)


def _note(told: _Told, entry: JournalEntry) -> None:
    words = [f"{clean(name)} {clean(str(value))}" for name, value in entry.data.items() if value not in ("", None)]
    told.line(entry.at_s, "gateway", entry.kind, ", ".join(words))


def _leg_ended(told: _Told, entry: JournalEntry) -> None:
    if told.hung_up:
        return  # the stream that we closed ourselves closes: no news
    detail = text(entry.data, "detail")
    told.line(entry.at_s, "caller", "leg_ended", f"{text(entry.data, 'reason')} {detail}".rstrip())


def _hang_up(told: _Told, entry: JournalEntry) -> None:
    told.hung_up = True
    told.line(entry.at_s, "gateway", "hang_up", text(entry.data, "reason"))


def _end(told: _Told, entry: JournalEntry) -> None:
    told.ended = True
    detail, reason = text(entry.data, "detail"), text(entry.data, "reason")
    if told.collecting:
        why = "the caller was transferred" if reason == "transferred" else "the call ended"
        told.line(entry.at_s, "caller", "digits", f"keys in no complete entry: {why}")
    told.line(entry.at_s, "gateway", "end", f"{reason}{': ' if detail else ''}{detail}")


_KINDS: Mapping[str, Callable[[_Told, JournalEntry], None]] = MappingProxyType(
    {
        "StreamStarted": _stream_started,
        "SpeechStarted": _speech,
        "SpeechStopped": _speech,
        "CallerSaid": _caller_said,
        "AgentSaid": _agent_said,
        "Dtmf": _dtmf,
        "digits": _digits,
        "SecretKept": _secret_kept,
        "SendDigits": _send_digits,
        "barge_in": _barge_in,
        "cut_short": _cut_short,
        "held": _held,
        "resumed": _resumed,
        "early_dropped": _early_dropped,
        "early_released": _early_released,
        "operator": _operator,
        "transfer": _transfer,
        "idle": _idle,
        "muted": _muted,
        "ConfigureTurns": _turns,
        "turn_latency": _turn_latency,
        "claim_unbacked": _claim,
        "claim_corrected": _claim,
        "ConfigureLanguage": _language,
        "SubmitToolOutput": _output,
        "ResponseDone": _response_done,
        "ModelError": _trouble,
        "ModelFault": _trouble,
        "ModelClosed": _trouble,
        "OpenModel": _open_model,
        "recover": _note,
        "recovered": _note,
        "stop": _note,
        "journal_full": _note,
        "journal_dropped": _note,
        "LegEnded": _leg_ended,
        "HangUp": _hang_up,
        "end": _end,
    }
)
