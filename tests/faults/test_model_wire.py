"""A model that says what it should not: its call goes on as if it had not, or gets another session."""

import asyncio
import base64
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.simulator.carrier import BargeIn, HangUp, Pause, Say, Script, Wait, heard_prefix_ms
from gateway.simulator.model import Scenario
from gateway.wire import WireClosed
from tests.faults.calls import ASK, SPEECH, Outcome, call_with, scenario, until
from tests.faults.ends import Frame, Rewrite, RiggedModel, Wire
from tests.world import Business, World

ANSWER = "Your order was sent this morning."
ASKED = scenario(turns=[{"heard": "where is my order", "say": ANSWER}])
DELTA = "response.output_audio.delta"
IDS = {"response_id": "resp_none", "item_id": "item_none", "output_index": 0, "content_index": 0}
SOUND = base64.b64encode(b"\x20" * 480).decode()


def after(kind: str, *frames: Frame) -> Rewrite:
    """Send frames of our own after the first event of a kind in the newest call's session."""
    done: list[int] = []

    def rewrite(wire: Wire, event: dict[str, Any]) -> Sequence[Frame]:
        if event["type"] != kind or wire.number == 0 or done:
            return [event]
        done.append(wire.number)
        return [event, *frames]

    return rewrite


def goes_on(tmp_path: Path, rewrite: Rewrite, says: Scenario = ASKED, script: Script = ASK) -> Outcome:
    outcome = call_with(tmp_path, script, reason="caller_hangup", model=RiggedModel(says, rewrite))
    assert len(outcome.sessions) == 1 and outcome.kinds("recover") == []
    assert [entry.text for entry in outcome.sessions[0].spoken.values()][-1] == ANSWER
    return outcome


NONSENSE: dict[str, Frame] = {
    "half JSON": '{"type":"response.output_audio.delta","delta":',
    "binary": b"\x00\x01\xff",
    "empty": "",
    "a list": "[]",
    "null": "null",
    "a number": "42",
    "no type": "{}",
    "a type that is no text": {"type": 5},
    "deep nesting": "[" * 50_000,
    "half a surrogate": '{"type":"error","error":{"code":"\\ud800"}}',
    "unknown event": {"type": "response.hologram.delta", "delta": {"deep": [1]}},
    "delta without ids": {"type": DELTA, "delta": SOUND},
    "delta that is no text": {"type": DELTA, **IDS, "delta": 7},
    "delta that is no base64": {"type": DELTA, **IDS, "delta": 'f39"},"x":{"'},
    "delta with too much": {"type": DELTA, **IDS, "delta": "f39/" * 300_000},
    "delta with a huge id": {"type": DELTA, **IDS, "item_id": "i" * 10_000, "delta": SOUND},
    "done without a response": {"type": "response.done"},
    "done with a list": {"type": "response.done", "response": []},
    "created without an id": {"type": "response.created", "response": {"id": 7}},
    "error without an error": {"type": "error"},
    "error that is a text": {"type": "error", "error": "no"},
    "error without fields": {"type": "error", "error": {}},
    "speech without an item": {"type": "input_audio_buffer.speech_started", "audio_start_ms": 10},
    "speech at no time": {"type": "input_audio_buffer.speech_stopped", "item_id": "x", "audio_end_ms": "1"},
    "item without an item": {"type": "conversation.item.added", "item": None},
    "configuration without one": {"type": "session.updated"},
    "configuration that is a text": {"type": "session.updated", "session": "mine"},
    "transcript that is none": {
        "type": "conversation.item.input_audio_transcription.completed",
        "item_id": "x",
        "transcript": None,
    },
    "transcript of a novel": {
        "type": "conversation.item.input_audio_transcription.completed",
        "item_id": "x",
        "transcript": "a" * 200_000,
    },
    "transcript with odd usage": {
        "type": "conversation.item.input_audio_transcription.completed",
        "item_id": "x",
        "transcript": "hello",
        "usage": {"type": "duration", "seconds": "long"},
    },
}


@pytest.mark.parametrize("frame", NONSENSE.values(), ids=NONSENSE.keys())
def test_a_frame_that_makes_no_sense_changes_nothing(tmp_path: Path, frame: Frame) -> None:
    goes_on(tmp_path, after("input_audio_buffer.committed", frame))


def test_a_model_that_sends_nothing_but_nonsense_is_replaced(tmp_path: Path) -> None:
    model = RiggedModel(ASKED, after("input_audio_buffer.committed", *["nonsense"] * 30))
    outcome = call_with(tmp_path, ASK, reason="caller_hangup", model=model)
    assert outcome.kinds("ModelClosed")[0]["code"] == "protocol"
    assert len(outcome.sessions) == 2


BENIGN = [
    "response_cancel_not_active",
    "item_truncate_invalid_item_id",
    "input_audio_buffer_commit_empty",
    "conversation_already_has_active_response",
    "cannot_update_voice",
    "item_create_duplicate_item_id",
    "invalid_value",
    "unknown_parameter",
    "server_error",
    None,
]


@pytest.mark.parametrize("code", BENIGN)
@pytest.mark.parametrize("when", ["response.done", "input_audio_buffer.committed"])
def test_a_harmless_error_does_not_end_the_call(tmp_path: Path, code: str | None, when: str) -> None:
    error = {"type": "invalid_request_error", "code": code, "message": "no", "param": None, "event_id": None}
    goes_on(tmp_path, after(when, {"type": "error", "event_id": None, "error": error}))


def test_audio_of_an_unknown_item_does_not_disturb_the_answer(tmp_path: Path) -> None:
    stray = {"type": DELTA, **IDS, "delta": SOUND}
    outcome = goes_on(tmp_path, after("input_audio_buffer.committed", stray, stray))
    (answer,) = (entry for entry in outcome.sessions[0].spoken.values() if entry.text == ANSWER)
    assert heard_prefix_ms(bytes(answer.audio), outcome.report.media.played_bytes()) == len(answer.audio) // 8


def test_a_stray_delta_in_a_quiet_call_starts_no_alarm(tmp_path: Path) -> None:
    script = Script([Wait("agent_done"), Pause(15), Say(SPEECH), Wait("agent_done"), HangUp()])
    rewrite = after("response.done", {"type": DELTA, **IDS, "delta": SOUND})
    model = RiggedModel(ASKED, rewrite)
    outcome = call_with(tmp_path, script, reason="caller_hangup", model=model, silence_s=16)
    assert outcome.kinds("recover") == []


BARGE = Script([Wait("agent_done"), Say(SPEECH), BargeIn(SPEECH, after_ms=700), Wait("agent_done"), HangUp()])


@pytest.mark.parametrize("factor", [1.2, 200.0])
def test_late_deltas_after_a_barge_in_are_never_played(tmp_path: Path, factor: float) -> None:
    turns = [{"heard": "tell me all", "say": "One thing and another. " * 12}, {"heard": "wait", "say": ANSWER}]
    says = scenario(turns=turns, server={"late_deltas": 4, "audio_factor": factor})
    late: list[str] = []

    def watch(wire: Wire, event: dict[str, Any]) -> Sequence[Frame]:
        if event["type"] == "response.done" and event["response"]["status"] == "cancelled":
            late.append(event["response"]["id"])
        return [event]

    outcome = goes_on(tmp_path, watch, says, BARGE)
    assert bool(late) == (factor < 2)
    first, second = list(outcome.sessions[0].spoken.values())[-2:]
    whole = outcome.report.media.played_bytes()
    (cut,) = outcome.sessions[0].truncations
    heard = heard_prefix_ms(bytes(first.audio), whole)
    assert heard is not None and abs(heard - cut.audio_end_ms) <= 40
    assert heard_prefix_ms(bytes(second.audio), whole) == len(second.audio) // 8
    cleared = outcome.report.media.clears[0].at_s
    segments = [segment for segment in outcome.report.media.heard if segment.start_s > cleared]
    assert sum(len(segment.audio) for segment in segments) == len(second.audio)


def done_with(change: dict[str, Any]) -> Rewrite:
    """Change the response object of the first answered turn's `response.done`."""

    def rewrite(wire: Wire, event: dict[str, Any]) -> Sequence[Frame]:
        if event["type"] == "response.done" and wire.number > 0 and event["response"]["metadata"] is None:
            event["response"] |= change
        return [event]

    return rewrite


ODD_DONE: dict[str, dict[str, Any]] = {
    "usage of texts": {"usage": {"input_token_details": {"audio_tokens": "many"}}},
    "usage below zero": {"usage": {"input_tokens": -5, "output_tokens": 10**30}},
    "usage that is a list": {"usage": []},
    "more cached than read": {
        "usage": {"input_token_details": {"audio_tokens": 1, "cached_tokens_details": {"audio_tokens": 9}}}
    },
    "output of an unknown type": {"output": [{"type": "reasoning", "id": "x", "status": "completed"}]},
    "output that is null": {"output": None},
    "output of numbers": {"output": [1, None, "x"]},
    "call without a name": {"output": [{"type": "function_call", "status": "completed", "call_id": "c1"}]},
    "call without an id": {"output": [{"type": "function_call", "status": "completed", "name": "lookup_order"}]},
    "status of its own": {"status": "exhausted"},
    "details that are a text": {"status_details": "odd"},
}


@pytest.mark.parametrize("change", ODD_DONE.values(), ids=ODD_DONE.keys())
def test_an_odd_response_done_still_ends_its_response(tmp_path: Path, change: dict[str, Any]) -> None:
    script = Script([Wait("agent_done"), Say(SPEECH), Wait("agent_done"), Say(SPEECH), Wait("agent_done"), HangUp()])
    says = scenario(turns=[{"heard": "where is my order", "say": ANSWER}], repeat=True)
    outcome = goes_on(tmp_path, done_with(change), says, script)
    assert len(outcome.kinds("ResponseDone")) >= 3


def test_a_refused_create_is_asked_again_when_the_other_response_is_done(tmp_path: Path) -> None:
    """The caller speaks while a tool runs; its result comes while the server answers that speech."""
    says = scenario(
        turns=[
            {
                "heard": "where is order 427",
                "calls": [{"name": "lookup_order", "arguments": {"order_id": "427"}}],
                "result": "It is {status}.",
            },
            {"heard": "are you there", "say": "Yes, one moment please, I am looking that up for you."},
        ]
    )
    refused: list[str] = []

    def refuse(wire: Wire, event: dict[str, Any]) -> Sequence[Frame]:
        if event["type"] == "error":
            refused.append(event["error"]["code"])
        return [event]

    model = RiggedModel(says, refuse)
    script = Script([Wait("agent_done"), Say(SPEECH), Pause(1), Say(SPEECH), Pause(6), Wait("agent_done"), HangUp()])
    outcome = call_with(
        tmp_path, script, reason="caller_hangup", model=model, business=Business(delay_s=2.9), silence_s=5
    )
    session = outcome.sessions[-1]
    assert len(session.outputs) == 1 and "already" not in str(session.errors)
    asked = [event for wire in model.wires[1:] for event in wire.types("response.create")]
    assert len(asked) <= 3
    spoken = [entry.text for entry in session.spoken.values()]
    assert any("looking that up" in text for text in spoken)


@pytest.mark.parametrize("named", [True, False])
def test_a_response_create_that_meets_another_response_is_repeated(tmp_path: Path, named: bool) -> None:
    """The server claims once that another response runs, and ends that one a second later."""
    state: dict[str, str] = {}

    def rewrite(wire: Wire, event: dict[str, Any]) -> Sequence[Frame]:
        if wire.number == 0 or not event["type"].startswith(("response.", "conversation.item", "rate")):
            return [event]
        first = state.setdefault("response", event["response"]["id"] if event["type"] == "response.created" else "")
        if event["type"] == "response.created" and event["response"]["id"] == first:
            wish = event["response"]["metadata"]["wish"]
            about = f"create:{wish}" if named else None
            error = {"type": "invalid_request_error", "code": "conversation_already_has_active_response"}
            return [{"type": "error", "event_id": None, "error": {**error, "message": "busy", "event_id": about}}]
        of_first = event.get("response_id") == first
        if event["type"] == "response.done" and event["response"]["id"] == first:
            other: dict[str, Any] = {
                "id": "resp_other",
                "status": "completed",
                "output": [],
                "conversation_id": "c",
                "usage": None,
            }
            return [{"type": "response.done", "response": other}]
        return [] if of_first else [event]

    model = RiggedModel(ASKED, rewrite)
    script = Script([Wait("agent_done"), HangUp()])
    outcome = call_with(tmp_path, script, reason="caller_hangup", model=model, silence_s=4)
    asked = [event for wire in model.wires[1:] for event in wire.types("response.create")]
    assert len(asked) == 2
    assert outcome.kinds("recover") == []


def test_a_format_that_changes_in_mid_call_is_never_heard(tmp_path: Path) -> None:
    pcm = {"format": {"type": "audio/pcm", "rate": 24000}}
    update = {"type": "session.updated", "session": {"type": "realtime", "audio": {"input": pcm, "output": pcm}}}
    model = RiggedModel(ASKED, after("input_audio_buffer.committed", update))
    script = Script([Wait("agent_done"), Say(SPEECH)], stay_s=60)
    outcome = call_with(tmp_path, script, reason="model_refused", model=model)
    assert outcome.apologised and outcome.kinds("recover") == []


def test_a_model_that_talks_but_does_not_read_is_replaced_and_its_socket_closed(tmp_path: Path) -> None:
    """Its socket is closed when it is given up, not when the call ends."""
    model = RiggedModel(ASKED)
    script = Script([Wait("agent_done"), Pause(110), Say(SPEECH), Wait("agent_done"), HangUp()])
    gone: list[float] = []

    async def stop_reading(w: World) -> None:
        await until(lambda: len(model.wires) == 2)
        await asyncio.sleep(4)
        model.wires[1].reading.clear()
        with suppress(WireClosed):
            while True:
                await model.wires[1].put({"type": "rate_limits.updated", "rate_limits": []})
                await asyncio.sleep(1)
        gone.append(asyncio.get_running_loop().time())
        model.wires[1].reading.set()

    outcome = call_with(
        tmp_path, script, reason="caller_hangup", model=model, meanwhile=stop_reading, silence_s=111, beside=True
    )
    assert outcome.kinds("ModelClosed")[0]["code"] == "backlog"
    assert gone[0] - (outcome.offered_s + outcome.at("recover")[0]) <= 2.5
