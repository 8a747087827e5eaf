"""The response slot: the model runs one in-conversation response at a time.

States. FREE: none runs. ASKED: we sent `response.create` and wait for `response.created`. ACTIVE: one runs, ours
or one that the server began by itself after caller speech. Wishes are kept while the slot is taken, and asked one
after the other when it comes free: one for whatever the model has to say, one with instructions, and those for exact
words. Two of a kind become one, of two kinds never: what is said with words of ours says nothing else. A wish that
answers function outputs is satisfied by any response in the model's own words created after the model accepted those
outputs, so that the caller does not hear the answer twice.

The server refuses a `response.create` that meets a response of its own (`conversation_already_has_active_response`):
the wish is then kept again, never lost.
"""

from dataclasses import dataclass, field
from enum import Enum

from gateway.core.commands import CancelResponse, CreateResponse

__all__ = ["ResponseSlot", "SlotState", "Wish"]


class SlotState(Enum):
    FREE = "free"
    ASKED = "asked"
    ACTIVE = "active"


@dataclass(slots=True)
class Wish:
    """A response that we want."""

    wish_id: str
    instructions: str | None = None
    """In whose place the session's own stand; None: the model says what it has to say."""
    outputs: set[str] = field(default_factory=set)
    """Function outputs that it is to answer and the model has not yet accepted; see `answers_outputs`."""
    answers_outputs: bool = False
    protected: bool = False
    """Whether the caller must not interrupt it."""
    refused: bool = False
    """Whether it was asked for before."""
    dropped: bool = False
    """Whether it is not wanted any more, although it was asked: it is cancelled when it comes."""
    exact: bool = False
    """Whether the words are given: they are not the model's."""
    speaks_for: str = ""
    """The function call whose answer these words are, by its id."""
    filler: bool = False
    """Whether it only fills a silence: it answers nothing, and gives way to any other wish."""
    tools: bool = True
    """Whether it may call functions."""


class ResponseSlot:
    """Keeps to the rule of one response at a time; the caller sends what it returns."""

    def __init__(self) -> None:
        self.state = SlotState.FREE
        self.response_id = ""
        self.ours = False
        """Whether we asked for the response that runs, or ran last."""
        self.instructed = False
        """Whether it was asked for with instructions."""
        self.exact = False
        """Whether its words were given."""
        self.speaks_for = ""
        """The function call whose answer they are."""
        self.without_tools = ""
        """The last response that was asked for without functions."""
        self._wishes: list[Wish] = []
        self._asked: Wish | None = None
        self._cancelled = False
        self._count = 0

    @property
    def wanted(self) -> bool:
        """Whether a wish waits for the slot."""
        return bool(self._wishes)

    @property
    def asked(self) -> Wish | None:
        """The wish that was asked and not yet answered."""
        return self._asked

    @property
    def answer_due(self) -> bool:
        """Whether the model speaks, or has yet to say something in its own words."""
        waiting = [*self._wishes, *([self._asked] if self._asked is not None else [])]
        return self.state is SlotState.ACTIVE or any(w.instructions is None and not w.dropped for w in waiting)

    def want(
        self,
        instructions: str | None = None,
        outputs: set[str] | None = None,
        *,
        protected: bool = False,
        exact: bool = False,
        speaks_for: str = "",
        tools: bool = True,
    ) -> None:
        """Keep a wish. A second one of its kind joins the first: one response answers both."""
        wish = Wish(self._name(), instructions, outputs or set(), outputs is not None, protected)
        wish.exact, wish.speaks_for, wish.tools = exact, speaks_for, tools
        self.drop_filler()
        kept = self._like(wish)
        if kept is None:
            self._wishes.append(wish)
        else:
            self._wishes[self._wishes.index(kept)] = _joined(kept, wish)

    def fill(self, instructions: str) -> None:
        """Keep a wish for a few words in a silence, unless there is another one."""
        if not self._wishes:
            self._wishes.append(Wish(self._name(), instructions, filler=True, tools=False))

    def drop_filler(self) -> None:
        """There is no silence to be filled any more."""
        self._wishes = [wish for wish in self._wishes if not wish.filler]

    def allow_tools(self) -> None:
        """Somebody has spoken to the model since: what is still to be said may call functions again."""
        for wish in (*self._wishes, *([self._asked] if self._asked is not None else [])):
            wish.tools = not wish.filler

    def ask(self) -> list[CreateResponse]:
        """Ask for the kept wish if the slot is free."""
        if not self._wishes or self.state is not SlotState.FREE:
            return []
        self._asked = self._wishes.pop(0)
        self.state = SlotState.ASKED
        return [CreateResponse(self._asked.wish_id, self._asked.instructions, tools=self._asked.tools)]

    def output_accepted(self, tool_call_id: str) -> None:
        """The model has this function output; a response created from now on answers it."""
        for wish in (*self._wishes, *([self._asked] if self._asked is not None else [])):
            wish.outputs.discard(tool_call_id)

    def created(self, response_id: str, wish_id: str) -> None:
        """A response runs. If it is not the one we asked for, ours will be refused: keep its wish."""
        self.state = SlotState.ACTIVE
        self.response_id = response_id
        self._cancelled = False
        asked, self._asked = self._asked, None
        fulfilled = asked if asked is not None and wish_id == asked.wish_id else None
        self.ours = fulfilled is not None
        self.instructed = fulfilled is not None and fulfilled.instructions is not None
        self.exact = fulfilled is not None and fulfilled.exact
        self.speaks_for = fulfilled.speaks_for if fulfilled is not None else ""
        if fulfilled is not None and not fulfilled.tools:
            self.without_tools = response_id
        if asked is not None and fulfilled is None:
            self._keep(asked)
        self.drop_filler()
        if not self.instructed:
            self._wishes = [wish for wish in self._wishes if wish.outputs or not wish.answers_outputs]

    def cancel(self) -> list[CancelResponse]:
        """Cancel the response that runs, once: it stays in the slot until its `response.done`."""
        if self.state is not SlotState.ACTIVE or not self.response_id or self._cancelled:
            return []
        self._cancelled = True
        return [CancelResponse(self.response_id)]

    def refused(self, wish_id: str) -> None:
        """`response.create` was refused; the wish is kept and the slot is free unless another response runs.

        Some servers do not say which one they refuse (""): only one can be meant.
        """
        if self._asked is not None and wish_id in ("", self._asked.wish_id):
            self._asked.refused = True
            self._keep(self._asked)
            self._asked = None
            if self.state is SlotState.ASKED:
                self.state = SlotState.FREE

    def rejected(self, wish_id: str) -> None:
        """`response.create` was refused for what it says; asking again would be refused again."""
        if self._asked is not None and self._asked.wish_id == wish_id:
            self._asked = None
            if self.state is SlotState.ASKED:
                self.state = SlotState.FREE

    def busy(self) -> None:
        """The server says that a response is active which we have not been told of: wait for its end."""
        if self.state is SlotState.FREE:
            self.state = SlotState.ACTIVE
            self.response_id = ""

    def unblock(self) -> None:
        """The end of a response that we were not told of never came: ask anew."""
        if self.state is SlotState.ACTIVE and not self.response_id:
            self.state = SlotState.FREE

    def done(self, response_id: str) -> bool:
        """A response ended; return whether it was the one in the slot. One never announced counts too."""
        if self.state is SlotState.ACTIVE and self.response_id in ("", response_id):
            self.state = SlotState.FREE
            self.response_id = ""
            return True
        return False

    def forget_wish(self) -> None:
        """What was wished for is not wanted any more, nor what was asked and has not begun."""
        self._wishes.clear()
        if self._asked is not None:
            self._asked.dropped = True

    def reset(self, *, keep_words: bool = False) -> None:
        """The session is gone, and with it every response and wish, or every one that was not for certain words."""
        wishes = [*([self._asked] if self._asked is not None else []), *self._wishes]
        self.state = SlotState.FREE
        self.response_id = ""
        self._asked = None
        words = [wish for wish in wishes if wish.instructions and not wish.filler and not wish.dropped]
        self._wishes = words if keep_words else []

    def _keep(self, wish: Wish) -> None:
        """Keep a wish that was asked in vain, before all others."""
        if wish.dropped or wish.filler:
            return
        self.drop_filler()
        newer = self._like(wish)
        if newer is not None:
            self._wishes.remove(newer)
            wish = _joined(wish, newer)
        self._wishes.insert(0, wish)

    def _like(self, wish: Wish) -> Wish | None:
        """Return the kept wish that this one can be joined with: exact words stand for themselves."""
        kind = (wish.instructions is None, False)
        return next((w for w in self._wishes if not wish.exact and (w.instructions is None, w.exact) == kind), None)

    def _name(self) -> str:
        self._count += 1
        return f"w{self._count}"


def _joined(older: Wish, newer: Wish) -> Wish:
    """Return one wish for two of a kind; of two instructions the newer count."""
    newer.protected = newer.protected or older.protected
    newer.outputs |= older.outputs
    newer.tools = newer.tools and older.tools
    newer.answers_outputs = newer.answers_outputs and older.answers_outputs
    return newer
