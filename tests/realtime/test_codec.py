"""Realtime API text to events and back; the official SDK's unions are the contract."""

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent
from pydantic import TypeAdapter

from gateway.agents import AgentsFile
from gateway.core import commands as cmd
from gateway.core import events as ev
from gateway.core.audio import AudioFormat
from gateway.core.plan import TurnTaking
from gateway.errors import RemoteProtocolError
from gateway.realtime import codec

CLIENT_EVENT: TypeAdapter[Any] = TypeAdapter(RealtimeClientEvent)

NOT_SENT = {
    "input_audio_buffer.commit": "turn detection commits; manual turns come later",
    "input_audio_buffer.clear": "the caller's words are never thrown away",
    "output_audio_buffer.clear": "WebRTC and SIP only",
    "conversation.item.retrieve": "nothing is asked back",
}
"""Client events of the SDK that we do not send, with the reason."""

COMMANDS: list[codec.Encodable] = [
    cmd.AppendAudio("AAAA"),
    cmd.CreateItem({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}),
    cmd.DeleteItem("item_1"),
    cmd.TruncateItem("item_1", 420),
    cmd.SubmitToolOutput("call_1", '{"ok": true}'),
    cmd.CreateResponse("w1", "Say hello."),
    cmd.CreateResponse("w2"),
    cmd.CancelResponse("resp_1"),
    cmd.ConfigureAudio(AudioFormat.PCMA),
    cmd.ConfigureAudio(AudioFormat.PCM24),
]


def event_types(union: Any) -> set[str]:
    members = get_args(get_args(union)[0])
    return {get_args(member.model_fields["type"].annotation)[0].strip() for member in members}


def test_every_server_event_of_the_sdk_is_handled_or_ignored_with_a_reason() -> None:
    known = set(codec.DECODERS) | codec.HANDSHAKE | set(codec.IGNORED)
    assert event_types(RealtimeServerEvent) == known
    assert len(known) == 46


def test_no_server_event_stands_in_two_tables() -> None:
    assert not set(codec.DECODERS) & set(codec.IGNORED)
    assert not codec.HANDSHAKE & (set(codec.DECODERS) | set(codec.IGNORED))
    assert all(len(reason) > 10 for reason in codec.IGNORED.values())


def test_every_client_event_of_the_sdk_is_sent_or_listed_as_not_sent() -> None:
    sent = {json.loads(codec.text_of(command))["type"] for command in COMMANDS} | {"session.update"}
    assert event_types(RealtimeClientEvent) == sent | set(NOT_SENT)
    assert len(sent | set(NOT_SENT)) == 11


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: type(c).__name__)
def test_what_we_send_validates_as_a_client_event(command: codec.Encodable) -> None:
    CLIENT_EVENT.validate_json(codec.text_of(command), strict=True)


@pytest.mark.parametrize("audio", AudioFormat)
def test_our_session_update_validates_as_a_client_event(audio: AudioFormat) -> None:
    file = AgentsFile.model_validate({"agents": {"a": {"instructions": "Help.", "default": True}}})
    turns = codec.turn_detection(TurnTaking(), creates=True, interrupts=True)
    session = file.agents["a"].session_config(turns, [], codec.audio_format(audio))
    CLIENT_EVENT.validate_json(codec.session_update(session), strict=True)


def decode(**message: Any) -> list[ev.Event]:
    return codec.events(codec.parse(json.dumps(message)))


def test_an_audio_delta_passes_its_base64_untouched() -> None:
    got = decode(type="response.output_audio.delta", response_id="r", item_id="i", delta="/////w==")
    assert got == [ev.AudioDelta("r", "i", "/////w==")]


def test_function_calls_come_from_completed_items_only() -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
    output = [call | {"status": "completed"}, call | {"status": "incomplete", "call_id": "c2"}, {"type": "message"}]
    (done,) = decode(type="response.done", response={"id": "r", "status": "completed", "output": output})
    assert isinstance(done, ev.ResponseDone)
    assert done.calls == (ev.FunctionCall("c1", "f", "{}"),)


def test_a_failed_response_names_its_error() -> None:
    details = {"type": "failed", "error": {"type": "server_error", "code": "inference_rate_limit_exceeded"}}
    (done,) = decode(type="response.done", response={"id": "r", "status": "failed", "status_details": details})
    assert isinstance(done, ev.ResponseDone) and done.reason == "inference_rate_limit_exceeded"


def test_a_response_out_of_the_conversation_is_nobody_s() -> None:
    response: dict[str, Any] = {"id": "r", "status": "completed", "conversation_id": None, "output": []}
    assert decode(type="response.done", response=response) == []
    assert decode(type="response.created", response=response) == []


def test_an_error_about_our_response_names_the_wish() -> None:
    error = {"type": "invalid_request_error", "code": None, "message": "no", "event_id": "create:w7"}
    assert decode(type="error", error=error) == [ev.ModelFault("invalid_request_error", "no", "w7")]


def test_unknown_events_and_extra_fields_are_ignored() -> None:
    assert decode(type="response.something_new", extra=1) == []
    got = decode(type="input_audio_buffer.speech_started", item_id="i", audio_start_ms=3, obfuscation="x")
    assert got == [ev.SpeechStarted("i", 3)]


@pytest.mark.parametrize(
    "text", ["", "nonsense", "[]", "3", '{"type": 5}', "{}", b"binary", '{"type":"a"' * 3], ids=repr
)
def test_frames_that_are_no_event_are_refused(text: str | bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        codec.parse(text)


@pytest.mark.parametrize("delta", ["a", "abc", '"},{', "ab=c", "A" * 5, 7, None, ["AAAA"]])
def test_audio_that_is_no_base64_never_reaches_the_carrier(delta: object) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(type="response.output_audio.delta", response_id="r", item_id="i", delta=delta)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["item_id", "response_id", "delta", "response", "item", "error", "transcript", "audio_start_ms", "audio_end_ms"]
)


@given(kind=st.sampled_from(sorted(codec.DECODERS)), fields=st.dictionaries(FIELDS, JSON))
def test_a_hostile_event_is_understood_or_refused_and_nothing_else(kind: str, fields: dict[str, Any]) -> None:
    try:
        codec.events(codec.parse(json.dumps({"type": kind} | fields)))
    except RemoteProtocolError:
        pass
