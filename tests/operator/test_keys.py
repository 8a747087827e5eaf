"""Keys of our own API: named, hashed at rest, or in clear."""

import asyncio
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from gateway.apikeys import KeyRing, hash_key, named_hash, new_key
from gateway.check import run_checks
from gateway.config import Settings
from gateway.errors import ConfigError

KEY, OTHER = "key-0123456789abcdef", "key-fedcba9876543210"
HASH = hash_key(KEY)


def test_each_form_lets_its_key_in_under_its_name() -> None:
    entries = {"crm:sha256:" + HASH: "crm", "sha256:" + HASH.upper(): HASH[:8], KEY: HASH[:8]}
    for entry, name in entries.items():
        ring = KeyRing([OTHER, entry])
        assert ring.name_of(f"Bearer {KEY}") == name
        assert ring.name_of(f"bearer  {KEY} ") == name
        assert ring.name_of(f"Bearer {OTHER}") == hash_key(OTHER)[:8]


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", f"Basic {KEY}", KEY, f"Bearer {KEY}x", "Bearer \xe9\x00"])
def test_anything_else_is_nobody(header: str) -> None:
    assert KeyRing([named_hash("crm", KEY)]).name_of(header) is None
    assert KeyRing([]).name_of(header) is None


@pytest.mark.parametrize("presented", [HASH, f"sha256:{HASH}", f"crm:sha256:{HASH}"])
def test_who_knows_the_hash_does_not_get_in(presented: str) -> None:
    assert KeyRing([f"crm:sha256:{HASH}"]).name_of(f"Bearer {presented}") is None


@pytest.mark.parametrize(
    "entry",
    [
        *("short", "sha256:", f"sha256:{HASH[:63]}", f"sha256:{HASH}0", f"SHA256:{HASH}", f"sha-256:{HASH}"),
        *(f"a b:sha256:{HASH}", f":sha256:{HASH}", f"{'n' * 33}:sha256:{HASH}", f"crm:sha256: {HASH}", "x:sha256:zz"),
    ],
)
def test_a_hash_that_lost_its_form_is_refused_and_not_taken_for_a_key(entry: str) -> None:
    with pytest.raises(ValueError, match=r"16 characters|NAME:sha256:HEX") as refused:
        KeyRing([entry])
    assert HASH not in str(refused.value)


def test_keys_that_only_look_odd_are_keys() -> None:
    for key in (HASH, "crm:0123456789abcdef", "a-key-about-sha256-in-words"):
        assert KeyRing([key]).name_of(f"Bearer {key}") == hash_key(key)[:8]


def test_two_keys_may_bear_one_name_but_one_key_not_two() -> None:
    ring = KeyRing([named_hash("crm", KEY), named_hash("crm", OTHER)])
    assert ring.name_of(f"Bearer {KEY}") == ring.name_of(f"Bearer {OTHER}") == "crm"
    with pytest.raises(ValueError, match="twice"):
        KeyRing([KEY, named_hash("crm", KEY)])


def test_new_keys_are_long_and_different() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100 and all(len(key) == 47 for key in keys)


def test_settings_take_each_form_and_name_what_is_wrong() -> None:
    settings = Settings(api_keys=(SecretStr(named_hash("crm", KEY)), SecretStr(OTHER)))
    assert [key.name for key in settings.key_ring().keys] == ["crm", hash_key(OTHER)[:8]]
    with pytest.raises(ValidationError, match="NAME:sha256:HEX") as refused:
        Settings(api_keys=(SecretStr(f"crm:sha256:{HASH[:60]}"),))
    assert HASH[:60] not in str(refused.value)


def test_our_commands_present_the_clients_key_or_the_first_in_clear() -> None:
    hashed, plain = SecretStr(named_hash("crm", KEY)), SecretStr(OTHER)
    assert Settings(api_keys=(hashed, plain)).own_key() == OTHER
    assert Settings(api_keys=(hashed, plain), client_key=SecretStr(KEY)).own_key() == KEY
    with pytest.raises(ConfigError, match="GATEWAY_CLIENT_KEY"):
        Settings(api_keys=(hashed,)).own_key()


@pytest.mark.parametrize(
    ("entries", "detail", "warning"),
    [
        ([named_hash("crm", KEY), named_hash("till", OTHER)], "crm, till; hashes only", False),
        ([named_hash("crm", KEY), OTHER], f"crm, {hash_key(OTHER)[:8]}; in clear: {hash_key(OTHER)[:8]}", True),
    ],
)
def test_the_check_names_the_keys(tmp_path: Path, entries: list[str], detail: str, warning: bool) -> None:
    settings = Settings(
        api_keys=tuple(SecretStr(entry) for entry in entries),
        recordings_dir=tmp_path,
        database_url=f"sqlite:///{tmp_path}/gateway.db",
    )
    results = asyncio.run(run_checks(settings, tmp_path / "agents.yaml", network=False))
    (found,) = [result for result in results if result.name == "api keys"]
    assert (found.ok, found.detail, found.warning) == (True, detail, warning)
