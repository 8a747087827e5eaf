"""Where the words of each item stand, and what of an agent's words was heard.

Both are known only from the whole journal: a transcript comes late and in any order, and what was cut is told when it
is cut, before or after the words are known. So the journal is read once for this before it is told.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from gateway.records.story import number, text
from gateway.store import JournalEntry, JsonValue

__all__ = ["Words"]

CUTS = frozenset({"barge_in", "dropped", "cut_short", "muted", "cancelled"})
"""Kinds of notes that an item was cut, with `item_id`, `heard_ms` and `received_ms`."""
FRAME_MS = 20.0
CUT_HERE = "… [cut here, estimate]"


class Words:
    """Of one journal."""

    def __init__(self, journal: Iterable[JournalEntry]) -> None:
        self._begins_s: dict[str, float] = {}
        """By item: when its first sound was spoken or heard."""
        self._cut: dict[str, Mapping[str, JsonValue]] = {}
        self._heard: dict[str, Mapping[str, JsonValue]] = {}
        self._dropped: set[str] = set()
        self._sent_ms: defaultdict[str, float] = defaultdict(float)
        self._heard_ms: defaultdict[str, float] = defaultdict(float)
        self._over = False
        self._voice_s: float | None = None
        """When our own ear first heard the caller since the last turn was committed."""
        self._caller: dict[str, str] = {}
        self._agent: defaultdict[str, list[JournalEntry]] = defaultdict(list)
        """By response: what was generated in it."""
        self._responses: dict[str, str] = {}
        """By wish: the response that came of it."""
        for entry in journal:
            self._read(entry)

    def begin_s(self, entry: JournalEntry) -> float:
        """Return when the words of this transcript began to be spoken (caller) or heard (agent)."""
        return self._begins_s.get(text(entry.data, "item_id"), entry.at_s)

    def heard(self, entry: JournalEntry) -> str | None:
        """Return what the caller heard of an agent's transcript, a guess marked as such; None for nothing."""
        item_id, whole = text(entry.data, "item_id"), text(entry.data, "text")
        cut = self._heard.get(item_id) or self._cut.get(item_id)
        if text(entry.data, "response_id") in self._dropped and item_id not in self._begins_s:
            return None
        if cut is None:
            return self._until_the_end(item_id, whole)
        heard_ms, received_ms = number(cut, "heard_ms"), number(cut, "received_ms")
        if heard_ms is not None and heard_ms <= 0:
            return None
        if item_id in self._heard:
            words = text(cut, "text")
            return f"{words} {CUT_HERE}" if words else None
        if heard_ms is None:
            return f"{whole} [heard in part]"
        of = f" of {received_ms / 1000:.1f}" if received_ms is not None else ""
        return f"{whole} [heard {heard_ms / 1000:.1f}{of} s]"

    def said_by_caller(self, item_id: str) -> str:
        return self._caller.get(item_id, "")

    def sounded(self, item_id: str) -> bool:
        """Return whether the caller heard anything of an item."""
        return self._heard_ms.get(item_id, 0.0) > 0

    def heard_of_wish(self, wish_id: str) -> str:
        """Return what the caller heard of the response that we asked for under this name."""
        response_id = self._responses.get(wish_id)
        said = self._agent[response_id] if response_id else []
        return " ".join(words for words in map(self.heard, said) if words)

    def _until_the_end(self, item_id: str, whole: str) -> str | None:
        """Return what was heard of an item that nobody cut: all of it, unless the end of the call came first."""
        if not self._over or not self._sent_ms:
            return whole
        heard_ms = self._heard_ms[item_id]
        if heard_ms <= 0:
            return None
        if heard_ms >= self._sent_ms[item_id] - FRAME_MS:
            return whole
        return f"{whole} [heard {heard_ms / 1000:.1f} s, then the call ended]"

    def _read(self, entry: JournalEntry) -> None:
        data, item_id = entry.data, text(entry.data, "item_id")
        match entry.kind:
            case "VoiceStarted":
                self._voice_s = number(data, "at_s") if self._voice_s is None else self._voice_s
            case "SpeechStarted":
                began_s = number(data, "began_s")
                self._begins_s.setdefault(item_id, entry.at_s if began_s is None else min(began_s, entry.at_s))
            case "InputCommitted":  # all that the model tells of a turn that we ended ourselves
                self._begins_s.setdefault(item_id, entry.at_s if self._voice_s is None else self._voice_s)
                self._voice_s = None
            case "PlayAudio":
                self._sent_ms[item_id] += number(data, "ms") or 0
            case "LegEnded" | "HangUp" | "end":
                self._over = True
            case "Heard":
                self._heard_ms[item_id] += number(data, "ms") or 0
                heard_s = number(data, "begins_s")
                self._begins_s.setdefault(item_id, entry.at_s if heard_s is None else heard_s)
            case "heard_text":
                self._heard[item_id] = data
            case "early_dropped":
                self._dropped.add(text(data, "response_id"))
            case kind if kind in CUTS and item_id:
                self._cut[item_id] = data
            case _:
                self._read_words(entry)

    def _read_words(self, entry: JournalEntry) -> None:
        data = entry.data
        match entry.kind:
            case "CallerSaid":
                self._caller[text(data, "item_id")] = text(data, "text").strip()
            case "AgentSaid":
                self._agent[text(data, "response_id")].append(entry)
            case "ResponseCreated":
                self._responses[text(data, "wish_id")] = text(data, "response_id")
