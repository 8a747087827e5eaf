"""Failures a scenario can order: one small model a kind, read from YAML and from an engine's `Fault`."""

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from gateway.errors import ConfigError
from gateway.simulator.engine import Fault
from gateway.simulator.model.ordered import OrderedRefusal

__all__ = [
    "Close",
    "Delay",
    "Ending",
    "Error",
    "Expire",
    "FailResponse",
    "Fatal",
    "FaultStep",
    "Garbage",
    "Incomplete",
    "LateDeltas",
    "RateLimited",
    "Refuse",
    "RefuseUpdate",
    "Stall",
    "UnannouncedDone",
    "UnknownItemDelta",
    "parse",
]

Milliseconds = Annotated[int, Field(ge=0, le=3_600_000)]


def _sendable(code: int) -> int:
    """RFC 6455 §7.4: the codes an endpoint may send, and 1006 for a lost connection."""
    if code in (1000, 1001, 1002, 1003, 1006, *range(1007, 1015), *range(3000, 5000)):
        return code
    raise ValueError(f"{code} is no close code an endpoint can send")


class _Step(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    times: int | None = Field(default=None, ge=1)
    """Act only the first n times (counted over all sessions of the engine); None acts always."""


class _Ending(_Step):
    after_ms: Milliseconds | None = None
    """Act after this much audio of the answer was sent; None acts in place of the answer."""


class Delay(_Step):
    """Think this much longer."""

    kind: Literal["delay"]
    ms: Milliseconds


class Error(_Step):
    """Send a non-fatal `error` event that answers nothing the client did, and go on."""

    kind: Literal["error"]
    code: str | None = "server_error"
    type: str | None = None
    message: str | None = None
    """Type and message: None takes the service's for the code."""


class Refuse(_Step, OrderedRefusal):
    """Refuse the session's next n client events of a type, whatever they say."""

    kind: Literal["refuse"]


class Garbage(_Step):
    """Send a malformed frame and go on."""

    kind: Literal["garbage"]
    text: str = '{"type":"response.output_audio.delta","delta":'


class UnknownItemDelta(_Step):
    """Send audio of a response and an item nobody announced, and go on."""

    kind: Literal["unknown_item_delta"]
    count: int = Field(default=1, ge=1, le=100)


class UnannouncedDone(_Step):
    """Send a `response.done` (cancelled) of a response nobody announced, and go on."""

    kind: Literal["unannounced_done"]


class LateDeltas(_Step):
    """When this response is cancelled, send the next so many 100 ms of its audio afterwards, as far as it has them."""

    kind: Literal["late_deltas"]
    count: int = Field(default=1, ge=1, le=100)


class RefuseUpdate(_Step):
    """Refuse the session's next n `session.update`; short for `refuse`."""

    kind: Literal["refuse_update"]
    count: int = Field(default=1, ge=1, le=100)


class RateLimited(_Ending):
    """End the response as failed with `inference_rate_limit_exceeded`."""

    kind: Literal["rate_limited"]


class FailResponse(_Ending):
    """End the response as failed."""

    kind: Literal["fail_response"]
    code: str = "server_error"
    message: str = "The server had an error while processing your request. Sorry about that!"


class Incomplete(_Ending):
    """End the response as incomplete."""

    kind: Literal["incomplete"]
    reason: Literal["max_output_tokens", "content_filter"] = "max_output_tokens"


class Close(_Ending):
    """Close the socket."""

    kind: Literal["close"]
    code: Annotated[int, AfterValidator(_sendable)] = 1011
    """1006 cuts the connection without a close frame."""
    reason: str = Field(default="", max_length=120, pattern=r"^[ -~]*$")


class Expire(_Ending):
    """End the session as if its 60 minutes were over."""

    kind: Literal["expire"]


class Fatal(_Ending):
    """Send an error after which no client should try again, and close the socket."""

    kind: Literal["fatal"]
    code: str = "insufficient_quota"
    field: Literal["code", "type"] = "code"
    """Where the code stands in the error object; both have been seen."""
    close: Annotated[int, AfterValidator(_sendable)] = 4000


class Stall(_Ending):
    """Say nothing more; cancelling still works unless `deaf`, when the whole session goes silent for good."""

    kind: Literal["stall"]
    deaf: bool = False


Ending: TypeAlias = RateLimited | FailResponse | Incomplete | Close | Expire | Fatal | Stall

FaultStep: TypeAlias = Annotated[
    Delay | Error | Garbage | UnknownItemDelta | UnannouncedDone | LateDeltas | Refuse | RefuseUpdate | Ending,
    Field(discriminator="kind"),
]

_ADAPTER: TypeAdapter[FaultStep] = TypeAdapter(FaultStep)


def parse(fault: Fault) -> FaultStep:
    """Return an engine's fault, checked. Raises `ConfigError`."""
    try:
        return _ADAPTER.validate_python({"kind": fault.kind, **fault.options})
    except ValidationError as error:
        raise ConfigError(f"unknown or malformed fault {fault.kind!r}: {error.errors()[0]['msg']}") from None
