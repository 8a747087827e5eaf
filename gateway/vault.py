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
from gateway.tokens import TOKEN_PREFIX

__all__ = ["Vault", "VaultFull", "asked_by"]

TOKEN_BYTES = 24
"""32 characters of base64."""


class VaultFull(GatewayError):
    """No more digits can be kept now."""


@dataclass(slots=True)
class _Kept:
    digits: str = field(repr=False)
    places: tuple[bytes, ...]
    """Under which it is found: the token's, and that of a further name."""
    timer: asyncio.TimerHandle = field(repr=False)


class Vault:
    """Use within one event loop. Not a dataclass: nothing shows what is inside."""

    def __init__(self, *, ttl_s: float = 900.0, limit: int = 1000) -> None:
        self._ttl_s = ttl_s
        self._limit = limit
        self._kept: dict[bytes, _Kept] = {}

    def __repr__(self) -> str:
        return f"<Vault of {len(self)}>"

    def __len__(self) -> int:
        return len({kept.places for kept in self._kept.values()})

    async def keep(self, digits: str, name: str = "") -> str:
        """Take digits and return the token that stands for them; `name` redeems them too. Raises `VaultFull`.

        A coroutine because another vault may have to ask somebody; this one never waits.
        """
        if len(self) >= self._limit:
            raise VaultFull(f"the vault is full: it holds {self._limit} entries")
        token = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
        place = _hash(token)
        timer = asyncio.get_running_loop().call_later(self._ttl_s, self._forget, place)
        places = (place, _hash(name)) if name else (place,)
        for each in places:
            self._kept[each] = _Kept(digits, places, timer)
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
        kept = self._kept.get(place)
        if kept is not None:
            kept.timer.cancel()
            for each in kept.places:
                self._kept.pop(each, None)
        return kept


def asked_by(call_id: str, command_id: str) -> str:
    """Return the name under which an operator finds what their command collected."""
    return f"{call_id}/{command_id}"


def _hash(token: str) -> bytes:
    # Looked up by hash: how long a look-up takes says nothing about the tokens that are there.
    return hashlib.sha256(token.encode()).digest()
