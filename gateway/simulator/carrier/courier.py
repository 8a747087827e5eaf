"""Callbacks of one call: independent requests that nobody in the call waits for.

Delivered in order by one task, so that tests are exact; the faults make them repeat and overtake one another,
as Twilio's may.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime

from gateway.simulator.carrier.plan import CallbackFaults
from gateway.simulator.carrier.report import CallReport, Event
from gateway.simulator.carrier.webhooks import WebhookFailed, Webhooks

__all__ = ["Courier", "duration_fields", "http_date", "iso_date"]


class Courier:
    """Queue with `post()` and `post_status()`, run `run()` in a task, end with `await finish()`."""

    def __init__(
        self, webhooks: Webhooks, faults: CallbackFaults, report: CallReport, clock: Callable[[], float]
    ) -> None:
        self._webhooks = webhooks
        self._faults = faults
        self._report = report
        self._clock = clock
        self._queue: deque[tuple[str, Mapping[str, str], str]] = deque()
        self._held: tuple[str, Mapping[str, str], str] | None = None
        self._changed = asyncio.Event()
        self._ending = False

    def post(self, url: str | None, form: Mapping[str, str], method: str = "POST") -> None:
        """Queue a callback; None is nobody."""
        if url:
            self._queue.append((url, form, method))
            self._changed.set()

    def post_status(self, url: str | None, form: Mapping[str, str]) -> None:
        """Queue a call status callback, subject to the faults."""
        if not url:
            return
        if self._faults.swap and self._held is None:
            self._held = (url, form, "POST")
            return
        self._deliver(url, form)
        if self._held is not None:
            held, self._held = self._held, None
            self._deliver(held[0], held[1])

    async def run(self) -> None:
        """Deliver until `finish()` was called and the queue is empty."""
        while True:
            while not self._queue:
                if self._ending:
                    return
                self._changed.clear()
                await self._changed.wait()
            await self._send(*self._queue.popleft())

    def finish(self) -> None:
        """Nothing more will be posted."""
        if self._held is not None:
            held, self._held = self._held, None
            self._deliver(held[0], held[1])
        self._ending = True
        self._changed.set()

    def _deliver(self, url: str, form: Mapping[str, str]) -> None:
        for _ in range(2 if self._faults.duplicate else 1):
            self.post(url, form)

    async def _send(self, url: str, form: Mapping[str, str], method: str) -> None:
        what = form.get("StreamEvent") or form.get("CallStatus") or form.get("AnsweredBy", "")
        began = asyncio.get_running_loop().time()
        try:
            reply = await self._webhooks.send(url, form, method)
        except WebhookFailed as error:
            self._report.warn(self._clock(), error.code, f"callback {what}: {error}")
            result = str(error)
        else:
            result = str(reply.status)
        took_ms = round((asyncio.get_running_loop().time() - began) * 1000)
        self._report.webhooks.append(Event(self._clock(), f"callback {what}", f"{result}, {took_ms} ms"))


def duration_fields(duration_s: float) -> dict[str, str]:
    """Return `CallDuration` in seconds and `Duration` in minutes begun."""
    seconds = max(1, round(duration_s)) if duration_s > 0 else 0
    return {"CallDuration": str(seconds), "Duration": str(math.ceil(seconds / 60))}


def http_date(at: datetime) -> str:
    """RFC 2822 with +0000, as call status callbacks and REST resources have it."""
    return format_datetime(at.astimezone(UTC))


def iso_date(at: datetime) -> str:
    """ISO 8601 with milliseconds and Z, as stream callbacks have it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
