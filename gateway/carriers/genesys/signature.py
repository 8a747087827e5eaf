"""Whether an upgrade really comes from Genesys: HTTP message signature, HMAC-SHA256, and the API key.

The algorithm is ours, whatever the request says, and so is `@authority`: the host of the configured public URL, which
`Host` must repeat. What was signed may be ten seconds old, and its nonce is good once. Vendor page: "AudioHook
security", and its reference implementation, which follows a draft of RFC 9421.
"""

import hmac
import re
import time
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import sha256
from urllib.parse import urlsplit

from gateway.errors import ConfigError

__all__ = ["SIGNATURE_HEADERS", "UpgradeCheck"]

SIGNATURE_HEADERS = ("signature", "signature-input")
REQUIRED = (
    "@request-target",
    "@authority",
    "audiohook-organization-id",
    "audiohook-session-id",
    "audiohook-correlation-id",
    "x-api-key",
)
MAX_AGE_S = 10
MAX_SKEW_S = 3
MOST_NONCES = 10_000
DEFAULT_PORTS = {"http": 80, "https": 443}

_input = re.compile(r'sig1=(\(("[a-z0-9@-]{1,64}"(?: "[a-z0-9@-]{1,64}"){0,31})\)((?:;[a-z]{1,16}=[^;,]{1,256}){1,8}))')
_signature = re.compile(r"sig1=:([A-Za-z0-9+/]{43}=):")
_is_nonce = re.compile(r'"[\x21\x23-\x5b\x5d-\x7e]{22,128}"').fullmatch
_is_time = re.compile(r"\d{1,12}").fullmatch


class UpgradeCheck:
    """Checks the upgrades of one integration."""

    def __init__(
        self,
        api_key: str,
        client_secret: str,
        public_url: str,
        *,
        allow_unsigned: bool = False,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`client_secret` is base64; raises `ConfigError` for another. `wall` is Unix time."""
        try:
            self._secret = b64decode(client_secret, validate=True)
        except Base64Error:
            self._secret = b""
        if not self._secret:
            raise ConfigError("GATEWAY_GENESYS_CLIENT_SECRET must be base64, as Genesys shows it")
        self._api_key = api_key
        self._authority = _authority(urlsplit(public_url).netloc, urlsplit(public_url).scheme)
        self._scheme = urlsplit(public_url).scheme
        self._allow_unsigned = allow_unsigned
        self._wall = wall
        self._nonces: OrderedDict[str, float] = OrderedDict()
        """Seen, and until when they might come again."""

    def passes(self, raw_path: str, headers: Mapping[str, str]) -> bool:
        """Check an upgrade; `raw_path` is path and query as received. A true answer is given once per nonce."""
        if self._allow_unsigned and not any(name in headers for name in SIGNATURE_HEADERS):
            return True
        api_key = headers.get("x-api-key", "")
        given = _input.fullmatch(headers.get("signature-input", ""))
        signature = _signature.fullmatch(headers.get("signature", ""))
        if not hmac.compare_digest(api_key.encode(), self._api_key.encode()) or given is None or signature is None:
            return False
        if _authority(headers.get("host", ""), self._scheme) != self._authority:
            return False
        values = {**headers, "@request-target": raw_path, "@authority": self._authority}
        names = given[2].replace('"', "").split(" ")
        if not set(REQUIRED) <= set(names) or len(set(names)) != len(names) or any(n not in values for n in names):
            return False
        lines = [f'"{name}": {values[name].strip()}' for name in names] + [f'"@signature-params": {given[1]}']
        ours = b64encode(hmac.new(self._secret, "\n".join(lines).encode(), sha256).digest())
        return hmac.compare_digest(ours, signature[1].encode()) and self._fresh(given[3], api_key)

    def _fresh(self, text: str, api_key: str) -> bool:
        """Whether a signature's parameters are those of this moment. Only what is signed comes here."""
        parts = dict(part.split("=", 1) for part in text[1:].split(";"))
        created, expires, nonce = parts.get("created", ""), parts.get("expires", ""), parts.get("nonce", "")
        if parts.get("keyid") != f'"{api_key}"' or parts.get("alg", '"hmac-sha256"') != '"hmac-sha256"':
            return False
        if not _is_time(created) or not _is_time(expires) or not _is_nonce(nonce):
            return False
        now, until = self._wall(), min(int(created) + MAX_AGE_S, int(expires)) + MAX_SKEW_S
        if not int(created) - MAX_SKEW_S <= now <= until or int(expires) < int(created):
            return False
        while self._nonces and (next(iter(self._nonces.values())) < now or len(self._nonces) > MOST_NONCES):
            self._nonces.popitem(last=False)
        if nonce in self._nonces:
            return False
        self._nonces[nonce] = until
        return True


def _authority(host: str, scheme: str) -> str:
    """Return a host in lower case, without the port that goes without saying."""
    return host.lower().removesuffix(f":{DEFAULT_PORTS.get(scheme, 443)}")
