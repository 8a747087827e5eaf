"""Both of SignalWire's signatures, in every form that is documented, and what no request may talk itself out of.

There is no package of SignalWire's among the dependencies; its documentation and a recorded request are the judges.
"""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers, MultiDict

from gateway.carriers.signalwire.signature import Algorithm, SignatureCheck, bearer
from gateway.carriers.upgradetokens import UpgradeTokens
from tests.clock import run

RECORDED = Path(__file__).parents[2] / "vectors" / "signatures.jsonl"
VECTORS = [v for line in RECORDED.read_text().splitlines() if (v := json.loads(line)["msg"])["carrier"] == "signalwire"]
PUBLIC, KEY, PATH = "https://gw.example.com", "PSK_test_signing_key", "/signalwire/voice?again=1"
BODY = urlencode([("CallSid", "c1"), ("To", "+14155550199"), ("Tag", "b"), ("Tag", "a"), ("Tag", "a")]).encode()
SHA1, SHA256 = "X-SignalWire-Signature", "X-SignalWire-Sha256-Signature"


def check(
    algorithm: Algorithm = "sha1", *, key: str = KEY, public: str = PUBLIC, unsigned: bool = False
) -> SignatureCheck:
    return SignatureCheck(key, public, algorithm, UpgradeTokens(), allow_unsigned=unsigned)


def raw(algorithm: str, url: str = PUBLIC + PATH, body: bytes = BODY, key: str = KEY) -> str:
    return hmac.new(key.encode(), url.encode() + body, algorithm).hexdigest()


def sorted_form(url: str = PUBLIC + PATH, body: bytes = BODY, key: str = KEY) -> str:
    pairs = sorted(parse_qsl(body.decode(), keep_blank_values=True), key=lambda pair: pair[0])
    signed = url + "".join(name + value for name, value in pairs)
    return base64.b64encode(hmac.new(key.encode(), signed.encode(), hashlib.sha1).digest()).decode()


def passes(checked: SignatureCheck, headers: dict[str, str], path: str = PATH, body: bytes = BODY) -> bool:
    form = MultiDict(parse_qsl(body.decode(), keep_blank_values=True))
    return checked.webhook(path, body, form, Headers(headers))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: str(v["kind"]))
@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_recorded_requests_are_judged_as_recorded(vector: dict[str, Any], algorithm: Algorithm) -> None:
    path, body = vector["url"].removeprefix(PUBLIC), vector["body"].encode()
    assert passes(check(algorithm, key=vector["secret"]), vector["headers"], path, body) is vector["expect_valid"]
    assert not passes(check(algorithm, key="another"), vector["headers"], path, body)
    assert not passes(check(algorithm, key=vector["secret"]), vector["headers"], path, body + b" ")


def test_the_older_header_counts_in_both_of_its_forms() -> None:
    assert passes(check(), {SHA1: raw("sha1")})
    assert passes(check(), {SHA1: sorted_form()})


def test_a_name_that_is_repeated_counts_every_time_and_in_its_order() -> None:
    turned = BODY.replace(b"Tag=b&Tag=a", b"Tag=a&Tag=b")
    assert turned != BODY
    assert not passes(check(), {SHA1: sorted_form()}, body=turned)
    assert not passes(check(), {SHA1: sorted_form()}, body=BODY.removesuffix(b"&Tag=a"))


def test_with_sha256_configured_nothing_else_will_do() -> None:
    strong = check("sha256")
    assert passes(strong, {SHA256: raw("sha256")})
    assert passes(strong, {SHA256: raw("sha256"), SHA1: "anything"})
    assert not passes(strong, {SHA1: sorted_form()})
    assert not passes(strong, {SHA1: raw("sha1"), SHA256: ""})
    assert not passes(strong, {SHA256: raw("sha1")})


def test_what_a_request_brings_can_only_be_held_against_it() -> None:
    assert passes(check(), {SHA1: sorted_form(), SHA256: raw("sha256")})
    assert not passes(check(), {SHA1: sorted_form(), SHA256: raw("sha256", body=b"x")})
    assert not passes(check(), {SHA1: sorted_form(), SHA256: ""})
    assert not passes(check(), {SHA256: raw("sha256")})
    assert not passes(check(), {SHA1: raw("sha256")})


@pytest.mark.parametrize(
    ("public", "signed"),
    [
        ("https://gw.example.com", "https://gw.example.com:443"),
        ("https://gw.example.com:443", "https://gw.example.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1"),
        ("http://gw.example.com", "http://gw.example.com:80"),
    ],
)
def test_the_port_may_be_said_or_not(public: str, signed: str) -> None:
    for algorithm, header in (("sha1", SHA1), ("sha256", SHA256)):
        sent = {header: raw(algorithm, signed + PATH)}
        assert passes(check("sha1" if algorithm == "sha1" else "sha256", public=public), sent)
    assert not passes(check(public=public), {SHA1: raw("sha1", signed + "1" + PATH)})


def test_another_url_is_another_signature() -> None:
    assert not passes(check(), {SHA1: raw("sha1")}, path="/signalwire/voice?again=2")
    assert not passes(check(), {SHA1: raw("sha1", "https://elsewhere.example.com" + PATH)})


def test_unsigned_is_taken_only_where_that_is_allowed_and_only_without_any_signature() -> None:
    assert not passes(check(), {})
    assert passes(check(unsigned=True), {}) and passes(check("sha256", unsigned=True), {})
    for header in (SHA1, SHA256):
        assert not passes(check(unsigned=True), {header: "x"})
        assert not passes(check("sha256", unsigned=True), {header: ""})


@given(st.text(st.characters(codec="latin-1", exclude_categories=["C"]), max_size=300))
def test_any_header_is_refused_without_an_error(value: str) -> None:
    for algorithm in ("sha1", "sha256"):
        assert not passes(check("sha1" if algorithm == "sha1" else "sha256"), {SHA1: value, SHA256: value})


@pytest.mark.parametrize(
    ("value", "token"),
    [
        ("Bearer tok9f3c1d", "tok9f3c1d"),
        ("bearer tok9f3c1d", "tok9f3c1d"),
        ("Basic dG9r", ""),
        ("Bearer", ""),
        ("tok9f3c1d", ""),
        ("Bearer " + "x" * 5000, "x" * 193),
    ],
)
def test_the_token_is_what_follows_the_word_bearer(value: str, token: str) -> None:
    assert bearer(Headers({"authorization": value})) == token


def test_an_upgrade_needs_a_token_that_was_given_out_and_nothing_makes_up_for_it() -> None:
    async def main() -> None:
        tokens = UpgradeTokens()
        tokens.add("tok9f3c1d")
        checked = SignatureCheck(KEY, PUBLIC, "sha1", tokens, allow_unsigned=True)
        path = "/signalwire/media"
        assert checked.upgrade(path, Headers({"authorization": "Bearer tok9f3c1d"}))
        signed = raw("sha1", "wss://gw.example.com" + path, b"")
        for headers in ({}, {"authorization": "Bearer tok"}, {"authorization": "Bearer "}, {SHA1: signed}):
            assert not checked.upgrade(path, Headers(headers))

    run(main())
