"""Telnyx' Call Control API. Every command carries a `command_id`, so that it may be asked again without doing it twice.

A command that got no answer, or a 5xx or 429, is repeated with the same id within `TOTAL_S`: Telnyx ignores repetitions
for 60 s. Bounded in size too, no redirects. Every failure leaves here as `CarrierError`:

* `permanent`: the API refused (4xx); asking again will not help;
* `code` `ENDED`: the call has ended, or is not known any more;
* `code` "not_sent": no connection, so nothing happened; "429": too fast, nothing happened;
* any other temporary one ("timeout", "lost", "bad_answer", 5xx): the command may have been carried out.

Source: Telnyx API v2, *Call commands*.
"""

import asyncio
import json
import re
import uuid
from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import quote

import httpx2

from gateway.errors import CarrierError

__all__ = ["ENDED", "TelnyxRest"]

CONNECT_S = 2.0
REQUEST_S = 4.0
TOTAL_S = 9.0
"""Longest time for a command with its repetitions; whoever lets go of a call waits 12 s (`session.CONTROL_S`)."""
PAUSES_S = (0.25, 1.0)
"""Before each repetition, unless Telnyx says how long."""
LONGEST_PAUSE_S = 3.0
ANSWER_BYTES_MAX = 64 * 1024
ENDED = "ended"
SURELY_NOT_DONE = frozenset({"not_sent", "429"})
CALL_HAS_ENDED = "90018"

_LONG_DIGITS = re.compile(r"[+(]?\d[\d\s().-]{4,}\d")

_SENTENCES = {
    401: "telnyx refuses the API key: check GATEWAY_TELNYX_API_KEY",
    403: "telnyx does not let this API key control calls",
    429: "telnyx's rate limit: too many commands at once",
}


class TelnyxRest:
    """One account. Connections are opened by the first command; `close` ends them."""

    def __init__(self, api_key: str, api_url: str, *, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        """`transport` replaces the network."""
        self._calls = f"{api_url}/v2/calls"
        self._client = httpx2.AsyncClient(
            headers={
                "authorization": f"Bearer {api_key}",
                "accept-encoding": "identity",
                "user-agent": "voice-agent-gateway",
            },
            timeout=httpx2.Timeout(REQUEST_S, connect=CONNECT_S),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            follow_redirects=False,
            trust_env=False,
            transport=transport,
        )

    async def command(self, call_id: str, action: str, **body: object) -> None:
        """Have something done with a call: `answer`, `hangup`, `transfer` …"""
        await self._post(f"{self._calls}/{quote(call_id, safe=':')}/actions/{action}", action, body)

    async def end(self, call_id: str, action: str = "hangup", **body: object) -> None:
        """As `command`, for what is true of a call that has ended already."""
        try:
            await self.command(call_id, action, **body)
        except CarrierError as failed:
            if failed.code != ENDED:
                raise

    async def dial(self, **body: object) -> str:
        """Ring somebody; return the id of the new call."""
        answer = await self._post(self._calls, "dial", body)
        data = answer.get("data")
        call_id = data.get("call_control_id") if isinstance(data, dict) else None
        if not isinstance(call_id, str) or not call_id or len(call_id) > 256:
            raise CarrierError("telnyx's answer holds no call", code="bad_answer")
        return call_id

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        await self._client.aclose()

    async def _post(self, url: str, what: str, body: Mapping[str, object]) -> Mapping[str, Any]:
        content = json.dumps({**body, "command_id": str(uuid.uuid4())}).encode()
        give_up_s = asyncio.get_running_loop().time() + TOTAL_S
        open_end: CarrierError | None = None
        for pause_s in (*PAUSES_S, None):
            try:
                return await self._once(url, what, content)
            except _Again as failed:
                if failed.error.code not in SURELY_NOT_DONE:
                    open_end = failed.error
                wait_s = None if pause_s is None else max(pause_s, failed.after_s)
                if wait_s is None or asyncio.get_running_loop().time() + wait_s + CONNECT_S > give_up_s:
                    # Whether it was done is as open as it was after any of the tries.
                    raise (open_end or failed.error) from failed.__cause__
            await asyncio.sleep(wait_s)
        raise AssertionError("the last try returns or raises")

    async def _once(self, url: str, what: str, content: bytes) -> Mapping[str, Any]:
        headers = {"content-type": "application/json"}
        try:
            async with (
                asyncio.timeout(REQUEST_S),
                self._client.stream("POST", url, content=content, headers=headers) as answer,
            ):
                status, said = answer.status_code, await _bounded(answer)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise _Again(CarrierError("no connection to telnyx's API", code="not_sent")) from error
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise _Again(CarrierError(f"no answer to {what} within {REQUEST_S:.0f} s", code="timeout")) from error
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, UnicodeError) as error:
            raise CarrierError("the address of telnyx's API is no use", permanent=True, code="bad_url") from error
        except httpx2.HTTPError as error:
            raise _Again(CarrierError(f"the connection broke before the answer to {what}", code="lost")) from error
        if status < 300:
            return _told(said)
        failed = _refusal(what, status, said)
        if failed.permanent:
            raise failed
        raise _Again(failed, _seconds(answer.headers.get("retry-after", "")))


class _Again(Exception):
    """It may be asked again, not before `after_s`."""

    def __init__(self, error: CarrierError, after_s: float = 0.0) -> None:
        super().__init__(str(error))
        self.error = error
        self.after_s = after_s


def _seconds(text: str) -> float:
    """Read Retry-After; a date is not worth reading for a call that waits."""
    return min(float(text), LONGEST_PAUSE_S) if text.isascii() and text.isdigit() and len(text) < 6 else 0.0


async def _bounded(answer: httpx2.Response) -> bytes:
    body = bytearray()
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            raise CarrierError("telnyx's answer is too long", code="bad_answer")
    return bytes(body)


def _told(body: bytes) -> Mapping[str, Any]:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _refusal(what: str, status: int, body: bytes) -> CarrierError:
    """Map one error answer. The vendor's own words may hold numbers, so they are told with the digits struck out."""
    errors = _told(body).get("errors")
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    code = "".join(filter(str.isprintable, str(first.get("code") or "")[:16]))
    if code == CALL_HAS_ENDED or status == 404:
        return CarrierError(f"{what}: the call has ended", permanent=True, code=ENDED)
    if 300 <= status < 400:
        return CarrierError("telnyx's API address redirects elsewhere: check it", permanent=True, code=str(status))
    said = "".join(
        filter(str.isprintable, _LONG_DIGITS.sub("•••", str(first.get("detail") or first.get("title") or "")))
    )
    sentence = _SENTENCES.get(status) or f"telnyx answered {what} with HTTP {status} {code}: {said[:200]}".rstrip(": ")
    temporary = status in (408, 429) or status >= 500
    return CarrierError(sentence, permanent=not temporary, code=str(status) if temporary or not code else code)
