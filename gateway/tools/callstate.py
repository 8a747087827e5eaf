"""What the desk remembers of one call while it lives: variables, counts, and what an earlier part of it has done."""

import json
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.core.events import ToolResult
from gateway.store.rows import StoredInvocation
from gateway.tools.request import CallFacts

__all__ = ["CallState", "Feed"]

MAX_VARIABLES = 64
MAX_VARIABLES_BYTES = 16 * 1024
"""Of all variables of a call together, as JSON."""
MAX_ASKED = 256
"""Function calls of a call whose late results are still taken."""

Feed = Callable[[ToolResult], None]


def _nobody(_: ToolResult) -> None:
    """Take the result of a call that nobody listens to."""


@dataclass(slots=True)
class CallState:
    """One call of ours. The same telephone call may have had others before, when a process or stream was lost."""

    facts: CallFacts
    feed: Feed = _nobody
    variables: dict[str, object] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    """How often each tool was carried out for this call of ours."""
    earlier: list[StoredInvocation] | None = None
    """What the ledger has of this telephone call from before this call of ours; None until it was asked."""
    absorbed: set[str] = field(default_factory=set)
    """Keys of earlier rows that have answered a repeat."""
    asked: OrderedDict[str, str] = field(default_factory=OrderedDict)
    """Key to tool_call_id of the calls whose result may still come."""

    def known(self) -> dict[str, object]:
        """Return what fixed arguments may name."""
        return {**self.variables, "caller": self.facts.from_number, "called": self.facts.to_number}

    def remember(self, variables: Mapping[str, object]) -> bool:
        """Take what an answer asks to be remembered; False when it is too much, then nothing of it is kept."""
        if not variables:
            return True
        merged = self.variables | dict(variables)
        if len(merged) > MAX_VARIABLES or len(json.dumps(merged)) > MAX_VARIABLES_BYTES:
            return False
        self.variables = merged
        return True

    def expect(self, key: str, tool_call_id: str) -> None:
        """A result may still come for this function call."""
        self.asked[key] = tool_call_id
        self.asked.move_to_end(key)
        while len(self.asked) > MAX_ASKED:
            self.asked.popitem(last=False)

    def count(self, tool: str) -> int:
        """Return how often a tool was carried out on this telephone call, as far as is known."""
        before = sum(1 for row in self.earlier or () if row.tool == tool and row.state != "failed")
        return self.counts[tool] + before

    def repeated(self, tool: str, arguments_hash: str) -> StoredInvocation | None:
        """Return the earlier write that a call of this tool repeats; each answers for one."""
        for row in self.earlier or ():
            if row.tool == tool and row.arguments_hash == arguments_hash and row.key not in self.absorbed:
                self.absorbed.add(row.key)
                return row
        return None
