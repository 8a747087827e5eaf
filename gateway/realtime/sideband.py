"""The socket beside a SIP call: the events that only such a session has, and the session that a call is accepted with.

The media is the server's matter, and so are its formats: they are negotiated in SDP and never set here. Realtime API,
*SIP*; protocols §8.1.
"""

from collections.abc import Callable, Mapping
from typing import Any

from gateway.core.events import Dtmf, Event, ItemTruncated, Playback, PlaybackState
from gateway.core.functions import COLLECT_DIGITS, SEND_DIGITS, TRANSFER_CALL
from gateway.core.plan import CallPlan
from gateway.errors import RemoteProtocolError
from gateway.realtime import codec

__all__ = ["HANDSHAKE_SESSION", "accept_session", "events"]

HANDSHAKE_SESSION: Mapping[str, Any] = {"type": "realtime", "tool_choice": "auto"}
"""What the socket is configured with: what holds already, since the call was accepted with everything. The answer
proves that we are heard."""
KEYS = frozenset("0123456789*#ABCD")
MAX_MS = 24 * 3600 * 1000
NO_SECRETS = (
    " On this line nothing that is keyed in can be hidden: never ask for card numbers, security codes, PINs or "
    "passwords."
)


def events(message: codec.Message) -> list[Event]:
    """Return what a server event means for the call. Raises `RemoteProtocolError`."""
    # The specification's own sample of the DTMF event has a blank before its type.
    decode = DECODERS.get(message["type"].strip())
    return decode(message) if decode is not None else codec.events(message)


def accept_session(session: Mapping[str, Any], plan: CallPlan, model: str) -> dict[str, Any]:
    """Return the body of `accept`: the session with its model, without formats and without what cannot be done."""
    audio = {
        side: {key: value for key, value in section.items() if key != "format"}
        for side, section in session["audio"].items()
    }
    tools = [tool for tool in (_possible(tool, plan) for tool in session["tools"]) if tool is not None]
    return {**session, "model": model, "audio": audio, "tools": tools}


def _possible(tool: Mapping[str, Any], plan: CallPlan) -> Mapping[str, Any] | None:
    match tool["name"]:
        case name if name == SEND_DIGITS:
            return None
        case name if name == TRANSFER_CALL:
            return _blind(tool, plan)
        case name if name == COLLECT_DIGITS:
            return _plain(tool)
        case _:
            return tool


def _blind(tool: Mapping[str, Any], plan: CallPlan) -> Mapping[str, Any] | None:
    """Leave out the targets that only a warm transfer reaches."""
    parameters = tool["parameters"]
    target = parameters["properties"]["target"]
    names = [name for name in target["enum"] if name in plan.transfer_targets]
    if not names:
        return None
    gone = {name for name in target["enum"] if name not in plan.transfer_targets}
    lines = [line for line in tool["description"].split("\n") if line[2:].partition(":")[0] not in gone]
    properties = {**parameters["properties"], "target": {**target, "enum": names}}
    return {**tool, "description": "\n".join(lines), "parameters": {**parameters, "properties": properties}}


def _plain(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = tool["parameters"]
    properties = {name: schema for name, schema in parameters["properties"].items() if name != "secure"}
    sentences = tool["description"].split(". ")
    said = ". ".join(sentence for sentence in sentences if "secure" not in sentence and "token" not in sentence)
    described = {**tool, "description": said.rstrip(".") + "." + NO_SECRETS}
    return {**described, "parameters": {**parameters, "properties": properties}}


def _playback(state: PlaybackState) -> Callable[[codec.Message], list[Event]]:
    def decode(message: codec.Message) -> list[Event]:
        return [Playback(_id(message, "response_id"), state)]

    return decode


def _truncated(message: codec.Message) -> list[Event]:
    ms = message.get("audio_end_ms")
    if not isinstance(ms, int) or isinstance(ms, bool) or not 0 <= ms <= MAX_MS:
        raise RemoteProtocolError("conversation.item.truncated: expected milliseconds as audio_end_ms")
    return [ItemTruncated(_id(message, "item_id"), ms)]


def _dtmf(message: codec.Message) -> list[Event]:
    key = message.get("event")
    if not isinstance(key, str) or key not in KEYS:
        raise RemoteProtocolError("input_audio_buffer.dtmf_event_received: expected a key as event")
    return [Dtmf(key)]


def _id(message: codec.Message, key: str) -> str:
    value = message.get(key)
    if not isinstance(value, str) or len(value) > codec.MAX_ID:
        raise RemoteProtocolError(f"{message['type']}: expected a text of at most {codec.MAX_ID} characters as {key}")
    return value


DECODERS: Mapping[str, Callable[[codec.Message], list[Event]]] = {
    "output_audio_buffer.started": _playback(PlaybackState.STARTED),
    "output_audio_buffer.stopped": _playback(PlaybackState.STOPPED),
    "output_audio_buffer.cleared": _playback(PlaybackState.CLEARED),
    "conversation.item.truncated": _truncated,
    "input_audio_buffer.dtmf_event_received": _dtmf,
}
