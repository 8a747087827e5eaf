"""A business that is slow, broken or hostile, and a model that calls it wrongly: the model is told, speech goes on."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Response

from gateway.simulator.carrier import BargeIn, HangUp, Pause, Say, Script, Wait
from gateway.simulator.model import Scenario
from tests.faults.calls import ASK, SPEECH, Outcome, call_with, scenario
from tests.faults.ends import Frame, RiggedModel, Wire
from tests.world import Business

CALL = {"name": "lookup_order", "arguments": {"order_id": "427"}}
DONE = "All right."


def calling(*calls: dict[str, Any], **turn: object) -> Scenario:
    first = {
        "heard": "where is order 427",
        "say": "Let me see.",
        "think_ms": 400,
        "calls": list(calls or [CALL]),
        "result": DONE,
    }
    return scenario(turns=[{**first, **turn}, {"heard": "are you there", "say": "Yes, I am still here."}])


class Broken(Business):
    """Answers every function call with the same response."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self._response = response

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/lookup")
        async def lookup() -> Response:
            self.calls.append({})
            return self._response

        return app


def outputs(outcome: Outcome) -> list[Any]:
    return [json.loads(output.output) for output in outcome.sessions[-1].outputs]


def creates(outcome: Outcome) -> list[dict[str, Any]]:
    """The `response.create` of the call, without the greeting's."""
    return outcome.model.wires[-1].types("response.create")[1:]


ANSWERS = {
    "500": (Response("no", 500), "HTTP 500"),
    "404": (Response("{}", 404, media_type="application/json"), "HTTP 404"),
    "a redirect": (Response(status_code=302, headers={"location": "https://elsewhere.example.com"}), "redirect"),
    "huge": (Response(b'{"result":"' + b"x" * 600_000 + b'"}', media_type="application/json"), "over"),
    "no JSON": (Response("<html>", media_type="text/html"), "HTTP 200"),
    "half JSON": (Response('{"result":', media_type="application/json"), "HTTP 200"),
    "deep JSON": (Response("[" * 100_000, media_type="application/json"), "HTTP 200"),
    "compressed": (Response(b"x", headers={"content-encoding": "gzip"}, media_type="application/json"), "HTTP 200"),
}


@pytest.mark.parametrize(("response", "detail"), ANSWERS.values(), ids=ANSWERS.keys())
def test_a_broken_answer_is_told_to_the_model(tmp_path: Path, response: Response, detail: str) -> None:
    outcome = call_with(tmp_path, ASK, reason="caller_hangup", says=calling(), business=Broken(response))
    (told,) = outputs(outcome)
    assert "error" in told and "x" * 100 not in str(told)
    (result,) = outcome.kinds("ToolResult")
    assert result["ok"] is False and detail in result["detail"]
    assert len(creates(outcome)) == 1
    assert [entry.text for entry in outcome.sessions[-1].spoken.values()][-1] == DONE


class Unreachable(Business):
    def app(self) -> FastAPI:
        import httpx2

        async def refuse(scope: Any, receive: Any, send: Any) -> None:
            raise httpx2.ConnectError("refused")

        return refuse  # type: ignore[return-value]  # any ASGI application will do


def test_a_business_that_cannot_be_reached_is_told_to_the_model(tmp_path: Path) -> None:
    outcome = call_with(tmp_path, ASK, reason="caller_hangup", says=calling(), business=Unreachable())
    assert "cannot be reached" in str(outputs(outcome))
    assert "tried twice" in outcome.kinds("ToolResult")[0]["detail"]


def test_a_slow_business_is_given_up_at_its_deadline_and_does_not_block_speech(tmp_path: Path) -> None:
    script = Script([Wait("agent_done"), Say(SPEECH), Pause(2), Say(SPEECH), Pause(5), Wait("agent_done"), HangUp()])
    outcome = call_with(
        tmp_path, script, reason="caller_hangup", says=calling(), business=Business(delay_s=60), silence_s=5
    )
    session = outcome.sessions[-1]
    spoken = [entry.text for entry in session.spoken.values()]
    assert spoken[-2:] == ["Yes, I am still here.", "All right, that is done."]
    (output,) = session.outputs
    (result,) = outcome.kinds("ToolResult")
    assert "in time" in output.output and "5 s" in result["detail"]
    (asked,) = outcome.at("InvokeTool")
    assert output.at - (outcome.offered_s + asked) == pytest.approx(5, abs=0.2)


WRONG = {
    "not JSON": "{order",
    "a list": "[]",
    "missing": "{}",
    "of another type": '{"order_id": 7}',
    "empty": "",
    "deep": "[" * 5000,
}


@pytest.mark.parametrize("arguments", WRONG.values(), ids=WRONG.keys())
def test_wrong_arguments_never_reach_the_business(tmp_path: Path, arguments: str) -> None:
    outcome = call_with(tmp_path, ASK, reason="caller_hangup", says=calling({**CALL, "arguments": arguments}))
    assert outcome.business.calls == []
    (told,) = outputs(outcome)
    assert "error" in told and outcome.kinds("ToolResult")[0]["ok"] is False
    assert len(creates(outcome)) == 1


def test_an_unknown_tool_is_told_to_the_model(tmp_path: Path) -> None:
    outcome = call_with(tmp_path, ASK, reason="caller_hangup", says=calling({"name": "wire_money", "arguments": {}}))
    (told,) = outputs(outcome)
    assert "error" in told and outcome.business.calls == []
    assert [entry.text for entry in outcome.sessions[-1].spoken.values()][-1] == DONE


def test_parallel_calls_are_answered_by_one_response(tmp_path: Path) -> None:
    calls = [{**CALL, "arguments": {"order_id": str(number)}} for number in (1, 2, 3)]
    outcome = call_with(tmp_path, ASK, reason="caller_hangup", says=calling(*calls), business=Business(delay_s=0.5))
    assert len(outcome.business.calls) == 3 and len(outputs(outcome)) == 3
    assert len(creates(outcome)) == 1
    assert len(outcome.sessions[-1].spoken) == 3


def test_too_many_calls_at_once_are_all_answered(tmp_path: Path) -> None:
    calls = [{**CALL, "arguments": {"order_id": str(number)}} for number in range(40)]
    outcome = call_with(tmp_path, ASK, reason="caller_hangup", says=calling(*calls), business=Business(delay_s=0.5))
    assert len(outcome.business.calls) == 16 and len(outputs(outcome)) == 40


@pytest.mark.parametrize("status", ["cancelled", "incomplete", "failed"])
def test_calls_of_a_response_that_was_not_completed_never_run(tmp_path: Path, status: str) -> None:
    """The item itself says that it is completed; the response is what counts."""
    seen: list[str] = []

    def spoil(wire: Wire, event: dict[str, Any]) -> Sequence[Frame]:
        if event["type"] == "response.done" and not seen:
            if any(item["type"] == "function_call" for item in event["response"]["output"]):
                seen.append(status)
                event["response"]["status"] = status
        return [event]

    model = RiggedModel(calling(), spoil)
    script = Script([Wait("agent_done"), Say(SPEECH), Pause(3), HangUp()])
    outcome = call_with(tmp_path, script, reason="caller_hangup", model=model, silence_s=4)
    assert seen == [status] and not outcome.sessions[0].outputs
    # A failed or wordless response is tried in a new session; its call is that session's own.
    assert len(outcome.at("InvokeTool")) == len(outcome.business.calls) == len(outcome.sessions) - 1


def test_a_call_whose_own_status_is_not_completed_never_runs(tmp_path: Path) -> None:
    def spoil(wire: Wire, event: dict[str, Any]) -> Sequence[Frame]:
        if event["type"] == "response.done":
            for item in event["response"]["output"]:
                if item["type"] == "function_call":
                    item["status"] = "incomplete"
        return [event]

    outcome = call_with(tmp_path, ASK, reason="caller_hangup", model=RiggedModel(calling(), spoil))
    assert outcome.business.calls == []


def test_a_call_id_that_comes_twice_runs_once(tmp_path: Path) -> None:
    """Twice in one response, and the whole `response.done` repeated."""

    def double(wire: Wire, event: dict[str, Any]) -> Sequence[Frame]:
        if event["type"] != "response.done":
            return [event]
        event["response"]["output"] *= 2
        return [event, event]

    outcome = call_with(tmp_path, ASK, reason="caller_hangup", model=RiggedModel(calling(), double))
    assert len(outcome.business.calls) == 1 and len(outputs(outcome)) == 1
    assert len(creates(outcome)) == 1


def test_a_call_id_that_comes_again_in_another_response_still_gets_the_model_to_speak(tmp_path: Path) -> None:
    ids: list[str] = []

    def repeat(wire: Wire, event: dict[str, Any]) -> Sequence[Frame]:
        if event["type"] == "response.done":
            for item in event["response"]["output"]:
                if item["type"] == "function_call":
                    ids.append(item["call_id"])
                    item["call_id"] = ids[0]
        return [event]

    says = scenario(
        turns=[
            {"heard": "where is order 427", "calls": [CALL], "result": DONE},
            {"heard": "and again", "calls": [CALL], "think_ms": 300, "result": "As I said."},
        ]
    )
    script = Script([Wait("agent_done"), Say(SPEECH), Wait("agent_done"), Say(SPEECH), Pause(4), HangUp()])
    outcome = call_with(tmp_path, script, reason="caller_hangup", model=RiggedModel(says, repeat), silence_s=6)
    assert len(outcome.business.calls) == 1 and len(ids) >= 2
    assert len(creates(outcome)) == 2 and len(ids) <= 3


def test_a_result_that_comes_while_the_caller_speaks_is_spoken_after(tmp_path: Path) -> None:
    script = Script([Wait("agent_done"), Say(SPEECH), BargeIn(SPEECH * 4, after_ms=300), Wait("agent_done"), HangUp()])
    outcome = call_with(tmp_path, script, reason="caller_hangup", says=calling(), business=Business(delay_s=2.5))
    (result,) = outcome.at("ToolResult")
    started, stopped = outcome.at("SpeechStarted")[-1], outcome.at("SpeechStopped")[-1]
    assert started < result < stopped
    assert all(at > stopped for at in outcome.at("CreateResponse")[1:])
    assert len(outputs(outcome)) == 1 and not outcome.sessions[-1].errors


def test_tools_still_running_at_the_end_of_the_call_are_cancelled(tmp_path: Path) -> None:
    script = Script([Wait("agent_done"), Say(SPEECH), Pause(2.5), HangUp()])
    outcome = call_with(tmp_path, script, reason="caller_hangup", says=calling(), business=Business(delay_s=60))
    assert len(outcome.at("CancelTool")) == 1
