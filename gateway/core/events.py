"""What may happen to a call. Built by adapters, taken by `Call.receive`, never changed after construction.

Ids: `tool_call_id` is what the Realtime API calls a function's `call_id`. `item_id` and `response_id` are the API's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway.core.audio import AudioFormat
from gateway.core.operator import Action

__all__ = [
    "AgentSaid",
    "AudioDelta",
    "Briefed",
    "CallOffered",
    "CallerAudio",
    "CallerSaid",
    "DrainAsked",
    "Dtmf",
    "Event",
    "FunctionCall",
    "InputCommitted",
    "ItemTruncated",
    "LegEnd",
    "LegEnded",
    "MarkPlayed",
    "ModelClosed",
    "ModelFault",
    "OperatorAsked",
    "OutputAccepted",
    "PastCall",
    "PastWords",
    "Playback",
    "PlaybackState",
    "ResponseCreated",
    "ResponseDone",
    "SecretKept",
    "SessionReady",
    "SpeechStarted",
    "SpeechStopped",
    "Spent",
    "StopAsked",
    "StreamStarted",
    "Tick",
    "ToolAction",
    "ToolResult",
    "TransferProgress",
    "TransferState",
    "Usage",
    "VoiceStarted",
    "VoiceStopped",
]

Usage = Mapping[str, object]
"""The `usage` object of `response.done` or of a finished transcription, as the API sent it."""


# --- from the leg ---------------------------------------------------------------------------------


@dataclass(slots=True)
class CallOffered:
    """A carrier offers the call and its webhook was believed; always the first event."""


@dataclass(slots=True)
class StreamStarted:
    """The media stream is up: the caller hears what is played from now on."""

    stream_id: str
    """The carrier's id of the stream."""
    audio: AudioFormat = AudioFormat.PCMU
    """What it carries both ways."""


@dataclass(slots=True)
class CallerAudio:
    """One frame of caller audio, in order."""

    payload: str
    """Base64, in the stream's format; exactly as the carrier sent it where that is a format of the model."""


@dataclass(slots=True)
class MarkPlayed:
    """The carrier echoed a mark: everything sent before it was played, or a clear dropped it."""

    name: str


@dataclass(slots=True)
class Dtmf:
    """The caller pressed a key."""

    digit: str
    """One of 0-9 * # A-D."""


class LegEnd(StrEnum):
    """How a media stream ended."""

    CALLER_HANGUP = "caller_hangup"
    SOCKET_LOST = "leg_lost"
    BROKEN = "leg_broken"


@dataclass(slots=True)
class LegEnded:
    """The media stream is over; nothing more comes from it and nothing can be played."""

    reason: LegEnd
    detail: str = ""
    call_over: bool = False
    """The carrier says that the call itself is over, not only this stream."""


# --- from our own ear -----------------------------------------------------------------------------


@dataclass(slots=True)
class VoiceStarted:
    """Our own ear hears a voice that is not the echo of ours; a second opinion, never the only one."""

    at_s: float
    """When it began, on the call's clock: before it was proven."""


@dataclass(slots=True)
class VoiceStopped:
    """The voice has fallen silent."""

    ended_s: float
    """When it ended, on the call's clock: before the silence that proved it."""


# --- from the model -------------------------------------------------------------------------------


@dataclass(slots=True)
class SessionReady:
    """The model's session runs with our configuration: `session.updated` echoed both audio formats."""

    session_id: str


@dataclass(slots=True)
class SpeechStarted:
    """`input_audio_buffer.speech_started`."""

    item_id: str
    audio_start_ms: int


@dataclass(slots=True)
class SpeechStopped:
    """`input_audio_buffer.speech_stopped`."""

    item_id: str
    audio_end_ms: int


@dataclass(slots=True)
class InputCommitted:
    """`input_audio_buffer.committed`: what the caller said has become an item of the conversation."""

    item_id: str


@dataclass(slots=True)
class ResponseCreated:
    """`response.created` of an in-conversation response."""

    response_id: str
    wish_id: str
    """Our tag, echoed in its metadata; "" when the server began the response by itself."""


@dataclass(slots=True)
class AudioDelta:
    """`response.output_audio.delta`."""

    response_id: str
    item_id: str
    payload: str
    """Base64 G.711."""


@dataclass(slots=True)
class CallerSaid:
    """The transcript of one caller turn; may come late, in any order relative to responses."""

    item_id: str
    text: str
    usage: Usage | None = None


@dataclass(slots=True)
class AgentSaid:
    """The whole transcript of one assistant item, as generated; not what was heard of it."""

    response_id: str
    item_id: str
    text: str


@dataclass(slots=True)
class FunctionCall:
    """One completed function call of a response."""

    tool_call_id: str
    name: str
    arguments: str
    """JSON text from the model; may be malformed."""
    item_id: str = ""


@dataclass(slots=True)
class ResponseDone:
    """`response.done`; comes for every response whatever its outcome."""

    response_id: str
    status: str
    """"completed", "cancelled", "failed" or "incomplete"."""
    reason: str
    """`status_details`: its reason or error code; "" when there is none."""
    calls: tuple[FunctionCall, ...]
    """Function calls whose own status is "completed"."""
    usage: Usage | None


@dataclass(slots=True)
class OutputAccepted:
    """Our function output joined the conversation; responses created from now on see it."""

    tool_call_id: str


@dataclass(slots=True)
class ModelFault:
    """An `error` event. The session stays open unless `ModelClosed` follows."""

    code: str
    message: str
    wish_id: str = ""
    """The tag of the `response.create` that it refuses; "" when it is about something else."""


@dataclass(slots=True)
class ModelClosed:
    """The model's socket is gone, was refused, or its session cannot be used."""

    code: str
    """API error code, HTTP status or close code, as text."""
    reason: str
    permanent: bool
    """True when a new session would fail the same way (bad key, no credit, refused configuration)."""


class PlaybackState(StrEnum):
    """What the model's server does with a response that it plays itself."""

    STARTED = "started"
    STOPPED = "stopped"
    """All of it has played."""
    CLEARED = "cleared"
    """The rest of it is dropped."""


@dataclass(slots=True)
class Playback:
    """`output_audio_buffer.started`, `.stopped` or `.cleared`: only where the media is elsewhere."""

    response_id: str
    state: PlaybackState


@dataclass(slots=True)
class ItemTruncated:
    """`conversation.item.truncated` by the server's own doing: only where the media is elsewhere."""

    item_id: str
    audio_end_ms: int
    """How much of it the caller heard."""


# --- from the rest --------------------------------------------------------------------------------


class ToolAction(StrEnum):
    """What a business wants done with the call when it answers a function call."""

    HANG_UP = "hang_up"
    TRANSFER = "transfer"


@dataclass(slots=True)
class ToolResult:
    """The answer to one `InvokeTool`, or why there is none; a second one for a call whose first was `pending`,
    or was an error of which it turns out later what came of it."""

    tool_call_id: str
    ok: bool
    output: str
    """JSON text for the model; an error it can talk about when not ok."""
    detail: str = ""
    """For the journal: status, cause; no secrets."""
    elapsed_ms: int = 0
    pending: bool = False
    """The business works on it: the output says so, and one more result follows."""
    say: str = ""
    """What the agent is to say word for word as its answer; "" leaves the words to the model."""
    action: ToolAction | None = None
    """Done once the answer was heard."""
    target: str = ""
    """TRANSFER: name of a transfer target."""


@dataclass(slots=True, frozen=True)
class PastWords:
    """Something said on this telephone call before this call of ours began."""

    role: str
    """"user" or "assistant"."""
    text: str


@dataclass(slots=True, frozen=True)
class PastCall:
    """A function call made on this telephone call before this call of ours began, as the ledger has it."""

    tool_call_id: str
    name: str
    arguments: str
    """JSON text."""
    output: str | None = None
    """What came of it; None when that is not known here: it is asked of the ledger again, never run again."""


@dataclass(slots=True)
class Briefed:
    """What is known before the first word: once per call, at the latest at `CallPlan.briefing_s`."""

    context: str = ""
    """What the business says about the caller, told to the model; "" for nothing."""
    greeting: str | None = None
    """Takes the place of the plan's greeting; None leaves that."""
    words: tuple[PastWords, ...] = ()
    """The conversation so far, when the telephone call goes on after its process or stream was lost."""
    calls: tuple[PastCall, ...] = ()
    resumed: bool = False
    """The telephone call goes on: the caller has been greeted."""


class TransferState(StrEnum):
    """What became of an attempt to reach a human."""

    RINGING = "ringing"
    ANSWERED = "answered"
    """Somebody took the call; of a warm transfer, the brief is being told."""
    ACCEPTED = "accepted"
    """Warm: the accept key was pressed."""
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    REJECTED = "rejected"
    FAILED = "failed"


@dataclass(slots=True)
class TransferProgress:
    """The carrier's word about a `StartTransfer`."""

    transfer_id: str
    state: TransferState
    detail: str = ""
    """For the journal; no numbers."""


@dataclass(slots=True)
class SecretKept:
    """The vault has taken the digits of a `KeepSecret`."""

    secret_id: str
    token: str
    """What stands for the digits from now on; "" when the vault could not take them."""


@dataclass(slots=True)
class OperatorAsked:
    """A person at the business, or their program, wants something of a live call."""

    command_id: str
    """The asker's id: what was done once is not done again."""
    who: str
    """Name of the API key it came with."""
    action: Action


@dataclass(slots=True)
class Spent:
    """What the call has cost so far."""

    usd: float


@dataclass(slots=True)
class DrainAsked:
    """The process goes away: hand the call to another node now."""


@dataclass(slots=True)
class StopAsked:
    """The call must end at once; `reason` goes into its record."""

    reason: str


@dataclass(slots=True)
class Tick:
    """The deadline has come."""


Event = (
    CallerAudio
    | AudioDelta
    | MarkPlayed
    | Tick
    | CallOffered
    | StreamStarted
    | Dtmf
    | LegEnded
    | SessionReady
    | SpeechStarted
    | SpeechStopped
    | VoiceStarted
    | VoiceStopped
    | InputCommitted
    | ResponseCreated
    | CallerSaid
    | AgentSaid
    | ResponseDone
    | OutputAccepted
    | Playback
    | ItemTruncated
    | ModelFault
    | ModelClosed
    | ToolResult
    | Briefed
    | TransferProgress
    | SecretKept
    | OperatorAsked
    | Spent
    | DrainAsked
    | StopAsked
)
