"""Whether a webhook is Vonage's: the JWT in its `Authorization` header.

Vonage page: "Signed webhooks". The signature alone proves little, since it says nothing of the request: the body's
hash, the time and the id in the claims are compared too, which the official SDK leaves to us. The algorithm is ours,
never the token's.
"""

import hashlib
import hmac
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jwt

if TYPE_CHECKING:
    from jwt.types import Options

__all__ = ["JwtCheck", "query_payload"]

ALGORITHM = "HS256"
TOLERANCE_S = 300
"""How old or how far ahead the signed time may be."""
MAX_TIME_BITS = 40
"""A longer integer is no time, and may not even fit into a float."""
MAX_TOKEN = 4096
MAX_ID = 200
KEPT_IDS = 20_000
"""Ids of tokens that are remembered; at twice the tolerance that is thirty webhooks a second."""

CLAIMS_ARE_OURS: "Options" = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}
"""The library checks the signature; the times are checked below, by a clock that may be another than the system's."""


class JwtCheck:
    """Checks with one signature secret."""

    def __init__(
        self,
        secret: str,
        application_id: str | None = None,
        *,
        allow_unsigned: bool = False,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`application_id` None believes every application of the account. `wall` is Unix time."""
        self._secret = secret
        self._application_id = application_id
        self._allow_unsigned = allow_unsigned
        self._wall = wall
        self._seen: OrderedDict[str, float] = OrderedDict()

    def passes(self, authorization: str | None, payload: bytes) -> bool:
        """Tell whether `payload`, the raw body or `query_payload`, comes from Vonage, for the first time."""
        if authorization is None:
            return self._allow_unsigned
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.isascii() or len(token) > MAX_TOKEN:
            return False
        try:
            claims = jwt.decode(token, self._secret, algorithms=[ALGORITHM], options=CLAIMS_ARE_OURS)
        except (jwt.PyJWTError, ValueError, RecursionError):
            return False
        return self._ours(claims) and self._of_payload(claims, payload) and self._first_time(claims)

    def _ours(self, claims: Mapping[str, Any]) -> bool:
        return self._application_id is None or claims.get("application_id") == self._application_id

    def _of_payload(self, claims: Mapping[str, Any], payload: bytes) -> bool:
        told = claims.get("payload_hash")
        if not isinstance(told, str) or not told.isascii():
            return False
        return hmac.compare_digest(told.lower(), hashlib.sha256(payload).hexdigest())

    def _first_time(self, claims: Mapping[str, Any]) -> bool:
        issued_at, token_id = claims.get("iat"), claims.get("jti")
        if not isinstance(issued_at, int | float) or isinstance(issued_at, bool):
            return False
        if isinstance(issued_at, int) and issued_at.bit_length() > MAX_TIME_BITS:
            return False
        now = self._wall()
        if not abs(now - issued_at) <= TOLERANCE_S:  # so written, a NaN is refused too
            return False
        if not isinstance(token_id, str) or not 0 < len(token_id) <= MAX_ID or token_id in self._seen:
            return False
        self._seen[token_id] = now
        while len(self._seen) > KEPT_IDS or next(iter(self._seen.values())) < now - 2 * TOLERANCE_S:
            self._seen.popitem(last=False)
        return True


def query_payload(pairs: Sequence[tuple[str, str]]) -> bytes:
    """Return what Vonage hashes of a GET: its query parameters, in their order, as JSON without spaces."""
    return json.dumps(dict(pairs), separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
