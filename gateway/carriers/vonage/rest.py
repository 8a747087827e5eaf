"""Vonage's Voice API: end a call, give it new instructions.

Source: Vonage, *Voice API reference*, `PUT /v1/calls/{uuid}`; authenticated by a short JWT that the application's
private key signs. Errors are those of `jsonrest.py`.
"""

import re
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from urllib.parse import quote

import httpx2
import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.carriers.jsonrest import GONE, JsonRest
from gateway.carriers.vonage.ncco import Action
from gateway.errors import CarrierError, ConfigError

__all__ = ["VonageRest"]

DEFAULT_URL = "https://api.nexmo.com"
VALID_S = 60
"""Of the token of one request."""
KEPT_REGIONS = 5000

_is_region = re.compile(r"https://api(-[a-z]{2,4}(-[0-9]{1,2})?)?\.(vonage|nexmo)\.com").fullmatch


class VonageRest:
    """One application."""

    def __init__(
        self,
        application_id: str,
        private_key: str,
        api_url: str = DEFAULT_URL,
        *,
        wall: Callable[[], float] = time.time,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """`wall` is Unix time; `transport` replaces the network. Raises `ConfigError` for a key that is none."""
        self._application_id = application_id
        self._key = _rsa(private_key)
        self._api_url = api_url
        self._wall = wall
        self._regions: OrderedDict[str, str] = OrderedDict()
        self._http = JsonRest("vonage", self._authorization, transport=transport)

    def controlled_at(self, call: str, region_url: str) -> None:
        """A webhook says which regional API a call is controlled by; a configured other address wins."""
        if self._api_url != DEFAULT_URL or _is_region(region_url) is None:
            return
        self._regions[call] = region_url
        while len(self._regions) > KEPT_REGIONS:
            self._regions.popitem(last=False)

    async def transfer(self, call: str, ncco: Sequence[Action]) -> None:
        """Give a live call new instructions at once; it leaves its stream."""
        await self._put(call, {"action": "transfer", "destination": {"type": "ncco", "ncco": list(ncco)}})

    async def hang_up(self, call: str) -> None:
        """End a call; one that has ended already counts as ended."""
        try:
            await self._put(call, {"action": "hangup"})
        except CarrierError as failed:
            if failed.code != GONE:
                raise

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        await self._http.close()

    async def _put(self, call: str, body: dict[str, object]) -> None:
        origin = self._regions.get(call, self._api_url)
        await self._http.send("PUT", f"{origin}/v1/calls/{quote(call, safe='')}", body)

    def _authorization(self) -> str:
        now = int(self._wall())
        claims = {"application_id": self._application_id, "iat": now, "exp": now + VALID_S, "jti": str(uuid.uuid4())}
        return "Bearer " + jwt.encode(claims, self._key, algorithm="RS256")


def _rsa(pem: str) -> RSAPrivateKey:
    try:
        # In an environment variable the lines are often written with \n.
        key = load_pem_private_key(pem.replace("\\n", "\n").encode(), password=None)
    except (ValueError, TypeError):
        raise ConfigError("GATEWAY_VONAGE_PRIVATE_KEY must be the application's private key, PEM") from None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigError("GATEWAY_VONAGE_PRIVATE_KEY must be an RSA key")
    return key
