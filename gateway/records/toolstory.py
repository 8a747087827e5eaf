"""What became of each function call, told from the journal: carried out, put off, shared, promised, given up, late.

Names and arguments are those of the response that made the call. A key agrees; of a turn it is told only that the
caller has answered, with the words: what they meant is the reader's to judge.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType
from typing import Literal

from gateway.core.toolcalls import canonical
from gateway.records.story import Line, ToolWait, Who, brief, number, parts, text
from gateway.records.words import Words
from gateway.store import JournalEntry

__all__ = ["ToolStory"]

OWN_TONE = "own:wait_"
"""Begins the item ids of tones that fill a silence (`gateway.core.waiting`)."""
LOOK_BACK = 20
"""Entries: what words refuse is put on record at once."""
ACTIONS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "hang_up": ("wants the call ended", "ends the call, as the business asked"),
        "transfer": ("wants the caller transferred", "transfers the caller, as the business asked"),
    }
)


@dataclass(slots=True)
class _Call:
    name: str
    arguments: str
    begin_s: float | None = None
    """When it left; None for one that did not."""
    pending_s: float | None = None
    end_s: float | None = None
    ok: bool | None = None
    ended: Literal["", "timed_out", "given_up"] = ""

    def since(self, at_s: float) -> int | None:
        return None if self.begin_s is None else round(1000 * (at_s - self.begin_s))


@dataclass(slots=True)
class ToolStory:
    """Of one journal. `tell` every entry, in order; what is known only later is looked up in the whole."""

    entries: Sequence[JournalEntry]
    words: Words
    _calls: dict[str, _Call] = field(default_factory=dict)
    """By tool call id, in the order in which they were made."""
    _questions: set[tuple[str, str]] = field(default_factory=set)
    """What the caller had to be asked, by function and arguments."""
    _turn: str = ""
    """The item of the caller's last turn; "" while it is made."""
    _told: int = 0

    def tell(self, entry: JournalEntry) -> Iterator[Line]:
        """Yield the lines of one entry; none for a kind that is no matter of functions."""
        self._told += 1
        teller = _KINDS.get(entry.kind)
        if teller is not None:
            yield from teller(self, entry)

    def waits(self) -> list[ToolWait]:
        """Return how long each call that left was waited for, oldest first."""
        left = [(call.begin_s, call) for call in self._calls.values() if call.begin_s is not None]
        waits = [ToolWait(call.name, at_s, call.end_s, call.ok, call.pending_s, call.ended) for at_s, call in left]
        return sorted(waits, key=lambda wait: wait.begin_s)

    # --- calls --------------------------------------------------------------------------------

    def _responded(self, entry: JournalEntry) -> Iterator[Line]:
        for made in parts(entry.data, "calls"):
            name, arguments = text(made, "name") or "?", text(made, "arguments")
            self._calls.setdefault(text(made, "tool_call_id"), _Call(name, arguments))
        yield from ()

    def _invoked(self, entry: JournalEntry) -> Iterator[Line]:
        name, arguments = text(entry.data, "name") or "?", text(entry.data, "arguments")
        self._questions.discard((name, canonical(arguments)))
        call = self._calls[text(entry.data, "tool_call_id")] = _Call(name, arguments, entry.at_s)
        called = f"{call.name} {call.arguments}".rstrip()
        again = "asks the ledger what came of " if entry.data.get("again") is True else ""
        yield _line(entry, "tool_call", again + called)

    def _answered(self, entry: JournalEntry) -> Iterator[Line]:
        call, ok, at_s = self._call(entry), entry.data.get("ok") is True, entry.at_s
        output, detail = text(entry.data, "output"), text(entry.data, "detail")
        answer = f"{output} ({detail})" if output and detail and not ok else output or detail
        if call is None or call.begin_s is None:
            yield _line(entry, "tool_result", f"an answer that nobody waits for {answer}".rstrip())
            return
        if call.end_s is not None:
            late = "too late" if call.ended else "once more; nobody waits for it"
            yield _line(entry, "tool_result", f"{call.name} answers {late} {answer}".rstrip())
            return
        if entry.data.get("pending") is True and call.pending_s is None:
            call.pending_s = at_s
            what = f"{call.name} is being worked on, its result comes later {answer}"
            yield _line(entry, "tool_pending", what.rstrip(), call.since(at_s))
        else:
            call.end_s, call.ok = at_s, ok
            promised = "" if call.pending_s is None else f", as was promised {at_s - call.pending_s:.1f} s before:"
            what = f"{call.name} {'answers' if ok else 'fails'}{promised} {answer}"
            yield _line(entry, "tool_result", what.rstrip(), call.since(at_s))
        yield from self._wanted(call.name, entry)

    def _wanted(self, name: str, entry: JournalEntry) -> Iterator[Line]:
        """Tell what the business wants done with the call, beside its answer."""
        say, action, target = (text(entry.data, part) for part in ("say", "action", "target"))
        if say:
            yield _line(entry, "tool_say", f'{name} has the agent say: "{brief(say)}"')
        if action:
            wants = ACTIONS.get(action, (f"wants {action}", ""))[0]
            yield _line(entry, "tool_wants", f"{name} {wants}{_to(target)}")

    def _acted(self, entry: JournalEntry) -> Iterator[Line]:
        action = text(entry.data, "action")
        done = ACTIONS.get(action, ("", f"does what the business asked: {action}"))[1]
        yield _line(entry, "tool_action", done + _to(text(entry.data, "target")), who="gateway")

    def _action_refused(self, entry: JournalEntry) -> Iterator[Line]:
        to, why = _to(brief(text(entry.data, "target"))), text(entry.data, "why")
        what = f"the caller is not transferred, as the business wanted{to}: {why}"
        yield _line(entry, "tool_action_refused", what, who="gateway")

    def _call_refused(self, entry: JournalEntry) -> Iterator[Line]:
        name, why = text(entry.data, "tool") or self._name(entry), text(entry.data, "why")
        yield _line(entry, "tool_refused", f"{name} is not carried out: {why}", who="gateway")

    def _say_refused(self, entry: JournalEntry) -> Iterator[Line]:
        yield _line(entry, "tool_say", f"the words of {self._name(entry)} are not said: too many wait to be said")

    def _shared(self, entry: JournalEntry) -> Iterator[Line]:
        twin = self._calls.get(text(entry.data, "follows"))
        begun = "" if twin is None or twin.begin_s is None else f" at {twin.begin_s:.2f} s"
        what = f"{self._name(entry)} is not carried out again: it shares the result of the equal call{begun}"
        yield _line(entry, "tool_repeated", what)

    def _cancelled(self, entry: JournalEntry) -> Iterator[Line]:
        call = self._end(entry, "given_up")
        ms = call.since(entry.at_s) if call is not None else None
        yield _line(entry, "tool_cancelled", f"{self._name(entry)} is given up: the caller goes on speaking", ms)

    def _timed_out(self, entry: JournalEntry) -> Iterator[Line]:
        call = self._end(entry, "timed_out")
        ms = call.since(entry.at_s) if call is not None else None
        promised = "the result that was promised" if call is not None and call.pending_s is not None else "an answer"
        yield _line(entry, "tool_timeout", f"{self._name(entry)} has not given {promised} in time", ms)

    def _end(self, entry: JournalEntry, ended: Literal["timed_out", "given_up"]) -> _Call | None:
        call = self._call(entry)
        if call is not None and call.end_s is None:
            call.end_s, call.ok, call.ended = entry.at_s, False, ended
        return call

    # --- agreement ----------------------------------------------------------------------------

    def _asked(self, entry: JournalEntry) -> Iterator[Line]:
        call = self._call(entry)
        name = text(entry.data, "tool") or self._name(entry)
        arguments = call.arguments if call is not None else ""
        again = (name, canonical(arguments)) in self._questions
        self._questions.add((name, canonical(arguments)))
        why = "the caller has not agreed yet" if again else "the caller has to agree first"
        yield _line(entry, "confirmation_asked", f"{name} {arguments}".rstrip() + f" is not carried out: {why}")

    def _confirmed(self, entry: JournalEntry) -> Iterator[Line]:
        name = text(entry.data, "tool")
        if text(entry.data, "by") == "spoken":
            what = f"the caller has answered the question about {name or 'a function'}{self._answer()}"
        else:
            what = f"agrees by pressing {text(entry.data, 'key')}" + (f": {name}" if name else "")
        yield _line(entry, "confirmed", what, who="caller")

    def _refused(self, entry: JournalEntry) -> Iterator[Line]:
        """Tell of words that refuse: the last that were told."""
        tool = text(entry.data, "tool") or "a function"
        before = reversed(self.entries[max(0, self._told - LOOK_BACK) : self._told])
        said = next((text(e.data, "text") for e in before if e.kind == "CallerSaid"), "")
        words = f': "{brief(said)}"' if said else ""
        yield _line(entry, "confirmation_refused", f"the caller has refused {tool}{words}", who="caller")

    def _answer(self) -> str:
        """Return what the caller said in the turn that has just ended; its words, and its item, may come later."""
        after = islice(self.entries, self._told, None)
        item_id = self._turn or next((text(e.data, "item_id") for e in after if e.kind == "InputCommitted"), "")
        said = self.words.said_by_caller(item_id) if item_id else ""
        return f': "{brief(said)}"' if said else ""

    def _turn_over(self, entry: JournalEntry) -> Iterator[Line]:
        self._turn = text(entry.data, "item_id")
        yield from ()

    # --- silences -----------------------------------------------------------------------------

    def _filled(self, entry: JournalEntry) -> Iterator[Line]:
        after = number(entry.data, "after_ms")
        what = f"fills the silence while {text(entry.data, 'tool') or 'a function'} runs{self._filling()}"
        yield _line(entry, "filler", what, None if after is None else round(after), who="agent")

    def _filling(self) -> str:
        """Return with what a silence was filled, and whether the caller heard it."""
        for after in islice(self.entries, self._told, None):
            if after.kind == "filler":
                break
            item_id = text(after.data, "item_id")
            if after.kind == "PlayAudio" and item_id.startswith(OWN_TONE):
                return " with a soft tone" + ("" if self.words.sounded(item_id) else " that is not heard")
            if after.kind == "CreateResponse" and after.data.get("tools") is False:
                heard = self.words.heard_of_wish(text(after.data, "wish_id"))
                return f' with words: "{brief(heard)}"' if heard else " with words that are not heard"
        return ""

    def _call(self, entry: JournalEntry) -> _Call | None:
        return self._calls.get(text(entry.data, "tool_call_id"))

    def _name(self, entry: JournalEntry) -> str:
        call = self._call(entry)
        return call.name if call is not None else "a function"


def _line(entry: JournalEntry, kind: str, what: str, ms: int | None = None, *, who: Who = "tool") -> Line:
    return Line(entry.at_s, who, kind, what, ms)


def _to(target: str) -> str:
    return f", to {target}" if target else ""


_KINDS: Mapping[str, Callable[[ToolStory, JournalEntry], Iterator[Line]]] = MappingProxyType(
    {
        "ResponseDone": ToolStory._responded,
        "InvokeTool": ToolStory._invoked,
        "ToolResult": ToolStory._answered,
        "tool_action": ToolStory._acted,
        "tool_action_refused": ToolStory._action_refused,
        "tool_refused": ToolStory._call_refused,
        "say_refused": ToolStory._say_refused,
        "tool_repeated": ToolStory._shared,
        "tool_cancelled": ToolStory._cancelled,
        "tool_timeout": ToolStory._timed_out,
        "confirmation_asked": ToolStory._asked,
        "confirmed": ToolStory._confirmed,
        "confirmation_refused": ToolStory._refused,
        "SpeechStopped": ToolStory._turn_over,
        "InputCommitted": ToolStory._turn_over,
        "CommitInput": ToolStory._turn_over,
        "filler": ToolStory._filled,
    }
)
