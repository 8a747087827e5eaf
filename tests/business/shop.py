"""The sample business in this process, and a gateway's way to talk to it."""

import asyncio
import base64
import functools
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import ParamSpec

import httpx2
from standardwebhooks import Webhook

from gateway.business import Database, Shop, create_shop
from gateway.business.signature import Keys

__all__ = ["MONDAY", "ROBIN", "SAM", "SECRET", "STRANGER", "TUESDAY", "Talk", "in_loop", "secret", "talking"]

P = ParamSpec("P")

SAM, ROBIN, STRANGER = "+14155550101", "+14155550123", "+14155550177"
MONDAY, TUESDAY = date(2026, 11, 23), "2026-11-24"


def in_loop(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """Run an async test."""

    @functools.wraps(test)
    def run(*arguments: P.args, **named: P.kwargs) -> None:
        asyncio.run(test(*arguments, **named))

    return run


def secret(letter: str) -> str:
    return "whsec_" + base64.b64encode(letter.encode() * 32).decode()


SECRET = secret("a")


@dataclass
class Talk:
    """What the gateway can do with the business."""

    shop: Shop
    http: httpx2.AsyncClient

    async def post(
        self, path: str, document: object, *, key: str = "key_1", signed_with: str = SECRET, **headers: str
    ) -> httpx2.Response:
        """Send a signed document; `headers` replace what would be sent, with - written as _."""
        body = json.dumps(document)
        now = datetime.now(UTC)
        sent = {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(signed_with).sign("msg_1", now, body),
            "idempotency-key": key,
        }
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post(path, content=body, headers=sent)

    async def call(
        self, name: str, *, caller: str = SAM, key: str = "key_1", attempt: int = 1, **arguments: object
    ) -> httpx2.Response:
        """Send a function call."""
        data = {
            "call": {"id": "call_1", "from": caller, "to": "+14155550199"},
            "tool": {"name": name, "call_id": "call_x"},
            "arguments": arguments,
            "attempt": attempt,
            "deadline_ms": 8000 - attempt,
        }
        return await self.post("/tools", {"type": "tool.call", "id": "msg_1", "data": data}, key=key)

    def rows(self, table: str) -> list[dict[str, object]]:
        return self.shop.database.rows(table)


@asynccontextmanager
async def talking(folder: Path, keys: str = SECRET) -> AsyncIterator[Talk]:
    """Open the business; its Monday is the 23rd of November 2026."""
    shop = Shop(Database(folder / "shop.db"), Keys(keys), today=lambda: MONDAY)
    transport = httpx2.ASGITransport(app=create_shop(shop), client=("127.0.0.1", 5000))
    async with httpx2.AsyncClient(transport=transport, base_url="http://shop") as http:
        yield Talk(shop, http)
