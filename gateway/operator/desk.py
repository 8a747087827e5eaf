"""Carries an operator's command to its call, once.

The core refuses what it cannot do now and remembers ids; here it is also noticed when an id comes again with another
content, and what was refused is refused again: who lost an answer learns the same by asking once more. Nothing waits
between the decision and the deed.
"""

import hashlib
import logging
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakKeyDictionary

from gateway.core.events import OperatorAsked
from gateway.operator.door import Refused
from gateway.operator.requests import AnyCommand

__all__ = ["Calls", "CommandDesk", "LiveCall"]

logger = logging.getLogger(__name__)

KEPT_IDS = 1000
"""Commands of one call that are remembered: more than the core does, so that nothing is known there and not here."""
REFUSED = "refused: "


@dataclass(slots=True, frozen=True)
class _Answered:
    content: bytes
    refused: str
    """Why; "" when it was done."""


class LiveCall(Protocol):
    """A call that can be asked for something."""

    def operate(self, asked: OperatorAsked) -> str:
        """Do it at once; return "done", "repeated", or "refused: " and why."""


class Calls(Protocol):
    """Where live calls are found."""

    def find(self, call_id: str) -> LiveCall | None:
        """Return a call of this process that has not ended."""

    def has_ended(self, call_id: str) -> bool:
        """Tell whether this was a call of this process, as far back as is remembered."""


class CommandDesk:
    """Takes commands for the calls of this process."""

    def __init__(self, calls: Calls, node: str) -> None:
        self._calls = calls
        self._node = node
        # A few digits could be guessed from a plain hash of them.
        self._secret = secrets.token_bytes(32)
        self._answers: WeakKeyDictionary[LiveCall, OrderedDict[str, _Answered]] = WeakKeyDictionary()

    def run(self, call_id: str, who: str, command: AnyCommand) -> str:
        """Return "done" or "repeated". Raises `Refused`, and then nothing has changed."""
        call = self._call(call_id)
        answers = self._answers.setdefault(call, OrderedDict())
        content = hashlib.blake2b(command.model_dump_json().encode(), key=self._secret).digest()
        known = answers.get(command.id)
        if known is None:
            outcome = call.operate(OperatorAsked(command.id, who, command.wanted()))
            logger.info("%s asked call %s for %s: %s", who, call_id, command.action, outcome.partition(":")[0])
            refused = "" if outcome in ("done", "repeated") else outcome.removeprefix(REFUSED)
            known = answers[command.id] = _Answered(content, refused)
            while len(answers) > KEPT_IDS:
                answers.popitem(last=False)
        elif known.content != content:
            raise Refused(409, "conflict", "this id was used for another command; choose a new one")
        else:
            outcome = "repeated"
        if known.refused:
            raise Refused(409, "refused", known.refused)
        return outcome

    def _call(self, call_id: str) -> LiveCall:
        call = self._calls.find(call_id)
        if call is not None:
            return call
        if self._calls.has_ended(call_id):
            raise Refused(410, "ended", "the call has ended")
        raise Refused(
            404, "not_found", f"no such call on this node ({self._node}); a call of another node is not found here"
        )
