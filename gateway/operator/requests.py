"""The bodies that operators send, every field bounded, and what the core is asked for by each."""

from typing import Annotated, Literal, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from gateway.agents import TurnDetection
from gateway.core import operator as ask
from gateway.vault import asked_by

__all__ = ["ACTIONS", "COMMAND_ID", "VARIANTS", "AnyCommand", "CommandBody", "RedeemBody"]

TEXT = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
"""No control characters: databases refuse some, terminals obey others."""
COMMAND_ID = r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$"

Id: TypeAlias = Annotated[str, StringConstraints(pattern=COMMAND_ID)]
Sentence: TypeAlias = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000, pattern=TEXT)
]
Memory: TypeAlias = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=8000, pattern=TEXT)
]
Note: TypeAlias = Annotated[str, StringConstraints(max_length=2000, pattern=TEXT)]
Keys: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9*#A-D]{1,64}$")]
ItemId: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,128}$")]
Target: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=TEXT)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True, allow_inf_nan=False)


class _Command(_Body):
    id: Id
    """The client's own: the same id again is not done again."""


class MuteCaller(_Command):
    """The model hears silence instead of the caller."""

    action: Literal["mute_caller"]

    def wanted(self) -> ask.Action:
        return ask.MuteCaller()


class MuteAgent(_Command):
    """The caller hears nothing of the agent."""

    action: Literal["mute_agent"]

    def wanted(self) -> ask.Action:
        return ask.MuteAgent()


class Unmute(_Command):
    """Both are heard again."""

    action: Literal["unmute"]

    def wanted(self) -> ask.Action:
        return ask.Unmute()


class ForceReply(_Command):
    """The agent speaks now, or as soon as it has finished; `instructions` are for this reply only."""

    action: Literal["force_reply"]
    instructions: Sentence | None = None

    def wanted(self) -> ask.Action:
        return ask.ForceReply(self.instructions)


class CancelReply(_Command):
    """What the agent says, or is about to say, is dropped."""

    action: Literal["cancel_reply"]

    def wanted(self) -> ask.Action:
        return ask.CancelReply()


class InsertMemory(_Command):
    """The model knows `text` from now on, as said by `role`; it stands behind the item `after`, or "root"."""

    action: Literal["insert_memory"]
    text: Memory
    role: Literal["system", "user", "assistant"] = "system"
    after: ItemId | None = None

    def wanted(self) -> ask.Action:
        return ask.InsertMemory(self.text, self.role, self.after)


class Say(_Command):
    """The agent says exactly `text` next."""

    action: Literal["say"]
    text: Sentence
    interruptible: bool = True

    def wanted(self) -> ask.Action:
        return ask.Say(self.text, self.interruptible)


class TurnTaking(_Command):
    """How turns end from now on: default, patient, spelling, manual, or a section as in the agents file."""

    action: Literal["turn_taking"]
    turn_detection: TurnDetection

    def wanted(self) -> ask.Action:
        return ask.ChangeTurns(self.turn_detection.turn_taking())


class EndTurn(_Command):
    """The caller's turn is over now; manual turn-taking only."""

    action: Literal["end_turn"]

    def wanted(self) -> ask.Action:
        return ask.EndTurn()


class SendDigits(_Command):
    """Press keys towards the caller's side."""

    action: Literal["send_digits"]
    digits: Keys

    def wanted(self) -> ask.Action:
        return ask.PressKeys(self.digits)


class CollectDigits(_Command):
    """Take keys from the caller; `secure`: into the vault, and the model gets a token."""

    action: Literal["collect_digits"]
    max_digits: int = Field(default=16, ge=1, le=64)
    min_digits: int = Field(default=1, ge=1, le=64)
    terminator: Annotated[str, StringConstraints(pattern=r"^[0-9*#A-D]?$")] = "#"
    between_s: float = Field(default=4.0, ge=0.5, le=30)
    total_s: float = Field(default=30.0, ge=1, le=300)
    retries: int = Field(default=1, ge=0, le=5)
    prompt: Note = ""
    secure: bool = False

    @field_validator("min_digits")
    @classmethod
    def _reachable(cls, value: int, info: ValidationInfo) -> int:
        if value > info.data.get("max_digits", value):
            raise ValueError("may not be more than max_digits")
        return value

    def wanted(self) -> ask.Action:
        return ask.CollectDigits(
            max_digits=self.max_digits,
            min_digits=self.min_digits,
            terminator=self.terminator,
            between_s=self.between_s,
            total_s=self.total_s,
            retries=self.retries,
            prompt=self.prompt.strip(),
            secure=self.secure,
        )


class Transfer(_Command):
    """Connect the caller with a `target` of the agents file; a warm one is told the `summary`."""

    action: Literal["transfer"]
    target: Target
    summary: Note = ""

    def wanted(self) -> ask.Action:
        return ask.AskTransfer(self.target, self.summary.strip())


class HangUp(_Command):
    """Goodbye, then the line goes down."""

    action: Literal["hang_up"]

    def wanted(self) -> ask.Action:
        return ask.EndCall()


AnyCommand = (
    MuteCaller
    | MuteAgent
    | Unmute
    | ForceReply
    | CancelReply
    | InsertMemory
    | Say
    | TurnTaking
    | EndTurn
    | SendDigits
    | CollectDigits
    | Transfer
    | HangUp
)
ACTIONS: dict[str, type[AnyCommand]] = {
    "mute_caller": MuteCaller,
    "mute_agent": MuteAgent,
    "unmute": Unmute,
    "force_reply": ForceReply,
    "cancel_reply": CancelReply,
    "insert_memory": InsertMemory,
    "say": Say,
    "turn_taking": TurnTaking,
    "end_turn": EndTurn,
    "send_digits": SendDigits,
    "collect_digits": CollectDigits,
    "transfer": Transfer,
    "hang_up": HangUp,
}
VARIANTS = frozenset(ACTIONS) | {"server_vad", "semantic_vad", "manual"}
"""Tags that pydantic puts into the paths of what is wrong; no field is called so."""


class CommandBody(RootModel[Annotated[AnyCommand, Field(discriminator="action")]]):
    """The body of `POST /v1/calls/{call_id}/commands`."""


class RedeemBody(_Body):
    """The body of `POST /v1/vault/redeem`: a token, or the operator's command that collected the digits."""

    token: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    call_id: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    command_id: Id | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "RedeemBody":
        named = self.call_id is not None and self.command_id is not None
        if (self.token is not None) == named or (self.call_id is None) != (self.command_id is None):
            raise ValueError("expected either token, or call_id and command_id")
        return self

    @property
    def name(self) -> str:
        """What the vault is asked for."""
        return self.token if self.token is not None else asked_by(self.call_id or "", self.command_id or "")
