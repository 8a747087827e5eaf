"""What the page says on the data channel: JSON text, one object a message. Pure.

{"type": "key", "digit": "5"}     a key of the keypad: browsers send no `telephone-event` to us
{"type": "hang_up"}               the caller hangs up
"""

import json
from dataclasses import dataclass

from gateway.core.events import Dtmf
from gateway.errors import RemoteProtocolError

__all__ = ["CHANNEL", "HungUp", "decode"]

CHANNEL = "phone"
"""Label of the one data channel that is listened to."""
MOST_CHARS = 256
DIGITS = frozenset("0123456789*#ABCD")


@dataclass(slots=True, frozen=True)
class HungUp:
    """The caller hung up."""


def decode(message: str | bytes) -> Dtmf | HungUp | None:
    """Read one message; None for one of an unknown type. Raises `RemoteProtocolError`."""
    if not isinstance(message, str) or len(message) > MOST_CHARS:
        raise RemoteProtocolError(f"expected text of at most {MOST_CHARS} characters")
    try:
        said = json.loads(message)
    except (ValueError, RecursionError):
        raise RemoteProtocolError("expected JSON") from None
    if not isinstance(said, dict) or not isinstance(said.get("type"), str):
        raise RemoteProtocolError("expected an object with a type")
    match said:
        case {"type": "key", "digit": str(digit)} if digit in DIGITS:
            return Dtmf(digit)
        case {"type": "key"}:
            raise RemoteProtocolError("expected one key of 0-9 * # A-D")
        case {"type": "hang_up"}:
            return HungUp()
        case _:
            return None
