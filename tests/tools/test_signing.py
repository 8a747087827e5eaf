"""Standard Webhooks signatures: ours and the reference library's believe each other, and nothing else is believed."""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from standardwebhooks import Webhook

from gateway.agents import AgentsFile
from gateway.errors import ConfigError
from gateway.tools.signing import (
    SignatureRefused,
    keys_of,
    retell_signature,
    secret_problems,
    sign,
    signing_keys,
    verify,
)

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
KEYS = signing_keys(SecretStr(SECRET))
BODY = b'{"result": "gr\xc3\xbcn"}'

# The vector of the specification's libraries (standard-webhooks/standard-webhooks, their tests of `sign`).
PUBLISHED_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
PUBLISHED_AT = datetime.fromtimestamp(1614265330, UTC)
PUBLISHED_BODY = '{"test": 2432232314}'
PUBLISHED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def signed(
    body: bytes = BODY, *, secret: str = SECRET, at: datetime | None = None, message_id: str = "msg_1"
) -> dict[str, str]:
    """As a business signs with the reference library."""
    at = at or datetime.now(UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, at, body.decode()),
    }


def refusal(headers: Mapping[str, str], body: bytes = BODY) -> str:
    with pytest.raises(SignatureRefused) as caught:
        verify(KEYS, headers, body)
    return str(caught.value)


def test_the_reference_library_believes_us() -> None:
    headers = sign(KEYS, "msg_1", BODY.decode())
    assert Webhook(SECRET).verify(BODY, headers) == {"result": "grün"}


def test_we_believe_the_reference_library() -> None:
    verify(KEYS, signed(), BODY)


@given(st.text(max_size=200), st.text(st.characters(codec="ascii", exclude_characters="\r\n\0 "), min_size=1))
def test_any_text_is_believed_in_both_directions(text: str, message_id: str) -> None:
    headers = sign(KEYS, message_id, text)
    Webhook(SECRET).verify(text, headers, json_parse=False)
    verify(KEYS, headers, text.encode())
    verify(KEYS, signed(text.encode(), message_id=message_id), text.encode())


def test_the_published_vector_is_believed() -> None:
    headers = {"webhook-id": PUBLISHED_ID, "webhook-timestamp": "1614265330", "webhook-signature": PUBLISHED}
    assert Webhook(SECRET).sign(PUBLISHED_ID, PUBLISHED_AT, PUBLISHED_BODY) == PUBLISHED
    verify(KEYS, headers, PUBLISHED_BODY.encode(), now=PUBLISHED_AT)


def test_either_key_is_believed_while_rotating() -> None:
    both = signing_keys(SecretStr(f"{SECRET} {OTHER}"))
    verify(both, signed(secret=SECRET), BODY)
    verify(both, signed(secret=OTHER), BODY)
    ours = sign(both, "msg_1", BODY.decode())
    assert ours["webhook-signature"].count("v1,") == 2
    for secret in (SECRET, OTHER):
        Webhook(secret).verify(BODY, ours)
        verify(signing_keys(SecretStr(secret)), ours, BODY)


def test_a_raw_secret_is_its_bytes() -> None:
    headers = sign(signing_keys(SecretStr(f"{SECRET} a-raw-secret")), "msg_1", '{"a":1}')
    assert Webhook(b"a-raw-secret").verify('{"a":1}', headers) == {"a": 1}


@pytest.mark.parametrize(
    ("changed", "body", "reason"),
    [
        ({"webhook-id": "msg_2"}, BODY, "no signature of webhook-signature matches"),
        ({}, BODY + b" ", "no signature of webhook-signature matches"),
        ({"webhook-id": "msg_\ud800"}, BODY, "webhook-id is not ASCII"),
        ({}, b"\xff", "the body is not UTF-8"),
        ({"webhook-signature": "v1,AAAA"}, BODY, "no signature of webhook-signature matches"),
        ({"webhook-signature": "v1"}, BODY, "no signature of webhook-signature matches"),
        ({"webhook-signature": "v1,ü v1,\ud800"}, BODY, "no signature of webhook-signature matches"),
        ({"webhook-signature": ""}, BODY, "webhook-id, webhook-timestamp and webhook-signature are needed"),
        ({"webhook-timestamp": "soon"}, BODY, "webhook-timestamp is not a number of seconds"),
        ({"webhook-timestamp": "nan"}, BODY, "webhook-timestamp is not a number of seconds"),
        ({"webhook-timestamp": "-1"}, BODY, "webhook-timestamp is not a number of seconds"),
        ({"webhook-timestamp": "1" * 400}, BODY, "webhook-timestamp is not a number of seconds"),
        ({"webhook-timestamp": "\u0661\u0662"}, BODY, "webhook-timestamp is not a number of seconds"),
    ],
)
def test_what_was_changed_is_refused(changed: dict[str, str], body: bytes, reason: str) -> None:
    assert refusal(signed() | changed, body) == reason


def test_a_changed_timestamp_is_refused() -> None:
    headers = signed()
    headers["webhook-timestamp"] = str(int(headers["webhook-timestamp"]) - 1)
    assert refusal(headers) == "no signature of webhook-signature matches"


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_all_three_headers_are_needed(missing: str) -> None:
    headers = signed()
    del headers[missing]
    assert refusal(headers) == "webhook-id, webhook-timestamp and webhook-signature are needed"


def test_another_secret_is_refused() -> None:
    assert refusal(signed(secret=OTHER)) == "no signature of webhook-signature matches"


@pytest.mark.parametrize(("skew_s", "believed"), [(-301, False), (-299, True), (299, True), (301, False)])
def test_clocks_may_differ_by_five_minutes(skew_s: int, believed: bool) -> None:
    now = datetime(2026, 11, 22, 10, tzinfo=UTC)
    headers = signed(at=now + timedelta(seconds=skew_s))
    if believed:
        verify(KEYS, headers, BODY, now=now)
        return
    with pytest.raises(SignatureRefused, match=f"too {'new' if skew_s > 0 else 'old'}"):
        verify(KEYS, headers, BODY, now=now)


def test_a_good_signature_is_found_among_others() -> None:
    good = signed()["webhook-signature"]
    verify(KEYS, signed() | {"webhook-signature": f"v1a,xyz v1,%%% junk {good}"}, BODY)


def test_an_unknown_version_is_not_taken_for_ours() -> None:
    digest = signed()["webhook-signature"].removeprefix("v1,")
    assert refusal(signed() | {"webhook-signature": f"v1a,{digest} v2,{digest} {digest}"}).startswith("no signature")


def test_many_signatures_are_not_all_tried() -> None:
    good = signed()["webhook-signature"]
    assert refusal(signed() | {"webhook-signature": "v1,AAAA " * 16 + good}).startswith("no signature")


def test_header_names_may_be_in_any_case() -> None:
    verify(KEYS, {name.title(): value for name, value in signed().items()}, BODY)


@pytest.mark.parametrize(
    ("secret", "sentence"),
    [
        ("whsec_!", "the signing secret begins with whsec_ but is not base64 after that"),
        ("whsec_", "the signing secret is empty"),
        ("  ", "the signing secret is empty"),
    ],
)
def test_an_unusable_secret_is_a_sentence(secret: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=f"^{sentence}$"):
        signing_keys(SecretStr(secret))


def test_a_reference_goes_before_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ORDERS_SECRET", OTHER)
    (tmp_path / "secret").write_text(OTHER + "\n")
    for ref in ("env:ORDERS_SECRET", f"file:{tmp_path}/secret"):
        verify(keys_of(ref, SecretStr(SECRET)), signed(secret=OTHER), BODY)
    verify(keys_of(None, SecretStr(SECRET)), signed(), BODY)
    with pytest.raises(ConfigError, match="^no signing secret"):
        keys_of(None, None)


def test_tools_that_could_not_sign_are_known_before_serving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORDERS_SECRET", raising=False)
    tools = [
        {"name": name, "description": "x", "url": "https://api.example.com", "secret": secret}
        for name, secret in (("a", None), ("b", "env:ORDERS_SECRET"))
    ]
    agents = AgentsFile.model_validate({"agents": {"support": {"instructions": "x", "tools": tools}}})
    assert secret_problems(agents, None) == [
        "tool support/a: no signing secret; set the tool's secret or GATEWAY_WEBHOOK_SECRET",
        "tool support/b: the environment variable ORDERS_SECRET is not set",
    ]
    monkeypatch.setenv("ORDERS_SECRET", SECRET)
    assert secret_problems(agents, SecretStr("raw")) == []


def test_retell_signs_body_and_milliseconds_with_the_text_of_the_key() -> None:
    at = datetime(2026, 11, 22, 10, tzinfo=UTC)
    value = retell_signature(SecretStr("key_abc key_old"), '{"name":"ü"}', now=at)
    at_ms = int(at.timestamp()) * 1000
    digest = hmac.new(b"key_abc", f'{{"name":"ü"}}{at_ms}'.encode(), hashlib.sha256).hexdigest()
    assert value == f"v={at_ms},d={digest}"
    with pytest.raises(ConfigError):
        retell_signature(SecretStr(" "), "{}")
