"""A model that refuses, leaves or falls silent: the caller always hears something, and the record says why."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.simulator.carrier import BargeIn, HangUp, Pause, Say, Script, Wait
from gateway.simulator.model import Scenario
from tests.clock import run
from tests.faults.calls import ASK, SPEECH, call_with, scenario, until
from tests.faults.ends import RiggedModel, Wire, open_media, voice_token
from tests.world import Business, World, world

LISTEN = Script([Wait("agent_done"), HangUp()])
STAY = Script([], stay_s=60)
ANSWER = "Your order was sent this morning."


def answers(**first_turn: object) -> Scenario:
    return scenario(turns=[{"heard": "where is my order", "say": ANSWER, "think_ms": 400, **first_turn}])


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_connection_refused_once_is_tried_again_within_the_ring_time(tmp_path: Path, status: int) -> None:
    outcome = call_with(tmp_path, LISTEN, reason="caller_hangup", before=lambda model: model.refuse_next(status))
    assert len(outcome.sessions) == 1 and outcome.report.media.first_audio_s is not None
    assert outcome.report.media.first_audio_s < 1.5


@pytest.mark.parametrize("code", [1011, 1006, 1013])
def test_a_socket_that_closes_at_once_is_tried_again(tmp_path: Path, code: int) -> None:
    outcome = call_with(tmp_path, LISTEN, reason="caller_hangup", before=lambda model: model.close_next(code))
    assert len(outcome.sessions) == 1


@pytest.mark.parametrize(("status", "reason"), [(429, "model_unreachable"), (500, "model_unreachable")])
def test_a_connection_refused_for_ever_ends_in_the_fallback(tmp_path: Path, status: int, reason: str) -> None:
    outcome = call_with(tmp_path, STAY, reason=reason, before=lambda model: model.refuse_next(status, 100))
    assert outcome.apologised and outcome.sessions == []


@pytest.mark.parametrize("status", [401, 404])
def test_a_refusal_for_good_is_not_tried_again(tmp_path: Path, status: int) -> None:
    outcome = call_with(tmp_path, STAY, reason="model_refused", before=lambda model: model.refuse_next(status))
    assert outcome.apologised and len(outcome.model.wires) == 2


def test_a_refused_key_ends_in_the_fallback(tmp_path: Path) -> None:
    model = RiggedModel(scenario(server={"api_key": "sk-other"}))
    outcome = call_with(tmp_path, STAY, reason="model_refused", model=model, beside=False)
    assert outcome.apologised and len(model.wires) == 1
    assert outcome.kinds("ModelClosed")[0]["code"] == "invalid_api_key"


def test_an_unknown_model_ends_in_the_fallback(tmp_path: Path) -> None:
    model = RiggedModel(scenario(server={"models": ["gpt-other"]}))
    outcome = call_with(tmp_path, STAY, reason="model_refused", model=model, beside=False)
    assert outcome.apologised and len(model.wires) == 1


def test_a_refused_configuration_is_never_heard_as_static(tmp_path: Path) -> None:
    model = RiggedModel(scenario(server={"refuse_updates": 100}))
    outcome = call_with(tmp_path, STAY, reason="model_refused", model=model, beside=False)
    assert outcome.apologised
    assert outcome.report.media.audio_received_bytes == 0
    assert outcome.kinds("PlayAudio") == [] and outcome.kinds("AppendAudio") == []


def test_another_format_in_the_echo_is_never_heard_as_static(tmp_path: Path) -> None:
    def echo_pcm(wire: Wire, event: dict[str, Any]) -> list[dict[str, Any]]:
        if event["type"] == "session.updated":
            event["session"]["audio"]["output"]["format"] = {"type": "audio/pcm", "rate": 24000}
        return [event]

    model = RiggedModel(scenario(), echo_pcm)
    outcome = call_with(tmp_path, STAY, reason="model_refused", model=model, beside=False)
    assert outcome.apologised and outcome.report.media.audio_received_bytes == 0


def test_a_session_that_never_says_it_is_configured_ends_in_the_fallback(tmp_path: Path) -> None:
    def mute(wire: Wire, event: dict[str, object]) -> list[dict[str, object]]:
        return [] if event["type"] == "session.updated" else [event]

    outcome = call_with(
        tmp_path, STAY, reason="model_unreachable", model=RiggedModel(scenario(), mute), beside=False, silence_s=6
    )
    assert outcome.apologised


LOSSES = [
    {"kind": "close", "code": 1011},
    {"kind": "close", "code": 1006},
    {"kind": "close", "code": 1011, "after_ms": 400},
    {"kind": "expire"},
    {"kind": "fail_response"},
    {"kind": "fail_response", "after_ms": 400},
    {"kind": "rate_limited"},
    {"kind": "incomplete"},
]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: "-".join(str(part) for part in loss.values()))
def test_a_model_lost_once_is_replaced_and_answers(tmp_path: Path, loss: dict[str, object]) -> None:
    says = answers(faults=[{**loss, "times": 1}])
    outcome = call_with(tmp_path, ASK, reason="caller_hangup", says=says)
    old, new = outcome.sessions
    (recovered,) = outcome.kinds("recovered")
    assert recovered["after_s"] <= 3.0
    assert old.closed is not None and old.closed[0] - new.opened_at <= 3.0
    spoken = [entry.text for entry in new.spoken.values()]
    assert spoken == [ANSWER]
    texts = [str(item.wire) for item in new.conversation]
    assert sum("Hello, this is Acme" in text for text in texts) == 1, "the greeting is told once"
    assert new.conversation.turns <= 1


@pytest.mark.parametrize("loss", LOSSES[:7], ids=lambda loss: "-".join(str(part) for part in loss.values()))
def test_a_model_that_is_lost_for_ever_ends_in_the_fallback(tmp_path: Path, loss: dict[str, object]) -> None:
    script = Script([Wait("agent_done"), Say(SPEECH)], stay_s=90)
    reason = "response_failed" if loss["kind"] in ("fail_response", "rate_limited") else "model_lost"
    outcome = call_with(tmp_path, script, reason=reason, says=answers(faults=[loss]))
    assert outcome.apologised
    assert len(outcome.sessions) == 3


def test_a_response_that_fails_for_want_of_credit_is_not_tried_again(tmp_path: Path) -> None:
    script = Script([Wait("agent_done"), Say(SPEECH)], stay_s=60)
    says = answers(faults=[{"kind": "fail_response", "code": "insufficient_quota"}])
    outcome = call_with(tmp_path, script, reason="response_failed", says=says)
    assert outcome.apologised and len(outcome.sessions) == 1


@pytest.mark.parametrize("deaf", [False, True])
def test_a_model_silent_for_ten_seconds_is_replaced(tmp_path: Path, deaf: bool) -> None:
    says = answers(faults=[{"kind": "stall", "deaf": deaf, "times": 1}])
    outcome = call_with(tmp_path, ASK, reason="caller_hangup", says=says, silence_s=13)
    old, new = outcome.sessions
    assert [entry.text for entry in new.spoken.values()] == [ANSWER]
    assert outcome.kinds("recover") == [{"reason": "model_silent"}]
    (again,), (stopped, *_) = outcome.at("recover"), outcome.at("SpeechStopped")
    assert again - stopped <= 10.1


@pytest.mark.parametrize("deaf", [False, True])
def test_a_model_that_falls_silent_in_the_middle_of_an_answer_is_replaced(tmp_path: Path, deaf: bool) -> None:
    says = answers(faults=[{"kind": "stall", "deaf": deaf, "after_ms": 500, "times": 1}])
    again: list[Any] = [Wait("agent_speaking"), Pause(12), Wait("agent_done"), HangUp()]
    script = Script([Wait("agent_done"), Say(SPEECH), *again])
    outcome = call_with(tmp_path, script, reason="caller_hangup", says=says, silence_s=14)
    assert outcome.kinds("recover") == [{"reason": "model_silent"}]


def test_a_model_that_does_not_even_hear_the_caller_is_replaced(tmp_path: Path) -> None:
    """Frozen between two turns: no speech_started comes that could start a deadline of the call's."""
    frozen: set[int] = set()

    def freeze(wire: Wire, event: dict[str, Any]) -> list[dict[str, Any]]:
        silent = wire.number in frozen
        if event["type"] == "response.done" and wire.number == 0:
            frozen.add(wire.number)
        return [] if silent else [event]

    script = Script([Wait("agent_done"), Say(SPEECH), Pause(12), Say(SPEECH), Wait("agent_done"), HangUp()])
    model = RiggedModel(answers(), freeze)
    outcome = call_with(tmp_path, script, reason="caller_hangup", model=model, silence_s=13, beside=False)
    assert outcome.kinds("recover") == [{"reason": "model_silent"}]
    assert [entry.text for entry in outcome.sessions[-1].spoken.values()][-1] == ANSWER


def test_an_idle_call_with_a_living_model_goes_on(tmp_path: Path) -> None:
    script = Script([Wait("agent_done"), Pause(60), Say(SPEECH), Wait("agent_done"), HangUp()])
    outcome = call_with(tmp_path, script, reason="caller_hangup", says=answers(), silence_s=65)
    assert outcome.kinds("recover") == [] and len(outcome.sessions) == 1


def test_a_model_silent_for_ever_ends_in_the_fallback(tmp_path: Path) -> None:
    script = Script([Wait("agent_done"), Say(SPEECH)], stay_s=120)
    says = answers(faults=[{"kind": "stall"}])
    outcome = call_with(tmp_path, script, reason="model_silent", says=says, silence_s=33)
    assert outcome.apologised


def test_a_model_lost_before_the_stream_starts_is_opened_again(tmp_path: Path) -> None:
    async def main() -> None:
        model = RiggedModel(Scenario())
        async with world(tmp_path, model=model) as w:
            token = await voice_token(w)
            await asyncio.sleep(1)
            await model.wires[0].close(1011)
            await asyncio.sleep(1)
            stream = await open_media(w)
            await stream.start(token)
            async with asyncio.timeout(1):
                assert '"media"' in str(await stream.socket.receive())
            await stream.send({"event": "stop"})
            await w.settled()
            assert w.record.end_reason == "caller_hangup"
            assert len(model.wires) == 2 and not any(session.open for session in model.sessions)

    run(main())


TOOL: dict[str, Any] = {
    "think_ms": 400,
    "calls": [{"name": "lookup_order", "arguments": {"order_id": "427"}}],
    "result": "It is {status}.",
}


def test_a_tool_in_flight_when_the_model_is_lost_runs_once_and_its_result_is_told(tmp_path: Path) -> None:
    model = RiggedModel(scenario(turns=[{"heard": "where is order 427", **TOOL}]))
    business = Business(delay_s=1.5)

    async def cut(w: World) -> None:
        await until(lambda: bool(business.calls))
        await model.wires[-1].close(1011)

    outcome = call_with(tmp_path, ASK, reason="caller_hangup", model=model, business=business, meanwhile=cut)
    assert len(business.calls) == 1
    old, new = outcome.sessions
    assert [entry.text for entry in new.spoken.values()] == ["It is shipped."]
    assert len(new.outputs) == 1


def test_a_result_told_to_a_model_that_is_lost_is_told_again_and_the_tool_not_repeated(tmp_path: Path) -> None:
    says = scenario(
        turns=[{"heard": "where is order 427", **TOOL, "result_faults": [{"kind": "close", "code": 1011, "times": 1}]}]
    )
    outcome = call_with(tmp_path, ASK, reason="caller_hangup", says=says)
    assert len(outcome.business.calls) == 1
    assert [entry.text for entry in outcome.sessions[-1].spoken.values()] == ["It is shipped."]


def test_a_caller_who_speaks_while_the_model_is_away_is_heard_by_the_next(tmp_path: Path) -> None:
    says = answers(faults=[{"kind": "close", "code": 1011, "after_ms": 300, "times": 1}])
    script = Script([Wait("agent_done"), Say(SPEECH), BargeIn(SPEECH, after_ms=200), Wait("agent_done"), HangUp()])
    outcome = call_with(tmp_path, script, reason="caller_hangup", says=says)
    assert len(outcome.sessions) == 2
