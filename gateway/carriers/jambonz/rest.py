"""jambonz' REST API: end a call, have it ask for new instructions.

Source: jambonz, *REST API*, "Update a call"; authenticated by the account's API key. Errors are those of `jsonrest.py`.
"""

from urllib.parse import quote

import httpx2

from gateway.carriers.jsonrest import GONE, JsonRest
from gateway.errors import CarrierError

__all__ = ["JambonzRest"]


class JambonzRest:
    """One account."""

    def __init__(
        self, api_url: str, account_sid: str, api_key: str, *, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        """`api_url` is an origin, or the `api_base_url` of the cluster with its path."""
        base = api_url if api_url.endswith("/v1") else f"{api_url}/api/v1"
        self._calls = f"{base}/Accounts/{quote(account_sid, safe='')}/Calls"
        self._http = JsonRest("jambonz", lambda: f"Bearer {api_key}", transport=transport)

    async def redirect(self, call: str, hook_url: str) -> None:
        """Have a live call ask `hook_url` for new verbs at once; it leaves its stream."""
        await self._post(call, {"call_hook": hook_url})

    async def hang_up(self, call: str) -> None:
        """End a call; one that has ended already counts as ended."""
        try:
            await self._post(call, {"call_status": "completed"})
        except CarrierError as failed:
            if failed.code != GONE:
                raise

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        await self._http.close()

    async def _post(self, call: str, body: dict[str, object]) -> None:
        await self._http.send("POST", f"{self._calls}/{quote(call, safe='')}", body)
