"""Signatures of Standard Webhooks (standardwebhooks.com, specification 1.0), made and checked.

HMAC-SHA256 over `id.timestamp.body`. While a secret is rotated there are two keys: both sign, and either is believed.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from pydantic import SecretStr
from standardwebhooks import Webhook

from gateway.agents import AgentsFile, Tool, resolve_secret
from gateway.errors import ConfigError, GatewayError

__all__ = [
    "SignatureRefused",
    "keys_of",
    "retell_signature",
    "secret_of",
    "secret_problems",
    "sign",
    "signing_keys",
    "tool_keys",
    "verify",
]

TOLERANCE_S = 300
"""How far a sender's clock may be from ours; the specification leaves it to us, its libraries take 5 minutes."""
MAX_SIGNATURES = 16
"""Signatures of one message that are looked at; senders with two keys have two."""
VERSION = "v1,"
"""Of symmetric signatures; others (v1a: ed25519) are passed over."""


class SignatureRefused(GatewayError):
    """A message is not believed; the message says why, for the sender, and tells nothing of the secret."""


def secret_of(ref: str | None, default: SecretStr | None) -> SecretStr:
    """Return the secret behind a reference (env:NAME, file:/path), else the default, read now. Raises `ConfigError`."""
    secret = resolve_secret(ref) if ref is not None else default
    if secret is None:
        raise ConfigError("no signing secret; set the tool's secret or GATEWAY_WEBHOOK_SECRET")
    return secret


def keys_of(ref: str | None, default: SecretStr | None) -> list[Webhook]:
    """Return the keys of a secret as `secret_of` and `signing_keys` do. Raises `ConfigError`."""
    return signing_keys(secret_of(ref, default))


def tool_keys(tool: Tool, default: SecretStr | None) -> list[Webhook]:
    """Return the keys that sign this tool's requests, read now. Raises `ConfigError`."""
    return keys_of(tool.secret, default)


def secret_problems(agents: AgentsFile, default: SecretStr | None) -> list[str]:
    """Return one sentence per tool that could not sign; ask before serving, callers would find out otherwise."""
    problems = []
    for agent in agents.agents.values():
        for tool in agent.tools:
            try:
                tool_keys(tool, default)
            except ConfigError as error:
                problems.append(f"tool {agent.name}/{tool.name}: {error}")
    return problems


def signing_keys(secret: SecretStr) -> list[Webhook]:
    """Return the keys in a secret: `whsec_` and base64, or raw text; two, separated by blanks, while rotating.

    Raises `ConfigError` when a `whsec_` secret is not base64.
    """
    keys = []
    for part in secret.get_secret_value().split():
        raw = part.encode()
        if part.startswith("whsec_"):
            try:
                encoded = part.removeprefix("whsec_")
                raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
            except binascii.Error:
                raise ConfigError("the signing secret begins with whsec_ but is not base64 after that") from None
        if not raw:
            raise ConfigError("the signing secret is empty")
        keys.append(Webhook(raw))
    if not keys:
        raise ConfigError("the signing secret is empty")
    return keys


def sign(keys: Sequence[Webhook], message_id: str, body: str) -> dict[str, str]:
    """Return the three headers of a message sent now; one signature per key, so that receivers can rotate."""
    now = datetime.now(UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(key.sign(message_id, now, body) for key in keys),
    }


def verify(keys: Sequence[Webhook], headers: Mapping[str, str], body: bytes, *, now: datetime | None = None) -> None:
    """Believe a message that came in, or raise `SignatureRefused`.

    `body` is what came over the wire, not what was parsed from it; header names may be in any case. The caller compares
    the `webhook-id` with what it expects, and refuses one that it has had.
    """
    # Not the library's own `verify`: one malformed signature in the list would hide a good one behind it.
    given = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp, signatures = (given.get(f"webhook-{part}", "") for part in ("id", "timestamp", "signature"))
    if not (message_id and timestamp and signatures):
        raise SignatureRefused("webhook-id, webhook-timestamp and webhook-signature are needed")
    if not message_id.isascii():
        raise SignatureRefused("webhook-id is not ASCII")
    sent_at = _sent_at(timestamp)
    skew_s = sent_at - (now or datetime.now(UTC)).timestamp()
    if abs(skew_s) > TOLERANCE_S:
        raise SignatureRefused(f"webhook-timestamp is too {'new' if skew_s > 0 else 'old'}; check the sender's clock")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise SignatureRefused("the body is not UTF-8") from None
    candidates = [part for part in signatures.split(" ")[:MAX_SIGNATURES] if part.startswith(VERSION)]
    expected = [key.sign(message_id, datetime.fromtimestamp(sent_at, UTC), text).encode() for key in keys]
    # Every pair is compared, each in constant time: how long it takes tells nothing about the keys.
    matches = [hmac.compare_digest(ours, theirs.encode(errors="replace")) for ours in expected for theirs in candidates]
    if not any(matches):
        raise SignatureRefused("no signature of webhook-signature matches")


def retell_signature(secret: SecretStr, body: str, *, now: datetime | None = None) -> str:
    """Return the value of `X-Retell-Signature`: `v=<ms>,d=<hex>`, HMAC-SHA256 over body and milliseconds.

    As `verify` of Retell's own libraries expects it (RetellAI/retell-python-sdk, src/retell/lib/webhook_auth.py). The
    key there is the text of the API key; it knows no rotation, so the first part of our secret is taken.
    """
    parts = secret.get_secret_value().split()
    if not parts:
        raise ConfigError("the signing secret is empty")
    at_ms = int((now or datetime.now(UTC)).timestamp() * 1000)
    digest = hmac.new(parts[0].encode(), f"{body}{at_ms}".encode(), hashlib.sha256).hexdigest()
    return f"v={at_ms},d={digest}"


def _sent_at(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 11):
        raise SignatureRefused("webhook-timestamp is not a number of seconds")
    return int(text)
