"""Who is believed, with two oracles: OpenAI's SDK, which checks, and the Standard Webhooks library, which signs."""

import base64
import json
import time
from datetime import UTC, datetime

import pytest
from openai import OpenAI
from standardwebhooks import Webhook

from gateway.carriers.openai_sip.signature import TOLERANCE_S, WebhookCheck, secret_problem
from gateway.errors import ConfigError
from gateway.simulator.openai_sip.webhooks import incoming_body, signed

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes len").decode()
BODY = incoming_body("evt_1", "rtc_0001", [{"name": "From", "value": "sip:+14155550101@x"}], 1795327200)


@pytest.fixture(scope="module")
def check() -> WebhookCheck:
    return WebhookCheck(SECRET)


def test_what_the_simulator_signs_is_what_both_oracles_take(check: WebhookCheck) -> None:
    headers = signed(BODY, SECRET, "wh_1")
    assert check.passes(BODY, headers)
    event = OpenAI(api_key="none", webhook_secret=SECRET).webhooks.unwrap(BODY, headers)
    assert event.type == "realtime.call.incoming"
    assert event.data.call_id == "rtc_0001"
    assert Webhook(SECRET).verify(BODY, headers) == json.loads(BODY)


def test_what_the_standard_library_signs_is_taken(check: WebhookCheck) -> None:
    now = int(time.time())
    signature = Webhook(SECRET).sign("wh_1", datetime.fromtimestamp(now, UTC), BODY.decode())
    assert signature == signed(BODY, SECRET, "wh_1", now)["webhook-signature"]
    headers = {"webhook-id": "wh_1", "webhook-timestamp": str(now), "webhook-signature": f"v1,bm8= {signature}"}
    assert check.passes(BODY, headers), "any signature of several may match: secrets are rotated"


@pytest.mark.parametrize("off_s", [-TOLERANCE_S - 2, TOLERANCE_S + 2, -86_400])
def test_a_replay_from_another_time_is_refused(check: WebhookCheck, off_s: int) -> None:
    assert not check.passes(BODY, signed(BODY, SECRET, "wh_1", int(time.time()) + off_s))


@pytest.mark.parametrize("off_s", [-TOLERANCE_S + 5, TOLERANCE_S - 5, 0])
def test_clocks_may_differ_a_little(check: WebhookCheck, off_s: int) -> None:
    assert check.passes(BODY, signed(BODY, SECRET, "wh_1", int(time.time()) + off_s))


def test_another_secret_body_id_or_time_is_refused(check: WebhookCheck) -> None:
    headers = signed(BODY, SECRET, "wh_1")
    other = "whsec_" + base64.b64encode(b"b secret of thirty-two bytes len").decode()
    assert not check.passes(BODY, signed(BODY, other, "wh_1"))
    assert not check.passes(BODY + b" ", headers)
    assert not check.passes(BODY, {**headers, "webhook-id": "wh_2"})
    assert not check.passes(BODY, {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)})


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_header_is_refused(check: WebhookCheck, missing: str) -> None:
    headers = signed(BODY, SECRET, "wh_1")
    del headers[missing]
    assert not check.passes(BODY, headers)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("webhook-timestamp", "soon"),
        ("webhook-timestamp", "9" * 5000),
        ("webhook-timestamp", ""),
        ("webhook-signature", ""),
        ("webhook-signature", "v1,"),
        ("webhook-signature", "v1,é"),
        ("webhook-signature", "v1,a " * 1000),
        ("webhook-id", "x" * 5000),
    ],
)
def test_hostile_headers_are_refused_without_an_error(check: WebhookCheck, name: str, value: str) -> None:
    assert not check.passes(BODY, {**signed(BODY, SECRET, "wh_1"), name: value})


def test_a_body_that_is_no_text_is_refused(check: WebhookCheck) -> None:
    body = b"\xff\xfe"
    assert not check.passes(body, signed(body, SECRET, "wh_1"))


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!!!", "whsec_c2hvcnQ=", "short"])
def test_a_secret_that_proves_nothing_is_refused_at_start(secret: str) -> None:
    assert secret_problem(secret)
    with pytest.raises(ConfigError, match="OPENAI_WEBHOOK_SECRET must"):
        WebhookCheck(secret)
