"""What was known before the first word, told from the journal, and what the model of a call that goes on was told.

What a business knows of a caller is theirs: a line shows the beginning of it, the journal has it whole.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType

from gateway.records.story import Line, Who, brief, parts, text
from gateway.store import JournalEntry

__all__ = ["BeginStory"]

NOTICED_S = 0.1
"""An answer without anything in it is worth a line when somebody had to be waited for."""
WORDS_SHOWN = 4
"""Turns from before that are shown, the last; the earlier part of the call has them all."""


@dataclass(slots=True)
class BeginStory:
    """Of one journal. `tell` every entry, in order."""

    entries: Sequence[JournalEntry]
    _told: int = 0
    _offered_s: float = 0.0
    _spoke: bool = False
    """Whether the agent was asked for its first words."""
    _past: tuple[Line, ...] = ()

    def tell(self, entry: JournalEntry) -> Iterator[Line]:
        """Yield the lines of one entry; none for a kind that is no matter of the beginning."""
        self._told += 1
        teller = _KINDS.get(entry.kind)
        if teller is not None:
            yield from teller(self, entry)

    def _offered(self, entry: JournalEntry) -> Iterator[Line]:
        self._offered_s = entry.at_s
        yield from ()

    def _asked(self, entry: JournalEntry) -> Iterator[Line]:
        self._spoke = True
        yield from ()

    def _briefed(self, entry: JournalEntry) -> Iterator[Line]:
        took_s = entry.at_s - self._offered_s
        context, greeting = text(entry.data, "context"), text(entry.data, "greeting")
        late = self._spoke or self._is_late()
        self._past = tuple(_past(entry))
        if context:
            when = "comes too late for the first word: the agent is told now" if late else "is there in time"
            yield _line(entry, "briefed", f"what is known of the caller {when}: {brief(context)}", took_s)
        elif not greeting and entry.data.get("resumed") is not True and (late or took_s >= NOTICED_S):
            yield _line(entry, "briefed", "nothing is found out about the caller", took_s)
        if greeting:
            what = "comes too late, it is not said" if late else "takes the place of the agent's own"
            yield _line(entry, "briefed", f'a greeting for this caller {what}: "{brief(greeting)}"', took_s)

    def _is_late(self) -> bool:
        """Return whether the core noted next that the call had begun."""
        after = next(islice(self.entries, self._told, None), None)
        return after is not None and after.kind == "briefed_late"

    def _resumed(self, entry: JournalEntry) -> Iterator[Line]:
        words, calls = (text(entry.data, name) or "0" for name in ("words", "calls"))
        told = f"{words} turn{'' if words == '1' else 's'} and {calls} function call{'' if calls == '1' else 's'}"
        what = f"the telephone call goes on; the model is told of {told} from before"
        yield _line(entry, "resumed_call", what)
        yield from (Line(entry.at_s, line.who, line.kind, line.what) for line in self._past)


def _past(entry: JournalEntry) -> Iterator[Line]:
    for said in parts(entry.data, "words")[-WORDS_SHOWN:]:
        who: Who = "caller" if text(said, "role") == "user" else "agent"
        yield Line(entry.at_s, who, "before", brief(text(said, "text")))
    for call in parts(entry.data, "calls"):
        output = (
            "its end is not known here" if call.get("output") is None else f"answered {brief(text(call, 'output'))}"
        )
        called = f"{text(call, 'name')} {brief(text(call, 'arguments'))}".strip()
        yield Line(entry.at_s, "tool", "before", f"{called}: {output}")


def _line(entry: JournalEntry, kind: str, what: str, took_s: float | None = None) -> Line:
    return Line(entry.at_s, "gateway", kind, what, None if took_s is None else max(round(took_s * 1000), 0))


_KINDS: Mapping[str, Callable[[BeginStory, JournalEntry], Iterator[Line]]] = MappingProxyType(
    {
        "CallOffered": BeginStory._offered,
        "CreateResponse": BeginStory._asked,
        "Briefed": BeginStory._briefed,
        "resumed_call": BeginStory._resumed,
    }
)
