"""Events of a sideband, and the session that a call is accepted with."""

from collections.abc import Mapping
from typing import Any

import pytest
from openai.types.realtime import RealtimeSessionCreateRequest

from gateway.agents import AgentsFile
from gateway.core.elsewhere import elsewhere
from gateway.core.events import Dtmf, ItemTruncated, Playback, PlaybackState, SpeechStarted
from gateway.errors import RemoteProtocolError
from gateway.plans import plan_of, session_of
from gateway.realtime import sideband
from gateway.realtime.codec import IGNORED
from gateway.tools.catalogue import Catalogue

AGENT = {
    "instructions": "Help.",
    "collect_digits": True,
    "send_digits": True,
    "transfer": {
        "targets": {
            "desk": {"number": "+14155550100", "description": "invoices"},
            "sales": {"number": "+14155550101", "mode": "warm", "description": "orders"},
        }
    },
}


def session_for(agent: Mapping[str, object]) -> dict[str, Any]:
    (one,) = AgentsFile.model_validate({"agents": {"a": agent}}).agents.values()
    catalogue = Catalogue(one)
    plan = elsewhere(plan_of(one, catalogue))
    return sideband.accept_session(session_of(one, plan, catalogue), plan, one.model)


def test_a_call_is_accepted_with_the_whole_session_and_no_format() -> None:
    session = session_for(AGENT)
    assert session["model"] == "gpt-realtime-2.1"
    assert "format" not in session["audio"]["input"]
    assert session["audio"]["output"] == {"voice": session["audio"]["output"]["voice"]}
    assert session["audio"]["input"]["turn_detection"]["interrupt_response"] is True
    RealtimeSessionCreateRequest.model_validate(session)


def test_what_cannot_be_done_is_not_offered_to_the_model() -> None:
    tools = {tool["name"]: tool for tool in session_for(AGENT)["tools"]}
    assert set(tools) == {"transfer_call", "collect_digits", "hang_up"}
    assert tools["transfer_call"]["parameters"]["properties"]["target"]["enum"] == ["desk"]
    assert "sales" not in tools["transfer_call"]["description"]
    assert "- desk: invoices" in tools["transfer_call"]["description"]
    assert "secure" not in str(tools["collect_digits"]["parameters"])
    assert "token" not in tools["collect_digits"]["description"]


def test_without_a_blind_target_there_is_no_transfer() -> None:
    warm = {"targets": {"sales": {"number": "+14155550101", "mode": "warm"}}}
    assert "transfer_call" not in str(session_for({**AGENT, "transfer": warm})["tools"])


@pytest.mark.parametrize(
    ("message", "event"),
    [
        ({"type": "output_audio_buffer.started", "response_id": "r1"}, Playback("r1", PlaybackState.STARTED)),
        ({"type": "output_audio_buffer.stopped", "response_id": "r1"}, Playback("r1", PlaybackState.STOPPED)),
        ({"type": "output_audio_buffer.cleared", "response_id": "r1"}, Playback("r1", PlaybackState.CLEARED)),
        ({"type": "conversation.item.truncated", "item_id": "i1", "audio_end_ms": 7}, ItemTruncated("i1", 7)),
        ({"type": "input_audio_buffer.dtmf_event_received", "event": "#", "received_at": 1}, Dtmf("#")),
        ({"type": " input_audio_buffer.dtmf_event_received", "event": "1"}, Dtmf("1")),
        ({"type": "input_audio_buffer.speech_started", "item_id": "i", "audio_start_ms": 1}, SpeechStarted("i", 1)),
    ],
)
def test_events_of_a_sip_session_are_read(message: dict[str, Any], event: object) -> None:
    assert sideband.events(message) == [event]


@pytest.mark.parametrize(
    "message",
    [
        {"type": "output_audio_buffer.started"},
        {"type": "output_audio_buffer.started", "response_id": "r" * 200},
        {"type": "conversation.item.truncated", "item_id": "i1"},
        {"type": "conversation.item.truncated", "item_id": "i1", "audio_end_ms": -1},
        {"type": "conversation.item.truncated", "item_id": "i1", "audio_end_ms": True},
        {"type": "input_audio_buffer.dtmf_event_received", "event": "12"},
        {"type": "input_audio_buffer.dtmf_event_received", "event": ""},
        {"type": "input_audio_buffer.dtmf_event_received"},
    ],
)
def test_broken_ones_are_refused(message: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError):
        sideband.events(message)


def test_what_is_read_here_is_ignored_on_other_sessions() -> None:
    assert set(sideband.DECODERS) <= set(IGNORED)
