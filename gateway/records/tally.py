"""What is counted of a call's function calls, of the silences they cause, and of what the agent claims of them."""

from dataclasses import asdict, dataclass, field

from gateway.core.events import ToolResult

__all__ = ["Functions", "Tally"]


@dataclass(slots=True)
class Functions:
    """Of one call. Each function call that was carried out is counted once, by the last that is known of it."""

    ok: int = 0
    error: int = 0
    """Failed, refused, or without an answer in time."""
    pending: int = 0
    """Promised results that had not come when the call ended."""
    cancelled: int = 0
    """Given up because the caller went on speaking."""
    unanswered: int = 0
    """Still under way when the call ended."""
    repeated: int = 0
    """Not carried out again: they shared the result of an equal call. In none of the other counts."""
    fillers: int = 0
    """Silences that were filled with words or a tone."""
    claims_unbacked: int = 0
    """Claims of the agent that no function of the call backs."""
    claims_corrected: int = 0
    """How often the model was told to set such claims right; once for all that were found together."""

    def __bool__(self) -> bool:
        return any(asdict(self).values())

    def to_json(self) -> dict[str, int]:
        return asdict(self)


@dataclass(slots=True)
class Tally:
    """Counts while the call lives. A result that comes late or twice counts as little as it does in the call."""

    _functions: Functions = field(default_factory=Functions)
    _running: set[str] = field(default_factory=set)
    _promised: set[str] = field(default_factory=set)

    def invoked(self, tool_call_id: str) -> None:
        self._running.add(tool_call_id)

    def answered(self, result: ToolResult) -> None:
        if result.pending and result.tool_call_id in self._running:
            self._running.discard(result.tool_call_id)
            self._promised.add(result.tool_call_id)
        elif self._close(result.tool_call_id):
            self._functions.ok += result.ok
            self._functions.error += not result.ok

    def noted(self, kind: str, data: object) -> None:
        """Take a note of the core."""
        match kind, data:
            case "tool_timeout", {"tool_call_id": str(tool_call_id)}:
                self._functions.error += self._close(tool_call_id)
            case "tool_cancelled", {"tool_call_id": str(tool_call_id)}:
                self._functions.cancelled += self._close(tool_call_id)
            case "tool_repeated", _:
                self._functions.repeated += 1
            case "filler", _:
                self._functions.fillers += 1
            case "claim_unbacked", _:
                self._functions.claims_unbacked += 1
            case "claim_corrected", _:
                self._functions.claims_corrected += 1

    def total(self) -> Functions:
        """Return the counts at the end of the call."""
        self._functions.pending = len(self._promised)
        self._functions.unanswered = len(self._running)
        return self._functions

    def _close(self, tool_call_id: str) -> bool:
        """Return whether something was still awaited of this call, and wait no more."""
        awaited = tool_call_id in self._running or tool_call_id in self._promised
        self._running.discard(tool_call_id)
        self._promised.discard(tool_call_id)
        return awaited
