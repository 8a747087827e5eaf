"""What the gateway sees to around a function, whoever carries it out; the model cannot change any of it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from gateway.agents.section import Section

__all__ = ["Bound", "ToolLimits", "ToolPolicy", "Waiting", "WaitingField"]


class Waiting(Section):
    """What the caller hears while a function runs and nobody speaks."""

    after_s: float = Field(default=1.2, ge=0.3, le=30)
    """Silence before it, in seconds."""
    say: str | None = Field(default=None, min_length=1, max_length=500)
    """Said word for word; null: the model finds a few words itself, in the language of the call."""
    sound: bool = False
    """A soft tone in place of words."""


class ToolLimits(Section):
    """How often a function may be carried out; refused calls do not count."""

    per_call: int | None = Field(default=None, ge=1, le=1000)
    """In one telephone call; null: no limit."""
    per_caller: int | None = Field(default=None, ge=1, le=10_000)
    """For one calling number within `per_caller_s`; null: no limit. Calls without a number count together."""
    per_caller_s: int = Field(default=86_400, ge=60, le=2_592_000)
    """The time over which `per_caller` counts, in seconds."""


class Bound(Section):
    """What one argument may be, whatever the model wrote and whatever the schema allows."""

    minimum: float | None = None
    """Smallest number."""
    maximum: float | None = None
    """Largest number."""
    max_length: int | None = Field(default=None, ge=0, le=32_768)
    """Characters of a text, entries of a list."""
    allowed: tuple[str | int | float | bool, ...] | None = Field(default=None, min_length=1, max_length=1000)
    """The only values."""
    pattern: str | None = Field(default=None, max_length=500)
    """Regular expression that the whole text must match."""
    fixed: Any = None
    """The value itself: the model does not see the argument. "{{caller}}" and "{{called}}" are the numbers of the
    call, "{{name}}" a variable of it."""


def _waiting(value: object) -> object:
    match value:
        case True:
            return {}
        case False | None:
            return None
        case str():
            return {"say": value}
        case Mapping() | Section():
            return value
        case _:
            raise ValueError("should be true, false, a sentence, or a section such as {after_s: 1.2, sound: true}")


WaitingField = Annotated[Waiting | None, BeforeValidator(_waiting, json_schema_input_type=bool | str | Waiting | None)]


class ToolPolicy(Section):
    """The part that functions of every origin have in common."""

    effect: Literal["read", "write"] = "write"
    """read: it changes nothing, so it may be repeated; write: it is put on record before it leaves and sent again only
    where nobody can have received it, or where `idempotent` says that the business takes care."""
    idempotent: bool = False
    """write: whether the business does the same Idempotency-Key only once; then a lost answer is asked for again."""
    timeout_s: float = Field(default=8, ge=0.1, le=120)
    """Seconds until the model is told that it took too long."""
    pending_s: float = Field(default=600, ge=1, le=14_400)
    """Seconds that a result may take which was promised (202)."""
    on_interrupt: Literal["finish", "cancel"] = "finish"
    """What becomes of it when the caller interrupts; cancel only with effect: read, what has left cannot be undone."""
    speak_while_waiting: WaitingField = Field(default_factory=Waiting)
    """What the caller hears while it runs: true (a few words of the model's own), a sentence, false, or a section."""
    limits: ToolLimits = Field(default_factory=ToolLimits)
    """How often it may be carried out."""
    bounds: dict[str, Bound] = Field(default_factory=dict, max_length=64)
    """What arguments may be, by name."""
    requires_confirmation: Literal[False, "spoken", "key"] = False
    """Whether the caller must agree between the model's first call and the one that is carried out: by saying so after
    the agent has asked, or by pressing 1."""
    claims: tuple[Annotated[str, Field(min_length=3, max_length=200)], ...] = Field(default=(), max_length=50)
    """Phrases by which the agent claims to have done this ("I have booked"); a claim without it is put on record."""

    @model_validator(mode="after")
    def _sound(self) -> "ToolPolicy":
        if self.on_interrupt == "cancel" and self.effect == "write":
            raise ValueError("on_interrupt: cancel needs effect: read; what has left cannot be undone")
        return self
