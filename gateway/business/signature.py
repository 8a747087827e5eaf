"""Standard Webhooks: whom to believe, and how to be believed. The library does all of it."""

from collections.abc import Mapping
from datetime import UTC, datetime

from standardwebhooks import Webhook, WebhookVerificationError
from standardwebhooks.webhooks import EmptyWebhookSecretError

__all__ = ["Keys"]


class Keys:
    """One secret, or two separated by a blank while the old one is being replaced by the new one."""

    def __init__(self, secret: str) -> None:
        """Raises `ValueError` for a secret that is empty, or `whsec_` without base64 after it."""
        try:
            self._keys = [Webhook(one if one.startswith("whsec_") else one.encode()) for one in secret.split()]
        except EmptyWebhookSecretError as error:
            raise ValueError(str(error)) from None
        if not self._keys:
            raise ValueError("there is no secret")

    def believe(self, body: bytes, headers: Mapping[str, str]) -> bool:
        """Return whether one of the keys signed this body within the last five minutes; `headers` in lower case."""
        return any(_verified(key, body, headers) for key in self._keys)

    def sign(self, message_id: str, body: str) -> dict[str, str]:
        """Return the headers under which the gateway believes us; every key signs."""
        now = datetime.now(UTC)
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(key.sign(message_id, now, body) for key in self._keys),
        }


def _verified(key: Webhook, body: bytes, headers: Mapping[str, str]) -> bool:
    try:
        key.verify(body, dict(headers))
    except (WebhookVerificationError, ValueError):  # ValueError: what claims to be a signature is none
        return False
    return True
