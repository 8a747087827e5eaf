"""Plivo's REST API: redirect and end calls. Vendor page: "Call API"; errors as `jsonrest` has them."""

import re
from base64 import b64encode

import httpx2

from gateway.carriers.jsonrest import GONE, JsonRest
from gateway.errors import CarrierError

__all__ = ["PlivoRest"]

_is_call_id = re.compile(r"[A-Za-z0-9-]{8,64}").fullmatch


class PlivoRest:
    """One Plivo account."""

    def __init__(
        self, auth_id: str, auth_token: str, api_url: str, *, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        self._calls = f"{api_url}/v1/Account/{auth_id}/Call"
        basic = "Basic " + b64encode(f"{auth_id}:{auth_token}".encode()).decode()
        self._http = JsonRest("plivo", lambda: basic, transport=transport)

    async def redirect(self, call_uuid: str, url: str) -> None:
        """Have Plivo fetch new XML for a live call at once; this closes its media stream."""
        body = {"legs": "aleg", "aleg_url": url, "aleg_method": "POST"}
        await self._http.send("POST", self._url(call_uuid), body)

    async def hang_up(self, call_uuid: str) -> None:
        """End a call; one that has ended already counts as ended."""
        try:
            await self._http.send("DELETE", self._url(call_uuid), {})
        except CarrierError as failed:
            if failed.code != GONE:
                raise

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        await self._http.close()

    def _url(self, call_uuid: str) -> str:
        if _is_call_id(call_uuid) is None:
            raise CarrierError("a call UUID is letters, digits and dashes", permanent=True, code="bad_id")
        return f"{self._calls}/{call_uuid}/"
