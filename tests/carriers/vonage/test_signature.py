"""Who is believed to be Vonage; the official SDK's verdict on the HMAC is the oracle."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from vonage_jwt import VonageVerifyJwtError, verify_signature

from gateway.carriers.vonage import signature
from gateway.carriers.vonage.signature import JwtCheck, query_payload

SECRET = "vonage_signature_secret_at_least_32_bytes!"
APPLICATION = "aaaaaaaa-bbbb-cccc-dddd-0123456789ab"
NOW = 1_795_327_200
BODY = b'{"uuid":"aaaaaaaa-bbbb-cccc-dddd-0123456789ab","from":"14155550101"}'
SIGNED = Path(__file__).parents[2] / "vectors" / "signatures.jsonl"
(RECORDED,) = [
    vector["msg"] for vector in map(json.loads, SIGNED.read_text().splitlines()) if vector["msg"]["carrier"] == "vonage"
]


def check(application: str | None = None, *, now: float = NOW, allow_unsigned: bool = False) -> JwtCheck:
    return JwtCheck(SECRET, application, allow_unsigned=allow_unsigned, wall=lambda: now)


def token(body: bytes = BODY, *, secret: str = SECRET, **claims: Any) -> str:
    own = {
        "iat": NOW,
        "jti": "c5ba8f24",
        "iss": "Vonage",
        "api_key": "a1b2c3d",
        "application_id": APPLICATION,
        "payload_hash": hashlib.sha256(body).hexdigest(),
    }
    said = {name: value for name, value in (own | claims).items() if value is not None}
    return jwt.encode(said, secret, algorithm="HS256")


def sealed(header: dict[str, Any], claims: bytes, secret: str = SECRET, digest: str = "sha256") -> str:
    """Sign whatever, as no library would."""
    parts = [base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (json.dumps(header).encode(), claims)]
    mac = hmac.digest(secret.encode(), ".".join(parts).encode(), digest)
    return ".".join([*parts, base64.urlsafe_b64encode(mac).decode().rstrip("=")])


def oracle(word: str) -> bool:
    try:
        return bool(verify_signature(word, SECRET))
    except VonageVerifyJwtError:
        return False


def test_a_signed_body_passes_and_the_sdk_agrees() -> None:
    assert oracle(token())
    assert check(APPLICATION).passes(f"Bearer {token()}", BODY)
    assert check().passes(f"bearer {token()}", BODY)


def test_the_recorded_altered_body_is_refused_although_the_sdk_takes_it() -> None:
    authorization = RECORDED["headers"]["Authorization"]
    assert oracle(authorization.removeprefix("Bearer "))
    assert RECORDED["expect_valid"] is False
    assert not check(now=RECORDED["now"]).passes(authorization, RECORDED["body"].encode())


def test_the_recorded_signature_is_good_for_the_body_it_was_made_for() -> None:
    claims = jwt.decode(RECORDED["headers"]["Authorization"][7:], options={"verify_signature": False})
    word = token(BODY, jti=claims["jti"], iat=claims["iat"])
    assert check(claims["application_id"], now=RECORDED["now"]).passes(f"Bearer {word}", BODY)


@pytest.mark.parametrize(
    "word",
    [
        token(secret="another_signature_secret_of_32_bytes!!"),
        token()[:-2] + "xx",
        token().rpartition(".")[0] + ".",
        token() + ".",
        "",
        "x.y.z",
        "é" * 30,
        token() + "A" * 5000,
    ],
)
def test_what_our_secret_did_not_sign_is_refused_as_by_the_sdk(word: str) -> None:
    assert not oracle(word)
    assert not check().passes(f"Bearer {word}", BODY)


@pytest.mark.parametrize("name", ["none", "None", "HS512", "HS384", "RS256", "hs256"])
def test_the_algorithm_is_ours_and_not_the_tokens(name: str) -> None:
    claims = jwt.decode(token(), options={"verify_signature": False})
    digest = {"HS512": "sha512", "HS384": "sha384"}.get(name, "sha256")
    word = sealed({"alg": name, "typ": "JWT"}, json.dumps(claims).encode(), digest=digest)
    assert not check().passes(f"Bearer {word}", BODY)
    assert not check().passes("Bearer " + word.rpartition(".")[0] + ".", BODY)


@pytest.mark.parametrize(
    "claims",
    [
        {"payload_hash": None},
        {"payload_hash": ""},
        {"payload_hash": 7},
        {"payload_hash": "é"},
        {"payload_hash": hashlib.sha256(b"other").hexdigest()},
        {"iat": None},
        {"iat": NOW - 301},
        {"iat": NOW + 301},
        {"iat": str(NOW)},
        {"iat": True},
        {"iat": 10**400},
        {"iat": -(10**400)},
        {"jti": None},
        {"jti": ""},
        {"jti": 7},
        {"jti": "x" * 201},
    ],
)
def test_a_good_hmac_with_other_claims_is_refused(claims: dict[str, Any]) -> None:
    word = sealed({"alg": "HS256", "typ": "JWT"}, json.dumps(_claims(claims)).encode())
    assert not check().passes(f"Bearer {word}", BODY)


def _claims(changed: dict[str, Any]) -> dict[str, Any]:
    good = jwt.decode(token(), options={"verify_signature": False})
    return {name: value for name, value in (good | changed).items() if value is not None}


@pytest.mark.parametrize("claims", [b"[]", b"7", b'"x"', b"{", b'{"iat": NaN}', b"[" * 3000])
def test_claims_that_are_no_object_are_refused(claims: bytes) -> None:
    assert not check().passes("Bearer " + sealed({"alg": "HS256", "typ": "JWT"}, claims), BODY)


def test_a_time_that_is_no_number_is_refused() -> None:
    body_hash = hashlib.sha256(BODY).hexdigest()
    claims = f'{{"iat": NaN, "jti": "a", "payload_hash": "{body_hash}"}}'.encode()
    assert not check().passes("Bearer " + sealed({"alg": "HS256", "typ": "JWT"}, claims), BODY)


@pytest.mark.parametrize("away_s", [-300, 300])
def test_a_time_at_the_edge_of_the_tolerance_passes(away_s: int) -> None:
    assert check(now=NOW + away_s).passes(f"Bearer {token()}", BODY)


def test_a_request_is_taken_once() -> None:
    one = check()
    assert one.passes(f"Bearer {token()}", BODY)
    assert not one.passes(f"Bearer {token()}", BODY)
    assert one.passes(f"Bearer {token(jti='another')}", BODY)


def test_a_refused_request_does_not_use_its_id_up() -> None:
    one = check()
    assert not one.passes(f"Bearer {token()}", b"other")
    assert one.passes(f"Bearer {token()}", BODY)


def test_the_memory_of_ids_is_bounded_in_number_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signature, "KEPT_IDS", 3)
    now = [float(NOW)]
    one = JwtCheck(SECRET, wall=lambda: now[0])
    for number in range(5):
        assert one.passes(f"Bearer {token(jti=f'id{number}')}", BODY)
    assert len(one._seen) == 3
    now[0] = NOW + 601
    assert one.passes(f"Bearer {token(jti='later', iat=NOW + 601)}", BODY)
    assert list(one._seen) == ["later"]


def test_another_application_of_the_account_is_refused_where_one_is_configured() -> None:
    assert not check("00000000-bbbb-cccc-dddd-0123456789ab").passes(f"Bearer {token()}", BODY)
    assert not check(APPLICATION).passes(f"Bearer {token(application_id=None)}", BODY)


def test_a_get_is_hashed_as_json_of_its_parameters() -> None:
    pairs = [("from", "14155550101"), ("to", "14155550199"), ("custom_data", '{"a":1}'), ("name", "Zoë")]
    payload = query_payload(pairs)
    assert payload == '{"from":"14155550101","to":"14155550199","custom_data":"{\\"a\\":1}","name":"Zoë"}'.encode()
    assert check().passes(f"Bearer {token(payload)}", payload)


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Basic Zm9v", token()])
def test_another_kind_of_authorization_is_refused_even_where_unsigned_is_allowed(authorization: str) -> None:
    assert not check(allow_unsigned=True).passes(authorization, BODY)


def test_unsigned_is_taken_only_where_that_is_allowed() -> None:
    assert check(allow_unsigned=True).passes(None, BODY)
    assert not check().passes(None, BODY)
