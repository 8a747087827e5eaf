"""What dropped answers, false barge-ins and operators did to a call can be read afterwards."""

import json
from pathlib import Path

import pytest

from gateway.show import show_call
from gateway.simulator.carrier import Backchannel, BargeIn, HangUp, Pause, Say, Script, Wait
from tests.turns.calls import Desk, agent, call, clip, keep, scenario

DONE = Wait("agent_done", quiet_ms=2500)
LONG = "This is a long answer about an order that was sent on Monday, and which nobody has seen since."
AGENT = agent("early_reply: {server_silence_ms: 300, confirm_ms: 500}", "barge_in: reversible")
TURNS = [
    {"heard": "My order number is five five one,", "say": "That is a rash answer."},
    {"heard": "two zero nine.", "say": LONG},
    {"heard": "Mm-hm.", "say": "Nobody hears this."},
    {"heard": "No, listen.", "say": "Yes?"},
]
SCRIPT = Script(
    [
        DONE,
        Say(clip("order-04-am_michael")),
        Backchannel(clip("back-01-am_michael"), 1000),
        Pause(4.0),
        BargeIn(clip("barge-04-am_fenrir"), 1500),
        DONE,
        Pause(5.0),
        HangUp(),
    ]
)


async def operate(desk: Desk) -> None:
    await desk.at(18.0)
    await desk.done("mute_caller", id="mute-1")
    await desk.ask("mute_caller", id="mute-1")
    await desk.done("unmute", id="unmute-1")
    await desk.ask("transfer", id="nowhere", target="mars")


def test_a_call_tells_its_dropped_answers_false_barge_ins_and_operators(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called = call(tmp_path, scenario(turns=TURNS), SCRIPT, agents=AGENT, exact=True, meanwhile=operate)
    called.faultless()
    keep(called, tmp_path / "calls.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_DATABASE_URL", f"sqlite:///{tmp_path / 'calls.db'}")
    call_id = called.w.record.call_id
    assert show_call(call_id) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "barge-ins 1; 1 that proved to be none" in shown
    assert "dropped answers 1 (" in shown and "output tokens, $0.0" in shown
    for line in (
        "drops the early answer: the caller goes on",
        "pauses: the caller makes a sound",
        "goes on: it was only a short sound",
        "interrupts the agent",
        "night-shift asks for mute_caller: done",
        "night-shift asks for unmute: done",
        "night-shift asks for transfer: refused:",
        "the agent does not hear the caller",
    ):
        assert shown.count(line) >= 1, line
    assert show_call(call_id, as_json=True) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (
        facts["latency"]["barge_ins"] == facts["latency"]["false_barge_ins"] == facts["usage"]["dropped_answers"] == 1
    )
    assert [line["what"] for line in facts["timeline"]].count("night-shift asks for mute_caller: done") == 1
