"""Whether a request really comes from SignalWire.

Two headers, both keyed with the project's signing key (not the API token):

* `X-SignalWire-Signature`, HMAC-SHA1, on every request. In one of two forms: hex over URL and raw body, or, for forms,
  base64 over URL and the parameters sorted by name. Unlike Twilio's, a name that is repeated counts every time, in
  the order in which it came.
* `X-SignalWire-Sha256-Signature`, hex HMAC-SHA256 over URL and raw body; SignalWire documents it for calls.

Which is needed is a setting, never what a request brings. With "sha1" the first must be right, and the second too
where it came: a request is held to more by what it brings, never to less. With "sha256" only the second counts, and a
request without it is refused: leaving it out gains nothing.

The URL is the configured public origin with the raw path and query; SignalWire signs it with its port or without, so
both are tried. There is no time in a signature: replays verify for ever, so whoever uses this must be idempotent.
An upgrade is not signed. It brings the one-use token of an offer: looked up before the socket is accepted, spent when
the stream starts.
"""

import base64
import hmac
from collections.abc import Iterator
from typing import Literal
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MultiDict

from gateway.carriers.upgradetokens import UpgradeTokens

__all__ = ["Algorithm", "SignatureCheck", "bearer"]

Algorithm = Literal["sha1", "sha256"]
SHA1_HEADER = "x-signalwire-signature"
SHA256_HEADER = "x-signalwire-sha256-signature"
MAX_HEADER = 200
PORTS = {"https": 443, "http": 80}


class SignatureCheck:
    """Checks with one project's key."""

    def __init__(
        self, key: str, public_url: str, algorithm: Algorithm, tokens: UpgradeTokens, *, allow_unsigned: bool = False
    ) -> None:
        self._key = key.encode()
        self._origins = _with_ports(public_url.rstrip("/"))
        self._algorithm = algorithm
        self._tokens = tokens
        self._allow_unsigned = allow_unsigned

    def webhook(self, raw_path: str, body: bytes, form: MultiDict, headers: Headers) -> bool:
        """See `Signatures.webhook`."""
        sha1, sha256 = headers.get(SHA1_HEADER), headers.get(SHA256_HEADER)
        if self._allow_unsigned and sha1 is None and sha256 is None:
            return True
        urls = [(origin + raw_path).encode() for origin in self._origins]
        if sha256 is not None or self._algorithm == "sha256":
            strong = any(_same(sha256, self._hex("sha256", url + body)) for url in urls)
            if not strong or self._algorithm == "sha256":
                return strong
        return any(_same(sha1, expected) for url in urls for expected in self._older(url, body, form))

    def upgrade(self, raw_path: str, headers: Headers) -> bool:
        """See `Signatures.upgrade`."""
        return self._tokens.knows(bearer(headers))

    def _older(self, url: bytes, body: bytes, form: MultiDict) -> Iterator[str]:
        """Yield what the older header may hold."""
        yield self._hex("sha1", url + body)
        # Sorting keeps the order of what has the same name.
        pairs = sorted(form.multi_items(), key=lambda pair: pair[0])
        signed = url + "".join(name + value for name, value in pairs).encode()
        yield base64.b64encode(hmac.digest(self._key, signed, "sha1")).decode()

    def _hex(self, algorithm: Algorithm, signed: bytes) -> str:
        return hmac.digest(self._key, signed, algorithm).hex()


def bearer(headers: Headers) -> str:
    """Return the token that an upgrade brings; "" for none."""
    scheme, _, token = headers.get("authorization", "")[:MAX_HEADER].partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _same(given: str | None, expected: str) -> bool:
    if given is None or not given.isascii() or len(given) > MAX_HEADER:
        return False
    return hmac.compare_digest(given, expected)


def _with_ports(origin: str) -> list[str]:
    """Return an origin as it is and with its port said, or left out where it was said."""
    parts = urlsplit(origin)
    if parts.port is not None:
        return [origin, origin.removesuffix(f":{parts.port}")]
    return [origin, f"{origin}:{PORTS[parts.scheme]}"]
