"""`gateway call`: place a call through the running gateway and follow it to its end.

The request carries an idempotency key, so that a lost answer can be asked for again without calling twice.
"""

import asyncio
import json
import secrets
import sys
from collections.abc import Callable, Mapping

import httpx2
from rich.console import Console
from rich.text import Text

from gateway.config import load_settings
from gateway.errors import CarrierError, ConfigError, PolicyError
from gateway.outbound.attempts import AttemptState

__all__ = ["place_call"]

POLL_S = 1.0
REQUEST_S = 20.0
"""The gateway asks the carrier before it answers."""
MOST_MISSED = 30
"""Polls in a row that may fail while a call is followed."""
FINAL = frozenset(state.value for state in AttemptState if state.rank == AttemptState.COMPLETED.rank)


def place_call(to: str, agent: str, zone: str | None = None, url: str | None = None, *, as_json: bool = False) -> int:
    """Place a call and follow its state until it is final; 0 when it was completed.

    With `as_json` the final state is printed as one document. Raises `ConfigError` when there is no key or no gateway,
    `PolicyError` when the call may not be placed, `CarrierError` when the carrier refused or the gateway was lost.
    """
    settings = load_settings()
    key = settings.own_key()
    origin = (url or f"http://127.0.0.1:{settings.port}").rstrip("/")
    if not origin.startswith(("http://", "https://")):
        raise ConfigError("--url must be an address such as http://127.0.0.1:8080")
    wanted = {"to": to, "agent": agent} | ({"zone": zone} if zone is not None else {})
    console = Console(highlight=False)

    def tell(attempt: Mapping[str, object]) -> None:
        if not as_json:
            words = " ".join(str(attempt[name]) for name in ("state", "reason") if attempt.get(name))
            console.print(Text(f"{attempt.get('to')}: {words}"))

    attempt = asyncio.run(_follow(origin, key, wanted, tell))
    if as_json:
        sys.stdout.write(json.dumps(attempt, indent=2) + "\n")
    return 0 if attempt["state"] == AttemptState.COMPLETED.value else 1


async def _follow(
    origin: str, key: str, wanted: Mapping[str, str], tell: Callable[[Mapping[str, object]], None]
) -> Mapping[str, object]:
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(base_url=origin, headers=headers, timeout=REQUEST_S, trust_env=False) as http:
        attempt = await _place(http, origin, wanted)
        tell(attempt)
        missed = 0
        while attempt["state"] not in FINAL:
            await asyncio.sleep(POLL_S)
            now = await _state(http, str(attempt["attempt_id"]))
            missed = missed + 1 if now is None else 0
            if missed >= MOST_MISSED:
                raise CarrierError(f"the gateway is gone; attempt {attempt['attempt_id']} may still be going on")
            if now is not None and now["state"] != attempt["state"]:
                tell(now)
            attempt = now or attempt
        return attempt


async def _place(http: httpx2.AsyncClient, origin: str, wanted: Mapping[str, str]) -> Mapping[str, object]:
    again = {"Idempotency-Key": secrets.token_hex(16)}
    try:
        try:
            response = await http.post("/v1/calls", json=wanted, headers=again)
        except (httpx2.ReadError, httpx2.ReadTimeout, httpx2.RemoteProtocolError):
            response = await http.post("/v1/calls", json=wanted, headers=again)
    except httpx2.ConnectError:
        raise ConfigError(f"no gateway answers at {origin}; start `gateway serve`, or give --url") from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise CarrierError(f"the gateway did not answer ({type(error).__name__}); the call may be ringing") from None
    document = _document(response)
    if response.status_code == 202 and document is not None and "attempt_id" in document and "state" in document:
        return document
    raise _refusal(response.status_code, document)


def _refusal(status: int, document: Mapping[str, object] | None) -> ConfigError | PolicyError | CarrierError:
    error = document.get("error") if document is not None else None
    if not isinstance(error, dict):
        if status == 404:
            return ConfigError("the gateway places no calls: it needs TWILIO_ACCOUNT_SID and its token")
        return ConfigError(f"what answers is no gateway (HTTP {status})")
    message = " ".join(str(error.get("message")).split())[:300]
    if status == 401:
        return ConfigError("the gateway does not know the first key of GATEWAY_API_KEYS (or GATEWAY_CLIENT_KEY)")
    if status == 403:
        return PolicyError(message, rule=str(error.get("rule")))
    return CarrierError(message, code=str(error.get("code")))


async def _state(http: httpx2.AsyncClient, attempt_id: str) -> Mapping[str, object] | None:
    try:
        response = await http.get(f"/v1/calls/{attempt_id}")
    except httpx2.HTTPError:
        return None
    document = _document(response)
    return document if response.status_code == 200 and document is not None and "state" in document else None


def _document(response: httpx2.Response) -> Mapping[str, object] | None:
    try:
        document = response.json()
    except ValueError:
        return None
    return document if isinstance(document, dict) else None
