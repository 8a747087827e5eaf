"""Whether a webhook is jambonz': `Jambonz-Signature: t=<unix time>,v1=<hex>`.

jambonz, *Securing your webhooks*: HMAC-SHA256, by the webhook secret, of the time, a dot and the body as received.
"""

import hashlib
import hmac
import re
import time
from collections.abc import Callable

__all__ = ["SIGNATURE_HEADER", "SignatureCheck"]

SIGNATURE_HEADER = "jambonz-signature"
TOLERANCE_S = 300
"""How old or how far ahead the signed time may be."""
MAX_HEADER = 1000

_is_time = re.compile(r"[0-9]{1,12}").fullmatch


class SignatureCheck:
    """Checks with one webhook secret. `wall` is Unix time."""

    def __init__(self, secret: str, *, allow_unsigned: bool = False, wall: Callable[[], float] = time.time) -> None:
        self._secret = secret.encode()
        self._allow_unsigned = allow_unsigned
        self._wall = wall

    def passes(self, header: str | None, body: bytes) -> bool:
        """Tell whether `body` was signed with our secret within `TOLERANCE_S`. One v1 of several is enough."""
        if header is None:
            return self._allow_unsigned
        if len(header) > MAX_HEADER or not header.isascii():
            return False
        parts = [part.strip().partition("=") for part in header.split(",")]
        times = [value for name, _, value in parts if name == "t"]
        if len(times) != 1 or _is_time(times[0]) is None or abs(self._wall() - int(times[0])) > TOLERANCE_S:
            return False
        expected = hmac.new(self._secret, times[0].encode() + b"." + body, hashlib.sha256).hexdigest()
        return any(hmac.compare_digest(value, expected) for name, _, value in parts if name == "v1")
