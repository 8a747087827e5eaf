"""How an agent behaves on the telephone beside turn-taking: interruption, early answers, silence, handing over."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator
from pydantic_core.core_schema import ValidationInfo

from gateway.agents.numbers import TransferNumber
from gateway.agents.section import Section, switch
from gateway.core.plan import BACKCHANNELS, TransferMode

__all__ = ["BargeIn", "BargeInField", "EarlyReply", "EarlyReplyField", "Idle", "IdleField", "Transfer", "TransferEntry"]

MAX_WORDS = 200


class BargeIn(Section):
    """What the caller's speech does to what the agent is saying."""

    reversible: bool = True
    """Whether speech only pauses the agent until it proves to be an interruption; false: every speech cuts it."""
    confirm_ms: int = Field(default=600, ge=200, le=3000)
    """Speech of this length is an interruption, in ms; shorter speech is judged by its words."""
    backchannels: tuple[str, ...] | None = Field(default=None, max_length=MAX_WORDS)
    """Words with which a listener only shows that they listen, one each; null: the English ones; []: none."""

    @field_validator("backchannels")
    @classmethod
    def _letters(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if value is None else tuple(_bare_word(word) for word in value)

    @property
    def words(self) -> frozenset[str]:
        return BACKCHANNELS if self.backchannels is None else frozenset(self.backchannels)


def _bare_word(text: str) -> str:
    """Return the letters alone, lower case, as they are compared: "Mm-hm" is "mmhm"."""
    if len(text.split()) != 1 or len(text) > 32:
        raise ValueError(f"each should be one word, and {text[:32]!r} is not")
    letters = "".join(letter for letter in text.lower() if letter.isalpha())
    if not letters:
        raise ValueError(f"{text!r} has no letters")
    return letters


EARLY_CONFIRM_MS = 800


class EarlyReply(Section):
    """The model answers after a short silence; the caller hears it when the turn has proved to be over.

    Answers sooner and costs dropped answers where callers go on. `silence_duration_ms` of `turn_detection` counts only
    as the least that proves a turn to be over.
    """

    server_silence_ms: int = Field(default=100, ge=100, le=2000)
    """Silence after which the model begins its answer, in ms; longer drops fewer answers and gains less time."""
    confirm_ms: int | None = Field(default=None, ge=100, le=10_000)
    """Silence, by our own ear, that proves the turn to be over, in ms; null: 800, or `silence_duration_ms` if longer.

    With 800 no more callers are cut off than by plain turn-taking with 500, where the model begins to think only then;
    with 500 the answer comes sooner and cuts in more often (`gateway simulate turns --only early`).
    """

    def confirm(self, silence_ms: int) -> int:
        """Return the silence that proves a turn to be over, for turn-taking of so much silence."""
        return max(EARLY_CONFIRM_MS, silence_ms) if self.confirm_ms is None else self.confirm_ms


class Idle(Section):
    """What happens when the caller gives no sign any more; noise and hold music are no sign."""

    after_s: float = Field(default=15, ge=3, le=600)
    """Silence of both sides before each prompt, and before the goodbye, in seconds."""
    prompts: tuple[Annotated[str, Field(min_length=1, max_length=500)], ...] = Field(
        default=("Are you still there?",), max_length=2
    )
    """Said word for word, one after each silence; then the agent says goodbye and hangs up."""


class TransferEntry(Section):
    """A person, or a queue of them, to whom callers may be handed."""

    number: TransferNumber
    """Their number, E.164, in quotes. Emergency, short, premium-rate, shared-cost and satellite numbers are refused."""
    mode: Literal["blind", "warm"] = "blind"
    """blind: the caller is put through at once; warm: the person hears a brief and accepts first."""
    description: str = Field(default="", max_length=500)
    """What they are for: all the model knows about whom to choose."""
    brief: str = Field(default="", max_length=1000)
    """warm: what the person is told first, before the model's own summary."""
    accept_key: Literal["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "#", ""] = "1"
    """warm: key with which the person takes the caller, in quotes; "": whoever answers has taken it, machines too."""
    ring_s: float = Field(default=25, ge=5, le=120)
    """How long it may ring, in seconds; voicemail often answers after 20 to 30."""

    @field_validator("brief")
    @classmethod
    def _warm_only(cls, value: str, info: ValidationInfo) -> str:
        if value and info.data.get("mode") == TransferMode.BLIND:
            raise ValueError("only a warm transfer has a brief; set mode: warm")
        return value


class Transfer(Section):
    """To whom callers may be transferred: nobody else can be reached, whatever the model or a caller says."""

    targets: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")], TransferEntry] = Field(
        min_length=1, max_length=50
    )
    """By name, as the model chooses them: lower-case letters, digits, - and _."""


def _barge_in(value: object) -> object:
    match value:
        case "immediate":
            return {"reversible": False}
        case "reversible":
            return {}
        case Mapping() | Section():
            return value
        case _:
            raise ValueError("should be immediate, reversible, or a section such as {confirm_ms: 600}")


def _on_or_off(value: object) -> object:
    return switch(value)  # given itself, pydantic would hand its own info over as the example


BargeInField = Annotated[
    BargeIn, BeforeValidator(_barge_in, json_schema_input_type=Literal["immediate", "reversible"] | BargeIn)
]
EarlyReplyField = Annotated[
    EarlyReply | None, BeforeValidator(_on_or_off, json_schema_input_type=bool | EarlyReply | None)
]
IdleField = Annotated[Idle | None, BeforeValidator(_on_or_off, json_schema_input_type=bool | Idle | None)]
