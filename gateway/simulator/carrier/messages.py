"""What an application may send on a media socket (Twilio Media Streams, *Send WebSocket messages*).

As strict as Twilio says it is: text JSON only, exactly the documented keys, the stream's own `streamSid`. A breach is
a warning, never a failure; a message with only superfluous keys is still obeyed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Checked", "check"]

_SHAPES: Mapping[str, tuple[str, str] | None] = {"media": ("media", "payload"), "mark": ("mark", "name"), "clear": None}


@dataclass(slots=True)
class Checked:
    """A message to obey, when it has an `event`; a warning, when it has a `code`. Never changed."""

    event: str = ""
    value: str = ""
    """The payload or the name."""
    code: int = 0
    text: str = ""


def check(frame: str | bytes, stream_sid: str) -> Checked:  # noqa: PLR0911 - one return a breach
    """Read one frame."""
    if isinstance(frame, bytes):
        return Checked(code=31950, text="a binary frame")
    try:
        message = json.loads(frame)
    except (ValueError, RecursionError):
        return Checked(code=31950, text="a frame that is not JSON")
    if not isinstance(message, dict) or not isinstance(event := message.get("event"), str) or event not in _SHAPES:
        return Checked(code=31951, text="an unknown message type")
    if message.get("streamSid") != stream_sid:
        return Checked(code=31951, text=f"{event} with a missing or wrong streamSid")
    shape = _SHAPES[event]
    if shape is None:
        return _obeyed(event, "", event if len(message) > 2 else "")
    inner = message.get(shape[0])
    if not isinstance(inner, dict) or not isinstance(value := inner.get(shape[1]), str):
        return Checked(code=31951, text=f"{event} without {shape[0]}.{shape[1]}")
    if len(message) > 3:
        return _obeyed(event, value, event)
    return _obeyed(event, value, f"{event}.{shape[0]}" if len(inner) > 1 else "")


def _obeyed(event: str, value: str, overfull: str) -> Checked:
    """The documented keys are there; `overfull` names where there are others."""
    return Checked(event, value, 31951, f"{overfull} with superfluous keys") if overfull else Checked(event, value)
