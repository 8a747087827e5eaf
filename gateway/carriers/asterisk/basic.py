"""HTTP Basic authentication of Asterisk: its WebSocket client and its dialplan's requests."""

import binascii
import hashlib
import hmac
from base64 import b64decode

__all__ = ["BasicAuth"]

MAX_HEADER = 1024
WANTED = "GATEWAY_ASTERISK_USERNAME and GATEWAY_ASTERISK_PASSWORD"


class BasicAuth:
    """Who may come in. Compared in constant time, also where the user is wrong or of another length."""

    def __init__(self, username: str, password: str | None, *, allow_unsigned: bool = False) -> None:
        """Without a password only requests without any authorization are taken, where `allow_unsigned`."""
        self._expected = _digest(f"{username}:{password}".encode()) if password else None
        self._allow_unsigned = allow_unsigned

    def admits(self, header: str | None) -> bool:
        """Tell whether a request with this `Authorization` header is Asterisk's."""
        if header is None:
            return self._allow_unsigned
        scheme, _, value = header[:MAX_HEADER].partition(" ")
        if self._expected is None or scheme.lower() != "basic":
            return False
        try:
            told = b64decode(value.strip(), validate=True)
        except (binascii.Error, ValueError):
            told = b""
        return hmac.compare_digest(_digest(told), self._expected)

    def why_not(self, header: str | None) -> str:
        """Return what is wrong with a header that was not admitted, for the log: no secret, and nothing that came."""
        if header is None:
            return f"it came without {WANTED}"
        if self._expected is None:
            return "GATEWAY_ASTERISK_PASSWORD is not set"
        if header[:MAX_HEADER].partition(" ")[0].lower() != "basic":
            return f"its Authorization is not Basic, with {WANTED}"
        return f"its user or password is not {WANTED}"


def _digest(pair: bytes) -> bytes:
    return hashlib.sha256(pair).digest()
