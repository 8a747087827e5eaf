"""Requests the network makes to the application: signed, limited in time, retried (Twilio, *Webhooks*).

Signature: base64 HMAC-SHA1 over the URL plus every name and value sorted by name, in `X-Twilio-Signature`.
Defaults: connect 5 s, read 15 s, total 15 s, one retry when no connection came about. A URL fragment overrides them
(`#ct=2000&rt=5000&tt=10000&rc=2&rp=all`) and is not part of what is requested or signed.
"""

import asyncio
import base64
import hmac
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import httpx2

from gateway.simulator.carrier.twiml import MAX_BYTES

__all__ = ["Reply", "Router", "WebhookFailed", "Webhooks"]

CONNECT_MS, READ_MS, TOTAL_MS = 5000, 15000, 15000
MAX_RETRIES = 5


class WebhookFailed(Exception):
    """No usable answer; `code` is Twilio's: 11100 bad URL, 11200 bad status, 11205 no connection or no answer."""

    def __init__(self, code: int, message: str, retry: str) -> None:
        super().__init__(message)
        self.code = code
        self.retry = retry
        """The retry class of Twilio's `rp`: ct, rt, 4xx or 5xx."""


@dataclass(slots=True, frozen=True)
class Reply:
    status: int
    content_type: str
    body: bytes
    """At most one byte more than TwiML may have."""


@dataclass(slots=True, frozen=True)
class Router:
    """Where a public origin really listens: `{"https://gw.example.com": "http://127.0.0.1:8080"}`."""

    routes: Mapping[str, str]

    def real(self, url: str) -> str:
        """Return the address to connect to; an origin without a route is its own."""
        parts = urlsplit(url)
        web = {"wss": "https", "ws": "http"}.get(parts.scheme, parts.scheme)
        target = self.routes.get(f"{web}://{parts.netloc}")
        if target is None:
            return url
        to = urlsplit(target)
        scheme = to.scheme if web == parts.scheme else {"https": "wss", "http": "ws"}.get(to.scheme, to.scheme)
        return urlunsplit((scheme, to.netloc, parts.path, parts.query, ""))


@dataclass(slots=True, frozen=True)
class _Limits:
    connect_s: float = CONNECT_MS / 1000
    read_s: float = READ_MS / 1000
    total_s: float = TOTAL_MS / 1000
    retries: int = 1
    policy: frozenset[str] = frozenset({"ct"})


class Webhooks:
    """Sends the requests of one account."""

    def __init__(self, http: httpx2.AsyncClient, auth_token: str, router: Router, rng: random.Random) -> None:
        self._http = http
        self._key = auth_token.encode()
        self._router = router
        self._rng = rng

    def sign(self, url: str, form: Mapping[str, str]) -> str:
        """Return the signature of a request; for a WebSocket upgrade the `wss://` URL and no form."""
        text = url + "".join(name + form[name] for name in sorted(form))
        return base64.b64encode(hmac.digest(self._key, text.encode(), "sha1")).decode()

    async def send(self, url: str, form: Mapping[str, str], method: str = "POST") -> Reply:
        """Make one request, with its retries. Raises `WebhookFailed`; any status under 400 is a reply."""
        try:
            limits = _limits(urlsplit(url).fragment)
        except ValueError as error:
            raise WebhookFailed(11100, "not a URL", "none") from error
        token = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        for attempt in range(limits.retries + 1):
            try:
                async with asyncio.timeout(limits.total_s):
                    return await self._once(_without_fragment(url), form, method, limits, token)
            except TimeoutError:
                failure = WebhookFailed(11205, f"no answer within {limits.total_s:g} s", "rt")
            except WebhookFailed as error:
                failure = error
            if attempt == limits.retries or not limits.policy & {failure.retry, "all"}:
                raise failure
        raise AssertionError("the last attempt returns or raises")

    async def _once(self, url: str, form: Mapping[str, str], method: str, limits: _Limits, token: str) -> Reply:
        if method == "GET":
            url, form = _with_query(url, form), {}
        headers = {
            "host": urlsplit(url).netloc,
            "user-agent": "TwilioProxy/1.1",
            "accept": "*/*",
            "accept-encoding": "identity",
            "x-twilio-signature": self.sign(url, form),
            "i-twilio-idempotency-token": token,
        }
        timeout = httpx2.Timeout(limits.read_s, connect=limits.connect_s)
        data = dict(form) if method == "POST" else None
        try:
            async with self._http.stream(
                method, self._router.real(url), data=data, headers=headers, timeout=timeout
            ) as response:
                reply = await _read(response)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise WebhookFailed(11205, f"no connection ({type(error).__name__})", "ct") from error
        except (httpx2.InvalidURL, ValueError) as error:
            raise WebhookFailed(11100, "not a usable URL", "none") from error
        except httpx2.HTTPError as error:
            raise WebhookFailed(11205, f"no answer ({type(error).__name__})", "rt") from error
        if not 200 <= reply.status < 300:
            raise WebhookFailed(11200, f"HTTP {reply.status}", "4xx" if reply.status < 500 else "5xx")
        return reply


async def _read(response: httpx2.Response) -> Reply:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_BYTES:
            break
    return Reply(response.status_code, response.headers.get("content-type", ""), bytes(body[: MAX_BYTES + 1]))


def _without_fragment(url: str) -> str:
    return urlsplit(url)._replace(fragment="").geturl()


def _with_query(url: str, form: Mapping[str, str]) -> str:
    parts = urlsplit(url)
    query = "&".join(part for part in (parts.query, urlencode(form)) if part)
    return parts._replace(query=query).geturl()


def _limits(fragment: str) -> _Limits:
    given = dict(parse_qsl(fragment))
    policy = frozenset(given["rp"].split(",")) if "rp" in given else frozenset({"ct"})
    return _Limits(
        connect_s=_milliseconds(given, "ct", CONNECT_MS, 100, 10_000),
        read_s=_milliseconds(given, "rt", READ_MS, 100, 15_000),
        total_s=_milliseconds(given, "tt", TOTAL_MS, 100, 15_000),
        retries=int(_milliseconds(given, "rc", 1, 0, MAX_RETRIES) * 1000),
        policy=policy,
    )


def _milliseconds(given: Mapping[str, str], name: str, default: int, low: int, high: int) -> float:
    value = given.get(name, "")
    number = int(value) if value.isascii() and value.isdigit() and len(value) < 7 else default
    return min(max(number, low), high) / 1000
