"""One outbound attempt: what was asked, how far it came, and the order in which states may follow.

    dialing --> placed --> initiated --> ringing --> in-progress --> completed
       |          |            |            |
       |          +------------+------------+--> busy, no-answer, failed, canceled
       +--> failed      the carrier refused, surely no call
       +--> unknown     the answer was lost: there may be a call; a callback that names the attempt settles it

Callbacks are separate requests and overtake each other and our own request's answer, so every state has a
rank and a row's rank only rises: a late or repeated report changes nothing (Twilio, *status callbacks*).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Protocol

__all__ = ["Attempt", "AttemptState", "AttemptStore", "may_follow", "state_of_carrier"]


class AttemptState(Enum):
    """How far an attempt came; the values are stored and shown."""

    DIALING = "dialing"
    UNKNOWN = "unknown"
    PLACED = "placed"
    INITIATED = "initiated"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def rank(self) -> int:
        """Position on the way; all final states share the highest."""
        return _RANK.get(self, _FINAL)


_FINAL = 6
_RANK = {
    AttemptState.DIALING: 0,
    AttemptState.UNKNOWN: 1,
    AttemptState.PLACED: 2,
    AttemptState.INITIATED: 3,
    AttemptState.RINGING: 4,
    AttemptState.IN_PROGRESS: 5,
}
_CARRIER_STATES = {
    "queued": AttemptState.PLACED,
    "initiated": AttemptState.INITIATED,
    "ringing": AttemptState.RINGING,
    "answered": AttemptState.IN_PROGRESS,
    "in-progress": AttemptState.IN_PROGRESS,
    "completed": AttemptState.COMPLETED,
    "busy": AttemptState.BUSY,
    "no-answer": AttemptState.NO_ANSWER,
    "failed": AttemptState.FAILED,
    "canceled": AttemptState.CANCELED,
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One row of the attempt journal."""

    attempt_id: str
    to: str
    from_: str
    agent: str
    created_at: datetime
    state: AttemptState = AttemptState.DIALING
    zone: str | None = None
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    carrier_call_id: str | None = None
    reason: str | None = None
    """Why it failed, or why nobody knows; for people, without the number."""


class AttemptStore(Protocol):
    """Where attempts are kept. A method has committed when it returns; raises `GatewayError` when it cannot."""

    async def create_attempt(self, attempt: Attempt) -> bool:
        """Insert; False, changing nothing, when a row with this `attempt_id` exists."""

    async def attempt_updated(
        self,
        attempt_id: str,
        state: AttemptState,
        *,
        carrier_call_id: str | None = None,
        reason: str | None = None,
        sequence: int | None = None,
    ) -> None:
        """Fill in the carrier's id where none is kept, and move to `state` if `may_follow` says so: one transaction.

        `sequence` is the carrier's own count of its reports, where it has one.
        """

    async def get_attempt(self, attempt_id: str) -> Attempt | None:
        """Return the row, or None."""

    async def opted_out(self, number: str) -> bool:
        """Tell whether whoever has this number asked not to be called any more."""


def may_follow(now: AttemptState, new: AttemptState) -> bool:
    """Whether a row in state `now` takes `new`: only upwards, and never out of a final state."""
    return new.rank > now.rank


def state_of_carrier(status: str) -> AttemptState | None:
    """Return the state for a `CallStatus` of Twilio, or None for a word we do not know."""
    return _CARRIER_STATES.get(status)
