"""What the gateway sees to around a function, whoever carries it out; the model cannot change any of it."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

import jsonschema_rs
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.functional_serializers import model_serializer
from pydantic_core.core_schema import SerializerFunctionWrapHandler, ValidationInfo

from gateway.agents.section import Section
from gateway.errors import ConfigError

__all__ = ["Bound", "PolicyOverrides", "ToolLimits", "ToolPolicy", "Waiting", "WaitingField", "whole_match"]

MAX_PATTERN_BYTES = 1 << 20
"""Of a compiled pattern; `a{1000}{1000}` would be a gigabyte."""

MIN_CLAIM_LETTERS = 2
"""Two are a word in Chinese."""


@lru_cache(maxsize=1000)
def whole_match(pattern: str) -> Callable[[str], bool]:
    """Return what tells whether a whole text matches. Raises `ValueError` for what is no pattern.

    In time that grows with the text only: no look-around and no back references, so that no text of a model, which is
    as long as the caller can talk it into, makes it search for ever.
    """
    options = jsonschema_rs.RegexOptions(size_limit=MAX_PATTERN_BYTES)
    try:
        for text in (pattern, f"^(?:{pattern})$"):
            validator = jsonschema_rs.validator_for({"type": "string", "pattern": text}, pattern_options=options)
    except (jsonschema_rs.ValidationError, ValueError):
        raise ValueError(
            "is not a regular expression that can be used; look-around and back references cannot"
        ) from None
    return validator.is_valid


class Waiting(Section):
    """What the caller hears while a function runs and nobody speaks."""

    after_s: float = Field(default=1.2, ge=0.3, le=30)
    """Silence before it, in seconds."""
    say: str | None = Field(default=None, min_length=1, max_length=500)
    """Said word for word; null: the model finds a few words itself, in the language of the call."""
    sound: bool = False
    """A soft tone in place of words."""

    @field_validator("sound")
    @classmethod
    def _in_place_of_words(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("say") is not None:
            raise ValueError("a tone takes the place of words; keep either sound or say")
        return value


class ToolLimits(Section):
    """How often a function may be carried out; refused calls do not count."""

    per_call: int | None = Field(default=None, ge=1, le=1000)
    """In one telephone call; null: no limit."""
    per_caller: int | None = Field(default=None, ge=1, le=10_000)
    """For one calling number within `per_caller_s`; null: no limit. Calls without a number count together."""
    per_caller_s: int = Field(default=86_400, ge=60, le=2_592_000)
    """The time over which `per_caller` counts, in seconds."""

    @field_validator("per_caller_s")
    @classmethod
    def _of_a_limit(cls, value: int, info: ValidationInfo) -> int:
        if info.data.get("per_caller", 0) is None:
            raise ValueError("counts nothing without per_caller")
        return value


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
    """Regular expression that the whole text must match; without look-around and back references."""
    fixed: Any = None
    """The value itself: the model does not see the argument. "{{caller}}" and "{{called}}" are the numbers of the
    call, "{{name}}" a variable of it; one that is not known refuses the call."""

    @field_validator("pattern")
    @classmethod
    def _usable(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                re.compile(value)  # says what is wrong with a pattern, where the other only says that something is
            except re.error as error:
                raise ValueError(f"is not a regular expression: {error}") from None
            whole_match(value)
        return value

    @model_validator(mode="after")
    def _sound(self) -> Self:
        said = [value for _, value in self if value is not None]
        if self.fixed is not None and len(said) > 1:
            raise ValueError("fixed is the value itself; nothing else can bound it")
        if not said:
            raise ValueError("bounds nothing; say what the argument may be, such as {maximum: 100}")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum ({self.minimum:g}) should not be above maximum ({self.maximum:g})")
        return self


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


def _words(value: str) -> str:
    if sum(letter.isalpha() for letter in value) < MIN_CLAIM_LETTERS:
        raise ValueError(f"{value!r} is no phrase that could be listened for")
    return value


class _Policy(Section):
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
    bounds: dict[Annotated[str, Field(min_length=1, max_length=200)], Bound] = Field(
        default_factory=dict, max_length=64
    )
    """What arguments may be, by name; one inside another with a dot, such as payment.amount."""
    requires_confirmation: Literal[False, "spoken", "key"] = False
    """What the caller must have done between the model's first call and the one that is carried out. key: pressed 1
    after hearing the question. spoken: spoken after being asked, without plainly refusing in words that were known by
    then; whether they agreed the model judges."""
    claims: tuple[Annotated[str, Field(max_length=200), AfterValidator(_words)], ...] = Field(default=(), max_length=50)
    """Phrases by which the agent claims to have done this ("I have booked"); a claim without it is put on record."""


class ToolPolicy(_Policy):
    """The part that functions of every origin have in common."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.on_interrupt == "cancel" and self.effect == "write":
            raise ValueError("on_interrupt: cancel needs effect: read; what has left cannot be undone")
        if self.pending_s < self.timeout_s:
            raise ValueError(
                f"pending_s ({self.pending_s:g}) should not be shorter than timeout_s ({self.timeout_s:g})"
            )
        waiting = self.speak_while_waiting
        if waiting is not None and "after_s" in waiting.model_fields_set and waiting.after_s >= self.timeout_s:
            raise ValueError(
                f"speak_while_waiting.after_s ({waiting.after_s:g}) is never reached, timeout_s is {self.timeout_s:g}"
            )
        return self


def _without_defaults(schema: dict[str, Any]) -> None:
    for field in schema.get("properties", {}).values():
        field.pop("default", None)


class PolicyOverrides(_Policy):
    """What is said otherwise about a function that comes from elsewhere; a key that is not there changes nothing."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    @model_serializer(mode="wrap")
    def _only_what_is_said(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in serialize(self).items() if key in self.model_fields_set}

    def over(self, below: "PolicyOverrides") -> "PolicyOverrides":
        """Return what both say: this one where both do, bounds of different arguments together."""
        said = _said(below) | _said(self)
        if "bounds" in said:
            said["bounds"] = below.bounds | self.bounds
        return PolicyOverrides.model_validate(said)

    def apply(self, policy: ToolPolicy) -> ToolPolicy:
        """Return the policy with what is said here. Raises `ConfigError` when the two do not go together."""
        base = {key: value for key, value in policy if key in _Policy.model_fields}
        said = _said(self)
        if "bounds" in said:
            said["bounds"] = policy.bounds | self.bounds
        try:
            return ToolPolicy.model_validate(base | said)
        except ValidationError as error:
            detail = error.errors(include_url=False, include_input=False)[0]
            raise ConfigError(detail["msg"].removeprefix("Value error, ")) from None


def _said(section: PolicyOverrides) -> dict[str, Any]:
    return {key: value for key, value in section if key in section.model_fields_set and key in _Policy.model_fields}
