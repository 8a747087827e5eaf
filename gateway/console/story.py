"""What the page is told of a call: some entries of its journal, in few words. Pure.

Only what is named here leaves. Texts are the caller's and the agent's own words; what a function was given and
answered stays in the journal.
"""

from collections.abc import Callable, Mapping

from gateway.store.rows import CallEnd, JournalEntry, JsonValue

__all__ = ["told", "told_of_end"]

Told = dict[str, JsonValue]

CUTS = frozenset({"barge_in", "cut_short", "dropped", "muted", "cancelled"})
"""Notes that an item of the agent was cut, when they name one."""


def told(entry: JournalEntry) -> Told | None:
    """Return what the page is told of an entry; None for nothing."""
    if entry.direction == "=" and entry.kind in CUTS:
        return _cut(entry)
    tell = TOLD.get((entry.direction, entry.kind))
    return tell(entry.data) | {"at_s": round(entry.at_s, 2)} if tell is not None else None


def told_of_end(end: CallEnd) -> Told:
    cost = round(float(end.cost_usd), 4) if end.cost_usd is not None else None
    return {"type": "end", "reason": end.end_reason, "duration_ms": end.duration_ms, "cost_usd": cost}


def _cut(entry: JournalEntry) -> Told | None:
    told = _picked(entry.data, "item_id", "heard_ms", "received_ms")
    return told | {"type": "cut", "why": entry.kind, "at_s": round(entry.at_s, 2)} if "item_id" in told else None


def _picked(data: Mapping[str, JsonValue], *names: str) -> Told:
    return {name: data[name] for name in names if name in data}


def _teller(kind: str, *names: str, **fixed: JsonValue) -> Callable[[Mapping[str, JsonValue]], Told]:
    return lambda data: {"type": kind} | fixed | _picked(data, *names)


TOLD: Mapping[tuple[str, str], Callable[[Mapping[str, JsonValue]], Told]] = {
    ("<", "StreamStarted"): _teller("state", state="connected"),
    ("<", "SessionReady"): _teller("state", state="ready"),
    ("=", "recover"): _teller("state", state="recovering"),
    ("<", "SpeechStarted"): _teller("speech", "item_id", speaking=True),
    ("<", "SpeechStopped"): _teller("speech", "item_id", speaking=False),
    ("<", "CallerSaid"): _teller("caller", "item_id", "text"),
    ("<", "AgentSaid"): _teller("agent", "item_id", "text"),
    (">", "PlayAudio"): _teller("sent", "item_id", "ms"),
    (">", "Heard"): _teller("heard", "item_id", "ms"),
    ("=", "heard_text"): _teller("heard_text", "item_id", "text"),
    ("<", "Dtmf"): _teller("key", "digit"),
    ("<", "OperatorAsked"): _teller("operator", "action", "who"),
    (">", "InvokeTool"): _teller("tool", "tool_call_id", "name"),
    ("<", "ToolResult"): _teller("tool_done", "tool_call_id", "ok", "elapsed_ms"),
    ("=", "turn_latency"): _teller("latency", "ms"),
    ("=", "resumed"): _teller("resumed"),
}
"""By direction and kind of the entry."""
