"""What a server remembers of each response it gave."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from gateway.simulator.model.plan import Plan
from gateway.simulator.model.shapes import Json

__all__ = ["MadeCall", "Reply", "Status"]

Status: TypeAlias = Literal["in_progress", "completed", "cancelled", "failed", "incomplete"]


@dataclass(slots=True)
class MadeCall:
    """A function call that was told to the client, whole or not."""

    item_id: str
    call_id: str
    name: str
    arguments: str
    completed: bool
    """Whether the item was; the response may have been cancelled all the same."""
    answered: bool = False


@dataclass(slots=True)
class Reply:
    """One response, while it runs and after; loop times, in seconds."""

    id: str
    plan: Plan
    turn: int
    """User turns in the conversation when it was created."""
    created_at: float
    first_audio_at: float | None = None
    cancel_asked_at: float | None = None
    """When the caller's speech or the client asked it to stop, effective or not."""
    ended_at: float | None = None
    status: Status = "in_progress"
    details: Json | None = None
    """`status_details` of the response."""
    usage: Json | None = None
    """What it cost; a cancelled one what was generated until then, heard or not."""
    items: dict[str, bool] = field(default_factory=dict)
    """Its output items by id, in order; False once the client has deleted the item."""
    calls: list[MadeCall] = field(default_factory=list)

    @property
    def dropped(self) -> bool:
        """Whether nothing of it counts: it was cancelled, or the client deleted all it said."""
        return self.status == "cancelled" or bool(self.items) and not any(self.items.values())

    @property
    def open_calls(self) -> list[MadeCall]:
        """Calls the client owes an answer to: whole, of no interrupted or failed response, not deleted."""
        if self.status not in ("in_progress", "completed"):
            return []
        return [call for call in self.calls if call.completed and not call.answered and self.items[call.item_id]]
