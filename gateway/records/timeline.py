"""A call retold from its journal: who said or did what, when.

A transcript comes late and in any order, so a caller's line stands where the speech began and an agent's line where
the caller began to hear it. Kinds and fields that are missing or strange are passed over: a journal of another version,
or one with dropped rows, is still told as far as it goes. Texts are made safe for a terminal.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

from gateway.store import JournalEntry, JsonValue, StoredCall

__all__ = ["Interruption", "Latency", "Line", "Timeline", "ToolWait", "Who", "tell"]

Who: TypeAlias = Literal["caller", "agent", "tool", "model", "gateway"]
TEXT_LIMIT = 2_000


@dataclass(slots=True, frozen=True)
class Line:
    """One line of the story; times are seconds since the call was offered."""

    at_s: float
    who: Who
    kind: str
    """A word for the reader and for filters: said, speech_started, barge_in, tool_call, tool_result, error …"""
    what: str
    ms: int | None = None
    """A duration or latency that belongs to it."""


@dataclass(slots=True, frozen=True)
class ToolWait:
    """The time from a tool's call to its result."""

    name: str
    begin_s: float
    end_s: float | None
    ok: bool | None
    """None, like `end_s`, when no result came."""


@dataclass(slots=True, frozen=True)
class Interruption:
    """A barge-in, and how much of the agent's item had been heard by then."""

    at_s: float
    heard_ms: int | None


@dataclass(slots=True, frozen=True)
class Latency:
    """A turn's latency as the call itself measured it, at the agent's first audio."""

    at_s: float
    ms: int


@dataclass(slots=True, frozen=True)
class Timeline:
    """The whole call."""

    call_id: str
    lines: tuple[Line, ...]
    tools: tuple[ToolWait, ...]
    barge_ins: tuple[Interruption, ...]
    latencies: tuple[Latency, ...]
    recorded_from_s: float
    """When the media stream began, which is where its recording begins."""


def tell(call: StoredCall | None, journal: Iterable[JournalEntry]) -> Timeline:
    """Tell a call; `call` adds the end when the journal lacks it."""
    entries = list(journal)
    told = _Told(entries)
    for entry in entries:
        tell_kind = _KINDS.get(entry.kind)
        if tell_kind is not None:
            tell_kind(told, entry)
    told.finish(call, entries[-1].at_s if entries else 0.0)
    return Timeline(
        call.call_id if call is not None else entries[0].call_id if entries else "",
        tuple(sorted(told.lines, key=lambda line: line.at_s)),
        tuple(sorted(told.tools, key=lambda wait: wait.begin_s)),
        tuple(told.barge_ins),
        tuple(told.latencies),
        told.recorded_from_s,
    )


@dataclass(slots=True)
class _Told:
    entries: list[JournalEntry]
    lines: list[Line] = field(default_factory=list)
    tools: list[ToolWait] = field(default_factory=list)
    barge_ins: list[Interruption] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)
    recorded_from_s: float = 0.0
    spoken_from: dict[str, float] = field(default_factory=dict)
    """By item: when its first sound was spoken or heard."""
    waiting: dict[str, tuple[str, float]] = field(default_factory=dict)
    """By tool call: its name and time."""
    sessions: int = 0
    hung_up: bool = False
    ended: bool = False

    def __post_init__(self) -> None:
        for entry in self.entries:
            begins_s = entry.at_s
            if entry.kind == "Heard":
                heard_s = _number(entry.data, "begins_s")
                begins_s = entry.at_s if heard_s is None else heard_s
            elif entry.kind != "SpeechStarted":
                continue
            self.spoken_from.setdefault(_text(entry.data, "item_id"), begins_s)

    def line(self, at_s: float, who: Who, kind: str, what: str, ms: int | None = None) -> None:
        self.lines.append(Line(at_s, who, kind, what, ms))

    def finish(self, call: StoredCall | None, last_s: float) -> None:
        for name, begin_s in self.waiting.values():
            self.tools.append(ToolWait(name, begin_s, None, None))
        if call is not None and call.end_reason is not None and not self.ended:
            at_s = last_s if call.duration_ms is None else call.duration_ms / 1000
            detail = f": {_clean(call.end_detail)}" if call.end_detail else ""
            self.line(at_s, "gateway", "end", f"{_clean(call.end_reason)}{detail}")


def _stream_started(told: _Told, entry: JournalEntry) -> None:
    told.recorded_from_s = entry.at_s
    told.line(entry.at_s, "gateway", "stream_started", "the media stream is up")


def _speech(told: _Told, entry: JournalEntry) -> None:
    if entry.kind == "SpeechStarted":
        told.line(entry.at_s, "caller", "speech_started", "begins to speak")
    else:
        told.line(entry.at_s, "caller", "speech_stopped", "stops")


def _said(told: _Told, entry: JournalEntry) -> None:
    who: Who = "caller" if entry.kind == "CallerSaid" else "agent"
    at_s = told.spoken_from.get(_text(entry.data, "item_id"), entry.at_s)
    told.line(at_s, who, "said", _text(entry.data, "text"))


def _dtmf(told: _Told, entry: JournalEntry) -> None:
    told.line(entry.at_s, "caller", "dtmf", f"presses {_text(entry.data, 'digit')}")


def _barge_in(told: _Told, entry: JournalEntry) -> None:
    heard = _number(entry.data, "heard_ms")
    heard_ms = None if heard is None else round(heard)
    told.barge_ins.append(Interruption(entry.at_s, heard_ms))
    told.line(entry.at_s, "caller", "barge_in", "interrupts the agent", heard_ms)


def _turn_latency(told: _Told, entry: JournalEntry) -> None:
    ms = _number(entry.data, "ms")
    if ms is not None:
        told.latencies.append(Latency(entry.at_s, round(ms)))
        told.line(entry.at_s, "agent", "answers", "first audio after the caller", round(ms))


def _invoke_tool(told: _Told, entry: JournalEntry) -> None:
    name = _text(entry.data, "name") or "?"
    told.waiting[_text(entry.data, "tool_call_id")] = (name, entry.at_s)
    told.line(entry.at_s, "tool", "tool_call", f"{name} {_text(entry.data, 'arguments')}".rstrip())


def _tool_result(told: _Told, entry: JournalEntry) -> None:
    asked = told.waiting.pop(_text(entry.data, "tool_call_id"), None)
    ok = entry.data.get("ok") is True
    answer = _text(entry.data, "output") or _text(entry.data, "detail")
    if asked is None:
        told.line(entry.at_s, "tool", "tool_result", f"an answer that nobody waits for {answer}".rstrip())
        return
    name, begin_s = asked
    told.tools.append(ToolWait(name, begin_s, entry.at_s, ok))
    outcome = "answers" if ok else "fails"
    told.line(
        entry.at_s, "tool", "tool_result", f"{name} {outcome} {answer}".rstrip(), round(1000 * (entry.at_s - begin_s))
    )


def _response_done(told: _Told, entry: JournalEntry) -> None:
    status = _text(entry.data, "status")
    if status in ("failed", "incomplete"):
        why = _text(entry.data, "reason")
        told.line(entry.at_s, "model", "error", f"response {status} {why}".rstrip())


def _trouble(told: _Told, entry: JournalEntry) -> None:
    parts = [_text(entry.data, name) for name in ("code", "message", "reason")]
    kind = "closed" if entry.kind == "ModelClosed" else "error"
    told.line(entry.at_s, "model", kind, " ".join(part for part in parts if part) or "no reason given")


def _open_model(told: _Told, entry: JournalEntry) -> None:
    told.sessions += 1
    what = "opens the model session" if told.sessions == 1 else "opens another model session"
    told.line(entry.at_s, "gateway", "model_opened", what)


def _note(told: _Told, entry: JournalEntry) -> None:
    words = [f"{_clean(name)} {_clean(str(value))}" for name, value in entry.data.items() if value not in ("", None)]
    told.line(entry.at_s, "gateway", entry.kind, ", ".join(words))


def _leg_ended(told: _Told, entry: JournalEntry) -> None:
    if told.hung_up:
        return  # the stream that we closed ourselves closes: no news
    detail = _text(entry.data, "detail")
    told.line(entry.at_s, "caller", "leg_ended", f"{_text(entry.data, 'reason')} {detail}".rstrip())


def _hang_up(told: _Told, entry: JournalEntry) -> None:
    told.hung_up = True
    told.line(entry.at_s, "gateway", "hang_up", _text(entry.data, "reason"))


def _end(told: _Told, entry: JournalEntry) -> None:
    told.ended = True
    detail = _text(entry.data, "detail")
    told.line(entry.at_s, "gateway", "end", f"{_text(entry.data, 'reason')}{': ' if detail else ''}{detail}")


_KINDS: Mapping[str, Callable[[_Told, JournalEntry], None]] = MappingProxyType(
    {
        "StreamStarted": _stream_started,
        "SpeechStarted": _speech,
        "SpeechStopped": _speech,
        "CallerSaid": _said,
        "AgentSaid": _said,
        "Dtmf": _dtmf,
        "barge_in": _barge_in,
        "turn_latency": _turn_latency,
        "InvokeTool": _invoke_tool,
        "ToolResult": _tool_result,
        "ResponseDone": _response_done,
        "ModelError": _trouble,
        "ModelFault": _trouble,
        "ModelClosed": _trouble,
        "OpenModel": _open_model,
        "recover": _note,
        "recovered": _note,
        "tool_timeout": _note,
        "stop": _note,
        "journal_full": _note,
        "journal_dropped": _note,
        "LegEnded": _leg_ended,
        "HangUp": _hang_up,
        "end": _end,
    }
)


def _number(data: Mapping[str, JsonValue], name: str) -> float | None:
    value = data.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _text(data: Mapping[str, JsonValue], name: str) -> str:
    value = data.get(name)
    return "" if value is None else _clean(str(value))


def _clean(text: str) -> str:
    """Return `text` on one line, bounded, without control characters: a transcript must not steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:TEXT_LIMIT])
