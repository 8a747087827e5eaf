"""What is said of agents that OpenAI's SIP endpoint reaches, before anybody calls."""

from collections.abc import Mapping

import pytest
from pydantic import SecretStr

from gateway.advice import advice
from gateway.agents import AgentsFile
from gateway.config import Settings
from gateway.findings import CheckResult
from gateway.serve import _warnings
from gateway.sipadvice import sip_advice

SECRET = "whsec_c2lwLXdlYmhvb2stc2VjcmV0LW9mLXRlc3Rz"
SIP = {"openai_webhook_secret": SecretStr(SECRET), "openai_api_key": SecretStr("sk-test")}
PLAIN = {"instructions": "x", "default": True}


def file(agent: Mapping[str, object]) -> AgentsFile:
    return AgentsFile.model_validate({"agents": {"a": {**PLAIN, **agent}}})


def said(agent: Mapping[str, object], **settings: object) -> list[CheckResult]:
    return list(sip_advice(Settings.alone({"public_url": "https://voice.example.com", **settings}), file(agent)))


def test_without_the_secret_or_with_a_plain_agent_nothing_is_said() -> None:
    everything = {"recording": True, "send_digits": True}
    assert said(everything) == []
    assert said({}, **SIP) == []
    assert said({**everything, "default": False, "numbers": []}, **SIP) == [], "nobody reaches it by telephone"


@pytest.mark.parametrize(
    ("agent", "lost"),
    [
        ({"recording": True}, "nothing is recorded"),
        ({"collect_digits": True}, "secure entry is refused"),
        ({"send_digits": True}, "send_digits is not offered"),
        ({"transfer": {"targets": {"desk": {"number": "+14155550100", "mode": "warm"}}}}, "desk cannot be reached"),
        ({"barge_in": "reversible"}, "every start of speech interrupts, as with barge_in: immediate"),
        ({"early_reply": True}, "early_reply is off"),
        ({"turn_detection": {"type": "manual", "key": "#"}}, "server_vad instead"),
        ({"greeting_interruptible": False}, "greeting can be interrupted"),
        ({"fallback": {"say": "Sorry."}}, "the fallback is not heard"),
    ],
)
def test_what_would_silently_not_work_is_a_warning(agent: Mapping[str, object], lost: str) -> None:
    (warning,) = said(agent, **SIP)
    assert (warning.ok, warning.warning) == (True, True)
    assert lost in warning.detail
    assert "README" in warning.fix


def test_a_blind_transfer_needs_no_carrier_that_dials() -> None:
    settings = Settings.alone({"public_url": "https://voice.example.com", **SIP})
    agent = {"transfer": {"targets": {"desk": {"number": "+14155550100", "mode": "blind"}}}}
    assert [result.detail for result in advice(settings, file(agent))] == ["targets: 1"]


def test_whether_the_door_opens_is_left_to_the_door() -> None:
    assert said({}, openai_webhook_secret=SecretStr("whsec_"), openai_api_key=None) == []


def test_without_a_default_agent_a_project_in_the_to_header_reaches_nobody() -> None:
    (warning,) = said({"default": False, "numbers": ["+14155550199"]}, **SIP)
    assert "reaches no agent" in warning.detail


def test_serve_says_the_same_at_its_start() -> None:
    settings = Settings.alone({"public_url": "https://voice.example.com", **SIP})
    (line,) = _warnings(settings, file({"recording": True}))
    assert line.startswith("openai sip of a: on calls by OpenAI SIP: nothing is recorded")
