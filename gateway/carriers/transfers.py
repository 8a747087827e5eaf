"""The transfers of this process: what a carrier's webhooks are about, and how far each has come.

A webhook names its transfer by a ticket, a random word in its URL: it never names a number, and one that is replayed
or late finds a transfer that has moved on. Kept in memory: a process that dies leaves the humans it called to hear
that the caller is gone.
"""

import re
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum

from gateway.core.commands import StartTransfer
from gateway.core.events import TransferState
from gateway.core.plan import TransferMode

__all__ = ["Stage", "Transfer", "Transfers", "is_e164"]

KEPT = 2000
"""Transfers that are remembered, for callbacks that come late and for legs that are left alone."""
ORDER = (TransferState.RINGING, TransferState.ANSWERED, TransferState.ACCEPTED)
"""What is told of a transfer only moves forward; the four failures come last and are final."""


is_e164 = re.compile(r"\+[1-9][0-9]{6,14}").fullmatch
"""Whether a text is + and the digits of a number; None: it is not."""


class Stage(Enum):
    """How far a transfer has come."""

    CALLING = "calling"
    """It rings, or the brief is being told."""
    ACCEPTED = "accepted"
    """Warm: the human waits for the caller."""
    MOVING = "moving"
    """Warm: the carrier was asked to bring the caller."""
    TOGETHER = "together"
    OVER = "over"


def _word() -> str:
    return secrets.token_hex(16)


@dataclass(slots=True)
class Transfer:
    """One attempt to bring one caller to one human."""

    carrier_call_id: str
    """The caller's leg."""
    transfer_id: str
    mode: TransferMode
    accept_key: str
    human_call_id: str = ""
    """The human's leg of a warm transfer, once it is known."""
    stage: Stage = Stage.CALLING
    left: bool = False
    """The call's record has ended while the caller was being moved."""
    told: TransferState | None = None
    ticket: str = field(default_factory=_word)
    room: str = field(default_factory=_word)
    """Name of the conference where both meet."""

    @property
    def warm(self) -> bool:
        return self.mode is TransferMode.WARM

    def tells(self, state: TransferState) -> bool:
        """Whether this is news; it is noted as told."""
        if _rank(state) <= _rank(self.told):
            return False
        self.told = state
        return True


def _rank(state: TransferState | None) -> int:
    if state is None:
        return -1
    return ORDER.index(state) if state in ORDER else len(ORDER)


class Transfers:
    """Finds a transfer by its ticket, or by the call it is for: each call's newest."""

    def __init__(self) -> None:
        self._by_ticket: OrderedDict[str, Transfer] = OrderedDict()
        self._by_call: dict[str, Transfer] = {}

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._by_ticket)

    def open(self, carrier_call_id: str, command: StartTransfer) -> Transfer:
        """Begin one; it is the call's from now on."""
        transfer = Transfer(carrier_call_id, command.transfer_id, command.mode, command.accept_key)
        self._by_ticket[transfer.ticket] = self._by_call[carrier_call_id] = transfer
        self._forget_old()
        return transfer

    def find(self, ticket: str) -> Transfer | None:
        return self._by_ticket.get(ticket)

    def of_call(self, carrier_call_id: str) -> Transfer | None:
        return self._by_call.get(carrier_call_id)

    def newest(self, carrier_call_id: str, ticket: str | None) -> Transfer | None:
        """Return the newest transfer of a call; None when the ticket, if there is one, names another."""
        transfer = self._by_call.get(carrier_call_id)
        return transfer if transfer is not None and ticket in (None, transfer.ticket) else None

    def _forget_old(self) -> None:
        if len(self._by_ticket) <= KEPT:
            return
        # What is not settled belongs to a live call, and those are few.
        settled = (old for old in self._by_ticket.values() if old.stage in (Stage.TOGETHER, Stage.OVER))
        if (oldest := next(settled, None)) is not None:
            del self._by_ticket[oldest.ticket]
            if self._by_call.get(oldest.carrier_call_id) is oldest:
                del self._by_call[oldest.carrier_call_id]
