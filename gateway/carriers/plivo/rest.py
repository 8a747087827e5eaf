"""Plivo's REST API: redirect and end calls. Vendor page: "Call API".

Bounded in time and size, no redirects. Every failure leaves here as `CarrierError`: `permanent` when Plivo refused,
`code` "gone" when the call has ended, "not_sent" or "429" when surely nothing happened; after any other temporary one
the request may have been carried out.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2

from gateway.errors import CarrierError

__all__ = ["GONE", "PlivoRest"]

REQUEST_S = 8.0
CONNECT_S = 3.0
GONE = "gone"

_is_call_id = re.compile(r"[A-Za-z0-9-]{8,64}").fullmatch
_SENTENCES = {
    401: "plivo refuses the credentials: check GATEWAY_PLIVO_AUTH_ID and GATEWAY_PLIVO_AUTH_TOKEN",
    429: "plivo's rate limit: too many requests at once",
}


class PlivoRest:
    """One Plivo account. Connections are opened by the first request; `close` ends them."""

    def __init__(
        self, auth_id: str, auth_token: str, api_url: str, *, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        """`transport` replaces the network."""
        self._calls = f"{api_url}/v1/Account/{auth_id}/Call"
        self._client = httpx2.AsyncClient(
            auth=(auth_id, auth_token),
            headers={"accept-encoding": "identity", "user-agent": "voice-agent-gateway"},
            timeout=httpx2.Timeout(REQUEST_S, connect=CONNECT_S),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            follow_redirects=False,
            trust_env=False,
            transport=transport,
        )

    async def redirect(self, call_uuid: str, url: str) -> None:
        """Have Plivo fetch new XML for a live call at once; this closes its media stream."""
        await self._request("POST", call_uuid, {"legs": "aleg", "aleg_url": url, "aleg_method": "POST"})

    async def hang_up(self, call_uuid: str) -> None:
        """End a call; one that has ended already counts as ended."""
        try:
            await self._request("DELETE", call_uuid, None)
        except CarrierError as failed:
            if failed.code != GONE:
                raise

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        await self._client.aclose()

    async def _request(self, method: str, call_uuid: str, body: Mapping[str, str] | None) -> None:
        if _is_call_id(call_uuid) is None:
            raise CarrierError("a call UUID is letters, digits and dashes", permanent=True, code="bad_id")
        content = json.dumps(body).encode() if body is not None else b""
        headers = {"content-type": "application/json"} if body is not None else {}
        try:
            async with (
                asyncio.timeout(REQUEST_S),
                self._client.stream(method, f"{self._calls}/{call_uuid}/", content=content, headers=headers) as answer,
            ):
                status = answer.status_code  # the body, of whatever length, says nothing that we need
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise CarrierError("no connection to plivo's API", code="not_sent") from error
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise CarrierError(f"no answer from plivo within {REQUEST_S:.0f} s", code="timeout") from error
        except httpx2.HTTPError as error:
            raise CarrierError("the connection to plivo broke before its answer", code="lost") from error
        if status >= 300:
            raise _refusal(status)


def _refusal(status: int) -> CarrierError:
    if status in (404, 410):
        return CarrierError("plivo knows of no such live call", permanent=True, code=GONE)
    if status < 400:
        return CarrierError("plivo's API address redirects elsewhere: check it", permanent=True, code=str(status))
    temporary = status in (408, 429) or status >= 500
    sentence = _SENTENCES.get(status, f"plivo answered HTTP {status}")
    return CarrierError(sentence, permanent=not temporary, code=str(status))
