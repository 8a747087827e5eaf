"""Signatures of Twilio: recorded ones, and the official validator as the oracle for any request."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers, MultiDict
from twilio.request_validator import RequestValidator

from gateway.carriers.twilio.signature import SIGNATURE_HEADER, SignatureCheck

VECTORS = Path(__file__).parents[2] / "vectors" / "signatures.jsonl"
RECORDED = [
    message
    for message in (json.loads(line)["msg"] for line in VECTORS.read_text(encoding="utf-8").splitlines())
    if message["carrier"] == "twilio" and message["kind"] in ("webhook-form", "ws-upgrade")
]
TOKEN = "0123456789abcdef0123456789abcdef"
ORIGIN = "https://gw.example.com"
fields = st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=20), max_size=6)


def passes(message: dict[str, Any], secret: str) -> bool:
    parts = urlsplit(message["url"])
    headers = Headers(dict(message["headers"]))
    check = SignatureCheck([secret], ORIGIN)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    if message["kind"] == "ws-upgrade":
        return check.upgrade(path, headers)
    return check.webhook(path, message["body"].encode(), MultiDict(parse_qsl(message["body"])), headers)


@pytest.mark.parametrize("message", RECORDED, ids=lambda message: message["kind"])
def test_a_recorded_signature_is_judged_as_recorded(message: dict[str, Any]) -> None:
    assert passes(message, message["secret"]) is message["expect_valid"]
    assert not passes(message, "another" + message["secret"])


@given(fields, fields, st.booleans())
def test_what_the_official_validator_signs_passes_and_nothing_else_does(
    form: dict[str, str], other: dict[str, str], upgrade: bool
) -> None:
    validator, check = RequestValidator(TOKEN), SignatureCheck([TOKEN], ORIGIN)
    if upgrade:
        signed = Headers({SIGNATURE_HEADER: validator.compute_signature("wss://gw.example.com/twilio/media", {})})
        assert check.upgrade("/twilio/media", signed)
        assert not check.upgrade("/twilio/media2", signed)
        return
    signature = validator.compute_signature(f"{ORIGIN}/twilio/voice", MultiDict(form))
    headers = Headers({SIGNATURE_HEADER: signature})
    assert check.webhook("/twilio/voice", b"", MultiDict(form), headers)
    judged = validator.validate(f"{ORIGIN}/twilio/voice", MultiDict(other), signature)
    assert check.webhook("/twilio/voice", b"", MultiDict(other), headers) is judged
    assert not check.webhook("/twilio/status", b"", MultiDict(form), headers)


@pytest.mark.parametrize("signature", ("", "é" * 28, "A" * 300, "\x00"))
def test_a_signature_that_is_none_does_not_pass_even_where_none_is_needed(signature: str) -> None:
    headers = Headers(raw=[(SIGNATURE_HEADER.encode(), signature.encode("latin-1"))])
    check = SignatureCheck([TOKEN], ORIGIN, allow_unsigned=True)
    assert not check.webhook("/twilio/voice", b"", MultiDict(), headers)
