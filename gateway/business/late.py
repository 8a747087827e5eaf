"""Results that were promised (202): they are computed, kept, and sent to the gateway until it has taken them.

What is promised stands in the database, so that a restart loses nothing.
"""

import asyncio
import contextlib
import json
import sqlite3
import time
from dataclasses import dataclass, field

import httpx2

from gateway.business.database import Database
from gateway.business.signature import Keys

__all__ = ["Late"]

POLL_S = 0.5
SEND_S = 5.0
MAX_ATTEMPTS = 20
PAUSE_S = 3.0
FINAL = {200: "delivered", 404: "unknown to the gateway", 409: "delivered before", 410: "the call was over"}
"""Answers after which there is nothing more to send; others are tried again."""


@dataclass(slots=True)
class Late:
    """Sends late results to the gateway at `origin`. Run `run` in a task for as long as the business is open."""

    database: Database
    keys: Keys
    origin: str
    http: httpx2.AsyncClient = field(default_factory=lambda: httpx2.AsyncClient(trust_env=False, timeout=SEND_S))

    async def run(self) -> None:
        """Look for results that are due, until cancelled."""
        async with self.http:
            while True:
                with contextlib.suppress(sqlite3.OperationalError):  # somebody else has the database: next time
                    for message_id in await asyncio.to_thread(self._due):
                        await self.send(message_id)
                await asyncio.sleep(POLL_S)

    async def send(self, message_id: str) -> None:
        """Fulfil one promise, if it has not been, and tell the gateway once."""
        body = await asyncio.to_thread(self._fulfil, message_id)
        headers = {"content-type": "application/json", **self.keys.sign(message_id, body)}
        url = f"{self.origin}/v1/tool-results/{message_id}"
        try:
            status = (await self.http.post(url, content=body, headers=headers)).status_code
        except httpx2.HTTPError:
            status = 0
        await asyncio.to_thread(self._note, message_id, status)

    def _due(self) -> list[str]:
        with self.database.transaction() as db:
            due = "SELECT message_id FROM promises WHERE outcome IS NULL AND due <= ? ORDER BY due"
            return [str(row["message_id"]) for row in db.execute(due, (time.time(),))]

    def _fulfil(self, message_id: str) -> str:
        """Return the result. Whoever repeats the request from now on gets it at once, instead of another promise."""
        with self.database.transaction() as db:
            promise: sqlite3.Row = db.execute("SELECT * FROM promises WHERE message_id = ?", (message_id,)).fetchone()
            db.execute("UPDATE refunds SET state = 'paid' WHERE order_id = ?", (promise["order_id"],))
            cents = db.execute("SELECT cents FROM orders WHERE order_id = ?", (promise["order_id"],)).fetchone()[0]
            result = {"order_id": promise["order_id"], "status": "refunded", "amount": f"{cents / 100:.2f} dollars"}
            body = json.dumps({"result": result})
            db.execute("UPDATE answers SET status = 200, body = ? WHERE key = ?", (body, promise["key"]))
        return body

    def _note(self, message_id: str, status: int) -> None:
        with self.database.transaction() as db:
            attempts = db.execute("SELECT attempts FROM promises WHERE message_id = ?", (message_id,)).fetchone()[0] + 1
            outcome = FINAL.get(status) or (f"given up after {status}" if attempts >= MAX_ATTEMPTS else None)
            db.execute(
                "UPDATE promises SET attempts = ?, outcome = ?, due = ? WHERE message_id = ?",
                (attempts, outcome, time.time() + PAUSE_S * attempts, message_id),
            )
        self.database.log("late result", message_id, signed=True, status=status)
