"""Asterisk's REST interface (ARI), as much of it as works for a channel that is in the dialplan.

Most of ARI, also setting a channel's variable, transfer and keys, is refused with 409 outside of Stasis
(`res/ari/resource_channels.c`, `find_control`). What works for every channel: hang it up, look at it, read its
variables, and set global variables. So what the dialplan is to do next is told in a global variable.

Bounded in time and size, no redirects. Every failure leaves as `CarrierError`; "not_sent", "timeout", "lost" and 5xx
are temporary, and all but the first may have been carried out.
"""

import asyncio
import json
from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import quote

import httpx2

from gateway.errors import CarrierError

__all__ = ["Ari"]

REQUEST_S = 3.0
CONNECT_S = 1.5
ANSWER_BYTES_MAX = 64 * 1024
MAX_VERSION_CHARS = 40
SENTENCES = {
    401: "asterisk refuses the ARI user or password: see ari.conf",
    403: "the ARI user may not do this: it must not be read_only",
}


class Ari:
    """One Asterisk. Connections are opened by the first request; `close` ends them."""

    def __init__(
        self, url: str, username: str, password: str, *, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        """`url` is the origin of its HTTP server; `transport` replaces the network."""
        self._url = f"{url}/ari/"
        self._client = httpx2.AsyncClient(
            auth=httpx2.BasicAuth(username, password),
            headers={"accept-encoding": "identity", "user-agent": "voice-agent-gateway"},
            timeout=httpx2.Timeout(REQUEST_S, connect=CONNECT_S),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            follow_redirects=False,
            trust_env=False,
            transport=transport,
        )

    async def version(self) -> str:
        """Return which Asterisk it is. Works for every ARI user, a read-only one too."""
        body = await self._ask("GET", "asterisk/info", {"only": "system"})
        try:
            version = json.loads(body)["system"]["version"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise CarrierError("what answers is not asterisk's REST interface", code="bad_answer") from None
        return str(version)[:MAX_VERSION_CHARS]

    async def hang_up(self, channel_id: str) -> None:
        """Hang a channel up; one that is gone counts as hung up."""
        await self._ask("DELETE", _channel(channel_id), {"reason": "normal"}, gone=b"")

    async def lives(self, channel_id: str) -> bool:
        """Tell whether there is such a channel."""
        return await self._ask("GET", _channel(channel_id), {}, gone=b"gone") != b"gone"

    async def variable(self, channel_id: str, name: str) -> str:
        """Return a channel's variable; "" when it is not set, or the channel is gone."""
        return _value(await self._ask("GET", f"{_channel(channel_id)}/variable", {"variable": name}, gone=b"{}"))

    async def global_variable(self, name: str) -> str:
        """Return a global variable; "" when it is not set."""
        return _value(await self._ask("GET", "asterisk/variable", {"variable": name}, gone=b"{}"))

    async def set_global(self, name: str, value: str) -> None:
        """Set a global variable. In the body, because the value may hold a number and addresses are logged."""
        await self._ask("POST", "asterisk/variable", {}, body={"variable": name, "value": value})

    async def forget_global(self, name: str) -> None:
        """Remove a global variable. One that is merely empty stays in Asterisk's list of them for ever."""
        await self._ask("POST", "asterisk/variable", {}, body={"variable": name})

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        await self._client.aclose()

    async def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        body: Mapping[str, str] | None = None,
        gone: bytes | None = None,
    ) -> bytes:
        """Return the answer's body; `gone` in place of a 404 where that is an answer too."""
        try:
            async with (
                asyncio.timeout(REQUEST_S),
                self._client.stream(method, self._url + path, params=dict(query), json=body) as answer,
            ):
                if answer.status_code == 404 and gone is not None:
                    return gone
                if answer.status_code >= 300:
                    raise _refusal(answer.status_code)
                return await _bounded(answer)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise CarrierError("no connection to asterisk's REST interface", code="not_sent") from error
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise CarrierError(f"no answer from asterisk within {REQUEST_S:.0f} s", code="timeout") from error
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, UnicodeError) as error:
            raise CarrierError("GATEWAY_ASTERISK_ARI_URL is no use", permanent=True, code="bad_url") from error
        except httpx2.HTTPError as error:
            raise CarrierError("the connection to asterisk broke before its answer", code="lost") from error


def _channel(channel_id: str) -> str:
    return f"channels/{quote(channel_id, safe='')}"


async def _bounded(answer: httpx2.Response) -> bytes:
    body = bytearray()
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            raise CarrierError("asterisk's answer is too long", code="bad_answer")
    return bytes(body)


def _value(body: bytes) -> str:
    try:
        value = json.loads(body).get("value", "")
    except (ValueError, AttributeError, RecursionError):
        raise CarrierError("asterisk's answer is not what ARI documents", code="bad_answer") from None
    return value if isinstance(value, str) else ""


def _refusal(status: int) -> CarrierError:
    temporary = status in (408, 429) or status >= 500
    sentence = SENTENCES.get(status, f"asterisk answered HTTP {status}")
    return CarrierError(sentence, permanent=not temporary, code=str(status))
