"""The client events, checked: unknown keys, wrong types and out-of-range values are refused (protocol notes §2)."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter, ValidationError

from gateway.simulator.model.config import AudioFormat, Reasoning, Tool, ToolChoice, Voice
from gateway.simulator.model.refusals import Refused, refusal
from gateway.simulator.model.shapes import Json

__all__ = [
    "CancelResponse",
    "ClearInput",
    "ClientEvent",
    "CommitInput",
    "CreateItem",
    "CreateResponse",
    "DeleteItem",
    "GivenItem",
    "ItemReference",
    "ResponseParams",
    "RetrieveItem",
    "TruncateItem",
    "UpdateSession",
    "parse",
]

MAX_ID = 32
"""The service refuses longer item ids from clients."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class InputText(_Part):
    type: Literal["input_text"]
    text: str


class InputAudio(_Part):
    type: Literal["input_audio"]
    audio: str
    transcript: str | None = None


class InputImage(_Part):
    type: Literal["input_image"]
    image_url: str
    detail: Literal["auto", "low", "high"] | None = None


class OutputText(_Part):
    type: Literal["output_text"]
    text: str


class GivenItem(_Part):
    """What every item of a client may carry."""

    id: str | None = Field(default=None, min_length=1, max_length=MAX_ID)
    object: Literal["realtime.item"] | None = None
    status: Literal["completed", "incomplete", "in_progress"] | None = None


class SystemMessage(GivenItem):
    type: Literal["message"]
    role: Literal["system"]
    content: list[InputText] = Field(min_length=1)


class UserMessage(GivenItem):
    type: Literal["message"]
    role: Literal["user"]
    content: list[Annotated[InputText | InputAudio | InputImage, Field(discriminator="type")]] = Field(min_length=1)


class AssistantMessage(GivenItem):
    """Only text: a client cannot create assistant audio."""

    type: Literal["message"]
    role: Literal["assistant"]
    content: list[OutputText] = Field(min_length=1)


class FunctionCallItem(GivenItem):
    type: Literal["function_call"]
    name: str
    arguments: str
    call_id: str | None = Field(default=None, min_length=1, max_length=128)


class FunctionOutputItem(GivenItem):
    type: Literal["function_call_output"]
    call_id: str = Field(min_length=1, max_length=128)
    output: str


class ApprovalItem(GivenItem):
    type: Literal["mcp_approval_response"]
    approval_request_id: str
    approve: bool
    reason: str | None = None


class ItemReference(_Part):
    type: Literal["item_reference"]
    id: str


def _kind(value: Any) -> str | None:
    if not isinstance(value, dict):
        return None
    kind, role = value.get("type"), value.get("role")
    return f"message, role {role}" if kind == "message" else kind if isinstance(kind, str) else None


Item: TypeAlias = Annotated[
    Annotated[SystemMessage, Tag("message, role system")]
    | Annotated[UserMessage, Tag("message, role user")]
    | Annotated[AssistantMessage, Tag("message, role assistant")]
    | Annotated[FunctionCallItem, Tag("function_call")]
    | Annotated[FunctionOutputItem, Tag("function_call_output")]
    | Annotated[ApprovalItem, Tag("mcp_approval_response")],
    Discriminator(_kind),
]
ItemOrReference: TypeAlias = Annotated[
    Annotated[SystemMessage, Tag("message, role system")]
    | Annotated[UserMessage, Tag("message, role user")]
    | Annotated[AssistantMessage, Tag("message, role assistant")]
    | Annotated[FunctionCallItem, Tag("function_call")]
    | Annotated[FunctionOutputItem, Tag("function_call_output")]
    | Annotated[ItemReference, Tag("item_reference")],
    Discriminator(_kind),
]


class ResponseAudioOutput(_Part):
    format: AudioFormat | None = None
    voice: Voice | None = None


class ResponseAudio(_Part):
    output: ResponseAudioOutput | None = None


class ResponseParams(_Part):
    """Overrides for one response; None takes the session's value."""

    audio: ResponseAudio | None = None
    conversation: Literal["auto", "none"] = "auto"
    input: list[ItemOrReference] | None = None
    instructions: str | None = None
    max_output_tokens: Annotated[int, Field(ge=1, le=32_768)] | Literal["inf"] | None = None
    metadata: dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]] | None = Field(
        default=None, max_length=16
    )
    output_modalities: list[Literal["audio", "text"]] | None = Field(default=None, min_length=1, max_length=1)
    parallel_tool_calls: bool | None = None
    prompt: dict[str, Any] | None = None
    reasoning: Reasoning | None = None
    tool_choice: ToolChoice | None = None
    tools: list[Tool] | None = None


class _Event(_Part):
    event_id: str | None = Field(default=None, max_length=512)


class UpdateSession(_Event):
    type: Literal["session.update"]
    session: dict[str, Any]


class CommitInput(_Event):
    type: Literal["input_audio_buffer.commit"]


class ClearInput(_Event):
    type: Literal["input_audio_buffer.clear"]


class CreateItem(_Event):
    type: Literal["conversation.item.create"]
    item: Item
    previous_item_id: str | None = None


class RetrieveItem(_Event):
    type: Literal["conversation.item.retrieve"]
    item_id: str


class DeleteItem(_Event):
    type: Literal["conversation.item.delete"]
    item_id: str


class TruncateItem(_Event):
    type: Literal["conversation.item.truncate"]
    item_id: str
    content_index: int = Field(ge=0)
    audio_end_ms: int = Field(ge=0)


class CreateResponse(_Event):
    type: Literal["response.create"]
    response: ResponseParams | None = None


class CancelResponse(_Event):
    type: Literal["response.cancel"]
    response_id: str | None = None


ClientEvent: TypeAlias = (
    UpdateSession
    | CommitInput
    | ClearInput
    | CreateItem
    | RetrieveItem
    | DeleteItem
    | TruncateItem
    | CreateResponse
    | CancelResponse
)

_ADAPTER: TypeAdapter[ClientEvent] = TypeAdapter(Annotated[ClientEvent, Field(discriminator="type")])

EVENT_TYPES = (
    "session.update",
    "input_audio_buffer.append",
    "input_audio_buffer.commit",
    "input_audio_buffer.clear",
    "conversation.item.create",
    "conversation.item.retrieve",
    "conversation.item.delete",
    "conversation.item.truncate",
    "response.create",
    "response.cancel",
)
"""`output_audio_buffer.clear` exists on WebRTC and SIP only; a plain WebSocket refuses it."""


def parse(event: Json) -> ClientEvent:
    """Return a client event (any but `input_audio_buffer.append`). Raises `Refused`."""
    kind = event.get("type")
    if kind is None:
        raise Refused("invalid_event", "The event has no 'type'.", "type")
    if kind not in EVENT_TYPES:
        known = ", ".join(f"'{name}'" for name in EVENT_TYPES)
        raise Refused("invalid_value", f"Invalid value: {repr(kind)[:80]}. Supported values are: {known}.", "type")
    try:
        return _ADAPTER.validate_python(event)
    except ValidationError as error:
        raise refusal(error, event) from None
