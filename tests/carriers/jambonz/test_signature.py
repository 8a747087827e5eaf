"""Who is believed to be jambonz."""

import hashlib
import hmac

import pytest

from gateway.carriers.jambonz.signature import SignatureCheck

SECRET = "webhook-secret"
NOW = 1_795_327_200
BODY = b'{"call_sid":"e2f0a9d2-7a1c-4a6e-9f7a-6e3d0f6f3c11"}'


def check(*, now: float = NOW, allow_unsigned: bool = False) -> SignatureCheck:
    return SignatureCheck(SECRET, allow_unsigned=allow_unsigned, wall=lambda: now)


def mac(body: bytes = BODY, moment: object = NOW, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()


def header(body: bytes = BODY, moment: object = NOW, secret: str = SECRET) -> str:
    return f"t={moment},v1={mac(body, moment, secret)}"


def test_a_signed_body_passes() -> None:
    assert check().passes(header(), BODY)


def test_one_good_signature_of_two_is_enough_while_a_secret_is_rotated() -> None:
    assert check().passes(f"t={NOW},v1={mac(secret='old')},v1={mac()}", BODY)
    assert check().passes(f"t={NOW}, v1={mac()}", BODY)


@pytest.mark.parametrize("away_s", [-300, 300])
def test_a_time_at_the_edge_of_the_tolerance_passes(away_s: int) -> None:
    assert check(now=NOW + away_s).passes(header(), BODY)


@pytest.mark.parametrize("away_s", [-301, 301, 10**9])
def test_a_replay_after_the_tolerance_is_refused(away_s: int) -> None:
    assert not check(now=NOW + away_s).passes(header(), BODY)


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "v1=" + mac(),
        f"t={NOW}",
        f"t={NOW},v1=",
        f"t={NOW},v0={mac()}",
        f"t={NOW},v1={mac().upper()}",
        f"t={NOW + 1},v1={mac()}",
        f"t={NOW},t={NOW},v1={mac()}",
        f"t=-{NOW},v1={mac(moment=-NOW)}",
        f"t={NOW}.0,v1={mac(moment=f'{NOW}.0')}",
        f"t=٣,v1={mac()}",
        f"t={'9' * 5000},v1={mac()}",
        f"t={NOW},v1={'é' * 64}",
        header(secret="other"),
        header(body=b"{}"),
    ],
)
def test_anything_else_is_refused(signature: str) -> None:
    assert not check().passes(signature, BODY)
    assert not check(allow_unsigned=True).passes(signature, BODY)


def test_the_raw_body_is_what_counts() -> None:
    assert not check().passes(header(), BODY.replace(b":", b": "))


def test_unsigned_is_taken_only_where_that_is_allowed() -> None:
    assert check(allow_unsigned=True).passes(None, BODY)
    assert not check().passes(None, BODY)
