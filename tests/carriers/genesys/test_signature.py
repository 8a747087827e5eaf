"""The HTTP message signature of an upgrade, by the reference implementation's own vector."""

import hashlib
import hmac
import json
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.carriers.genesys.signature import UpgradeCheck
from gateway.errors import ConfigError

RECORDED = Path(__file__).parents[2] / "vectors" / "signatures.jsonl"
(VECTOR,) = [v for line in RECORDED.read_text().splitlines() if (v := json.loads(line)["msg"])["carrier"] == "genesys"]
PATH, NOW, SECRET = "/genesys/audiohook", VECTOR["now"], VECTOR["secret"]
HEADERS = {name.lower(): value for name, value in VECTOR["headers"].items()}
KEY = HEADERS["x-api-key"]
NAMES = [
    "@request-target",
    "@authority",
    "audiohook-organization-id",
    "audiohook-session-id",
    "audiohook-correlation-id",
    "x-api-key",
]


def check(now: float = NOW, url: str = "https://gw.example.com", **more: Any) -> UpgradeCheck:
    return UpgradeCheck(KEY, more.pop("secret", SECRET), url, wall=lambda: now, **more)


def signed(
    *,
    names: list[str] | None = None,
    params: str = "",
    path: str = PATH,
    host: str = "gw.example.com",
    secret: str = SECRET,
    nonce: str = "VGhpc0lzQVVuaXF1ZU5vbmNl",
    alg: str = ';alg="hmac-sha256"',
    keyid: str = KEY,
    created: int = NOW - 3,
    expires: int = NOW + 27,
    **headers: str,
) -> dict[str, str]:
    """Sign as Genesys does."""
    names = NAMES if names is None else names
    all_headers = {**HEADERS, **headers}
    listed = " ".join(f'"{name}"' for name in names)
    params = params or f';keyid="{keyid}";nonce="{nonce}"{alg};created={created};expires={expires}'
    values = {**all_headers, "@request-target": path, "@authority": host}
    lines = [f'"{name}": {values.get(name, "")}' for name in names] + [f'"@signature-params": ({listed}){params}']
    mac = hmac.new(b64decode(secret), "\n".join(lines).encode(), hashlib.sha256).digest()
    signature = {"signature-input": f"sig1=({listed}){params}", "signature": f"sig1=:{b64encode(mac).decode()}:"}
    return {**all_headers, "host": host, **signature}


def test_the_reference_vector_is_taken_and_so_is_what_this_test_signs() -> None:
    assert check().passes(PATH, HEADERS) is VECTOR["expect_valid"]
    assert signed() == HEADERS


def test_a_nonce_is_good_once() -> None:
    ours = check()
    assert ours.passes(PATH, HEADERS)
    assert not ours.passes(PATH, HEADERS)
    assert ours.passes(PATH, signed(nonce="another-nonce-of-some-length"))
    assert not ours.passes(PATH, signed(created=NOW - 2)), "however it is dated"


def test_a_forgery_does_not_use_a_nonce_up() -> None:
    ours = check()
    assert not ours.passes(PATH, HEADERS | {"signature": "sig1=:" + "A" * 43 + "=:"})
    assert ours.passes(PATH, HEADERS)


@pytest.mark.parametrize(
    ("age_s", "taken"), [(0, True), (3, True), (13, True), (14, False), (3600, False), (-3, True), (-4, False)]
)
def test_only_what_was_signed_just_now_is_taken(age_s: int, taken: bool) -> None:
    assert check().passes(PATH, signed(created=NOW - age_s)) is taken


def test_what_has_expired_is_refused() -> None:
    assert check().passes(PATH, signed(created=NOW - 6, expires=NOW - 3))
    assert not check().passes(PATH, signed(created=NOW - 6, expires=NOW - 4))
    assert not check().passes(PATH, signed(created=NOW, expires=NOW - 1))


@pytest.mark.parametrize("missing", NAMES)
def test_every_required_component_must_be_signed(missing: str) -> None:
    assert not check().passes(PATH, signed(names=[name for name in NAMES if name != missing]))


def test_more_may_be_signed_in_any_order_but_nothing_twice_or_unknown() -> None:
    more: dict[str, Any] = {"x-more": "1"}
    assert check().passes(PATH, signed(names=[*reversed(NAMES), "x-more"], **more))
    assert not check().passes(PATH, signed(names=[*NAMES, "x-api-key"]))
    assert not check().passes(PATH, signed(names=[*NAMES, "@method"]))


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "/genesys/other"},
        {"path": PATH + "?x=1"},
        {"secret": b64encode(b"another").decode()},
        {"alg": ';alg="hmac-sha512"'},
        {"alg": ';alg="none"'},
        {"keyid": "another-key"},
        {"nonce": "short"},
        {"nonce": "n" * 21},
        {"nonce": "n" * 129},
        {"nonce": ""},
        {"x-api-key": "another-key", "keyid": "another-key"},
        {"params": ';keyid="k"'},
        {"params": ";created=x;expires=y"},
        {"params": f';keyid="{KEY}";nonce="{"n" * 22}";created=99999999999999999999;expires=1'},
    ],
    ids=str,
)
def test_what_is_not_exactly_right_is_refused(changes: dict[str, Any]) -> None:
    assert not check().passes(PATH, signed(**changes))


def test_an_algorithm_that_goes_without_saying_is_ours() -> None:
    assert check().passes(PATH, signed(alg=""))


@pytest.mark.parametrize("name", ["audiohook-organization-id", "audiohook-session-id", "audiohook-correlation-id"])
def test_what_was_changed_after_signing_is_refused(name: str) -> None:
    assert not check().passes(PATH, HEADERS | {name: "00000000-0000-0000-0000-000000000000"})


@pytest.mark.parametrize("gone", ["host", "x-api-key", "signature", "signature-input", "audiohook-session-id"])
def test_a_header_that_is_missing_is_no_entry(gone: str) -> None:
    assert not check().passes(PATH, {name: value for name, value in HEADERS.items() if name != gone})


def test_the_host_must_be_ours_whatever_was_signed() -> None:
    assert not check().passes(PATH, signed(host="evil.example.com"))
    assert not check().passes(PATH, HEADERS | {"host": "evil.example.com"})
    assert check().passes(PATH, HEADERS | {"host": "GW.example.com:443"})
    assert not check().passes(PATH, HEADERS | {"host": "gw.example.com:8443"})
    assert check(url="https://gw.example.com:8443").passes(PATH, signed(host="gw.example.com:8443"))


def test_development_takes_unsigned_upgrades_and_no_wrong_ones() -> None:
    ours = check(allow_unsigned=True)
    assert ours.passes(PATH, {})
    assert not ours.passes(PATH, {"signature": "x"})
    assert not ours.passes(PATH, {"signature-input": "sig1=()"})
    assert not ours.passes(PATH, signed(created=NOW - 60))


@pytest.mark.parametrize("secret", ["", "%%%", "é"])
def test_a_secret_that_is_no_base64_is_a_mistake_of_the_configuration(secret: str) -> None:
    with pytest.raises((ConfigError, ValueError)):
        check(secret=secret)


@given(st.text(max_size=200), st.text(max_size=80))
def test_rubbish_is_refused_and_raises_nothing(given_input: str, signature: str) -> None:
    headers = HEADERS | {"signature-input": given_input, "signature": signature}
    assert not check().passes(PATH, headers)
    assert not check().passes(PATH, HEADERS | {"signature-input": HEADERS["signature-input"] + given_input + ";"})
