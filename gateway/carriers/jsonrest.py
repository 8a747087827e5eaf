"""Requests with a JSON body to a carrier's REST API, where only the status of the answer counts.

Bounded in time and size, no redirects, no proxies, no cookies. Every failure leaves here as `CarrierError`:

* `permanent`: the carrier refused (4xx); asking again will not help;
* `code` "gone": there is no such call any more;
* `code` "not_sent": no connection, so nothing happened; "429": too fast, nothing happened;
* any other temporary one ("timeout", "lost", 5xx): the request may have been carried out.
"""

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2

from gateway.errors import CarrierError

__all__ = ["GONE", "JsonRest"]

REQUEST_S = 5.0
CONNECT_S = 2.0
ANSWER_BYTES_MAX = 64 * 1024
GONE = "gone"

_LONG_DIGITS = re.compile(r"\+?\d[\d\s().-]{4,}\d")


class JsonRest:
    """One vendor. Connections are opened by the first request; `close` ends them."""

    def __init__(
        self, vendor: str, authorization: Callable[[], str], *, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        """`vendor` names it in errors; `authorization` is asked for each request; `transport` replaces the network."""
        self._vendor = vendor
        self._authorization = authorization
        self._client = httpx2.AsyncClient(
            headers={"accept-encoding": "identity", "user-agent": "voice-agent-gateway"},
            timeout=httpx2.Timeout(REQUEST_S, connect=CONNECT_S),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            follow_redirects=False,
            trust_env=False,
            transport=transport,
        )

    async def send(self, method: str, url: str, body: Mapping[str, object]) -> None:
        """Make one request. Raises `CarrierError`."""
        headers = {"authorization": self._authorization(), "content-type": "application/json"}
        try:
            async with (
                asyncio.timeout(REQUEST_S),
                self._client.stream(method, url, content=json.dumps(body).encode(), headers=headers) as answer,
            ):
                if answer.status_code >= 300:
                    raise self._refusal(answer.status_code, await _bounded(answer))
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise CarrierError(f"no connection to {self._vendor}'s API", code="not_sent") from error
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise CarrierError(f"no answer from {self._vendor} within {REQUEST_S:.0f} s", code="timeout") from error
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, UnicodeError) as error:
            raise CarrierError(
                f"the address of {self._vendor}'s API is no use", permanent=True, code="bad_url"
            ) from error
        except httpx2.HTTPError as error:
            raise CarrierError(f"the connection to {self._vendor} broke before its answer", code="lost") from error

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        await self._client.aclose()

    def _refusal(self, status: int, body: bytes) -> CarrierError:
        if status in (404, 410):
            return CarrierError(f"{self._vendor}: there is no such call any more", permanent=True, code=GONE)
        if 300 <= status < 400:
            return CarrierError(f"{self._vendor}'s API address redirects elsewhere: check it", permanent=True)
        if status in (401, 403):
            return CarrierError(f"{self._vendor} refuses the credentials of its API", permanent=True, code=str(status))
        temporary = status in (408, 429) or status >= 500
        sentence = f"{self._vendor} answered HTTP {status}: {_said(body)}".rstrip(": ")
        return CarrierError(sentence, permanent=not temporary, code=str(status))


async def _bounded(answer: httpx2.Response) -> bytes:
    body = bytearray()
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            break
    return bytes(body[:ANSWER_BYTES_MAX])


def _said(body: bytes) -> str:
    """Return the vendor's words: they may hold numbers, so the digits are struck out."""
    text = _LONG_DIGITS.sub("•••", body[:1000].decode("utf-8", "replace"))
    return "".join(filter(str.isprintable, text))[:200]
