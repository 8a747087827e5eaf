"""Whether a request really comes from Plivo: signature V3, HMAC-SHA256 with the auth token.

What is signed is the URL under which Plivo reaches us: the configured public origin, and path and query as received.
Query and form go in decoded and sorted, exactly as Plivo's own SDK does it; its documentation differs, but it is the
SDK that its customers check with. The nonce is Plivo's and has no time in it: replays verify for ever, so whoever uses
this must be idempotent, and a stream needs its one-use token besides.

The upgrade of a media socket is signed like a GET. Under which URL is not settled: Plivo's SDKs check `http` in place
of `wss` and a path that ends in `/websocket`. So a short list of URLs is tried, all of them our own.
"""

import hmac
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from urllib.parse import parse_qsl

__all__ = ["HEADERS", "NONCE_HEADER", "SignatureCheck", "sign"]

NONCE_HEADER = "x-plivo-signature-v3-nonce"
HEADERS = ("x-plivo-signature-v3", "x-plivo-signature-ma-v3")
"""Signed by the (sub-)account that owns the number, and by its main account."""
MAX_NONCE = 64
MAX_URL = 2048
MAX_SIGNATURES = 8
"""In one header: several while the token is being rotated."""

Pairs = Sequence[tuple[str, str]]


class SignatureCheck:
    """Checks against one account's token."""

    def __init__(self, auth_token: str, public_url: str, *, allow_unsigned: bool = False) -> None:
        self._token = auth_token
        self._origin = public_url.rstrip("/")
        self._allow_unsigned = allow_unsigned

    def webhook(self, method: str, raw_path: str, form: Pairs, headers: Mapping[str, str]) -> bool:
        """Check a GET or POST; `raw_path` is path and query as received, `form` the body's fields."""
        return self._check([(method, self._origin + raw_path)], form, headers)

    def upgrade(self, raw_path: str, headers: Mapping[str, str]) -> bool:
        """Check a WebSocket upgrade."""
        host = self._origin.partition("://")[2]
        path, mark, query = raw_path.partition("?")
        return self._check(
            [
                ("GET", f"{scheme}://{host}{path}{end}{mark}{query}")
                for scheme in ("wss", "https", "http", "ws")
                for end in ("", "/websocket")
            ],
            (),
            headers,
        )

    def _check(self, requests: Pairs, form: Pairs, headers: Mapping[str, str]) -> bool:
        given = [headers[name] for name in HEADERS if name in headers]
        if self._allow_unsigned and not given and NONCE_HEADER not in headers:
            return True
        nonce = headers.get(NONCE_HEADER, "")
        signatures = [one.strip().encode() for header in given for one in header.split(",")[:MAX_SIGNATURES]]
        if not 0 < len(nonce) <= MAX_NONCE or not signatures or any(len(url) > MAX_URL for _, url in requests):
            return False
        ours = [sign(self._token, method, url, form, nonce).encode() for method, url in requests]
        return any([hmac.compare_digest(mine, theirs) for mine in ours for theirs in signatures])


def sign(auth_token: str, method: str, url: str, form: Pairs, nonce: str) -> str:
    """Return the signature of a request."""
    said = f"{_base(method, url, form)}.{nonce}"
    return b64encode(hmac.new(auth_token.encode(), said.encode("utf-8", "surrogateescape"), sha256).digest()).decode()


def _base(method: str, url: str, form: Pairs) -> str:
    address, _, query = url.partition("?")
    asked = parse_qsl(query, keep_blank_values=True, errors="surrogateescape")
    if method == "GET":
        asked, form = [*asked, *form], ()
    base = address + ("?" if asked or form else "") + "&".join(f"{name}={value}" for name, value in sorted(asked))
    return base + ("." if asked and form else "") + "".join(name + value for name, value in sorted(form))
