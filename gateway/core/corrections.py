"""What is done about an agent that claims what no function of this call has done (`claims.py`).

A claim is judged when the agent's turn is over and none of its functions runs any more: it may be said just before
its function is called. What is not backed then is put on record once; where the agent's file asks for it, the model is
told to set it right, also while it says goodbye. Words that were given to it (a greeting, what a business or an
operator has it say) are not its claims.
"""

import json
from collections import OrderedDict

from gateway.core.claims import Claim, ClaimRules, ClaimsLedger
from gateway.core.commands import Command, CreateItem, Record
from gateway.core.responses import SlotState
from gateway.core.state import CallState, Phase

__all__ = ["Corrections"]

MOST = 3
"""Corrections of one call: a model that goes on claiming is not talked to for ever."""
KEPT = 1000
"""Claims that were judged and are remembered: more than the ledger keeps items."""


class Corrections:
    """The claims of one call."""

    def __init__(self, state: CallState) -> None:
        self._state = state
        self._rules = ClaimRules({name: rules.claims for name, rules in state.plan.tools.items()})
        self._ledger = ClaimsLedger(self._rules)
        self._judged: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._open = False
        """Whether something was said or done since claims were judged."""
        self._made = 0

    def said(self, item_id: str, text: str) -> None:
        if self._rules and not self._state.slot.exact and self._ledger.said(item_id, text):
            self._open = True

    def past(self, tool: str, output: str) -> None:
        """Note what came of a function on this telephone call before this call of ours began."""
        if not _is_error(output):
            self._ledger.done(tool)

    def started(self, tool: str) -> None:
        self._ledger.started(tool)

    def ended(self, tool: str, *, ok: bool) -> None:
        if ok:
            self._ledger.done(tool)
        else:
            self._ledger.failed(tool)
            self._open = bool(self._rules)

    def settle(self) -> list[Command]:
        """Judge what was claimed, once the agent's turn is over."""
        state = self._state
        if not self._open or not self._turn_over:
            return []
        running = {call.name for call in state.tool_calls.running()}
        found = [claim for claim in self._ledger.unbacked() if self._is_new(claim) and claim.tool not in running]
        self._open = False
        commands: list[Command] = []
        for claim in found:
            self._judged[claim.item_id, claim.tool] = None
            note = {"tool": claim.tool, "phrase": claim.phrase, "item_id": claim.item_id, "text": claim.sentence}
            commands.append(Record("claim_unbacked", note))
        while len(self._judged) > KEPT:
            self._judged.popitem(last=False)
        return commands + (self._correct(found) if found and state.plan.corrects_claims else [])

    @property
    def _turn_over(self) -> bool:
        """Whether the agent has been heard; of a goodbye, whether it is all there: after it the line goes down."""
        state = self._state
        said = state.slot.state is SlotState.FREE and not state.slot.wanted
        return said and (state.phase is Phase.ENDING or (state.active and not state.playout.unheard))

    def _is_new(self, claim: Claim) -> bool:
        """Whether it was not judged yet, and heard: what was cut before it was claimed to nobody."""
        if (claim.item_id, claim.tool) in self._judged:
            return False
        heard = self._rules.find(self._state.conversation.heard_text(claim.item_id))
        return any(one.tool == claim.tool for one in heard)

    def _correct(self, found: list[Claim]) -> list[Command]:
        state = self._state
        if self._made >= MOST or not state.model_up:
            return []
        self._made += 1
        said = "; ".join(f'"{claim.sentence[:300]}" (needs {claim.tool})' for claim in found)
        text = (
            f"You told the caller: {said}. That has not been done: the function was not carried out in this call. "
            "Correct yourself to the caller now, in one or two sentences, and do it or offer another way."
        )
        item = state.conversation.tell(text)
        # Also while saying goodbye: the caller must not leave with it.
        state.slot.want()
        return [CreateItem(item), Record("claim_corrected", {"tool": found[0].tool})]


def _is_error(output: str) -> bool:
    try:
        told = json.loads(output)
    except (ValueError, RecursionError):
        return False
    return isinstance(told, dict) and "error" in told
