"""Why a call of an MCP server has no answer, told apart by the one thing that matters: may it have been done?"""

from dataclasses import dataclass
from enum import Enum

__all__ = ["Fault", "McpFault"]


class Fault(Enum):
    """What is known of a call that failed. The values are JSON-RPC error codes by which our transports say so, far
    from those of the protocol (-32768 to -32000), so that no server's own error is taken for one of them."""

    NOT_SENT = 740_001
    """Not one byte of it reached the server, or the server knows nothing of the session it was sent in."""
    REFUSED = 740_002
    """The server, or our guard, said no: it was not done."""
    THROTTLED = 740_003
    """HTTP 429: not done, later perhaps."""
    UNAVAILABLE = 740_004
    """HTTP 502, 503, 504."""
    LOST = 740_005
    """The connection or the program ended before the answer."""
    BROKEN = 740_006
    """An answer came that is no result: an internal error, or something unreadable."""
    TOO_LONG = 740_007
    """An answer came that is longer than we read."""


@dataclass(slots=True, frozen=True)
class McpFault:
    """A call without a result."""

    fault: Fault
    detail: str
    """For the journal; no secrets, no content."""
    told: str = ""
    """What the server says about it, for the model; "": nothing useful."""
    retry_after_s: float | None = None
    """THROTTLED: what the server asked for."""
