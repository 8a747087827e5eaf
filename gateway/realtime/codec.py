"""Realtime API text to events, commands to Realtime API text. Pure.

Every server event of the official SDK is in one of three tables: DECODERS (it becomes events), HANDSHAKE (the
connection reads it while the session is set up) or IGNORED (with the reason). A test compares the tables with
`openai.types.realtime.RealtimeServerEvent`. Unknown events and extra fields are ignored (protocols, §3).
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, assert_never

from pydantic_core import from_json

from gateway.core.audio import AudioFormat
from gateway.core.commands import (
    AppendAudio,
    CancelResponse,
    ClearOutput,
    CommitInput,
    ConfigureAudio,
    ConfigureLanguage,
    ConfigureTurns,
    CreateItem,
    CreateResponse,
    DeleteItem,
    SubmitToolOutput,
    TruncateItem,
)
from gateway.core.events import (
    AgentSaid,
    AudioDelta,
    CallerSaid,
    Event,
    FunctionCall,
    InputCommitted,
    ModelFault,
    OutputAccepted,
    ResponseCreated,
    ResponseDone,
    SpeechStarted,
    SpeechStopped,
)
from gateway.core.plan import TurnMode, TurnTaking
from gateway.core.recovery import is_permanent
from gateway.errors import RemoteProtocolError

__all__ = [
    "DECODERS",
    "HANDSHAKE",
    "audio_format",
    "IGNORED",
    "SIGN_OF_LIFE",
    "Encodable",
    "events",
    "parse",
    "session_update",
    "text_of",
    "turn_detection",
]

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""A longer server event is an error; the longest real ones carry seconds of audio."""
MAX_DELTA_CHARS = 1_000_000
"""Longest audio delta taken: about a minute and a half."""
MAX_ID = 128
MAX_TEXT = 100_000
WISH_KEY = "wish"
"""Metadata key that ties a response to our asking for it."""
CREATE_PREFIX = "create:"
"""Our `event_id` of a `response.create` is this and the wish's id; an error about it names it."""
SESSION_UPDATE_ID = "session_update"
SIGN_OF_LIFE_ID = "sign_of_life"
AUDIO_ID = "session_audio"
"""Our `event_id` of an update of the formats; an error about it names it."""
SIGN_OF_LIFE = json.dumps({"type": "session.update", "event_id": SIGN_OF_LIFE_ID, "session": {"type": "realtime"}})
"""Changes nothing (updates are merged, protocols §2) and must be answered, by `session.updated` or an error."""

_is_base64 = re.compile(r"[A-Za-z0-9+/]+={0,2}").fullmatch

Message = Mapping[str, Any]
Encodable = (
    AppendAudio
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


def parse(text: str | bytes) -> Message:
    """Return the JSON object of one frame. Raises `RemoteProtocolError` for anything else."""
    if isinstance(text, bytes):
        raise RemoteProtocolError("expected a text frame, got a binary one")
    if len(text) > MAX_EVENT_BYTES:
        raise RemoteProtocolError(f"event of {len(text)} characters is over the bound")
    try:
        message = from_json(text, cache_strings="keys")
    except ValueError:
        raise RemoteProtocolError("expected JSON, got something else") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise RemoteProtocolError("expected an object with a type")
    return message


def events(message: Message) -> list[Event]:
    """Return what a server event means for the call; [] for what is ignored or unknown.

    Raises `RemoteProtocolError` when a field that we need is missing or has another type.
    """
    decode = DECODERS.get(message["type"])
    return decode(message) if decode is not None else []


def text_of(command: Encodable) -> str:
    """Return the client event for a command."""
    match command:
        case AppendAudio(payload):
            # The hot path: the payload is base64 (checked when it came in), so it can be spliced.
            return f'{{"type":"input_audio_buffer.append","audio":"{payload}"}}'
        case TruncateItem(item_id, audio_end_ms):
            event: dict[str, Any] = {
                "type": "conversation.item.truncate",
                "item_id": item_id,
                "content_index": 0,
                "audio_end_ms": audio_end_ms,
            }
        case DeleteItem(item_id):
            event = {"type": "conversation.item.delete", "item_id": item_id}
        case CreateItem(item, after):
            event = {"type": "conversation.item.create", "item": item}
            if after is not None:
                event["previous_item_id"] = after
        case CommitInput():
            event = {"type": "input_audio_buffer.commit"}
        case ConfigureTurns() | ConfigureLanguage() | ConfigureAudio():
            event = _configured(command)
        case SubmitToolOutput(tool_call_id, output):
            item = {"type": "function_call_output", "call_id": tool_call_id, "output": output}
            event = {"type": "conversation.item.create", "item": item}
        case CreateResponse():
            event = _create_response(command)
        case CancelResponse(response_id):
            event = {"type": "response.cancel", "response_id": response_id}
        case ClearOutput():
            event = {"type": "output_audio_buffer.clear"}
        case _:
            assert_never(command)
    return json.dumps(event)


def _configured(command: ConfigureTurns | ConfigureLanguage | ConfigureAudio) -> dict[str, Any]:
    """Return an update of one part of the session; updates are merged (protocols, §2)."""
    match command:
        case ConfigureLanguage(transcription):
            audio: dict[str, Any] = {"input": {"transcription": dict(transcription)}}
        case ConfigureTurns(turns, creates, interrupts):
            audio = {"input": {"turn_detection": turn_detection(turns, creates=creates, interrupts=interrupts)}}
        case ConfigureAudio(form):
            audio = {side: {"format": audio_format(form)} for side in ("input", "output")}
    about = {"event_id": AUDIO_ID} if isinstance(command, ConfigureAudio) else {}
    return {"type": "session.update", **about, "session": {"type": "realtime", "audio": audio}}


def audio_format(audio: AudioFormat) -> dict[str, Any]:
    """Return `audio.input.format` or `audio.output.format`; only PCM has a rate (protocols, fact 4)."""
    return {"type": audio.value} | ({} if audio.g711 else {"rate": audio.rate_hz})


def _create_response(command: CreateResponse) -> dict[str, Any]:
    response: dict[str, Any] = {"metadata": {WISH_KEY: command.wish_id}}
    if command.instructions is not None:
        response["instructions"] = command.instructions
    if not command.tools:
        response["tool_choice"] = "none"
    return {"type": "response.create", "event_id": CREATE_PREFIX + command.wish_id, "response": response}


def session_update(session: Mapping[str, Any]) -> str:
    """Return the `session.update` that configures a session; it must carry `type` every time (protocols, fact 5)."""
    return json.dumps({"type": "session.update", "event_id": SESSION_UPDATE_ID, "session": session})


def turn_detection(turns: TurnTaking, *, creates: bool, interrupts: bool) -> dict[str, Any] | None:
    """Return `audio.input.turn_detection`; None turns it off. Every value is sent (protocols, §4)."""
    both = {"create_response": creates, "interrupt_response": interrupts}
    match turns.mode:
        case TurnMode.MANUAL:
            return None
        case TurnMode.SEMANTIC_VAD:
            return {"type": "semantic_vad", "eagerness": turns.eagerness, **both}
        case TurnMode.SERVER_VAD:
            return {
                "type": "server_vad",
                "threshold": turns.threshold,
                "prefix_padding_ms": turns.prefix_padding_ms,
                "silence_duration_ms": turns.silence_ms,
                "idle_timeout_ms": turns.idle_timeout_ms,
                **both,
            }
        case _:
            assert_never(turns.mode)


# --- fields ---------------------------------------------------------------------------------------


def _text(message: Message, key: str, most: int = MAX_ID) -> str:
    value = message.get(key)
    if not isinstance(value, str) or len(value) > most:
        raise RemoteProtocolError(f"{message.get('type')}: expected a text of at most {most} characters as {key}")
    return value


def _or_empty(message: Message, key: str, most: int = MAX_ID) -> str:
    value = message.get(key)
    return value if isinstance(value, str) and len(value) <= most else ""


def _number(message: Message, key: str) -> int:
    value = message.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise RemoteProtocolError(f"{message.get('type')}: expected an integer as {key}")
    return value


def _object(message: Message, key: str) -> Message:
    value = message.get(key)
    if not isinstance(value, dict):
        raise RemoteProtocolError(f"{message.get('type')}: expected an object as {key}")
    return value


def _usage(message: Message) -> Message | None:
    usage = message.get("usage")
    return usage if isinstance(usage, dict) else None


# --- decoders -------------------------------------------------------------------------------------


def _audio_delta(message: Message) -> list[Event]:
    payload = _text(message, "delta", MAX_DELTA_CHARS)
    if not payload:
        return []
    if len(payload) % 4 or _is_base64(payload) is None:
        raise RemoteProtocolError("response.output_audio.delta: expected base64 as delta")
    return [AudioDelta(_text(message, "response_id"), _text(message, "item_id"), payload)]


def _speech_started(message: Message) -> list[Event]:
    return [SpeechStarted(_text(message, "item_id"), _number(message, "audio_start_ms"))]


def _speech_stopped(message: Message) -> list[Event]:
    return [SpeechStopped(_text(message, "item_id"), _number(message, "audio_end_ms"))]


def _committed(message: Message) -> list[Event]:
    return [InputCommitted(_text(message, "item_id"))]


def _caller_said(message: Message) -> list[Event]:
    return [CallerSaid(_text(message, "item_id"), _text(message, "transcript", MAX_TEXT), _usage(message))]


def _agent_said(message: Message) -> list[Event]:
    text = _text(message, "transcript" if "transcript" in message else "text", MAX_TEXT)
    return [AgentSaid(_text(message, "response_id"), _text(message, "item_id"), text)]


def _in_conversation(response: Message) -> bool:
    """An out-of-band response carries a null conversation; one that does not say is taken as ours."""
    return response.get("conversation_id", "") is not None


def _response_created(message: Message) -> list[Event]:
    response = _object(message, "response")
    if not _in_conversation(response):
        return []
    metadata = response.get("metadata")
    wish = metadata.get(WISH_KEY) if isinstance(metadata, dict) else None
    return [ResponseCreated(_text(response, "id"), wish if isinstance(wish, str) else "")]


def _response_done(message: Message) -> list[Event]:
    response = _object(message, "response")
    if not _in_conversation(response):
        return []
    status = response.get("status")
    output = response.get("output")
    calls = tuple(
        FunctionCall(
            item["call_id"], _or_empty(item, "name"), _or_empty(item, "arguments", MAX_TEXT), _or_empty(item, "id")
        )
        for item in (output if isinstance(output, list) else [])
        if isinstance(item, dict)
        and item.get("type") == "function_call"
        and item.get("status") == "completed"
        # Whatever else is wrong with a call, the response is done and the model is told; without an id it cannot be.
        and _or_empty(item, "call_id")
    )
    return [
        ResponseDone(
            _text(response, "id"),
            status if isinstance(status, str) else "failed",
            _why(response.get("status_details")),
            calls,
            _usage(response),
        )
    ]


def _why(details: object) -> str:
    if not isinstance(details, dict):
        return ""
    error = details.get("error")
    if isinstance(error, dict):
        return error_code(error)
    return str(details.get("reason") or "")[:MAX_ID]


def error_code(error: Message) -> str:
    """Return the code that decides; what makes trying again useless may sit in either field (protocols, §5.6)."""
    kind = str(error.get("type") or "")
    return (kind if is_permanent(kind) else str(error.get("code") or kind))[:MAX_ID]


def _item_added(message: Message) -> list[Event]:
    item = _object(message, "item")
    return [OutputAccepted(_text(item, "call_id"))] if item.get("type") == "function_call_output" else []


def _error(message: Message) -> list[Event]:
    error = _object(message, "error")
    code = error_code(error) or "unknown"
    about = error.get("event_id")
    if about == SIGN_OF_LIFE_ID:
        return []
    wish = about.removeprefix(CREATE_PREFIX) if isinstance(about, str) and about.startswith(CREATE_PREFIX) else ""
    return [ModelFault(code, str(error.get("message") or "")[:500], wish[:MAX_ID])]


def is_about(error: Message, event_id: str) -> bool:
    """Tell whether an `error` event is about what we sent with this id."""
    about = error.get("error")
    return isinstance(about, dict) and about.get("event_id") == event_id


DECODERS: Mapping[str, Callable[[Message], list[Event]]] = {
    "response.output_audio.delta": _audio_delta,
    "input_audio_buffer.speech_started": _speech_started,
    "input_audio_buffer.speech_stopped": _speech_stopped,
    "input_audio_buffer.committed": _committed,
    "conversation.item.input_audio_transcription.completed": _caller_said,
    "response.output_audio_transcript.done": _agent_said,
    "response.output_text.done": _agent_said,
    "response.created": _response_created,
    "response.done": _response_done,
    "conversation.item.added": _item_added,
    "error": _error,
}

HANDSHAKE = frozenset({"session.created", "session.updated"})

_LATER = "the finished text comes with the matching done event"
_CARRIER_PLAYS = "SIP sessions only (`sideband.py`): here the carrier plays and the playout ledger knows"
_MCP = "tools run by the API itself are not offered to it; the gateway runs tools"

IGNORED: Mapping[str, str] = {
    "conversation.created": "legacy; says nothing that we need",
    "conversation.item.created": "the beta's twin of conversation.item.added",
    "conversation.item.done": "conversation.item.added already told that the item joined",
    "conversation.item.deleted": "confirms our own command",
    "conversation.item.truncated": "confirms our own command",
    "conversation.item.retrieved": "we never ask for items",
    "conversation.item.input_audio_transcription.delta": _LATER,
    "conversation.item.input_audio_transcription.segment": "diarisation is never asked for",
    "conversation.item.input_audio_transcription.failed": "the caller's turn stays without text; the model heard it",
    "input_audio_buffer.cleared": "we never clear the input",
    "input_audio_buffer.timeout_triggered": "the response that follows is announced by itself",
    "input_audio_buffer.dtmf_event_received": "SIP sessions only (`sideband.py`): here digits come from the carrier",
    "output_audio_buffer.started": _CARRIER_PLAYS,
    "output_audio_buffer.stopped": _CARRIER_PLAYS,
    "output_audio_buffer.cleared": _CARRIER_PLAYS,
    "rate_limits.updated": "position and presence are not reliable; a refusal is what counts",
    "response.output_item.added": "the item's audio names it",
    "response.output_item.done": "response.done holds every item",
    "response.content_part.added": "the part's audio names its item",
    "response.content_part.done": "response.done holds every item",
    "response.output_audio.done": "response.done ends the audio of every item",
    "response.output_audio_transcript.delta": _LATER,
    "response.output_text.delta": _LATER,
    "response.function_call_arguments.delta": "function calls are taken from response.done only",
    "response.function_call_arguments.done": "also sent when interrupted: taken from response.done only",
    "response.mcp_call_arguments.delta": _MCP,
    "response.mcp_call_arguments.done": _MCP,
    "response.mcp_call.in_progress": _MCP,
    "response.mcp_call.completed": _MCP,
    "response.mcp_call.failed": _MCP,
    "mcp_list_tools.in_progress": _MCP,
    "mcp_list_tools.completed": _MCP,
    "mcp_list_tools.failed": _MCP,
}
