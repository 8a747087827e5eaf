"""The service's errors in its own words, and those of them a scenario orders although the client did nothing wrong.

Protocol notes §5.6; none of them ends a session by itself.
"""

from collections import defaultdict, deque
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from gateway.simulator.model.refusals import Refused

__all__ = ["ClientEventType", "OrderedRefusal", "OrderedRefusals", "documented"]

INVALID = "invalid_request_error"
SERVER_ERROR = "The server had an error while processing your request. Sorry about that!"
DOCUMENTED = {
    "missing_required_parameter": "Missing required parameter: 'session.type'.",
    "unknown_parameter": "Unknown parameter: 'session.foo'.",
    "invalid_value": "Audio content of 13600ms is already shorter than 55960ms",
    "invalid_event": "The event has no 'type'.",
    "conversation_already_has_active_response": (
        "Conversation already has an active response in progress: resp_unknown. "
        "Wait until the response is finished before creating a new one."
    ),
    "response_cancel_not_active": "Cancellation failed: no active response found",
    "input_audio_buffer_commit_empty": (
        "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
        "but buffer only has 0.00ms of audio."
    ),
    "item_truncate_invalid_item_id": "Item with item_id not found: item_unknown",
    "item_retrieve_invalid_item_id": "Item with item_id not found: item_unknown",
    "item_delete_invalid_item_id": "Item with item_id not found: item_unknown",
    "item_create_duplicate_item_id": (
        "Error creating item: an item with id 'item_unknown' already exists in the conversation."
    ),
    "item_create_invalid_previous_item_id": "Previous item with id not found: item_unknown",
    "invalid_tool_call_id": "Tool call ID 'call_unknown' not found in conversation.",
    "unsupported_content_type": "Only model output audio messages can be truncated",
    "cannot_update_voice": "Cannot update a conversation's voice if assistant audio is present.",
    "bad_response_create": "The response could not be created.",
    "session_expired": "Your session hit the maximum duration of 60 minutes.",
    "invalid_api_key": "Incorrect API key provided.",
    "insufficient_quota": "You exceeded your current quota, please check your plan and billing details.",
    "credit_balance_exhausted": "Your credit balance is exhausted.",
    "billing_hard_limit_reached": "Billing hard limit has been reached.",
    "account_deactivated": "The account associated with this API key has been deactivated.",
}
"""Message by code."""

ClientEventType: TypeAlias = Literal[
    "session.update",
    "input_audio_buffer.append",
    "input_audio_buffer.commit",
    "input_audio_buffer.clear",
    "conversation.item.create",
    "conversation.item.retrieve",
    "conversation.item.delete",
    "conversation.item.truncate",
    "response.create",
    "response.cancel",
]


def documented(
    code: str | None, message: str | None = None, kind: str | None = None, param: str | None = None
) -> Refused:
    """Return an error in the service's words, as far as they are known and not given."""
    known = code in DOCUMENTED
    words = DOCUMENTED.get(code or "", SERVER_ERROR) if message is None else message
    return Refused(code, words, param, kind=kind or (INVALID if known else "server_error"))


class OrderedRefusal(BaseModel):
    """Refuse a session's next events of one type, whatever they say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    event: ClientEventType
    code: str | None = "invalid_value"
    message: str | None = None
    """None takes the service's words for the code."""
    param: str | None = None
    count: int = Field(default=1, ge=1, le=100)


class OrderedRefusals:
    """What one session still has to refuse."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, deque[Refused]] = defaultdict(deque)

    def order(self, refusal: OrderedRefusal) -> None:
        self._waiting[refusal.event].extend(
            [documented(refusal.code, refusal.message, param=refusal.param)] * refusal.count
        )

    def check(self, event: str) -> None:
        """Raise the `Refused` that is due for an event of this type, if any. Call once an event."""
        if self._waiting and self._waiting.get(event):
            raise self._waiting[event].popleft()
