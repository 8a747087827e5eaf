"""What an agent tells and asks the business around its calls, and what it may promise callers for later."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from gateway.agents.outside import Headers, SecretRef, WebAddress
from gateway.agents.section import Section, switch

__all__ = ["Callbacks", "CallbacksField", "EventType", "Events", "Lookup"]

EventType = Literal[
    "call.started", "transcript.turn", "call.ended", "callback.requested", "caller.opted_out", "tool.unknown"
]


class Events(Section):
    """What the business is told of calls: signed, in order of their happening, repeated until it has them."""

    url: WebAddress
    """Where the signed POSTs go."""
    secret: SecretRef | None = None
    """Reference to the signing secret, env:NAME or file:/path, never the secret; null: GATEWAY_WEBHOOK_SECRET."""
    types: tuple[EventType, ...] = Field(default=("call.started", "call.ended"), min_length=1)
    """Which: call.started, transcript.turn (each utterance), call.ended (record, transcript, tools, cost),
    callback.requested, caller.opted_out, tool.unknown (nobody can say whether a function was carried out)."""
    headers: Headers = Field(default_factory=dict)
    """Additional request headers; no secrets, requests are signed."""

    @field_validator("types")
    @classmethod
    def _each_once(cls, value: tuple[EventType, ...]) -> tuple[EventType, ...]:
        return tuple(dict.fromkeys(value))


class Lookup(Section):
    """What is asked about the caller while it rings, for the first word to be the right one."""

    url: WebAddress
    """Where the signed POST goes; it answers with context, greeting and variables."""
    secret: SecretRef | None = None
    """Reference to the signing secret, env:NAME or file:/path, never the secret; null: GATEWAY_WEBHOOK_SECRET."""
    timeout_s: float = Field(default=1.5, ge=0.2, le=5)
    """Seconds that the first word waits for it at most; then the call begins without."""
    headers: Headers = Field(default_factory=dict)
    """Additional request headers; no secrets, requests are signed."""


class Callbacks(Section):
    """Calls that the model may promise: they are placed when they are due, within the hours of the outbound rules."""

    agent: str | None = Field(default=None, max_length=64)
    """Agent of this file that calls back; null: the one that promised it."""
    max_days: int = Field(default=14, ge=1, le=90)
    """How far ahead a caller may be promised a call, in days."""
    attempts: int = Field(default=3, ge=1, le=10)
    """How often it is tried when nobody answers."""


def _callbacks(value: object) -> object:
    return switch(value, "{max_days: 7}")


CallbacksField = Annotated[
    Callbacks | None, BeforeValidator(_callbacks, json_schema_input_type=bool | Callbacks | None)
]
