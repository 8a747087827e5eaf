"""Requests that a carrier makes to the application: bounded in time and size, sent to where it really listens."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx2

from gateway.simulator.carrier.webhooks import Router

__all__ = ["NO_ANSWER", "Reply", "send"]

MOST_BYTES = 256 * 1024


@dataclass(slots=True, frozen=True)
class Reply:
    """What the application answered; without an answer the status is 0 and `failure` says why."""

    status: int
    content_type: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    failure: str = ""

    def json(self) -> Any:
        """Return the body as JSON; None when it is not."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


NO_ANSWER = Reply(0, failure="no answer")


async def send(
    http: httpx2.AsyncClient,
    router: Router,
    method: str,
    url: str,
    headers: Mapping[str, str],
    content: bytes,
    within_s: float,
) -> Reply:
    """Make one request to a public URL, without retries. Never raises for what the application does."""
    sent = {"host": urlsplit(url).netloc, "accept-encoding": "identity", **headers}
    try:
        async with (
            asyncio.timeout(within_s),
            http.stream(method, router.real(url), content=content, headers=sent, timeout=within_s) as response,
        ):
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MOST_BYTES:
                    return Reply(0, failure=f"the answer is larger than {MOST_BYTES} bytes")
            kind = response.headers.get("content-type", "")
            return Reply(response.status_code, kind, bytes(body), dict(response.headers))
    except TimeoutError:
        return Reply(0, failure=f"no answer within {within_s:g} s")
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        return Reply(0, failure=f"no answer ({type(error).__name__})")
