"""Who is believed: as the official SDK says, and by the recorded requests."""

import base64
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.carriers.telnyx.signature import SIGNATURE, TIMESTAMP, TOLERANCE_S, SignatureCheck
from gateway.errors import ConfigError

RECORDED = Path(__file__).parents[2] / "vectors" / "signatures.jsonl"
VECTORS = [json.loads(line)["msg"] for line in RECORDED.read_text().splitlines()]
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
BODY = b'{"data":{"event_type":"call.initiated"}}'


def signed(body: bytes = BODY, at: float | None = None) -> dict[str, str]:
    stamp = str(int(time.time() if at is None else at))
    return {TIMESTAMP: stamp, SIGNATURE: base64.b64encode(KEY.sign(stamp.encode() + b"|" + body)).decode()}


def passes(headers: Mapping[str, str], body: bytes = BODY, **more: Any) -> bool:
    return SignatureCheck(PUBLIC, **more).passes(body, headers)


def oracle(headers: Mapping[str, str], body: bytes = BODY) -> bool:
    """What Telnyx' own SDK says, with PyNaCl below."""
    # Read here: every process of a test run would pay two seconds for it.
    from telnyx.lib.webhook_verification import WebhookVerificationError, verify_webhook_signature

    try:
        verify_webhook_signature(body, headers, PUBLIC)
    except (WebhookVerificationError, UnicodeDecodeError):
        return False
    return True


@pytest.mark.parametrize("vector", [it for it in VECTORS if it["carrier"] == "telnyx"], ids=lambda it: str(it["note"]))
def test_recorded_requests_are_judged_as_recorded(vector: dict[str, Any]) -> None:
    at = vector.get("now") or int(vector["headers"][TIMESTAMP])
    check = SignatureCheck(vector["public_key"], wall=lambda: at)
    assert check.passes(vector["body"].encode(), vector["headers"]) is vector["expect_valid"]


def test_what_the_sdk_believes_is_believed() -> None:
    assert oracle(signed()) and passes(signed())


@pytest.mark.parametrize("off_s", [-TOLERANCE_S - 2, -TOLERANCE_S + 2, TOLERANCE_S - 2, TOLERANCE_S + 2])
def test_a_time_is_good_for_five_minutes_both_ways_as_in_the_sdk(off_s: int) -> None:
    headers = signed(at=time.time() + off_s)
    assert passes(headers) is oracle(headers) is (abs(off_s) < TOLERANCE_S)


@pytest.mark.parametrize("missing", [SIGNATURE, TIMESTAMP])
def test_half_a_signature_is_refused_even_where_none_is_needed(missing: str) -> None:
    headers = {name: value for name, value in signed().items() if name != missing}
    assert not passes(headers) and not passes(headers, allow_unsigned=True)


def test_no_signature_at_all_is_taken_only_where_it_is_allowed() -> None:
    assert not passes({}) and passes({}, allow_unsigned=True)


def test_another_key_is_not_believed() -> None:
    stranger = base64.b64encode(Ed25519PrivateKey.from_private_bytes(b"\1" * 32).public_key().public_bytes_raw())
    assert not SignatureCheck(stranger.decode()).passes(BODY, signed())


def test_a_time_that_is_no_number_is_refused() -> None:
    for stamp in ("", "now", "1" * 13, "-5", "١٢٣"):
        assert not passes({**signed(), TIMESTAMP: stamp})


@pytest.mark.parametrize("key", ["", "abc", base64.b64encode(bytes(31)).decode()])
def test_a_key_that_is_none_is_a_mistake_of_the_configuration(key: str) -> None:
    with pytest.raises(ConfigError, match="GATEWAY_TELNYX_PUBLIC_KEY"):
        SignatureCheck(key)


@settings(max_examples=60)
@given(st.data())
def test_whatever_is_changed_in_a_request_the_sdk_and_we_agree(data: st.DataObject) -> None:
    headers, body = signed(), BODY
    name = data.draw(st.sampled_from([SIGNATURE, TIMESTAMP, "body"]))
    if name == "body":
        body = data.draw(st.binary(max_size=60) | st.just(BODY))
    else:
        headers[name] = data.draw(st.text("0123456789ABCab+/=", max_size=96) | st.just(headers[name]))
    assert passes(headers, body) is oracle(headers, body)
