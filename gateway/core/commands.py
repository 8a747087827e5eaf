"""What a call wants done. Returned by `Call.receive`, carried out by adapters, never changed after construction."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway.core.audio import AudioFormat
from gateway.core.plan import TransferMode, TurnTaking

__all__ = [
    "AppendAudio",
    "CancelResponse",
    "CancelTool",
    "CancelTransfer",
    "ClearAudio",
    "ClearOutput",
    "CloseModel",
    "Command",
    "CommitInput",
    "CompleteTransfer",
    "ConfigureAudio",
    "ConfigureLanguage",
    "ConfigureTurns",
    "ControlCommand",
    "CreateItem",
    "CreateResponse",
    "DeleteItem",
    "EndReason",
    "HangUp",
    "Heard",
    "InvokeTool",
    "KeepSecret",
    "LegCommand",
    "ModelCommand",
    "OpenModel",
    "PlayAudio",
    "Record",
    "SendDigits",
    "SendMark",
    "StartTransfer",
    "SubmitToolOutput",
    "ToolCommand",
    "TruncateItem",
]


class EndReason(StrEnum):
    """Why a call ended; the one word in its record."""

    CALLER_HANGUP = "caller_hangup"
    AGENT_HANGUP = "agent_hangup"
    OPERATOR_HANGUP = "operator_hangup"
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
    TRANSFERRED = "transferred"
    IDLE = "idle"
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
class SendDigits:
    """Press keys towards the far end. Sent only while nothing plays; each key takes `KEY_S` with its pause."""

    digits: str
    """0-9 * # A-D."""


@dataclass(slots=True)
class HangUp:
    """End the media stream; the carrier goes on with its next instruction, which `reason` decides."""

    reason: EndReason


# --- to the carrier's control of the call ---------------------------------------------------------


@dataclass(slots=True)
class StartTransfer:
    """Try to reach a human. Answered by `TransferProgress`.

    Blind: the carrier takes the caller over at once, so the stream ends; when nobody answers it brings the caller
    back with a new stream. Warm: the human is called apart and told the brief, the caller stays on the stream.
    """

    transfer_id: str
    """Unique within the call."""
    target: str
    """Its name in the agents file."""
    number: str
    """E.164."""
    mode: TransferMode
    brief: str
    """What the human is told first; "" for none."""
    accept_key: str
    """Warm: the key that takes the caller; "" takes whoever answers."""
    ring_s: float


@dataclass(slots=True)
class CompleteTransfer:
    """Warm: connect the caller with the human who accepted. The stream ends with it."""

    transfer_id: str


@dataclass(slots=True)
class CancelTransfer:
    """Nobody waits for the human any more: stop ringing."""

    transfer_id: str


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
class CommitInput:
    """`input_audio_buffer.commit`: the caller's turn ends here."""


@dataclass(slots=True)
class ConfigureTurns:
    """`session.update` of `audio.input.turn_detection` alone."""

    turns: TurnTaking
    creates: bool
    """`create_response`: whether the server answers a turn by itself."""
    interrupts: bool
    """`interrupt_response`: whether the server cancels its response at speech."""


@dataclass(slots=True)
class ConfigureLanguage:
    """`session.update` of the language that the transcription of the caller expects."""

    transcription: Mapping[str, str]
    """The whole `audio.input.transcription` section, its `language` the new one."""


@dataclass(slots=True)
class ConfigureAudio:
    """`session.update` of both audio formats."""

    audio: AudioFormat


@dataclass(slots=True)
class CreateItem:
    """`conversation.item.create`."""

    item: Mapping[str, object]
    """A conversation item in the API's form."""
    after: str | None = None
    """Item to stand behind, "root" for the beginning; None: the end."""


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
    tools: bool = True
    """Whether the response may call functions."""


@dataclass(slots=True)
class CancelResponse:
    """`response.cancel`."""

    response_id: str


@dataclass(slots=True)
class ClearOutput:
    """`output_audio_buffer.clear`: the server drops what it plays. Only where the media is elsewhere."""


# --- to tools, recording and journal --------------------------------------------------------------


@dataclass(slots=True)
class InvokeTool:
    """Call a business webhook; answered by exactly one `ToolResult`, at the latest at the deadline."""

    tool_call_id: str
    name: str
    arguments: str
    deadline_s: float
    """Seconds from now."""
    again: bool = False
    """Made before this call of ours began: the ledger tells what came of it."""


@dataclass(slots=True)
class CancelTool:
    """Nobody waits for this tool any more."""

    tool_call_id: str


@dataclass(slots=True)
class KeepSecret:
    """Put digits into the vault; answered by `SecretKept`. Never journalled, never logged."""

    secret_id: str
    digits: str
    command_id: str = ""
    """The operator's command that asked for them; "" when the model did."""


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


LegCommand = PlayAudio | SendMark | ClearAudio | SendDigits | HangUp
ControlCommand = StartTransfer | CompleteTransfer | CancelTransfer
ModelCommand = (
    OpenModel
    | CloseModel
    | AppendAudio
    | CommitInput
    | ConfigureTurns
    | ConfigureAudio
    | ConfigureLanguage
    | CreateItem
    | DeleteItem
    | TruncateItem
    | SubmitToolOutput
    | CreateResponse
    | CancelResponse
    | ClearOutput
)
ToolCommand = InvokeTool | CancelTool
Command = LegCommand | ControlCommand | ModelCommand | ToolCommand | KeepSecret | Heard | Record
