"""The vault: digits that a secure collector took, held in memory until the business redeems their token, once.

It is the only place where such digits live. Nothing of it is written, logged or shown; an entry is forgotten when it is
redeemed and when its time is over. Each process has its own: what that means behind a load balancer, and for PCI DSS,
is in `gateway/operator/README.md`.
"""

import asyncio
import hashlib
import secrets
from dataclasses import dataclass, field

from gateway.errors import GatewayError

__all__ = ["TOKEN_PREFIX", "Vault", "VaultFull"]

TOKEN_PREFIX = "vault_"
TOKEN_BYTES = 24
"""32 characters of base64."""


class VaultFull(GatewayError):
    """No more digits can be kept now."""


@dataclass(slots=True)
class _Kept:
    digits: str = field(repr=False)
    timer: asyncio.TimerHandle = field(repr=False)


class Vault:
    """Use within one event loop. Not a dataclass: nothing shows what is inside."""

    def __init__(self, *, ttl_s: float = 900.0, limit: int = 1000) -> None:
        self._ttl_s = ttl_s
        self._limit = limit
        self._kept: dict[bytes, _Kept] = {}

    def __repr__(self) -> str:
        return f"<Vault of {len(self._kept)}>"

    def __len__(self) -> int:
        return len(self._kept)

    async def keep(self, digits: str) -> str:
        """Take digits and return the token that stands for them. Raises `VaultFull`.

        A coroutine because another vault may have to ask somebody; this one never waits.
        """
        if len(self._kept) >= self._limit:
            raise VaultFull(f"the vault is full: it holds {self._limit} entries")
        token = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
        place = _hash(token)
        timer = asyncio.get_running_loop().call_later(self._ttl_s, self._forget, place)
        self._kept[place] = _Kept(digits, timer)
        return token

    def redeem(self, token: str) -> str | None:
        """Return the digits and forget them; None for a token that is unknown, used or too old: all look the same."""
        kept = self._forget(_hash(token))
        return kept.digits if kept is not None else None

    def clear(self) -> None:
        """Forget everything. Call when the process stops."""
        for place in list(self._kept):
            self._forget(place)

    def _forget(self, place: bytes) -> _Kept | None:
        kept = self._kept.pop(place, None)
        if kept is not None:
            kept.timer.cancel()
        return kept


def _hash(token: str) -> bytes:
    # Looked up by hash: how long a look-up takes says nothing about the tokens that are there.
    return hashlib.sha256(token.encode()).digest()
