"""Keys of our own HTTP API, hashed at rest: a deployment may keep hashes only, and a key's name says who asked.

An entry of `GATEWAY_API_KEYS` is one of

    NAME:sha256:HEX      a named key; `gateway key NAME` makes one
    sha256:HEX           without a name
    anything else        the key itself, in clear, at least 16 characters

HEX is the SHA-256 of the key. No salt and no slow hash: the keys are long random strings, which nobody can guess.
The name of a nameless key is the beginning of its hash. Several keys may bear one name, while they are being rotated.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["MIN_KEY_CHARS", "ApiKey", "KeyRing", "hash_key", "named_hash", "new_key", "parse_entry", "plain_entry"]

MIN_KEY_CHARS = 16
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
HASHED = re.compile(r"(?:([A-Za-z0-9][A-Za-z0-9_.-]{0,31}):)?sha256:([0-9A-Fa-f]{64})")
LOOKS_HASHED = re.compile(r"(?i)(?:^|:)\s*sha-?256\s*:")
"""A hash that lost its form must not become a key in clear: whoever has seen it could come in with it."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key."""

    name: str
    digest: str
    """SHA-256 in lower-case hex."""
    hashed: bool
    """Whether the deployment holds only the hash."""


class KeyRing:
    """The keys that are let in."""

    def __init__(self, entries: Iterable[str]) -> None:
        """Raises `ValueError` with a sentence that holds nothing of the entry."""
        self.keys = tuple(parse_entry(entry) for entry in entries)
        if len({key.digest for key in self.keys}) < len(self.keys):
            raise ValueError("the same key is there twice")

    def name_of(self, authorization: str) -> str | None:
        """Return whose key an `Authorization` header bears; None for nobody's. Compares all, in constant time."""
        scheme, _, presented = authorization.partition(" ")
        digest = hash_key(presented.strip()).encode()
        names = [key.name for key in self.keys if hmac.compare_digest(digest, key.digest.encode())]
        return names[0] if names and scheme.lower() == "bearer" else None


def hash_key(key: str) -> str:
    """Return the SHA-256 of a key, in hex."""
    return hashlib.sha256(key.encode()).hexdigest()


def parse_entry(entry: str) -> ApiKey:
    """Read one entry. Raises `ValueError` with a sentence that holds nothing of it."""
    if match := HASHED.fullmatch(entry):
        digest = match[2].lower()
        return ApiKey(match[1] or digest[:8], digest, hashed=True)
    if LOOKS_HASHED.search(entry):
        raise ValueError("a hashed key is written NAME:sha256:HEX with 64 hex digits; make one with `gateway key NAME`")
    if len(entry) < MIN_KEY_CHARS:
        raise ValueError(f"each key must have at least {MIN_KEY_CHARS} characters")
    digest = hash_key(entry)
    return ApiKey(digest[:8], digest, hashed=False)


def plain_entry(entry: str) -> bool:
    """Tell whether an entry is the key itself."""
    return not HASHED.fullmatch(entry)


def new_key() -> str:
    """Return a new key: 256 bits, safe in a header and in a shell."""
    return "gwk_" + secrets.token_urlsafe(32)


def named_hash(name: str, key: str) -> str:
    """Return the entry for a key. Raises `ValueError` when the name cannot be one, or the key is short."""
    if not NAME.fullmatch(name) or name.lower() == "sha256":
        raise ValueError("a key's name has 1 to 32 letters, digits, dots, dashes and underscores")
    if len(key) < MIN_KEY_CHARS:
        raise ValueError(f"a key must have at least {MIN_KEY_CHARS} characters")
    return f"{name}:sha256:{hash_key(key)}"
