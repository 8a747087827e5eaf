"""What is said of doors that open and yet do not do what their owner may think."""

import importlib
import socket

import pytest

from gateway.agents import AgentsFile
from gateway.carrierconfig import OPENED_BY, TRANSFERS_BY
from gateway.carriers.twilio import CAPABILITIES
from gateway.config import Settings
from gateway.dooradvice import door_advice
from gateway.findings import CheckResult
from gateway.serve import _warnings

FAR = "https://voice.example.com"
LONG = "p" * 16
PLAIN = AgentsFile.model_validate({"agents": {"a": {"instructions": "x", "default": True}}})
DESK = {"targets": {"desk": {"number": "+14155550100"}}}
PROMISING = AgentsFile.model_validate({"agents": {"a": {"instructions": "x", "default": True, "transfer": DESK}}})


def said(agents: AgentsFile | None = PLAIN, /, **settings: object) -> list[CheckResult]:
    results = list(door_advice(Settings.alone({"public_url": FAR, **settings}), agents))
    assert all(result.ok and result.warning and result.fix for result in results)
    return results


def test_of_a_sound_set_up_nothing_is_said() -> None:
    assert said(twilio_auth_token="t", openai_webhook_secret="x") == []


def test_a_public_console_that_nobody_can_sign_in_to_is_told_in_check_and_at_serve() -> None:
    (warning,) = said(browser_phone=True)
    assert warning.detail.startswith("nobody can sign in")
    settings = Settings.alone({"public_url": FAR, "browser_phone": True})
    assert list(_warnings(settings, PLAIN)) == [f"door browser: {warning.detail}"]
    assert said(browser_phone=True, api_keys="a-key-of-16-characters") == []
    assert said(browser_phone=True, public_url="http://127.0.0.1:8080") == []


@pytest.mark.parametrize(
    "more",
    [
        {"signalwire_signing_key": "short"},
        {"plivo_auth_token": "short"},
        {"vonage_signature_secret": "short"},
        {"jambonz_webhook_secret": "short"},
        {"genesys_api_key": LONG, "genesys_client_secret": "short"},
        {"genesys_api_key": "short", "genesys_client_secret": LONG},
        {"asterisk_password": "short", "asterisk_ari_url": "http://pbx:8088", "asterisk_ari_password": "x"},
    ],
)
def test_a_secret_that_can_be_guessed_is_told(more: dict[str, object]) -> None:
    (name,) = [name for name, value in more.items() if value == "short"]
    (warning,) = said(**more)
    assert warning.name == f"secret GATEWAY_{name.upper()}"
    assert said(**{**more, name: LONG}) == []


def test_without_ari_calls_of_asterisk_are_only_taken() -> None:
    (warning,) = said(asterisk_password=LONG)
    assert "cannot be transferred" in warning.detail and "will fail" not in warning.detail
    (warning,) = said(PROMISING, asterisk_password=LONG)
    assert warning.detail.endswith("every transfer by a will fail")
    (warning,) = said(None, audiosocket_listen="127.0.0.1:9092")
    assert warning.name == "asterisk ari"


def test_every_package_says_what_it_can_do_and_what_it_needs_to_transfer() -> None:
    assert TRANSFERS_BY.keys() == OPENED_BY.keys()
    for name in (*OPENED_BY, "browser"):
        assert list(importlib.import_module(f"gateway.carriers.{name}").CAPABILITIES) == list(CAPABILITIES), name


def test_a_model_on_this_machine_that_does_not_run_is_told_at_the_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as model:
        port = model.getsockname()[1]
        settings = Settings.alone({"public_url": FAR, "model_url": f"ws://127.0.0.1:{port}/v1"})
        assert list(_warnings(settings, PLAIN)) == []
    (line,) = _warnings(settings, PLAIN)
    assert line.startswith(f"GATEWAY_MODEL_URL: nothing listens at 127.0.0.1:{port}: ")
    elsewhere = Settings.alone({"public_url": FAR, "model_url": "wss://model.invalid/v1"})
    assert list(_warnings(elsewhere, PLAIN)) == []
