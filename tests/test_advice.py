"""What `gateway check` says about how agents behave."""

from collections.abc import Mapping

import pytest
from pydantic import SecretStr

from gateway.advice import CheckResult, advice
from gateway.agents import AgentsFile
from gateway.config import Settings

TRANSFER = {"targets": {"desk": {"number": "+14155550100", "mode": "warm"}}}
TWILIO = {"twilio_account_sid": "AC" + "0" * 32, "twilio_auth_token": SecretStr("f" * 32)}
KEY = {"api_keys": (SecretStr("desk-key-0123456789"),)}
FAR = "https://voice.example.com"


def said(agent: Mapping[str, object], **settings: object) -> list[CheckResult]:
    file = AgentsFile.model_validate({"agents": {"a": {"instructions": "x", **agent}}})
    results = list(advice(Settings.model_validate({"public_url": FAR, **settings}), file))
    for result in results:
        assert bool(result.fix) == (not result.ok or result.warning)
        assert "+1415" not in repr(result)
    return results


def only(agent: Mapping[str, object], **settings: object) -> tuple[str, bool, bool]:
    (result,) = said(agent, **settings)
    return result.detail, result.ok, result.warning


def test_a_plain_agent_gets_no_advice() -> None:
    assert said({}) == []
    assert said({"early_reply": True, "idle": True, "barge_in": "reversible", "turn_detection": "patient"}) == []


def test_a_transfer_that_can_never_work_is_a_failure_but_not_where_nobody_calls() -> None:
    detail = "the carrier cannot be asked: every transfer will fail"
    assert only({"transfer": TRANSFER}) == (detail, False, False)
    assert only({"transfer": TRANSFER}, public_url="http://127.0.0.1:8080") == (detail, True, True)
    assert only({"transfer": TRANSFER}, twilio_auth_token=TWILIO["twilio_auth_token"]) == (detail, False, False)
    assert only({"transfer": TRANSFER}, **TWILIO) == ("targets: 1", True, False)


def test_an_api_key_of_the_carrier_is_enough_for_a_transfer() -> None:
    keys = {"twilio_api_key_sid": "SK" + "0" * 32, "twilio_api_key_secret": SecretStr("s")}
    assert only({"transfer": TRANSFER}, twilio_account_sid=TWILIO["twilio_account_sid"], **keys)[1:] == (True, False)


def test_a_target_that_is_the_gateway_itself_is_a_warning() -> None:
    results = said({"transfer": TRANSFER, "numbers": ["+14155550100"]}, **TWILIO)
    assert results[1].detail == "its number is that of agent a" and results[1].warning


def test_a_warm_target_that_a_machine_can_accept_is_a_warning() -> None:
    targets = {"desk": {"number": "+14155550100", "mode": "warm", "accept_key": ""}}
    results = said({"transfer": {"targets": targets}}, **TWILIO)
    assert [result.detail for result in results if result.warning] == [
        "whoever answers has accepted, machines too",
    ]


def test_tokens_that_nobody_can_redeem_are_a_warning() -> None:
    assert only({"collect_digits": True})[1:] == (True, True)
    assert said({"collect_digits": True}, **KEY) == []


def test_turns_that_only_the_api_ends_are_a_warning_and_without_a_key_a_failure() -> None:
    silent = {"turn_detection": {"type": "manual", "key": None}}
    assert only(silent, **KEY) == ("only commands of the API end the caller's turns", True, True)
    assert only(silent)[1] is False
    assert said({"turn_detection": "manual"}) == []
    assert said({"turn_detection": {"type": "manual", "key": None, "own_ear": True}}) == []


def test_two_who_speak_up_in_a_silence_are_a_warning() -> None:
    turns = {"type": "server_vad", "idle_timeout_ms": 6000}
    assert only({"turn_detection": turns, "idle": True})[1:] == (True, True)
    assert said({"turn_detection": turns}) == []


@pytest.mark.parametrize(
    ("agent", "detail"),
    [
        ({"transcription": None}, "without transcription only the length of the caller's speech is judged"),
        ({"language": "de"}, "the words that do not interrupt are English, and the language is de"),
    ],
)
def test_a_reversible_barge_in_that_cannot_judge_words_is_a_warning(agent: dict[str, object], detail: str) -> None:
    assert only({"barge_in": "reversible", **agent}) == (detail, True, True)


def test_words_of_ones_own_language_need_no_advice() -> None:
    assert said({"barge_in": {"backchannels": ["ja", "genau"]}, "language": "de"}) == []
    assert said({"barge_in": "reversible", "language": "en"}) == []


TOOL = {"name": "book", "description": "d", "url": "https://a.example/b", "idempotent": True}


def test_callbacks_that_cannot_be_placed_are_a_failure_but_not_where_nobody_calls() -> None:
    agent = {"schedule_callback": True}
    detail = "callers are promised calls that cannot be placed"
    assert only(agent) == (detail, False, False)
    assert only(agent, **TWILIO) == (detail, False, False)
    assert only(agent, public_url="http://127.0.0.1:8080") == (detail, True, True)
    assert said(agent, **TWILIO, dial_countries="US") == []


def test_languages_that_change_nothing_or_lead_only_away_are_a_warning() -> None:
    assert only({"set_language": ["en"], "transcription": None})[0].startswith("without transcription")
    detail = "there is no way back to de, in which calls begin"
    assert only({"set_language": ["en", "fr"], "language": "de"}) == (detail, True, True)
    assert said({"set_language": ["en", "de"], "language": "de"}) == []


def test_a_write_that_nobody_asks_for_again_is_a_warning() -> None:
    tools = [{**TOOL, "name": f"t{index}", "idempotent": False} for index in range(7)]
    detail = "of t0, t1, t2, t3, t4 and 2 more a lost answer stays unknown: nobody asks again"
    assert only({"tools": tools}) == (detail, True, True)
    assert said({"tools": [{**TOOL, "idempotent": False, "effect": "read"}, {**TOOL, "name": "b"}]}) == []


def test_a_confirmation_that_is_something_else_too_is_a_warning() -> None:
    tool = {**TOOL, "requires_confirmation": "key"}
    turns = {"type": "manual", "key": "1"}
    detail = "the key 1 ends the caller's turn and confirms book"
    assert only({"tools": [tool], "turn_detection": turns}) == (detail, True, True)
    assert said({"tools": [tool], "turn_detection": "manual"}) == []
    assert only({"tools": [{**tool, "effect": "read"}]})[0] == "callers are asked before book, which changes nothing"


def test_claims_that_are_corrected_and_never_found_are_a_warning() -> None:
    assert only({"correct_claims": True, "tools": [TOOL]}) == ("correct_claims has nothing to look for", True, True)
    assert said({"correct_claims": True, "tools": [{**TOOL, "claims": ["I have booked"]}]}) == []
    server = {"name": "s", "command": "c", "overrides": {"t": {"claims": ["I have booked"]}}}
    assert said({"correct_claims": True, "mcp": [server]}) == []


def test_variables_that_nobody_tells_in_time_are_a_warning() -> None:
    greeting = {"greeting": "Hello {{name}}, you call from {{caller}}."}
    assert only(greeting) == ("nobody tells name before the greeting; it is said without", True, True)
    assert said({**greeting, "lookup": {"url": "https://a.example/l"}}) == []
    waiting = {"tools": [{**TOOL, "speak_while_waiting": "One moment, {{name}}."}]}
    assert only(waiting)[0] == "name cannot be said while a function runs; it is said without"
