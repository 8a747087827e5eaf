"""A new model session for a running call: how often, and what it is told.

A session cannot be resumed and assistant audio cannot be injected (protocols/openai-realtime.md, fact 9), so the
new one is seeded with text: what the caller said and what the caller heard.
"""

from gateway.core.commands import CreateItem, EndReason, SubmitToolOutput
from gateway.core.conversation import Conversation
from gateway.core.responses import ResponseSlot
from gateway.core.toolcalls import ToolCalls

__all__ = ["Recovery", "is_permanent", "past_items", "submitted"]

MOST = 2
"""New sessions within WINDOW_S; one more failure ends the call."""
WINDOW_S = 120.0

PERMANENT = frozenset(
    {
        "account_deactivated",
        "billing_hard_limit_reached",
        "credit_balance_exhausted",
        "insufficient_quota",
        "invalid_api_key",
    }
)
"""Error codes or types after which a new session would fail the same way (protocols, §5.6)."""


def is_permanent(code: str) -> bool:
    """Return whether trying again cannot help."""
    return code in PERMANENT


class Recovery:
    """The account of lost sessions of one call."""

    def __init__(self) -> None:
        self.reason = EndReason.MODEL_LOST
        self._began: list[float] = []
        self._answering = False

    def begin(self, reason: EndReason, now: float, *, answering: bool) -> bool:
        """Note a loss; False when there were too many. `answering`: a response ran or was due."""
        self.reason = reason
        self._answering = answering or reason is not EndReason.MODEL_LOST
        self._began = [at for at in self._began if now - at < WINDOW_S]
        if len(self._began) >= MOST:
            return False
        self._began.append(now)
        return True

    def took(self, now: float) -> float:
        """Return the seconds since the loss."""
        return round(now - self._began[-1], 3)

    def owes_answer(self, conversation: Conversation) -> bool:
        """Return whether the caller waits for the agent to speak."""
        return self._answering or conversation.unanswered()

    def seed(self, conversation: Conversation, tool_calls: ToolCalls) -> list[CreateItem]:
        """Return what the new session is told: the conversation, then the function calls not spoken of."""
        note = "The connection broke for a moment and is back. What follows was said on this call. Go on from there."
        if self.owes_answer(conversation) and not conversation.last_caller_text():
            note += " What the caller said last was lost: apologise in a few words and ask to repeat it."
        return past_items(note, conversation, tool_calls)


def past_items(note: str, conversation: Conversation, tool_calls: ToolCalls) -> list[CreateItem]:
    """Return the items that tell a session what was before it: `note`, the conversation, the calls not spoken of."""
    items = [CreateItem({"type": "message", "role": "system", "content": [{"type": "input_text", "text": note}]})]
    items += [CreateItem(item) for item in conversation.as_items()]
    for call in tool_calls.untold():
        fields = {"call_id": call.tool_call_id, "name": call.name, "arguments": call.arguments}
        items.append(CreateItem({"type": "function_call", **fields}))
    return items


def submitted(tool_calls: ToolCalls, slot: ResponseSlot) -> list[SubmitToolOutput]:
    """Give a new session the outputs that are known, and wish for the response that answers them."""
    outputs = [SubmitToolOutput(call.tool_call_id, call.output) for call in tool_calls.submit_again()]
    if outputs:
        slot.want(outputs={output.tool_call_id for output in outputs})
    return outputs
