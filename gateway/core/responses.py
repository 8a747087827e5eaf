"""The response slot: the model runs one in-conversation response at a time.

States. FREE: none runs. ASKED: we sent `response.create` and wait for `response.created`. ACTIVE: one runs, ours
or one that the server began by itself after caller speech. At most one wish is kept while the slot is taken; it is
asked when the slot comes free. A wish that answers function outputs is satisfied by any response created after the
model accepted those outputs, so that the caller does not hear the answer twice.

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
    outputs: set[str] = field(default_factory=set)
    """Function outputs that it is to answer and the model has not yet accepted; see `answers_outputs`."""
    answers_outputs: bool = False
    protected: bool = False
    """Whether the caller must not interrupt it."""
    refused: bool = False
    """Whether it was asked for before."""
    dropped: bool = False
    """Whether it is not wanted any more, although it was asked: it is cancelled when it comes."""
    filler: bool = False
    """Whether it only fills a silence: it may call no function, answers nothing, and gives way to any other wish."""


class ResponseSlot:
    """Keeps to the rule of one response at a time; the caller sends what it returns."""

    def __init__(self) -> None:
        self.state = SlotState.FREE
        self.response_id = ""
        self._wish: Wish | None = None
        self._asked: Wish | None = None
        self._cancelled = False
        self._count = 0

    @property
    def wanted(self) -> bool:
        """Whether a wish waits for the slot."""
        return self._wish is not None

    @property
    def asked(self) -> Wish | None:
        """The wish that was asked and not yet answered."""
        return self._asked

    def want(
        self, instructions: str | None = None, outputs: set[str] | None = None, *, protected: bool = False
    ) -> None:
        """Keep a wish. A second one joins the first: one response answers both."""
        self._count += 1
        wish = Wish(f"w{self._count}", instructions, outputs or set(), outputs is not None, protected)
        if self._wish is not None and not self._wish.filler:
            wish.instructions = wish.instructions or self._wish.instructions
            wish.protected = wish.protected or self._wish.protected
            wish.outputs |= self._wish.outputs
            wish.answers_outputs = wish.answers_outputs and self._wish.answers_outputs
        self._wish = wish

    def fill(self, instructions: str) -> None:
        """Keep a wish for a few words in a silence, unless there is another one."""
        if self._wish is None:
            self._count += 1
            self._wish = Wish(f"w{self._count}", instructions, filler=True)

    def ask(self) -> list[CreateResponse]:
        """Ask for the kept wish if the slot is free."""
        if self._wish is None or self.state is not SlotState.FREE:
            return []
        self._asked, self._wish = self._wish, None
        self.state = SlotState.ASKED
        return [CreateResponse(self._asked.wish_id, self._asked.instructions, tools=not self._asked.filler)]

    def output_accepted(self, tool_call_id: str) -> None:
        """The model has this function output; a response created from now on answers it."""
        for wish in (self._wish, self._asked):
            if wish is not None:
                wish.outputs.discard(tool_call_id)

    def created(self, response_id: str, wish_id: str) -> None:
        """A response runs. If it is not the one we asked for, ours will be refused: keep its wish."""
        self.state = SlotState.ACTIVE
        self.response_id = response_id
        self._cancelled = False
        fills = self._asked is not None and self._asked.filler and wish_id == self._asked.wish_id
        if self._asked is not None and wish_id != self._asked.wish_id:
            self._keep(self._asked)
        self._asked = None
        if not fills and self._wish is not None and self._wish.answers_outputs and not self._wish.outputs:
            self._wish = None

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
        self._wish = None
        if self._asked is not None:
            self._asked.dropped = True

    def reset(self, *, keep_words: bool = False) -> None:
        """The session is gone, and with it every response and wish, or every one that was not for certain words."""
        wishes = [wish for wish in (self._asked, self._wish) if wish is not None and not wish.dropped]
        self.state = SlotState.FREE
        self.response_id = ""
        self._asked = None
        words = (wish for wish in wishes if wish.instructions and not wish.filler)
        self._wish = next(words, None) if keep_words else None

    def _keep(self, wish: Wish) -> None:
        if wish.dropped or wish.filler:
            return
        if self._wish is None or self._wish.filler:
            self._wish = wish
        else:
            self._wish.outputs |= wish.outputs
            self._wish.instructions = self._wish.instructions or wish.instructions
            self._wish.protected = self._wish.protected or wish.protected
