"""Calls that would go on for ever end politely: the goodbye is heard to its end, then the line goes down at once."""

from pathlib import Path
from typing import Any

import pytest

from gateway.simulator.carrier import HangUp, Pause, Say, Script, Wait, heard_prefix_ms
from tests.faults.calls import SPEECH, Outcome, call_with, scenario
from tests.world import AGENTS

GOODBYE = "I am sorry, could you say that again?"
"""What the scripted model says at a turn that it does not know; here it stands for the goodbye."""
TALK = scenario(turns=[{"heard": "tell me something", "say": "This is quite a long answer. " * 3}])
SCRIPT = Script([Wait("agent_done"), Say(SPEECH), Wait("agent_done")], stay_s=60)


def limited(**limits: object) -> str:
    listed = ", ".join(f"{name}: {value}" for name, value in limits.items())
    return AGENTS.replace("    tools:", f"    limits: {{{listed}}}\n    tools:")


def said_goodbye(outcome: Outcome) -> None:
    last = list(outcome.sessions[-1].spoken.values())[-1]
    heard = outcome.report.media.played_bytes()
    assert heard_prefix_ms(bytes(last.audio), heard) == len(last.audio) // 8
    assert outcome.report.ended_by == "twiml"
    assert outcome.report.duration_s - outcome.report.media.heard[-1].end_s <= 1.0
    assert outcome.report.says_heard == []


def test_the_duration_limit_ends_a_call_after_a_goodbye(tmp_path: Path) -> None:
    outcome = call_with(
        tmp_path,
        SCRIPT,
        reason="duration_limit",
        says=TALK,
        agents=limited(max_duration_s=30),
        silence_s=25,
        beside=False,
    )
    said_goodbye(outcome)
    assert 30 <= outcome.report.duration_s <= 40


def test_the_duration_limit_cuts_an_endless_answer_short_for_the_goodbye(tmp_path: Path) -> None:
    long = limited(max_duration_s=10).replace("How can I help?", "This is a very long greeting indeed. " * 12)
    outcome = call_with(tmp_path, Script([], stay_s=60), reason="duration_limit", agents=long, beside=False)
    said_goodbye(outcome)
    assert 10 <= outcome.report.duration_s <= 16
    cut = outcome.sessions[-1].truncations[-1]
    first = list(outcome.sessions[-1].spoken.values())[-2]
    heard = heard_prefix_ms(bytes(first.audio), outcome.report.media.played_bytes())
    assert heard is not None and abs(heard - cut.audio_end_ms) <= 40


def test_the_cost_limit_ends_a_call_after_a_goodbye(tmp_path: Path) -> None:
    outcome = call_with(
        tmp_path, SCRIPT, reason="cost_limit", says=TALK, agents=limited(max_cost_usd=0.005), beside=False
    )
    said_goodbye(outcome)
    assert outcome.record.cost_usd is not None


@pytest.mark.parametrize("fault", [{"kind": "stall"}, {"kind": "close", "code": 1011}, {"kind": "fail_response"}])
def test_a_model_that_fails_at_the_goodbye_does_not_keep_the_line(tmp_path: Path, fault: dict[str, Any]) -> None:
    says = scenario(
        turns=[
            {"heard": "bye", "think_ms": 300, "say": "Thank you.", "calls": [{"name": "hang_up"}], "faults": [fault]}
        ]
    )
    script = Script([Wait("agent_done"), Say(SPEECH)], stay_s=100)
    reason = {"stall": "model_silent", "close": "model_lost", "fail_response": "response_failed"}[fault["kind"]]
    outcome = call_with(tmp_path, script, reason=reason, says=says, silence_s=35)
    assert outcome.apologised


def test_the_last_words_of_an_agent_that_hangs_up_are_heard(tmp_path: Path) -> None:
    says = scenario(turns=[{"heard": "bye", "say": "Thank you for calling, goodbye.", "calls": [{"name": "hang_up"}]}])
    outcome = call_with(tmp_path, SCRIPT, reason="agent_hangup", says=says)
    said_goodbye(outcome)


def test_a_caller_who_talks_on_does_not_keep_an_agent_that_hangs_up(tmp_path: Path) -> None:
    says = scenario(
        turns=[{"heard": "bye", "say": "Goodbye and have a nice day.", "calls": [{"name": "hang_up"}]}, {"say": "Yes?"}]
    )
    script = Script(
        [Wait("agent_done"), Say(SPEECH), Wait("agent_speaking"), Pause(0.6), Say(SPEECH * 40), Pause(5), HangUp()]
    )
    outcome = call_with(tmp_path, script, reason="agent_hangup", says=says)
    assert outcome.report.duration_s <= 30
