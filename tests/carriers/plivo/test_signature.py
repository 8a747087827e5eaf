"""Signature V3, with Plivo's own SDK as the judge."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plivo.utils import validate_v3_signature
from plivo.utils.signature_v3 import construct_get_url, get_signature_v3

from gateway.carriers.plivo.signature import SignatureCheck, sign

RECORDED = Path(__file__).parents[2] / "vectors" / "signatures.jsonl"
VECTORS = [v for line in RECORDED.read_text().splitlines() if (v := json.loads(line)["msg"])["carrier"] == "plivo"]
PUBLIC, TOKEN, NONCE = "https://gw.example.com", "plivo_test_auth_token", "12345678901234567890"
FORM = [("CallUUID", "0e2a6f3c"), ("From", "14155550101"), ("To", "14155550199"), ("CallStatus", "ringing")]
CHECK = SignatureCheck(TOKEN, PUBLIC)


def headers(signature: str, nonce: str = NONCE, name: str = "x-plivo-signature-v3") -> dict[str, str]:
    return {name: signature, "x-plivo-signature-v3-nonce": nonce}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: str(v["kind"]))
def test_recorded_requests_are_judged_as_recorded(vector: dict[str, Any]) -> None:
    check = SignatureCheck(vector["secret"], PUBLIC)
    given_headers = {name.lower(): value for name, value in vector["headers"].items()}
    form = parse_qsl(vector["body"])
    path = vector["url"].removeprefix(PUBLIC)
    assert check.webhook(vector["method"], path, form, given_headers) is vector["expect_valid"]
    other = SignatureCheck("another_token", PUBLIC)
    assert not other.webhook(vector["method"], path, form, given_headers)


WORDS = st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=1, max_size=8)
PAIRS = st.lists(st.tuples(WORDS, WORDS), max_size=5)


@given(st.sampled_from(["GET", "POST"]), PAIRS, PAIRS)
def test_what_we_compute_is_what_the_sdk_accepts(
    method: str, query: list[tuple[str, str]], form: list[tuple[str, str]]
) -> None:
    url = f"{PUBLIC}/plivo/answer" + ("?" + urlencode(query) if query else "")
    fields: dict[str, list[str]] = {}
    for name, value in form if method == "POST" else []:
        fields.setdefault(name, []).append(value)
    ours = sign(TOKEN, method, url, form if method == "POST" else [], NONCE)
    assert validate_v3_signature(method, url, NONCE, TOKEN, ours, fields)


@pytest.mark.parametrize("scheme", ["wss", "https", "http", "ws"])
@pytest.mark.parametrize("end", ["", "/websocket"])
@pytest.mark.parametrize("query", ["", "?a=1&b=%20x"])
def test_an_upgrade_signed_under_any_of_our_urls_is_taken(scheme: str, end: str, query: str) -> None:
    base = construct_get_url(f"{scheme}://gw.example.com/plivo/media{end}{query}", {}).decode()
    signature = get_signature_v3(TOKEN.encode(), base, NONCE).decode()
    assert CHECK.upgrade(f"/plivo/media{query}", headers(signature))


@pytest.mark.parametrize("url", ["wss://other.example.com/plivo/media", "wss://gw.example.com/plivo/media2"])
def test_an_upgrade_signed_for_somebody_else_is_refused(url: str) -> None:
    assert not CHECK.upgrade("/plivo/media", headers(sign(TOKEN, "GET", url, [], NONCE)))


def test_one_of_several_signatures_is_enough_also_the_main_accounts() -> None:
    good = sign(TOKEN, "POST", f"{PUBLIC}/plivo/answer", FORM, NONCE)
    assert CHECK.webhook("POST", "/plivo/answer", FORM, headers(f"AAAA, {good},BBBB"))
    assert CHECK.webhook("POST", "/plivo/answer", FORM, headers(good, name="x-plivo-signature-ma-v3"))
    both = headers("AAAA") | {"x-plivo-signature-ma-v3": good}
    assert CHECK.webhook("POST", "/plivo/answer", FORM, both)


def test_what_was_changed_on_the_way_is_refused() -> None:
    good = sign(TOKEN, "POST", f"{PUBLIC}/plivo/answer?again=1", FORM, NONCE)
    assert CHECK.webhook("POST", "/plivo/answer?again=1", FORM, headers(good))
    assert not CHECK.webhook("POST", "/plivo/answer?again=2", FORM, headers(good))
    assert not CHECK.webhook("POST", "/plivo/answer?again=1", [*FORM, ("x", "y")], headers(good))
    assert not CHECK.webhook("GET", "/plivo/answer?again=1", FORM, headers(good))
    assert not CHECK.webhook("POST", "/plivo/answer?again=1", FORM, headers(good, nonce="2"))


@pytest.mark.parametrize(
    "given_headers",
    [
        {},
        headers(""),
        headers("é" * 44),
        headers("A" * 44, nonce=""),
        headers("A" * 44, nonce="1" * 65),
        {"x-plivo-signature-v3": "A" * 44},
        {"x-plivo-signature-v3-nonce": NONCE},
        headers(",".join(["AAAA"] * 5000)),
    ],
    ids=lambda h: repr(h)[:60],
)
def test_no_valid_signature_is_no_entry(given_headers: dict[str, str]) -> None:
    assert not CHECK.webhook("POST", "/plivo/answer", FORM, given_headers)
    assert not CHECK.upgrade("/plivo/media", given_headers)


def test_a_url_beyond_all_bounds_is_refused() -> None:
    path = "/plivo/answer?" + "a=1&" * 1000
    good = sign(TOKEN, "GET", PUBLIC + path, [], NONCE)
    assert not CHECK.webhook("GET", path, [], headers(good))


def test_development_takes_unsigned_requests_and_no_wrong_ones() -> None:
    check = SignatureCheck(TOKEN, PUBLIC, allow_unsigned=True)
    assert check.webhook("POST", "/plivo/answer", FORM, {})
    assert check.upgrade("/plivo/media", {})
    for wrong in (headers("A" * 44), {"x-plivo-signature-v3-nonce": NONCE}, {"x-plivo-signature-v3": "x"}):
        assert not check.webhook("POST", "/plivo/answer", FORM, wrong)
