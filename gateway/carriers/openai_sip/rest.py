"""The calls endpoints of the Realtime API: accept, reject, refer, hang up.

Bounded in time and size, no redirects. Every failure leaves here as `CarrierError`:

* `permanent`: the API refused (4xx); asking again will not help;
* `code` "not_sent": no connection, so nothing happened; "429": too fast, nothing happened;
* `code` "gone": the call has ended, or never was;
* any other temporary one ("timeout", "lost", 5xx): the request may have been carried out.

Source: Realtime API, `POST /v1/realtime/calls/{call_id}/…`.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import quote, urlsplit, urlunsplit

import httpx2

from gateway.errors import CarrierError

__all__ = ["CallsRest", "GONE", "TAKEN", "calls_url"]

REQUEST_S = 5.0
CONNECT_S = 2.0
ANSWER_BYTES_MAX = 64 * 1024
GONE = "gone"
TAKEN = "decision_already_made"
"""Somebody has accepted or rejected the call before, here or elsewhere."""

_LONG_DIGITS = re.compile(r"\+?\d[\d\s().-]{4,}\d")
_is_target = re.compile(r"tel:\+[1-9][0-9]{6,14}|sips?:[A-Za-z0-9+._~%-]{1,64}@[A-Za-z0-9.:\[\]-]{1,255}").fullmatch

_SENTENCES = {
    401: "openai refuses the API key: the calls endpoints need the key of the project that the trunk dials",
    403: "openai does not let this API key control SIP calls",
    429: "openai's rate limit: too many requests at once",
}


def calls_url(model_url: str) -> str:
    """Return the endpoint of SIP calls beside a realtime endpoint: `wss://host/v1/realtime` to `https://…/calls`."""
    parts = urlsplit(model_url)
    scheme = "http" if parts.scheme in ("ws", "http") else "https"
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") + "/calls", "", ""))


class CallsRest:
    """One OpenAI project. Connections are opened by the first request; `close` ends them."""

    def __init__(
        self, url: str, headers: Mapping[str, str], *, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        """`url` is that of `calls_url`, `headers` authenticate; `transport` replaces the network."""
        self._url = url
        self._client = httpx2.AsyncClient(
            headers={**headers, "accept-encoding": "identity", "user-agent": "voice-agent-gateway"},
            timeout=httpx2.Timeout(REQUEST_S, connect=CONNECT_S),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            follow_redirects=False,
            trust_env=False,
            transport=transport,
        )

    async def accept(self, call_id: str, session: Mapping[str, object]) -> None:
        """Answer the call with a session, complete with its `model`. Audio formats are not in it: SDP decides."""
        await self._post(call_id, "accept", session)

    async def reject(self, call_id: str, status: int) -> None:
        """Decline the call with a SIP status; one that is over counts as declined."""
        await self._post_if_there(call_id, "reject", {"status_code": status})

    async def refer(self, call_id: str, target: str) -> None:
        """Have the caller's network call `target`, a `tel:` or `sip:` URI. Returns when REFER was relayed, no more."""
        if _is_target(target) is None:
            raise CarrierError("a transfer target is tel:+… or sip:user@host", permanent=True, code="bad_target")
        await self._post(call_id, "refer", {"target_uri": target})

    async def hang_up(self, call_id: str) -> None:
        """End the call; one that has ended already counts as ended."""
        await self._post_if_there(call_id, "hangup", None)

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        await self._client.aclose()

    async def _post_if_there(self, call_id: str, what: str, body: Mapping[str, object] | None) -> None:
        try:
            await self._post(call_id, what, body)
        except CarrierError as failed:
            if failed.code != GONE:
                raise

    async def _post(self, call_id: str, what: str, body: Mapping[str, object] | None) -> None:
        content = json.dumps(body).encode() if body is not None else b""
        headers = {"content-type": "application/json"} if body is not None else {}
        url = f"{self._url}/{quote(call_id, safe='')}/{what}"
        try:
            async with (
                asyncio.timeout(REQUEST_S),
                self._client.stream("POST", url, content=content, headers=headers) as answer,
            ):
                if answer.status_code >= 300:
                    raise _refusal(what, answer.status_code, await _bounded(answer))
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise CarrierError("no connection to openai's calls endpoints", code="not_sent") from error
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise CarrierError(f"no answer to {what} within {REQUEST_S:.0f} s", code="timeout") from error
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, UnicodeError) as error:
            raise CarrierError(
                "the address of the calls endpoints is no use", permanent=True, code="bad_url"
            ) from error
        except httpx2.HTTPError as error:
            raise CarrierError(f"the connection broke before the answer to {what}", code="lost") from error


async def _bounded(answer: httpx2.Response) -> bytes:
    body = bytearray()
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            break
    return bytes(body[:ANSWER_BYTES_MAX])


def _refusal(what: str, status: int, body: bytes) -> CarrierError:
    """Map one error answer. The API's own words may hold numbers, so they are told with the digits struck out."""
    code, said = _told(body)
    if status in (404, 410) or code == "call_id_not_found":
        return CarrierError(f"{what}: there is no such call any more", permanent=True, code=GONE)
    if status == 409 or code == TAKEN:
        return CarrierError(f"{what}: the call was accepted or rejected before", permanent=True, code=TAKEN)
    if 300 <= status < 400:
        return CarrierError("the calls endpoints redirect elsewhere: check GATEWAY_MODEL_URL", permanent=True)
    sentence = _SENTENCES.get(status) or f"openai answered {what} with HTTP {status} {code}: {said}".rstrip(": ")
    temporary = status in (408, 429) or status >= 500
    return CarrierError(sentence, permanent=not temporary, code=str(status))


def _told(body: bytes) -> tuple[str, str]:
    """Return the code and the message of an error, bounded and printable."""
    try:
        error = json.loads(body).get("error")
        code, message = error.get("code"), error.get("message")
    except (ValueError, AttributeError, RecursionError):
        return "", ""
    said = "".join(filter(str.isprintable, _LONG_DIGITS.sub("•••", str(message or "")[:1000])))[:200]
    return "".join(filter(str.isprintable, str(code or "")[:64])), said
