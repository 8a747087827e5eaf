"""Keys: told to the model, collected, hidden, and sent."""

import base64
import json

import pytest

from gateway.core import Call, CallPlan
from gateway.core import commands as cmd
from gateway.core import events as ev
from gateway.core.operator import CollectDigits, PressKeys, Say
from tests.core.lists import active, answer, ask, done, only, played_ms, quiet, records, speaking, speech, until

PLAN = CallPlan(built_in=frozenset({"hang_up", "collect_digits", "send_digits"}))
CARD = "4111111111111111"


def collecting(arguments: str) -> Call:
    call = active(PLAN)
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(done("r1", ev.FunctionCall("c1", "collect_digits", arguments)), 2.0)
    return call


def press(call: Call, digits: str, now: float) -> list[cmd.Command]:
    return [command for digit in digits for command in call.receive(ev.Dtmf(digit), now)]


def outputs(commands: list[cmd.Command]) -> list[object]:
    return [json.loads(command.output) for command in only(commands, cmd.SubmitToolOutput)]


def test_keys_are_told_to_the_model_together_after_a_pause() -> None:
    call = active()
    assert only(press(call, "12", 2.0), cmd.CreateItem) == []
    told = until(call, 3.5)
    (item,) = only(told, cmd.CreateItem)
    assert item.item["content"] == [
        {"type": "input_text", "text": "The caller pressed these keys of the telephone: 1 2"}
    ]
    assert len(only(told, cmd.CreateResponse)) == 1


def test_the_pound_key_tells_them_at_once() -> None:
    assert len(only(press(active(), "12#", 2.0), cmd.CreateItem)) == 1


def test_the_first_key_interrupts_what_is_said() -> None:
    call = speaking(CallPlan())
    until(call, 3.0)
    assert cmd.TruncateItem("a1", 1000) in press(call, "1", 3.0)


def test_keys_that_the_agent_does_not_want_are_ignored() -> None:
    call = active(CallPlan(keys_to_model=False))
    assert press(call, "1#", 2.0) + until(call, 9.0) == []


def test_a_collector_ends_at_its_length_and_answers_the_function_call() -> None:
    call = collecting('{"max_digits": 4}')
    assert outputs(press(call, "427", 3.0)) == []
    commands = press(call, "1", 3.5)
    assert outputs(commands) == [{"digits": "4271"}]
    call.receive(ev.OutputAccepted("c1"), 3.6)
    assert records(commands, "digits")[0].data == {"count": 4, "secure": 0, "status": "done"}


@pytest.mark.parametrize(("digits", "seconds"), [("427#", 0.0), ("427", 4.0)])
def test_a_collector_ends_at_the_terminator_or_a_pause(digits: str, seconds: float) -> None:
    call = collecting('{"max_digits": 8}')
    commands = press(call, digits, 3.0) + until(call, 3.0 + seconds)
    assert outputs(commands) == [{"digits": "427"}]


def test_an_incomplete_entry_is_asked_for_again_and_then_given_up() -> None:
    call = collecting('{"max_digits": 4, "min_digits": 4}')
    again = press(call, "42#", 3.0)
    assert outputs(again) == []
    assert len(only(again, cmd.CreateResponse)) == 1
    answer(call, "r2", "a2", 500, 3.2, only(again, cmd.CreateResponse)[0].wish_id)
    quiet(call, 4.0)
    assert outputs(press(call, "43#", 5.0)) == [{"error": "no complete entry", "digits_missing": True}]


def test_the_time_for_an_entry_begins_when_its_prompt_was_heard() -> None:
    call = active(PLAN)
    commands = ask(call, "c1", CollectDigits(total_s=10, retries=0, prompt="Your code?"), 2.0)
    wish = only(commands, cmd.CreateResponse)[0].wish_id
    answer(call, "r1", "a1", 8000, 2.0, wish)
    assert records(quiet(call, 12.0), "digits") == []
    assert [record.data["status"] for record in records(until(call, 30.0), "digits")] == ["failed"]


def test_a_prompt_that_a_key_cut_short_is_not_taken_for_a_silent_model() -> None:
    call = active(PLAN)
    (asked,) = only(ask(call, "c1", CollectDigits(prompt="Your number?"), 2.0), cmd.CreateResponse)
    call.receive(ev.ResponseCreated("r1", asked.wish_id), 2.1)
    call.receive(ev.AudioDelta("r1", "a1", speech(3000)), 2.2)
    commands = press(call, "4", 2.5)
    assert cmd.CancelResponse("r1") in commands
    call.receive(done("r1", status="cancelled"), 2.6)
    for second in range(3, 16):
        commands += press(call, "2", float(second)) + until(call, second + 0.9)
    assert only(commands, cmd.OpenModel) == []


def test_an_entry_for_an_operator_that_ends_without_a_model_is_told_to_the_next() -> None:
    call = active(PLAN)
    ask(call, "c1", CollectDigits(max_digits=2), 2.0)
    call.receive(ev.ModelClosed("1006", "", False), 2.5)
    press(call, "42", 2.7)
    told = only(call.receive(ev.SessionReady("s2"), 3.0), cmd.CreateItem)
    assert any('{"digits": "42"}' in str(item.item) for item in told)


def test_two_entries_at_once_are_refused() -> None:
    call = collecting("{}")
    ask(call, "c9", CollectDigits(), 3.0)
    assert call.outcome("c9") == "refused: another entry of keys is being taken"


@pytest.mark.parametrize(
    "arguments", ['{"max_digits": 0}', '{"max_digits": "x"}', '{"terminator": "xx"}', "[]", "{", '{"min_digits": 30}']
)
def test_bad_arguments_of_a_collector_become_its_output(arguments: str) -> None:
    call = active(PLAN)
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    commands = call.receive(done("r1", ev.FunctionCall("c1", "collect_digits", arguments)), 2.0)
    (output,) = outputs(commands)
    assert "error" in output  # type: ignore[operator]  # an object


# --- secrets ------------------------------------------------------------------------------------------


def test_a_secure_entry_goes_to_the_vault_and_the_model_gets_a_token() -> None:
    call = collecting('{"max_digits": 16, "secure": true}')
    assert call.hidden
    commands = press(call, CARD, 3.0)
    assert only(commands, cmd.KeepSecret) == [cmd.KeepSecret("s1", CARD)]
    assert outputs(commands) == []
    kept = call.receive(ev.SecretKept("s1", "vault_abc"), 3.1)
    assert outputs(kept) == [{"token": "vault_abc", "length": 16}]


def test_while_a_secure_entry_is_taken_and_a_moment_longer_the_model_hears_silence() -> None:
    call = collecting('{"max_digits": 4, "secure": true}')
    silence = cmd.AppendAudio(speech(20, 0xFF))
    assert call.receive(ev.CallerAudio(speech(20)), 2.5) == [silence]
    press(call, "4271", 3.0)
    call.receive(ev.SecretKept("s1", "vault_abc"), 3.1)
    assert call.receive(ev.CallerAudio(speech(20)), 3.9) == [silence]
    until(call, 4.0)
    assert not call.hidden
    assert call.receive(ev.CallerAudio(speech(20)), 4.1) == [cmd.AppendAudio(speech(20))]


def test_superfluous_keys_of_a_secret_are_dropped() -> None:
    call = collecting('{"max_digits": 4, "secure": true}')
    press(call, "4271", 3.0)
    call.receive(ev.SecretKept("s1", "vault_abc"), 3.1)
    assert only(press(call, "99", 3.5) + until(call, 9.0), cmd.CreateItem) == []


def test_keys_pressed_just_before_a_secret_is_asked_for_belong_to_it() -> None:
    call = active(PLAN)
    press(call, "42", 2.0)
    call.receive(ev.ResponseCreated("r1", ""), 2.1)
    call.receive(done("r1", ev.FunctionCall("c1", "collect_digits", '{"max_digits": 4, "secure": true}')), 2.1)
    commands = press(call, "71", 3.0)
    assert only(commands, cmd.KeepSecret) == [cmd.KeepSecret("s1", "4271")]
    assert only(commands + until(call, 9.0), cmd.CreateItem) == []


def test_keys_pressed_before_a_secret_is_asked_for_may_complete_it() -> None:
    call = active(PLAN)
    press(call, "4271", 2.0)
    call.receive(ev.ResponseCreated("r1", ""), 2.1)
    secret = ev.FunctionCall("c1", "collect_digits", '{"max_digits": 4, "secure": true}')
    commands = call.receive(done("r1", secret), 2.1)
    assert only(commands, cmd.KeepSecret) == [cmd.KeepSecret("s1", "4271")]
    assert outputs(call.receive(ev.SecretKept("s1", "vault_x"), 2.2)) == [{"token": "vault_x", "length": 4}]


def test_a_vault_that_takes_nothing_is_told_to_the_model() -> None:
    call = collecting('{"max_digits": 4, "secure": true}')
    press(call, "4271", 3.0)
    assert outputs(call.receive(ev.SecretKept("s1", ""), 3.1)) == [{"error": "the vault is not available"}]


def test_audio_kept_for_later_is_hidden_too() -> None:
    call = collecting('{"max_digits": 4, "secure": true}')
    ask(call, "c9", Say("Please wait.", interruptible=False), 2.5)
    for _ in range(20):
        call.receive(ev.CallerAudio(speech(20)), 2.6)
    call.receive(ev.ResponseCreated("r2", "w1"), 2.7)
    kept = only(call.receive(done("r2"), 2.7), cmd.AppendAudio)
    assert set(b"".join(base64.b64decode(append.payload) for append in kept)) == {0xFF}


# --- keys towards the far end -------------------------------------------------------------------------


def test_keys_are_sent_once_nothing_plays_and_what_follows_waits_for_them() -> None:
    call = speaking(PLAN, 1000)
    assert only(ask(call, "c1", PressKeys("12#"), 2.1), cmd.SendDigits) == []
    sent = quiet(call, 3.0) + until(call, 3.01)
    assert only(sent, cmd.SendDigits) == [cmd.SendDigits("12#")]
    assert played_ms(answer(call, "r2", "a2", 500, 3.1)) == 0
    assert played_ms(until(call, 3.59)) == 0
    assert played_ms(until(call, 3.61)) > 0


def test_the_model_may_press_keys_and_is_told_when_it_asks_for_nonsense() -> None:
    call = active(PLAN)
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    good = ev.FunctionCall("c1", "send_digits", '{"digits": "12#"}')
    bad = ev.FunctionCall("c2", "send_digits", '{"digits": "hello"}')
    commands = call.receive(done("r1", good, bad), 2.0)
    assert outputs(commands) == [{"error": "digits must be 1 to 64 of 0-9 * # A-D"}, {"ok": True}]
    assert only(commands, cmd.SendDigits) == [cmd.SendDigits("12#")]


def test_the_model_is_told_of_keys_once_they_are_pressed() -> None:
    call = speaking(PLAN, 1000)
    call.receive(ev.ResponseCreated("r2", ""), 2.0)
    keys = ev.FunctionCall("c1", "send_digits", '{"digits": "12#"}')
    assert outputs(call.receive(done("r2", keys), 2.1)) == []
    assert outputs(quiet(call, 3.0) + until(call, 3.01)) == [{"ok": True}]


def test_keys_are_pressed_before_the_line_goes_down() -> None:
    call = active(PLAN)
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    keys = ev.FunctionCall("c1", "send_digits", '{"digits": "12#"}')
    commands = call.receive(done("r1", keys, ev.FunctionCall("c2", "hang_up", "{}")), 2.0)
    assert only(commands, cmd.SendDigits) == [cmd.SendDigits("12#")]
    assert only(until(call, 2.59), cmd.HangUp) == []
    assert len(only(until(call, 20.0), cmd.HangUp)) == 1
