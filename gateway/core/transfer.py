"""Bringing the caller to a human, and back if there is none.

States. Blind: LEADING (the agent's last words are still heard) → MOVING (the carrier was asked to take the caller
over, so our stream ends: that is not the end of the call) → the call's record ends when the human answers; or the
carrier comes back with a new stream and the agent learns what happened. Warm: RINGING (the caller stays with us, hears
the ring-back and may go on talking) → MOVING once the human has accepted → the record ends with the stream.

Only the agent's own targets are ever called. The function call that asked for the transfer stays without an answer
until the transfer has failed; when it succeeds nobody is left to read one.
"""

from dataclasses import dataclass
from enum import Enum

from gateway.core.commands import CancelTransfer, Command, CompleteTransfer, Record, StartTransfer
from gateway.core.events import TransferState
from gateway.core.plan import TransferMode, TransferTarget

__all__ = ["Asked", "Outcome", "Transfer", "TransferPhase"]

LEAD_S = 10.0
"""Longest wait for the agent's last words before a blind transfer."""
BRIEF_S = 60.0
"""What a warm transfer may take beside the ringing: the brief and the decision."""
MOVE_S = 15.0
"""From asking the carrier to move the caller to the end of our stream, or to its return."""
MOST_BRIEF = 1000
"""Characters told to the human."""

FAILURES = frozenset({TransferState.BUSY, TransferState.NO_ANSWER, TransferState.REJECTED, TransferState.FAILED})


class TransferPhase(Enum):
    NONE = "none"
    LEADING = "leading"
    RINGING = "ringing"
    MOVING = "moving"


class Outcome(Enum):
    """What a step of a transfer means for the call."""

    NOTHING = "nothing"
    MOVE = "move"
    """The caller leaves our stream now."""
    REACHED = "reached"
    """The human has the caller: the call's record ends."""
    BACK = "back"
    """Nobody has the caller but us."""


@dataclass(slots=True, frozen=True)
class Asked:
    """Who wants the transfer."""

    target: str
    summary: str = ""
    tool_call_id: str = ""
    """The function call to answer; "" when an operator asked."""


class Transfer:
    """One at a time. The caller carries outcomes out; commands are for the carrier's control."""

    def __init__(self) -> None:
        self.phase = TransferPhase.NONE
        self.failure = ""
        """Why nobody was reached, while the caller is on the way back."""
        self.asked = Asked("")
        self._target = TransferTarget("")
        self._count = 0
        self._until_s = 0.0

    @property
    def deadline(self) -> float | None:
        return None if self.phase is TransferPhase.NONE else self._until_s

    @property
    def running(self) -> bool:
        return self.phase is not TransferPhase.NONE

    def start(self, asked: Asked, target: TransferTarget, now: float) -> list[Command]:
        """Begin. A blind one waits for `lead` until the last words are heard."""
        self.asked, self._target = asked, target
        self._count += 1
        self.failure = ""
        if target.mode is TransferMode.BLIND:
            self.phase = TransferPhase.LEADING
            self._until_s = now + LEAD_S
            return [self._note("asked")]
        self.phase = TransferPhase.RINGING
        self._until_s = now + target.ring_s + BRIEF_S
        return [self._note("asked"), self._start()]

    def lead(self, now: float) -> list[Command]:
        """The last words before a blind transfer were heard, or took too long: move the caller."""
        self.phase = TransferPhase.MOVING
        self._until_s = now + self._target.ring_s + MOVE_S
        return [self._start()]

    def progress(
        self, transfer_id: str, state: TransferState, detail: str, now: float
    ) -> tuple[Outcome, list[Command]]:
        """Take the carrier's word. What is about an older transfer, or comes twice, changes nothing."""
        if transfer_id != self._id or not self.running:
            return Outcome.NOTHING, []
        note = self._note(state.value, detail)
        if state in FAILURES:
            self.failure = state.value
            return Outcome.BACK, [note]
        warm = self._target.mode is TransferMode.WARM
        if state is TransferState.ACCEPTED and warm and self.phase is TransferPhase.RINGING:
            self.phase = TransferPhase.MOVING
            self._until_s = now + MOVE_S
            return Outcome.MOVE, [note, CompleteTransfer(self._id)]
        if state is TransferState.ANSWERED and not warm:
            return Outcome.REACHED, [note]
        return Outcome.NOTHING, [note]

    def stream_ended(self, now: float) -> Outcome:
        """Our stream is over while the caller is being moved. Blind: whether they were reached is still open."""
        if self._target.mode is TransferMode.WARM:
            return Outcome.REACHED
        self._until_s = max(self._until_s, now + MOVE_S)
        return Outcome.NOTHING

    def came_back(self, now: float) -> None:
        """The carrier says that nobody was reached; the caller's new stream is on its way."""
        self._until_s = now + MOVE_S

    def expire(self) -> None:
        """The carrier has said nothing for too long."""
        self.failure = self.failure or TransferState.FAILED.value

    def reached(self) -> None:
        """The human has the caller: nobody is to be let go."""
        self.phase = TransferPhase.NONE

    def close(self) -> list[Command]:
        """Forget it; whoever is still being called for it is let go. Nothing to do when nobody is."""
        calling = self.phase in (TransferPhase.RINGING, TransferPhase.MOVING) and not self.failure
        self.phase = TransferPhase.NONE
        return [CancelTransfer(self._id)] if calling else []

    @property
    def _id(self) -> str:
        return f"t{self._count}"

    def _start(self) -> StartTransfer:
        target = self._target
        brief = " ".join(part for part in (target.brief, self.asked.summary) if part)[:MOST_BRIEF]
        return StartTransfer(
            self._id, self.asked.target, target.number, target.mode, brief, target.accept_key, target.ring_s
        )

    def _note(self, state: str, detail: str = "") -> Record:
        fields = {"transfer_id": self._id, "target": self.asked.target, "state": state, "detail": detail}
        return Record("transfer", fields)
