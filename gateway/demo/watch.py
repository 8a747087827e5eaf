"""What is known of the call while it lives: fed by the journal, by the model's words as they come, and by the line.

The same facts feed the live view and the plain lines. Nothing here waits or raises; texts are made safe for a terminal.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from gateway.realtime.connection import Dial, dial
from gateway.simulator.carrier import CallReport
from gateway.store.rows import JournalEntry, JsonValue
from gateway.store.store import Store
from gateway.wire import TextSocket

__all__ = ["Talk", "Turn", "Watch", "WatchedStore", "watched_dial"]

Side: TypeAlias = Literal["caller", "agent", "tool", "note"]
MAX_TEXT = 600
PATIENCE_S = 30.0
"""Nothing waits longer than this for what was said before it: a transcript may come when its turn is long over."""
DELTA = '"response.output_audio_transcript.delta"'


@dataclass(slots=True)
class Talk:
    """One line of the conversation."""

    at_s: float
    who: Side
    text: str = ""
    done: bool = False
    """Whether the text is whole."""
    heard_ms: int | None = None
    """Where a barge-in cut it off."""
    received_ms: int = 0


@dataclass(slots=True, frozen=True)
class Turn:
    """One answer and how long the caller waited for it."""

    at_s: float
    ms: int


@dataclass(slots=True)
class Watch:
    """The call so far. `tell` gets every line once it is whole, in the order of time, for output without a screen."""

    tell: Callable[[float, str, str], None] | None = None
    phase: str = "starting"
    talks: dict[str, Talk] = field(default_factory=dict)
    """By item id or tool call id, in the order in which they began."""
    turns: list[Turn] = field(default_factory=list)
    spent_usd: float = 0.0
    end_reason: str = ""
    report: CallReport | None = None
    """The line's own record, which grows while the call lives."""
    at_s: float = 0.0
    """Time of the newest entry, in seconds since the call was offered."""
    waiting: list[tuple[float, str, str]] = field(default_factory=list)
    """Lines that are whole while something that was said before them is not yet."""

    def enter(self, phase: str) -> None:
        """Say what is being done now."""
        self.phase = phase
        self.flush()
        self._tell(self.at_s, "demo", phase)
        self.flush()

    def words(self, item_id: str, delta: str) -> None:
        """Take a piece of the agent's transcript as the model makes it."""
        talk = self.talks.setdefault(item_id, Talk(self.at_s, "agent"))
        if not talk.done:
            talk.text = (talk.text + _clean(delta))[:MAX_TEXT]

    def flush(self) -> None:
        """Tell what waits; call when nothing more will come."""
        self._let_go(math.inf)

    def entry(self, entry: JournalEntry) -> None:
        """Take a journal entry."""
        self._take(entry)
        patience_s = self.at_s - PATIENCE_S
        begun = (talk.at_s for talk in self.talks.values() if talk.who in ("caller", "agent") and not talk.done)
        self._let_go(min((at_s for at_s in begun if at_s > patience_s), default=math.inf))

    def _take(self, entry: JournalEntry) -> None:
        self.at_s = max(self.at_s, entry.at_s)
        data = entry.data
        match entry.kind:
            case "SpeechStarted":
                self.talks.setdefault(_text(data, "item_id"), Talk(entry.at_s, "caller"))
            case "CallerSaid" | "AgentSaid":
                self._said("caller" if entry.kind == "CallerSaid" else "agent", data)
            case "InvokeTool":
                text = f"{_text(data, 'name')} {_text(data, 'arguments')}"
                self.talks[_text(data, "tool_call_id")] = Talk(entry.at_s, "tool", text)
                self._tell(entry.at_s, "webhook", f"→ {text}")
            case "ToolResult":
                self._tool_result(data)
            case "Briefed" if _text(data, "context"):
                self.talks["call.incoming"] = Talk(
                    entry.at_s, "tool", f"call.incoming → {_text(data, 'context')}", True
                )
                self._tell(entry.at_s, "webhook", f"← {_text(data, 'context')}")
            case "claim_unbacked":
                self._tell(entry.at_s, "claim", f"not backed by {_text(data, 'tool')}: {_text(data, 'text')}")
            case "barge_in":
                self._barge_in(data)
            case "turn_latency":
                self.turns.append(Turn(entry.at_s, _count(data, "ms")))
                self._tell(entry.at_s, "latency", f"{_count(data, 'ms')} ms from the caller's last sound to the answer")
            case "Spent":
                usd = data.get("usd")
                self.spent_usd = float(usd) if isinstance(usd, int | float) else self.spent_usd
            case "end":
                self.end_reason = _text(data, "reason")
                self._tell(entry.at_s, "end", self.end_reason)

    def _said(self, who: Side, data: Mapping[str, JsonValue]) -> None:
        talk = self.talks.setdefault(_text(data, "item_id"), Talk(self.at_s, who))
        talk.text, talk.done = _text(data, "text"), True
        self._tell(talk.at_s, who, talk.text)

    def _tool_result(self, data: Mapping[str, JsonValue]) -> None:
        talk = self.talks.setdefault(_text(data, "tool_call_id"), Talk(self.at_s, "tool"))
        output = _text(data, "output")
        talk.text, talk.done = f"{talk.text} → {output}"[:MAX_TEXT], True
        self._tell(self.at_s, "webhook", f"← {output}")

    def _barge_in(self, data: Mapping[str, JsonValue]) -> None:
        talk = self.talks.setdefault(_text(data, "item_id"), Talk(self.at_s, "agent"))
        talk.heard_ms, talk.received_ms = _count(data, "heard_ms"), _count(data, "received_ms")
        self._tell(self.at_s, "barge-in", f"heard {talk.heard_ms} ms of the {talk.received_ms} ms that had come")

    def _tell(self, at_s: float, who: str, what: str) -> None:
        self.waiting.append((at_s, who, what))

    def _let_go(self, until_s: float) -> None:
        """Tell, in the order of time, what happened up to `until_s`: transcripts come late and in any order."""
        self.waiting.sort(key=lambda line: line[0])
        while self.waiting and self.waiting[0][0] <= until_s:
            line = self.waiting.pop(0)
            if self.tell is not None:
                self.tell(*line)


class WatchedStore(Store):
    """The store, with somebody looking over its shoulder."""

    watch: Watch | None = None

    def put(self, row: JournalEntry, /) -> None:
        """As `Store.put`."""
        super().journal(row)
        if self.watch is not None:
            self.watch.entry(row)


def watched_dial(watch: Watch) -> Dial:
    """Return a `dial` whose sockets also tell `watch` the agent's words as they come."""

    async def open_socket(url: str, headers: Mapping[str, str]) -> TextSocket:
        return _Listening(await dial(url, headers), watch)

    return open_socket


class _Listening:
    """A socket that is read along. Only the few events with words are decoded, never audio."""

    def __init__(self, socket: TextSocket, watch: Watch) -> None:
        self._socket = socket
        self._watch = watch

    async def receive(self) -> str | bytes:
        frame = await self._socket.receive()
        if isinstance(frame, str) and DELTA in frame[:200]:
            try:
                event = json.loads(frame)
                self._watch.words(str(event["item_id"]), str(event["delta"]))
            except (ValueError, KeyError, TypeError):
                return frame  # whoever the frame is for says what is wrong with it
        return frame

    async def send(self, frame: str | bytes) -> None:
        await self._socket.send(frame)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._socket.close(code, reason)


def _text(data: Mapping[str, JsonValue], name: str) -> str:
    value = data.get(name)
    return "" if value is None else _clean(str(value))


def _count(data: Mapping[str, JsonValue], name: str) -> int:
    value = data.get(name)
    return round(value) if isinstance(value, int | float) else 0


def _clean(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text[:MAX_TEXT])
