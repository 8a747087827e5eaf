"""What sections that reach other systems share: addresses, headers, and secrets, which are named and never written."""

import os
import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import AfterValidator, Field, SecretStr, model_validator

from gateway.agents.section import Section
from gateway.errors import ConfigError

__all__ = ["Auth", "Headers", "SecretRef", "WebAddress", "resolve_secret"]

MAX_SECRET_BYTES = 4096
DOTENV = ".env"
"""In the working directory; the file that the settings are read from too."""
RESERVED_HEADERS = re.compile(
    r"(?i)(host|connection|content-.*|transfer-.*|accept.*|webhook-.*|idempotency-key|te|upgrade)"
)
SECRET_NAMES = re.compile(r"(?i)(authorization|cookie|proxy-.*|.*(api[-_]?key|token|secret|password).*)")
SECRET_REF = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:\S.*")
HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
QUERY_NAME = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")


def _web_address(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("must be a URL such as https://api.example.com/orders")
    if parts.username is not None or parts.fragment:
        raise ValueError("must not hold a user, password or fragment")
    return value


def _reference(value: str) -> str:
    if not SECRET_REF.fullmatch(value):
        raise ValueError("must be env:NAME or file:/path; the secret itself does not belong in this file")
    return value


def _plain_headers(value: dict[str, str]) -> dict[str, str]:
    for name, text in value.items():
        if not HEADER_NAME.fullmatch(name) or not text.isascii() or not text.isprintable():
            raise ValueError(f"{name!r} is not a plain header of printable ASCII")
        if RESERVED_HEADERS.fullmatch(name):
            raise ValueError(f"{name!r} is set by the gateway")
        if SECRET_NAMES.fullmatch(name):
            raise ValueError(f"{name!r} looks like a secret, which does not belong in this file; use secret or auth")
    return value


WebAddress = Annotated[str, Field(max_length=2000), AfterValidator(_web_address)]
"""https; http only to loopback (development) or allow-listed private networks, which is judged when it is called."""

SecretRef = Annotated[str, Field(max_length=1000), AfterValidator(_reference)]
"""env:NAME or file:/path."""

Headers = Annotated[dict[str, str], Field(max_length=20), AfterValidator(_plain_headers)]
"""Request headers without secrets, and none that the gateway sets."""


class Auth(Section):
    """How another system is shown who calls, where it does not check our signature."""

    kind: Literal["bearer", "header", "query", "basic"]
    """bearer and basic: the Authorization header; header, query: a header or a parameter of that `name`."""
    name: str | None = Field(default=None, max_length=64)
    """header, query: name of the header or the parameter."""
    secret: SecretRef
    """Reference to the key, env:NAME or file:/path, never the key; for basic it holds user:password."""

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.kind in ("bearer", "basic"):
            if self.name is not None:
                raise ValueError(f"{self.kind} has no name; it is the Authorization header")
            return self
        if self.name is None:
            raise ValueError(f"{self.kind} needs the name of the {'header' if self.kind == 'header' else 'parameter'}")
        if self.kind == "query" and not QUERY_NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is not a plain parameter name")
        if self.kind == "header" and (not HEADER_NAME.fullmatch(self.name) or RESERVED_HEADERS.fullmatch(self.name)):
            raise ValueError(f"{self.name!r} is not a header that can be chosen here")
        return self


def resolve_secret(ref: str) -> SecretStr:
    """Read the secret behind `env:NAME` or `file:/path`, now: files may be rotated. Raises `ConfigError`.

    A variable is looked for in the environment, then in `.env` of the working directory, as settings are; an empty one
    counts as not set.
    """
    kind, _, where = ref.partition(":")
    if kind == "env":
        text = os.environ.get(where, "").strip() or _in_dotenv(where)
        if not text:
            raise ConfigError(f"the environment variable {where} is not set")
        return SecretStr(text)
    try:
        with Path(where).open("rb") as file:
            text = file.read(MAX_SECRET_BYTES).decode().strip()
    except OSError as error:
        raise ConfigError(f"the secret file {where} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"the secret file {where} is not UTF-8 text") from None
    if not text:
        raise ConfigError(f"the secret file {where} is empty")
    return SecretStr(text)


def _in_dotenv(name: str) -> str:
    try:
        return (dotenv_values(DOTENV).get(name) or "").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{DOTENV}: cannot be read: {type(error).__name__}") from None
