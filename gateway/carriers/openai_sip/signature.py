"""Whether a webhook is OpenAI's: Standard Webhooks, checked by the official SDK on the raw body."""

import base64
import binascii
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gateway.errors import ConfigError

if TYPE_CHECKING:
    from openai.resources.webhooks.webhooks import Webhooks

__all__ = ["TOLERANCE_S", "WebhookCheck", "secret_problem"]

TOLERANCE_S = 300
"""How old or how far ahead the signed time may be."""
MIN_KEY_BYTES = 16
MAX_HEADER = 1024


def secret_problem(secret: str) -> str:
    """Return what is wrong with a signing secret; "" when it can be used. An empty key would let everybody sign."""
    if not secret.startswith("whsec_"):
        return "" if len(secret.encode()) >= MIN_KEY_BYTES else f"must have at least {MIN_KEY_BYTES} characters"
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        return "must be base64 after whsec_"
    return "" if len(key) >= MIN_KEY_BYTES else f"must hold at least {MIN_KEY_BYTES} bytes after whsec_"


class WebhookCheck:
    """Checks with one secret. Construct it at start, not in a request: importing the SDK takes most of a second."""

    def __init__(self, secret: str) -> None:
        """Raises `ConfigError` for a secret that proves nothing."""
        problem = secret_problem(secret)
        if problem:
            raise ConfigError(f"OPENAI_WEBHOOK_SECRET {problem}")
        from openai import OpenAI

        # The client makes no request; it is what the SDK hangs the check on.
        self._webhooks: Webhooks = OpenAI(api_key="none", webhook_secret=secret).webhooks

    def passes(self, body: bytes, headers: Mapping[str, str]) -> bool:
        """Tell whether `body` was signed with our secret within `TOLERANCE_S`. Never raises."""
        from openai import InvalidWebhookSignatureError

        if any(len(headers.get(name, "")) > MAX_HEADER for name in ("webhook-signature", "webhook-id")):
            return False
        try:
            self._webhooks.verify_signature(body, dict(headers), tolerance=TOLERANCE_S)
        except (InvalidWebhookSignatureError, ValueError, TypeError):
            # Missing headers and a body that is no text are ValueErrors, a signature beyond ASCII is a TypeError.
            return False
        return True
