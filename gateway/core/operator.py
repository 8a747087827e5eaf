"""What an operator may ask of a live call. Values only; `Call` takes them inside `OperatorAsked`."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.core.plan import TurnTaking

__all__ = [
    "NAMES",
    "Action",
    "AskTransfer",
    "CancelReply",
    "ChangeTurns",
    "CollectDigits",
    "EndCall",
    "EndTurn",
    "ForceReply",
    "InsertMemory",
    "MuteAgent",
    "MuteCaller",
    "PressKeys",
    "Say",
    "Unmute",
]


@dataclass(slots=True, frozen=True)
class MuteCaller:
    """The model hears silence instead of the caller."""


@dataclass(slots=True, frozen=True)
class MuteAgent:
    """The caller hears nothing of the agent; what it says meanwhile counts as not said."""


@dataclass(slots=True, frozen=True)
class Unmute:
    """Both ways."""


@dataclass(slots=True, frozen=True)
class ForceReply:
    """The model speaks now, or as soon as it has finished."""

    instructions: str | None = None
    """For this one reply, beside the agent's own."""


@dataclass(slots=True, frozen=True)
class CancelReply:
    """What is being said, or about to be, is dropped."""


@dataclass(slots=True, frozen=True)
class InsertMemory:
    """A text that the model knows from now on; it says nothing about it by itself."""

    text: str
    role: str = "system"
    """system, user or assistant."""
    after: str | None = None
    """Item to stand behind, "root" for the beginning; None: the end."""


@dataclass(slots=True, frozen=True)
class Say:
    """The agent says exactly this next."""

    text: str
    interruptible: bool = True


@dataclass(slots=True, frozen=True)
class ChangeTurns:
    turns: TurnTaking


@dataclass(slots=True, frozen=True)
class EndTurn:
    """The caller's turn is over now; manual turn-taking only."""


@dataclass(slots=True, frozen=True)
class PressKeys:
    digits: str


@dataclass(slots=True, frozen=True)
class CollectDigits:
    """Take keys from the caller, not to the model."""

    max_digits: int = 16
    min_digits: int = 1
    terminator: str = "#"
    """Key that ends the entry; "" for none."""
    between_s: float = 4.0
    """Longest pause between two keys."""
    total_s: float = 30.0
    """From the end of the prompt to the last key."""
    retries: int = 1
    """How often the caller is asked again after an incomplete entry."""
    prompt: str = ""
    """Said exactly, first and at every retry; "" leaves the asking to the model."""
    secure: bool = False
    """The digits go to the vault; the model gets a token and hears silence meanwhile."""


@dataclass(slots=True, frozen=True)
class AskTransfer:
    target: str
    """Name of a target of the agent."""
    summary: str = ""
    """Warm: what the human is told beside the target's own brief."""


@dataclass(slots=True, frozen=True)
class EndCall:
    """Goodbye, then the line goes down."""


Action = (
    MuteCaller
    | MuteAgent
    | Unmute
    | ForceReply
    | CancelReply
    | InsertMemory
    | Say
    | ChangeTurns
    | EndTurn
    | PressKeys
    | CollectDigits
    | AskTransfer
    | EndCall
)

NAMES: Mapping[type, str] = {
    MuteCaller: "mute_caller",
    MuteAgent: "mute_agent",
    Unmute: "unmute",
    ForceReply: "force_reply",
    CancelReply: "cancel_reply",
    InsertMemory: "insert_memory",
    Say: "say",
    ChangeTurns: "turn_taking",
    EndTurn: "end_turn",
    PressKeys: "send_digits",
    CollectDigits: "collect_digits",
    AskTransfer: "transfer",
    EndCall: "hang_up",
}
"""The names that operators know."""
