"""Carries an operator's command to its call, once.

The core refuses what it cannot do now and remembers ids; here it is also noticed when an id comes again with another
content. Nothing waits between the decision and the deed.
"""

import hashlib
import logging
import secrets
from collections import OrderedDict
from typing import Protocol
from weakref import WeakKeyDictionary

from gateway.core.events import OperatorAsked
from gateway.operator.door import Refused
from gateway.operator.requests import AnyCommand

__all__ = ["Calls", "CommandDesk", "LiveCall"]

logger = logging.getLogger(__name__)

KEPT_IDS = 1000
"""Commands of one call whose content is still known; more than an hour of one each four seconds."""
REFUSED = "refused: "


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
        self._seen: WeakKeyDictionary[LiveCall, OrderedDict[str, bytes]] = WeakKeyDictionary()

    def run(self, call_id: str, who: str, command: AnyCommand) -> str:
        """Return "done" or "repeated". Raises `Refused`, and then nothing has changed."""
        call = self._call(call_id)
        seen = self._seen.setdefault(call, OrderedDict())
        content = hashlib.blake2b(command.model_dump_json().encode(), key=self._secret).digest()
        known = seen.get(command.id)
        if known is not None:
            if known != content:
                raise Refused(409, "conflict", "this id was used for another command; choose a new one")
            return "repeated"
        outcome = call.operate(OperatorAsked(command.id, who, command.wanted()))
        if outcome not in ("done", "repeated"):
            raise Refused(409, "refused", outcome.removeprefix(REFUSED))
        seen[command.id] = content
        while len(seen) > KEPT_IDS:
            seen.popitem(last=False)
        logger.info("%s asked call %s for %s: %s", who, call_id, command.action, outcome)
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
