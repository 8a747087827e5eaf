"""Errors of the API in the middle of a call with everything in it: those that are not fatal never end it."""

from pathlib import Path

import pytest

from gateway.simulator.carrier import Backchannel, BargeIn, Dtmf, HangUp, Pause, Say, Script, Wait
from gateway.simulator.model.ordered import DOCUMENTED
from tests.turns.calls import Desk, agent, call, clip, crossed, scenario

FATAL = {
    "session_expired",
    "invalid_api_key",
    "insufficient_quota",
    "credit_balance_exhausted",
    "billing_hard_limit_reached",
    "account_deactivated",
}
HARMLESS = [*sorted(DOCUMENTED.keys() - FATAL), None]
EVENTS = [
    "conversation.item.create",
    "conversation.item.delete",
    "conversation.item.truncate",
    "response.create",
    "response.cancel",
    "input_audio_buffer.commit",
    "session.update",
]
POSSIBLE = [
    (event, code)
    for event in EVENTS
    for code in HARMLESS
    if event == "response.create" or code != "conversation_already_has_active_response"
]
"""Only a `response.create` is refused for a response that runs."""
ASK = clip("order-05-af_bella")
LONG = "This is a long answer about an order that was sent on Monday, and which nobody has seen since."
LAST = "That was the last question."
DONE = Wait("agent_done", quiet_ms=2500, within_s=40)
KINDS = {
    "plain": (),
    "reversible": ("barge_in: reversible",),
    "early": ("early_reply: {server_silence_ms: 300, confirm_ms: 500}",),
}
SCRIPT = Script(
    [
        DONE,
        Say(ASK),
        BargeIn(clip("barge-04-am_fenrir"), 2500, within_s=40),
        DONE,
        Dtmf("5"),
        Pause(6),
        Say(ASK),
        Backchannel(clip("back-01-am_michael"), 1000),
        Wait("agent_speaking", within_s=40),
        Pause(1.5),
        Dtmf("7"),
        Pause(6),
        Say(ASK),
        DONE,
        HangUp(),
    ]
)
CALLS = [{"name": "lookup_order", "arguments": {"order_id": "1"}}]


@pytest.mark.parametrize(("code", "kind"), crossed(HARMLESS, list(KINDS)))
def test_an_error_out_of_nowhere_changes_nothing(tmp_path: Path, kind: str, code: str | None) -> None:
    fault = {"kind": "error", "code": code}
    turns = [
        {"heard": "Where is it?", "say": LONG, "faults": [fault]},
        {"heard": "No, listen.", "calls": CALLS, "result": LAST, "faults": [fault], "result_faults": [fault]},
    ]
    script = Script([DONE, Say(ASK), BargeIn(clip("barge-04-am_fenrir"), 2500, within_s=40), DONE, HangUp()])
    called = call(tmp_path, scenario(turns=turns), script, agents=agent(*KINDS[kind]), exact=True)
    assert called.report.script_error is None
    assert called.w.record.end_reason == "caller_hangup"
    assert called.kinds("recover") == []
    assert called.said[1:] == [LONG, LAST]
    assert called.heard.endswith(called.answers[-1][1])
    assert len(called.business.calls) == 1


async def everything(desk: Desk) -> None:
    """What an operator may do beside it."""
    await desk.heard(4.0)
    await desk.ask("insert_memory", text="The caller is angry.")
    await desk.ask("say", text="One moment, please.")
    await desk.heard(9.0)
    await desk.ask("cancel_reply")
    await desk.ask("turn_taking", turn_detection="patient")
    await desk.ask("force_reply")


@pytest.mark.e2e
@pytest.mark.parametrize("kind", ["reversible"])  # of the others the crossed ones above
@pytest.mark.parametrize(("event", "code"), POSSIBLE)
def test_a_refusal_of_anything_that_we_send_ends_no_call(
    tmp_path: Path, kind: str, code: str | None, event: str
) -> None:
    _refused(tmp_path, kind, code, event)


@pytest.mark.parametrize(
    ("event", "code", "kind"),
    [
        ("conversation.item.create", "item_create_duplicate_item_id", "plain"),
        ("conversation.item.delete", "item_delete_invalid_item_id", "reversible"),
        ("conversation.item.truncate", "invalid_value", "early"),
        ("response.create", "conversation_already_has_active_response", "early"),
        ("response.create", "bad_response_create", "reversible"),
        ("response.cancel", "response_cancel_not_active", "plain"),
    ],
)
def test_the_likely_refusals_end_no_call(tmp_path: Path, kind: str, code: str, event: str) -> None:
    _refused(tmp_path, kind, code, event)


def _refused(folder: Path, kind: str, code: str | None, event: str) -> None:
    refuse = {"event": event, "code": code, "count": 2}
    # The first of these configure the session: refused, there is no call.
    fault = {"kind": "refuse", **refuse}
    story = scenario(
        greeting_faults=[fault],
        turns=[
            {"heard": "Where is it?", "say": LONG},
            {"heard": "No, listen.", "calls": CALLS, "result": LONG},
            *[{"heard": "And?", "say": LONG}] * 12,
        ],
    )
    called = call(folder, story, SCRIPT, agents=agent(*KINDS[kind]), exact=True, meanwhile=everything)
    assert called.report.script_error is None
    assert called.w.record.end_reason == "caller_hangup"
    assert len(called.kinds("end")) == 1
    last_words = max(deed.at_s for deed in called.report.deeds if deed.name == "say")
    assert called.report.media.heard[-1].start_s > last_words
    assert called.report.silences(12.0) == []
