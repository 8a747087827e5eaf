"""Twilio's REST API, and that of carriers that offer the same: create, end and redirect calls.

The official client makes and reads the requests; the HTTP below it is replaced, because its own has no bound on
time or size and writes phone numbers to the log. Every failure leaves here as `CarrierError`:

* `permanent`: the carrier refused (4xx); asking again will not help;
* `code` "not_sent": no connection, so nothing happened; "429" or "20429": too fast, nothing happened;
* any other temporary one ("timeout", "lost", "bad_answer", 5xx): the request may have been carried out.

Source: Twilio, *Calls resource*, API version 2010-04-01, and its error dictionary.
"""

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

import httpx2

from gateway.carriers.twilio.dialect import TWILIO, Dialect
from gateway.errors import CarrierError, ConfigError, LocalProtocolError

__all__ = ["Account", "RestHttp", "TwilioRest"]

DEFAULT_API_URL = "https://api.twilio.com"
TWIML_CHARACTERS_MAX = 4000
REQUEST_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 5.0
ANSWER_BYTES_MAX = 256 * 1024

_LONG_DIGITS = re.compile(r"[+(]?\d[\d\s().-]{4,}\d")
_GONE = frozenset({"404", "20404"})
_PROGRESS = ["initiated", "ringing", "answered", "completed"]

_SENTENCES = {
    "20003": "{carrier} refuses the credentials: check the account SID and the auth token or API key",
    "20429": "{carrier}'s rate limit: too many requests at once",
    "21210": "the caller number is not a verified number of this {carrier} account",
    "21211": "{carrier} says that the number to call is not valid",
    "21212": "{carrier} says that the caller number is not valid",
    "21214": "{carrier} cannot reach the number to call",
    "21215": "{carrier}'s geographic permissions do not allow this country: enable it in the console, "
    "Voice, Settings, Geo permissions",
    "21216": "{carrier} does not allow calls to this number",
    "21219": "a {carrier} trial account calls only verified numbers: verify this one or upgrade the account",
}


@dataclass(frozen=True, slots=True)
class Account:
    """What the API says of the account; a proof that the credentials work."""

    status: str
    """`active`, `suspended` or `closed`."""
    type: str
    """`Trial` or `Full`."""


class RestHttp(Protocol):
    """What the official client is given to make its requests with."""

    async def request(self, method: str, url: str, **more: Any) -> Any:
        """As `twilio.http.AsyncHttpClient.request`, whose parameters carry no types. Raises `CarrierError`."""

    async def close(self) -> None:
        """End its connections."""


class TwilioRest:
    """One account. Construct it at start, not in a call: importing the client takes 0.4 s.

    The connections are opened by the first request and belong to its event loop; `close` ends them.
    """

    def __init__(
        self,
        account_sid: str,
        *,
        auth_token: str | None = None,
        api_key: str | None = None,
        api_secret: str | None = None,
        api_url: str = DEFAULT_API_URL,
        dialect: Dialect = TWILIO,
        transport: httpx2.AsyncBaseTransport | None = None,
        open_http: "Callable[[str], RestHttp] | None" = None,
    ) -> None:
        """Take either the auth token or an API key with its secret (better: it can be revoked alone).

        `api_url` may have a path, in front of the API's own. `transport` replaces the network below HTTP;
        `open_http`, which gets the address, all of HTTP.
        """
        self._dialect, name = dialect, dialect.name
        if not dialect.account_id.fullmatch(account_sid):
            raise ConfigError(f"the {name} account id must be {dialect.account_words}")
        if api_key and api_secret:
            self._credentials = (api_key, api_secret)
        elif auth_token:
            self._credentials = (account_sid, auth_token)
        else:
            raise ConfigError(f"{name} needs an auth token, or an API key and its secret")
        self._account_sid = account_sid
        self._origin = _origin(api_url, name)
        self._open_http = open_http or partial(_Http, carrier=name, transport=transport)
        self._client: Any = None
        """The official client carries no types."""
        import twilio.rest  # noqa: F401  # paid here, at start, and not by the first call

    async def create_call(
        self,
        to: str,
        from_: str,
        url: str,
        status_callback: str,
        *,
        timeout_s: int = 30,
        time_limit_s: int | None = None,
    ) -> str:
        """Ring `to`; Twilio fetches TwiML from `url` once it is answered. Return the CallSid.

        `timeout_s` is how long it rings (Twilio adds up to 5 s), `time_limit_s` ends the call however it goes.
        """
        from twilio.base import values

        time_limit = values.unset if time_limit_s is None else time_limit_s
        return await self._create(to, from_, status_callback, timeout_s, url=url, method="POST", time_limit=time_limit)

    async def ring(self, to: str, from_: str, twiml: str, status_callback: str, *, timeout_s: int) -> str:
        """Ring `to` and give whoever answers this TwiML. Return the CallSid; `timeout_s` as in `create_call`."""
        _checked(twiml)
        return await self._create(to, from_, status_callback, timeout_s, twiml=twiml)

    async def _create(self, to: str, from_: str, status_callback: str, timeout_s: int, **more: object) -> str:
        with _errors_mapped(self._dialect.name):
            call = await self._open().calls.create_async(
                to=to,
                from_=from_,
                status_callback=status_callback,
                status_callback_method="POST",
                status_callback_event=_PROGRESS,
                timeout=timeout_s,
                **more,
            )
        if not isinstance(call.sid, str) or not self._dialect.call_id.fullmatch(call.sid):
            raise CarrierError(f"{self._dialect.name}'s answer holds no call id", code="bad_answer")
        return call.sid

    async def hang_up(self, call_sid: str) -> None:
        """End a call; one that has ended already, or is not known any more, counts as ended."""
        with _errors_mapped(self._dialect.name), _gone_is_fine():
            await self._call(call_sid).update_async(status="completed")

    async def redirect(self, call_sid: str, twiml: str) -> None:
        """Give a live call new TwiML at once; this closes its media stream."""
        _checked(twiml)
        with _errors_mapped(self._dialect.name):
            await self._call(call_sid).update_async(twiml=twiml)

    async def fetch_account(self) -> Account:
        """Ask for the account itself: the cheapest request that needs valid credentials."""
        with _errors_mapped(self._dialect.name):
            account = await self._open().api.accounts(self._account_sid).fetch_async()
        return Account(status=str(account.status), type=str(account.type))

    async def close(self) -> None:
        """Close the connections; safe to call twice and without any request made."""
        client, self._client = self._client, None
        if client is not None:
            await client.http_client.close()

    def _open(self) -> Any:
        if self._client is None:
            from twilio.rest import Client

            username, password = self._credentials
            self._client = Client(
                username,
                password,
                self._account_sid,
                http_client=self._open_http(self._origin),
                environment={"TWILIO_REGION": ""},  # else the process environment would redirect requests
            )
        return self._client

    def _call(self, call_sid: str) -> Any:
        if not self._dialect.call_id.fullmatch(call_sid):
            raise LocalProtocolError(f"not the id of a call at {self._dialect.name}")
        return self._open().calls(call_sid)


class _Http:
    """The asynchronous HTTP client that the official client is given: bounded, silent, at our origin.

    A new connection for each request: a kept one may just have been closed by the server, and then nobody
    could tell whether the call was created.
    """

    is_async = True

    def __init__(self, origin: str, carrier: str, transport: httpx2.AsyncBaseTransport | None) -> None:
        self._origin = origin
        self._carrier = carrier
        self._client = httpx2.AsyncClient(
            limits=httpx2.Limits(max_keepalive_connections=0),
            timeout=httpx2.Timeout(REQUEST_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            follow_redirects=False,
            trust_env=False,
            transport=transport,
        )

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, object] | None = None,
        data: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  the official client's signature; the limit is ours
        allow_redirects: bool = False,
    ) -> Any:
        """Return the client's `Response`; signature and meaning are those of `twilio.http.AsyncHttpClient`."""
        from twilio.http.response import Response

        try:
            async with (
                asyncio.timeout(REQUEST_TIMEOUT_S),
                self._client.stream(
                    method,
                    self._origin + urlsplit(url).path,
                    params=None if not params else {key: str(value) for key, value in params.items()},
                    content=urlencode(data, doseq=True).encode() if data else None,
                    headers={**(headers or {}), "Accept-Encoding": "identity"},
                    auth=auth,
                ) as answer,
            ):
                status, body = answer.status_code, await _bounded(answer)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise CarrierError(f"no connection to {self._carrier}'s API", code="not_sent") from error
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise CarrierError(
                f"no answer from {self._carrier} within {REQUEST_TIMEOUT_S:.0f} s", code="timeout"
            ) from error
        except httpx2.HTTPError as error:
            raise CarrierError(f"the connection to {self._carrier} broke before its answer", code="lost") from error
        if 300 <= status < 400:
            raise CarrierError(f"{self._carrier}'s API address redirects elsewhere", permanent=True, code=str(status))
        if status < 300:
            _must_be_object(body)
        return Response(status, body.decode("utf-8", "replace"))

    async def close(self) -> None:
        await self._client.aclose()


def _checked(twiml: str) -> None:
    if len(twiml) > TWIML_CHARACTERS_MAX:
        raise LocalProtocolError(f"TwiML has {len(twiml)} characters, the API takes {TWIML_CHARACTERS_MAX}")


async def _bounded(answer: httpx2.Response) -> bytes:
    body = bytearray()
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            raise CarrierError("the carrier's answer is too long", code="bad_answer")
    return bytes(body)


def _must_be_object(body: bytes) -> None:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise CarrierError("the carrier's answer is not JSON", code="bad_answer") from error
    if not isinstance(parsed, dict):
        raise CarrierError("the carrier's answer is not a JSON object", code="bad_answer")


@contextmanager
def _errors_mapped(carrier: str) -> Iterator[None]:
    from twilio.base.exceptions import TwilioRestException, TwilioServiceException

    try:
        yield
    except TwilioRestException as error:
        raise _refusal(carrier, error.status, error.code, error.msg) from error
    except TwilioServiceException as error:
        raise _refusal(carrier, error.status, error.code, error.detail or error.title) from error
    except (TypeError, ValueError, AttributeError) as error:  # the client's parsing of fields of a wrong type
        raise CarrierError(f"{carrier}'s answer has fields of a wrong type", code="bad_answer") from error


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    from twilio.base.exceptions import TwilioRestException

    try:
        yield
    except TwilioRestException as error:
        if error.status != 404 and str(error.code) not in _GONE:
            raise


def _refusal(carrier: str, status: object, code: object, text: object) -> CarrierError:
    """Map one error answer. The vendor's own words hold numbers, so they are told with the digits struck out."""
    http = status if isinstance(status, int) else 0
    name = str(code)[:16] if code else str(http)
    said = "".join(filter(str.isprintable, _LONG_DIGITS.sub("•••", str(text or "")[:1000])))[:200]
    sentence = _SENTENCES.get(name, "").format(carrier=carrier)
    message = sentence or f"{carrier} answered HTTP {http}, error {name}: {said}".rstrip(": ")
    throttled = http == 429 or name in {"429", "20429"}
    return CarrierError(
        message,
        permanent=400 <= http < 500 and http != 408 and not throttled,
        code="20429" if throttled else name,
    )


def _origin(api_url: str, carrier: str) -> str:
    parts = urlsplit(api_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ConfigError(f"the {carrier} API address must be an origin such as https://api.example.com")
    return api_url.rstrip("/")
