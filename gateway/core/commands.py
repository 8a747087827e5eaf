"""What a call wants done. Returned by `Call.receive`, carried out by adapters, never changed after construction."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "AppendAudio",
    "CancelResponse",
    "CancelTool",
    "ClearAudio",
    "CloseModel",
    "Command",
    "CreateItem",
    "CreateResponse",
    "DeleteItem",
    "EndReason",
    "HangUp",
    "Heard",
    "InvokeTool",
    "LegCommand",
    "ModelCommand",
    "OpenModel",
    "PlayAudio",
    "Record",
    "SendMark",
    "SubmitToolOutput",
    "ToolCommand",
    "TruncateItem",
]


class EndReason(StrEnum):
    """Why a call ended; the one word in its record."""

    CALLER_HANGUP = "caller_hangup"
    AGENT_HANGUP = "agent_hangup"
    LEG_LOST = "leg_lost"
    LEG_BROKEN = "leg_broken"
    NEVER_STARTED = "never_started"
    MODEL_UNREACHABLE = "model_unreachable"
    MODEL_REFUSED = "model_refused"
    MODEL_LOST = "model_lost"
    MODEL_SILENT = "model_silent"
    RESPONSE_FAILED = "response_failed"
    DURATION_LIMIT = "duration_limit"
    COST_LIMIT = "cost_limit"
    HANDED_OVER = "handed_over"
    STOPPED = "stopped"
    INTERNAL_ERROR = "internal_error"


# --- to the leg -----------------------------------------------------------------------------------


@dataclass(slots=True)
class PlayAudio:
    """Queue audio behind what was sent before."""

    item_id: str
    payload: str
    """Base64 G.711."""
    ms: float


@dataclass(slots=True)
class SendMark:
    """Ask the carrier to echo `name` when everything sent before it was played."""

    name: str


@dataclass(slots=True)
class ClearAudio:
    """Drop what the carrier has not played yet."""


@dataclass(slots=True)
class HangUp:
    """End the media stream; the carrier goes on with its next instruction, which `reason` decides."""

    reason: EndReason


# --- to the model ---------------------------------------------------------------------------------


@dataclass(slots=True)
class OpenModel:
    """Open a session and configure it; answered by `SessionReady` or `ModelClosed`."""


@dataclass(slots=True)
class CloseModel:
    """Close the session; nothing from it counts any more."""


@dataclass(slots=True)
class AppendAudio:
    """`input_audio_buffer.append`."""

    payload: str


@dataclass(slots=True)
class CreateItem:
    """`conversation.item.create`."""

    item: Mapping[str, object]
    """A conversation item in the API's form."""


@dataclass(slots=True)
class DeleteItem:
    """`conversation.item.delete`: nothing of it was heard."""

    item_id: str


@dataclass(slots=True)
class TruncateItem:
    """`conversation.item.truncate` with content index 0."""

    item_id: str
    audio_end_ms: int


@dataclass(slots=True)
class SubmitToolOutput:
    """`conversation.item.create` of a `function_call_output`."""

    tool_call_id: str
    output: str


@dataclass(slots=True)
class CreateResponse:
    """`response.create`."""

    wish_id: str
    """Goes along as metadata and comes back in `ResponseCreated`."""
    instructions: str | None = None
    """Replaces the session's instructions for this response; None keeps them."""


@dataclass(slots=True)
class CancelResponse:
    """`response.cancel`."""

    response_id: str


# --- to tools, recording and journal --------------------------------------------------------------


@dataclass(slots=True)
class InvokeTool:
    """Call a business webhook; answered by exactly one `ToolResult`, at the latest at the deadline."""

    tool_call_id: str
    name: str
    arguments: str
    deadline_s: float
    """Seconds from now."""


@dataclass(slots=True)
class CancelTool:
    """Nobody waits for this tool any more."""

    tool_call_id: str


@dataclass(slots=True)
class Heard:
    """The caller heard this piece of an item."""

    item_id: str
    payload: str
    """Base64 G.711 of the whole piece."""
    begins_s: float
    """When its first sample was heard, on the call's clock."""
    ms: float
    """How much of it was heard, from its start."""


@dataclass(slots=True)
class Record:
    """A note for the journal."""

    kind: str
    data: Mapping[str, str | int | float]


LegCommand = PlayAudio | SendMark | ClearAudio | HangUp
ModelCommand = (
    OpenModel
    | CloseModel
    | AppendAudio
    | CreateItem
    | DeleteItem
    | TruncateItem
    | SubmitToolOutput
    | CreateResponse
    | CancelResponse
)
ToolCommand = InvokeTool | CancelTool
Command = LegCommand | ModelCommand | ToolCommand | Heard | Record
