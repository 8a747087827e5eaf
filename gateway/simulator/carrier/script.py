"""A caller's script: what the person on the phone says, waits for and presses. Read from YAML by `scriptfile`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = [
    "Backchannel",
    "BargeIn",
    "Dtmf",
    "HangUp",
    "Key",
    "Pause",
    "Say",
    "Script",
    "Step",
    "Until",
    "Wait",
    "clips_of",
]

Until: TypeAlias = Literal["agent_done", "agent_speaking", "ringing", "bridged", "alone"]


@dataclass(slots=True, frozen=True)
class Key:
    """A key pressed while speaking."""

    at_ms: int
    """From the beginning of the clip."""
    digit: str


@dataclass(slots=True, frozen=True)
class Say:
    """Speak; ends when the last frame was spoken and the last key pressed."""

    audio: bytes
    """Mu-law, 8 kHz."""
    name: str = ""
    keys: Sequence[Key] = ()
    in_band: bool = False
    """The keys' tones are heard in the caller's audio too."""


@dataclass(slots=True, frozen=True)
class Wait:
    """Wait for the agent; or, when the call is transferred, until the caller hears ringing or wait music, is connected
    to somebody, is so no more (`alone`)."""

    until: Until
    within_s: float = 20.0
    quiet_ms: int = 600


@dataclass(slots=True, frozen=True)
class Pause:
    """Say nothing for a time."""

    seconds: float


@dataclass(slots=True, frozen=True)
class BargeIn:
    """Speak once the caller has heard `after_ms` of the agent's current turn."""

    audio: bytes
    after_ms: int
    within_s: float = 20.0
    name: str = ""
    latest_ms: int | None = None
    """When given, the instant is drawn from the call's seed, to the millisecond, between `after_ms` and this."""


@dataclass(slots=True, frozen=True)
class Backchannel:
    """Say "mm-hm" once `after_ms` of an agent's turn were heard, while the script goes on.

    It is no turn of the caller: steps that wait for the agent are not disturbed by it. Where the agent never speaks
    as long it is left out.
    """

    audio: bytes
    after_ms: int
    name: str = ""


@dataclass(slots=True, frozen=True)
class Dtmf:
    """Press keys, one each 250 ms."""

    digits: str
    in_band: bool = False
    """Their tones are heard in the caller's audio too."""


@dataclass(slots=True, frozen=True)
class HangUp:
    """Put the phone down."""


Step: TypeAlias = Say | Wait | Pause | BargeIn | Backchannel | Dtmf | HangUp


@dataclass(slots=True, frozen=True)
class Script:
    """What a caller does, in order."""

    steps: Sequence[Step] = ()
    stay_s: float = 30.0
    """After the last step: how long to wait, in silence, for the other side to hang up."""
    name: str = ""
    hang_up_at_s: float | None = None
    """The caller hangs up at this time after the answer, whatever is going on."""


def clips_of(script: Script) -> list[bytes]:
    """Return what the caller is going to say, clip by clip."""
    return [step.audio for step in script.steps if isinstance(step, Say | BargeIn | Backchannel)]
