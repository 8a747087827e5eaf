"""Functions that are answered by a webhook of the business, and the secrets their requests are signed with."""

import os
import re
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import jsonschema_rs
from pydantic import Field, SecretStr, field_validator

from gateway.agents.functions import BUILT_IN
from gateway.agents.policy import ToolPolicy
from gateway.errors import ConfigError

__all__ = ["Tool", "resolve_secret"]

MAX_SECRET_BYTES = 4096
RESERVED_HEADERS = re.compile(
    r"(?i)(host|connection|content-.*|transfer-.*|accept.*|webhook-.*|idempotency-key|te|upgrade)"
)
SECRET_HEADERS = re.compile(r"(?i)(authorization|cookie|proxy-.*|.*(api-?key|token|secret).*)")
SECRET_REF = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:\S.*")


class Tool(ToolPolicy):
    """A function the model may call, answered by a webhook of the business."""

    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    """Name the model calls it by, unique within the agent."""
    description: str = Field(min_length=1, max_length=4000)
    """When to use it and what it returns: all the model knows about it."""
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})
    """JSON Schema of the arguments; they are checked against it before the webhook is called."""
    url: str = Field(max_length=2000)
    """Where the signed POST goes. https; http only to loopback (development) or allow-listed private networks."""
    secret: str | None = None
    """Reference to the signing secret, env:NAME or file:/path, never the secret; null: GATEWAY_WEBHOOK_SECRET."""
    format: Literal["gateway", "vapi", "retell", "raw"] = "gateway"
    """Form of request and answer: ours, or that of a server written for another platform; raw: the arguments alone."""
    headers: dict[str, str] = Field(default_factory=dict, max_length=20)
    """Additional request headers; no secrets, requests are signed."""

    @field_validator("name")
    @classmethod
    def _not_built_in(cls, value: str) -> str:
        if value in BUILT_IN:
            raise ValueError(f"{value!r} is built in; choose another name")
        return value

    @field_validator("parameters")
    @classmethod
    def _valid_schema(cls, value: dict[str, Any]) -> dict[str, Any]:
        if value.get("type") != "object":
            raise ValueError("must be a JSON Schema with type: object")
        try:
            jsonschema_rs.validator_for(value, offline=True)
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
            raise ValueError(f"is not a valid JSON Schema: {str(error).splitlines()[0]}") from None
        return value

    @field_validator("url")
    @classmethod
    def _web_address(cls, value: str) -> str:
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

    @field_validator("secret")
    @classmethod
    def _reference(cls, value: str | None) -> str | None:
        if value is not None and not SECRET_REF.fullmatch(value):
            raise ValueError("must be env:NAME or file:/path; the secret itself does not belong in this file")
        return value

    @field_validator("headers")
    @classmethod
    def _plain_headers(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", name) or not text.isascii() or not text.isprintable():
                raise ValueError(f"{name!r} is not a plain header of printable ASCII")
            if RESERVED_HEADERS.fullmatch(name):
                raise ValueError(f"{name!r} is set by the gateway")
            if SECRET_HEADERS.fullmatch(name):
                raise ValueError(
                    f"{name!r} looks like a secret, which does not belong in this file; requests are signed"
                )
        return value


def resolve_secret(ref: str) -> SecretStr:
    """Read the secret behind `env:NAME` or `file:/path`, now: files may be rotated. Raises `ConfigError`."""
    kind, _, where = ref.partition(":")
    if kind == "env":
        text = os.environ.get(where, "").strip()
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
