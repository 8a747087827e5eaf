"""Whether a webhook is Telnyx': Ed25519 over the time and the raw body, by the account's public key.

The URL is not signed, so proxies do not matter; the time is, so that an intercepted webhook is of no use after
`TOLERANCE_S`. Source: Telnyx, *Webhook fundamentals*.
"""

import base64
import binascii
import time
from collections.abc import Callable, Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.errors import ConfigError

__all__ = ["SIGNATURE", "TIMESTAMP", "SignatureCheck"]

SIGNATURE = "telnyx-signature-ed25519"
TIMESTAMP = "telnyx-timestamp"
TOLERANCE_S = 300
SIGNATURE_CHARS = 88
"""64 bytes in base64."""


class SignatureCheck:
    """Checks with one key."""

    def __init__(self, public_key: str, *, allow_unsigned: bool = False, wall: Callable[[], float] = time.time) -> None:
        """`public_key` is base64 of 32 bytes. Raises `ConfigError`."""
        try:
            self._key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        except (binascii.Error, ValueError):
            raise ConfigError("GATEWAY_TELNYX_PUBLIC_KEY must be the account's public key, base64") from None
        self._allow_unsigned = allow_unsigned
        self._wall = wall

    def passes(self, body: bytes, headers: Mapping[str, str]) -> bool:
        """Tell whether `body` was signed within `TOLERANCE_S`. Never raises."""
        signature, at = headers.get(SIGNATURE), headers.get(TIMESTAMP)
        if signature is None and at is None:
            return self._allow_unsigned
        if signature is None or at is None or len(signature) != SIGNATURE_CHARS:
            return False
        if not (at.isascii() and at.isdigit() and len(at) <= 12) or abs(self._wall() - int(at)) > TOLERANCE_S:
            return False
        try:
            self._key.verify(base64.b64decode(signature, validate=True), at.encode() + b"|" + body)
        except (InvalidSignature, ValueError):
            return False
        return True
