"""Early reply in whole calls: what is dropped is not heard and does nothing; what is let out comes sooner."""

import asyncio
from pathlib import Path

import pytest

from gateway.simulator.carrier import Dtmf, HangUp, Pause, Say, Script, Wait
from gateway.simulator.model import ModelOptions, Scenario
from tests.faults.calls import until
from tests.turns.calls import Called, Desk, agent, call, clip, crossed, scenario, unravel

AGENT = agent("early_reply: {server_silence_ms: 200, confirm_ms: 500}")
BOTH = agent("early_reply: {server_silence_ms: 200, confirm_ms: 500}", "barge_in: reversible")
PAUSING = clip("order-04-am_michael")
"""Pauses for 800 ms after "My order number is five five one"."""
WHOLE = clip("order-05-af_bella")
RASH = "That is a rash answer which nobody must hear, for the caller goes on."
RIGHT = "Order {order_id} has {status}."
DONE = Wait("agent_done", quiet_ms=2000)
LOOKUP = {"name": "lookup_order", "arguments": {"order_id": "551"}}
LOOKUP_ALL = {"name": "lookup_order", "arguments": {"order_id": "551209"}}


def rash(*, say: str, calls: bool, **server: object) -> Scenario:
    """A model that answers the first half of a number at once, and the whole properly."""
    return scenario(
        turns=[
            {"heard": "My order number is five five one,", "say": say, "calls": [LOOKUP] if calls else []},
            {"heard": "two zero nine.", "calls": [LOOKUP_ALL], "result": RIGHT},
        ],
        server=server,
    )


def dropped(called: Called) -> dict[str, object]:
    usage = called.w.record.usage or {}
    return {name: value for name, value in usage.items() if name.startswith("dropped_")}


@pytest.mark.parametrize(
    ("agents", "calls", "ttfb_ms", "audio_factor"),
    crossed([AGENT, BOTH], [True, True, False, True, False, True], [0, 400, 1500], [1.5, 8.0, 8.0, 1.5]),
)
def test_of_an_answer_to_half_a_sentence_nothing_is_heard_and_no_tool_runs(
    tmp_path: Path, agents: str, calls: bool, ttfb_ms: float, audio_factor: float
) -> None:
    says = rash(say=RASH, calls=calls, ttfb_ms=ttfb_ms, ttfb_sigma=0, audio_factor=audio_factor)
    script = Script([DONE, Say(PAUSING), DONE, HangUp()])
    called = call(tmp_path, says, script, agents=agents, exact=True)
    called.faultless()
    assert [asked["data"]["arguments"] for asked in called.business.calls] == [{"order_id": "551209"}]  # type: ignore[index]
    heard = [audio for text, audio in called.answers if not RASH.startswith(text)]
    unravel(called.heard, heard, 0)
    assert len(called.kinds("early_dropped")) == 1
    assert dropped(called)["dropped_answers"] == 1
    # Nor does the model believe that it said it.
    said = " ".join(str(item.wire) for item in called.session.conversation)
    assert "rash" not in said and '"551"' not in said


def test_a_function_call_alone_is_held_back_as_well(tmp_path: Path) -> None:
    says = rash(say="", calls=True)
    called = call(tmp_path, says, Script([DONE, Say(PAUSING), DONE, HangUp()]), agents=AGENT, exact=True)
    called.faultless()
    assert [asked["data"]["arguments"] for asked in called.business.calls] == [{"order_id": "551209"}]  # type: ignore[index]


def test_an_answer_to_a_whole_sentence_comes_sooner_than_without(tmp_path: Path) -> None:
    turn = {"heard": "Has order 7184 shipped yet?", "calls": [LOOKUP_ALL], "say": "One moment.", "result": RIGHT}
    says = scenario(turns=[turn] * 3, server={"ttfb_ms": 500, "ttfb_sigma": 0})
    asks = (Say(WHOLE), DONE)
    script = Script([DONE, *asks, *asks, *asks, HangUp()])
    latencies = {}
    for name, agents in (("plain", agent()), ("early", AGENT)):
        folder = tmp_path / name
        folder.mkdir()
        called = call(folder, says, script, agents=agents, exact=True)
        called.faultless()
        assert len(called.business.calls) == 3
        unravel(called.heard, [audio for _, audio in called.answers], 0)
        latencies[name] = [int(str(note["ms"])) for note in called.kinds("turn_latency")]
    assert len(latencies["early"]) == len(latencies["plain"]) == 3
    assert max(latencies["early"]) <= 0.75 * min(latencies["plain"])


@pytest.mark.parametrize("audio_factor", [1.2, 8.0], ids=["generating", "done"])
@pytest.mark.parametrize("agents", [AGENT, BOTH], ids=["early", "early and reversible"])
def test_an_operator_may_cancel_an_answer_that_is_held_back(tmp_path: Path, agents: str, audio_factor: float) -> None:
    async def cancel(desk: Desk) -> None:
        await until(lambda: any(spoken.text.startswith("On") for spoken in desk.w.session.spoken.values()))
        await asyncio.sleep(0.05)
        await desk.done("cancel_reply")

    says = scenario(turns=[{"heard": "And?", "say": "One moment, please, for this may take me a while."}])
    says = says.model_copy(update={"server": ModelOptions(audio_factor=audio_factor)})
    script = Script([DONE, Say(WHOLE), Pause(3.0), HangUp()])
    called = call(tmp_path, says, script, agents=agents, exact=True, meanwhile=cancel)
    called.faultless()
    assert called.heard == called.answers[0][1]
    assert dropped(called)["dropped_answers"] == 1


def test_a_key_that_is_pressed_while_an_answer_is_held_back_drops_it_and_its_function_calls(tmp_path: Path) -> None:
    says = scenario(
        turns=[
            {"heard": "And?", "say": "One moment.", "calls": [LOOKUP]},
            {"heard": "keys", "say": "You pressed five."},
        ]
    )
    script = Script([DONE, Say(WHOLE), Pause(0.15), Dtmf("5#"), DONE, HangUp()])
    called = call(tmp_path, says, script, agents=AGENT, exact=True)
    called.faultless()
    assert called.business.calls == []
    assert called.said[-1] == "You pressed five."
    unravel(called.heard, [called.answers[0][1], called.answers[-1][1]], 0)
