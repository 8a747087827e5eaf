"""What of one call goes to the business: read off its journal, bounded, and told in the events' own words.

Whatever is written here went through the journal, where tokens and secret keys are hidden already.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Protocol

from gateway.deliveries.bounded import HeadAndTail
from gateway.deliveries.events import dumps, fitting
from gateway.deliveries.transcript import Transcript, Turn
from gateway.store.rows import CallEnd, JournalEntry, JsonValue, StoredInvocation
from gateway.tools.envelope import event_call, stamp

__all__ = ["CallAccount", "OfferedCall", "call_data"]

TRANSCRIPT_BYTES = 144 * 1024
TOOLS_BYTES = 64 * 1024
PART_BYTES = 12 * 1024
"""Most of the usage, of the latency and of the variables; longer ones are left out."""
TEXT_CHARS = 4_000
"""Kept of a function's arguments and of its output."""


class OfferedCall(Protocol):
    """A call as it was offered: `CallRow` or `StoredCall`."""

    @property
    def call_id(self) -> str: ...
    @property
    def carrier(self) -> str: ...
    @property
    def carrier_call_id(self) -> str: ...
    @property
    def direction(self) -> str: ...
    @property
    def agent(self) -> str: ...
    @property
    def from_number(self) -> str: ...
    @property
    def to_number(self) -> str: ...
    @property
    def offered_at(self) -> datetime: ...


def call_data(call: OfferedCall) -> dict[str, object]:
    """Return the call as every event tells it; the same fields as in a tool call."""
    return event_call(call, {})


class CallAccount:
    """The account of one call. `read` every journal entry in order; then `finish`, then `ended`."""

    def __init__(self, call: OfferedCall) -> None:
        self.call = call
        self.answered_at: datetime | None = None
        self._transcript = Transcript()
        self._turns: HeadAndTail[Turn] = HeadAndTail(TRANSCRIPT_BYTES)
        self._tools: dict[str, dict[str, object]] = {}
        self._tool_bytes: dict[str, int] = {}
        self._tools_omitted = 0

    def read(self, entry: JournalEntry) -> list[Turn]:
        """Return the turns that this entry finishes."""
        if entry.kind in ("InvokeTool", "ToolResult"):
            self._tool(entry)
        return self._kept(self._transcript.read(entry))

    def finish(self) -> list[Turn]:
        """Return the turns that the end of the call finishes."""
        return self._kept(self._transcript.finish())

    def unknown(self, tool_call_id: str) -> None:
        """Nobody can say whether this function was carried out."""
        self._update(tool_call_id, {"outcome": "unknown"})

    def on_record(self, row: StoredInvocation) -> None:
        """Take the ledger's word for what came of a function: it may have been settled after the journal broke off."""
        # Meant and not settled yet: it may have been sent, and nobody has said what came of it.
        outcome = "unknown" if row.state == "intended" else row.state
        told: dict[str, object] = {"outcome": outcome}
        if row.output is not None:
            told["output"] = _shown(row.output)
        if row.detail:
            told["detail"] = row.detail
        self._update(row.tool_call_id, told)

    def ended(self, end: CallEnd, variables: Mapping[str, object]) -> dict[str, object]:
        """Return the data of `call.ended`."""
        usage, latency = end.usage or {}, end.latency or {}
        return {
            "call": call_data(self.call),
            "reason": end.end_reason,
            "detail": end.end_detail,
            "offered_at": _stamp(self.call.offered_at),
            "answered_at": _stamp(self.answered_at),
            "ended_at": _stamp(end.ended_at),
            "duration_s": round(end.duration_ms / 1000, 3),
            "transcript": self._shown_turns(),
            "transcript_omitted": self._turns.omitted,
            "tools": list(self._tools.values()),
            "tools_omitted": self._tools_omitted,
            "usage": usage if fitting(usage, PART_BYTES) else {},
            "cost_usd": None if end.cost_usd is None else f"{end.cost_usd:f}",
            "latency": latency if fitting(latency, PART_BYTES) else {},
            "recording": end.recording_path is not None,
            "variables": dict(variables) if fitting(dict(variables), PART_BYTES) else {},
        }

    def _kept(self, turns: list[Turn]) -> list[Turn]:
        for turn in turns:
            self._turns.add(turn, asdict(turn))
        return turns

    def _shown_turns(self) -> list[dict[str, object]]:
        head = [asdict(turn) for turn in sorted(self._turns.head, key=_begin)]
        tail = [asdict(turn) for turn in sorted((turn for turn, _ in self._turns.tail), key=_begin)]
        if not self._turns.omitted:
            return sorted((*head, *tail), key=lambda turn: float(turn["at_s"]))
        note = {"seq": None, "role": "note", "text": f"{self._turns.omitted} turns are left out here"}
        return [*head, note, *tail]

    def _tool(self, entry: JournalEntry) -> None:
        data = entry.data
        tool_call_id = str(data.get("tool_call_id", ""))
        if entry.kind == "InvokeTool":
            if tool_call_id not in self._tools:
                asked = {"name": data.get("name"), "arguments": _shown(data.get("arguments")), "outcome": "no_result"}
                self._update(tool_call_id, {"call_id": tool_call_id, **asked, "at_s": round(entry.at_s, 3)}, new=True)
            return
        known = self._tools.get(tool_call_id)
        outcome = "pending" if data.get("pending") else "done" if data.get("ok") else "failed"
        if known is not None and known["outcome"] == "unknown" and outcome == "failed" and "output" not in known:
            outcome = "unknown"  # this is how the model is told so; what comes after that is a result
        result = {"outcome": outcome, "output": _shown(data.get("output")), "detail": data.get("detail")}
        self._update(tool_call_id, {**result, "elapsed_ms": data.get("elapsed_ms")})

    def _update(self, tool_call_id: str, fields: Mapping[str, object], *, new: bool = False) -> None:
        if tool_call_id not in self._tools and not new:
            return
        told = {**self._tools.get(tool_call_id, {}), **fields}
        self._tools[tool_call_id] = told
        self._tool_bytes[tool_call_id] = len(dumps(told).encode()) + 1
        while sum(self._tool_bytes.values()) > TOOLS_BYTES and len(self._tools) > 1:
            middle = list(self._tools)[len(self._tools) // 2]
            del self._tools[middle], self._tool_bytes[middle]
            self._tools_omitted += 1


def _begin(turn: Turn) -> float:
    return turn.at_s


def _stamp(at: datetime | None) -> str | None:
    return None if at is None else stamp(at)


def _shown(text: JsonValue) -> object:
    """Return a JSON text as what it says, or as text where it is long or no JSON."""
    if not isinstance(text, str):
        return None
    if len(text) > TEXT_CHARS:
        return text[:TEXT_CHARS] + f"… ({len(text) - TEXT_CHARS} more characters)"
    try:
        value: object = json.loads(text)
        return value if fitting(value, TOOLS_BYTES // 2) else text
    except (ValueError, RecursionError):
        return text
