"""What was said on a call, turn by turn, read off its journal while it is written, or later off the stored one.

A turn of the caller is finished when its words are known. One of the agent is finished when its words are known and
it was heard to its end or cut; its text is what the caller heard of it, whole words in proportion to the audio where
it was cut. Words of which nothing was heard are no turn. The same journal gives the same turns, live or stored.

Sound that seems to have been heard to its end may only be held back (a reversible barge-in): the note of that comes
in the same step, so an item counts as heard only once the journal has gone on in time.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from gateway.records.story import number
from gateway.store.rows import JournalEntry, JsonValue

__all__ = ["Transcript", "Turn"]

V = TypeVar("V")

OPEN_MOST = 64
"""Items that are watched at once; the oldest gives way. A call has two or three."""
FRAME_MS = 20.0
CUTS = frozenset({"barge_in", "dropped", "cut_short", "muted", "cancelled"})
TOLD = frozenset(
    {"SpeechStarted", "VoiceStarted", "InputCommitted", "CallerSaid", "AgentSaid", "PlayAudio", "Heard", "ClearAudio"}
    | {"ResponseCreated", "ResponseDone", "AudioDelta", "held", "resumed", "heard_text"}
    | CUTS
)


@dataclass(slots=True, frozen=True)
class Turn:
    """One utterance that is over."""

    seq: int
    """Counts from 0 in the order in which turns were finished; `at_s` tells the order in which they began."""
    role: Literal["caller", "agent"]
    text: str
    at_s: float
    """When it began to be spoken or heard, seconds since the call was offered."""
    item_id: str
    cut: bool = False
    """Agent: the caller did not hear it to its end; `text` is an estimate of what was heard."""


@dataclass(slots=True)
class _Item:
    begin_s: float | None = None
    text: str = ""
    response_id: str = ""
    played_ms: float = 0.0
    unheard_ms: float = 0.0
    """Sent, and not yet known to be heard."""
    heard_ms: float = 0.0
    cut: tuple[float, float] | None = None
    """Heard and received ms of an item that was cut."""


class Transcript:
    """Of one call. Give it every journal entry in order; it keeps little more than what is still open."""

    def __init__(self) -> None:
        self._items: OrderedDict[str, _Item] = OrderedDict()
        self._done: OrderedDict[str, None] = OrderedDict()
        """Responses of which no more audio comes."""
        self._received: OrderedDict[str, list[float]] = OrderedDict()
        """By response: when it began, and its audio so far in ms, from the counts of frames."""
        self._told: OrderedDict[str, None] = OrderedDict()
        """Items whose turn is finished."""
        self._ripe: set[str] = set()
        self._voice_s: float | None = None
        self._held = False
        self._clock_s = 0.0
        self._seq = 0

    def read(self, entry: JournalEntry) -> list[Turn]:
        """Return the turns that this entry finishes."""
        if entry.kind not in TOLD and not self._ripe:
            return []
        finished: list[Turn] = []
        if entry.at_s > self._clock_s:
            finished = self._heard_out()
            self._clock_s = entry.at_s
        match entry.kind:
            case "CallerSaid":
                return [*finished, *self._caller_said(entry)]
            case "AgentSaid" | "heard_text":
                return [*finished, *self._agent_said(entry)]
            case "PlayAudio" | "Heard":
                self._sound(entry)
            case "SpeechStarted" | "VoiceStarted" | "InputCommitted":
                self._begins(entry)
            case kind if kind in CUTS:
                self._cut(entry)
            case _:
                self._progress(entry)
        return finished

    def finish(self) -> list[Turn]:
        """Return the turns that were going on when the journal ended, as far as they were heard. Call once, last."""
        turns = self._heard_out()
        for item_id, item in list(self._items.items()):
            if not item.text or item.heard_ms <= 0:
                continue
            received = self._received.get(item.response_id, [0.0, 0.0])[1]
            of_ms = item.cut[1] if item.cut is not None else max(received, item.heard_ms + item.unheard_ms)
            heard_ms = item.cut[0] if item.cut is not None else item.heard_ms
            turns += self._cut_turn(item_id, item, _share(item.text, heard_ms, of_ms))
        return turns

    def _heard_out(self) -> list[Turn]:
        if self._held:
            return []
        turns = []
        for item_id in [item_id for item_id in self._items if item_id in self._ripe]:
            item = self._items[item_id]
            turns += self._turn(item_id, "agent", item.text, item.begin_s)
        return turns

    def _caller_said(self, entry: JournalEntry) -> list[Turn]:
        item_id, text = _text(entry.data, "item_id"), _text(entry.data, "text").strip()
        item = self._items.get(item_id)
        begin_s = item.begin_s if item is not None else None
        return self._turn(item_id, "caller", text, entry.at_s if begin_s is None else begin_s) if text else []

    def _agent_said(self, entry: JournalEntry) -> list[Turn]:
        item_id, text = _text(entry.data, "item_id"), _text(entry.data, "text").strip()
        item = self._item(item_id)
        if entry.kind == "heard_text":
            return self._cut_turn(item_id, item, text)
        item.text, item.response_id = text, _text(entry.data, "response_id")
        self._look(item_id, item)
        return []

    def _sound(self, entry: JournalEntry) -> None:
        item_id = _text(entry.data, "item_id")
        item, ms = self._item(item_id), max(number(entry.data, "ms") or 0.0, 0.0)
        if entry.kind == "PlayAudio":
            self._held = False
            item.played_ms += ms
            item.unheard_ms += ms
            self._ripe.discard(item_id)
            return
        begins_s = number(entry.data, "begins_s")
        item.begin_s = (entry.at_s if begins_s is None else begins_s) if item.begin_s is None else item.begin_s
        item.heard_ms += ms
        item.unheard_ms = max(item.unheard_ms - ms, 0.0)
        self._look(item_id, item)

    def _begins(self, entry: JournalEntry) -> None:
        """Note when a turn of the caller begins; of one that we end ourselves, only our own ear knows that."""
        if entry.kind == "VoiceStarted":
            at_s = number(entry.data, "at_s")
            self._voice_s = at_s if self._voice_s is None else self._voice_s
            return
        item = self._item(_text(entry.data, "item_id"))
        began_s = number(entry.data, "began_s")
        if entry.kind == "InputCommitted":
            began_s, self._voice_s = self._voice_s, None
        if item.begin_s is None:
            item.begin_s = entry.at_s if began_s is None else min(began_s, entry.at_s)

    def _cut(self, entry: JournalEntry) -> None:
        self._held = False
        item = self._items.get(_text(entry.data, "item_id"))
        if item is None:
            return
        heard_ms, received_ms = number(entry.data, "heard_ms"), number(entry.data, "received_ms")
        item.cut = (item.heard_ms if heard_ms is None else heard_ms, received_ms or item.played_ms)
        self._ripe.discard(_text(entry.data, "item_id"))

    def _progress(self, entry: JournalEntry) -> None:
        response_id = _text(entry.data, "response_id")
        match entry.kind:
            case "ClearAudio":
                for item_id, item in self._items.items():
                    item.unheard_ms = 0.0
                    self._look(item_id, item)
            case "held" | "resumed":
                self._held = entry.kind == "held"
            case "ResponseCreated":
                _keep(self._received, response_id, [entry.at_s, 0.0])
            case "ResponseDone":
                _keep(self._done, response_id, None)
                for item_id, item in self._items.items():
                    self._look(item_id, item)
            case "AudioDelta":
                began = [one for one in self._received.values() if one[0] <= entry.at_s]
                if began:
                    began[-1][1] += number(entry.data, "ms") or 0.0

    def _look(self, item_id: str, item: _Item) -> None:
        """Note whether all of an item seems to have been heard."""
        over = item.text and item.cut is None and item.response_id in self._done
        if over and item.heard_ms > 0 and item.unheard_ms <= FRAME_MS:
            self._ripe.add(item_id)
        else:
            self._ripe.discard(item_id)

    def _cut_turn(self, item_id: str, item: _Item, text: str) -> list[Turn]:
        return self._turn(item_id, "agent", text, item.begin_s, cut=text != item.text)

    def _turn(
        self, item_id: str, role: Literal["caller", "agent"], text: str, begin_s: float | None, *, cut: bool = False
    ) -> list[Turn]:
        self._items.pop(item_id, None)
        self._ripe.discard(item_id)
        if item_id in self._told or not text:
            return []
        _keep(self._told, item_id, None)
        turn = Turn(self._seq, role, text, round(self._clock_s if begin_s is None else begin_s, 3), item_id, cut)
        self._seq += 1
        return [turn]

    def _item(self, item_id: str) -> _Item:
        item = self._items.get(item_id)
        if item is None:
            item = self._items[item_id] = _Item()
            while len(self._items) > OPEN_MOST:
                forgotten, _ = self._items.popitem(last=False)
                self._ripe.discard(forgotten)
        return item


def _share(text: str, heard_ms: float, of_ms: float) -> str:
    """Return what was heard of `text`: whole words, in proportion to the audio."""
    if of_ms <= 0 or heard_ms >= of_ms - FRAME_MS:
        return text
    words = text.split()
    return " ".join(words[: round(len(words) * heard_ms / of_ms)])


def _keep(kept: "OrderedDict[str, V]", key: str, value: V) -> None:
    kept[key] = value
    while len(kept) > OPEN_MOST:
        kept.popitem(last=False)


def _text(data: Mapping[str, JsonValue], name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""
