"""Requests to a carrier that outlive who asked for them.

A call that ends while its transfer is being asked for cannot take the request back: it runs to its end here, in a task
group of the process, and is given a few seconds when the gateway stops.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager

from gateway.errors import CarrierError, GatewayError

__all__ = ["Errands"]

logger = logging.getLogger(__name__)

STOP_S = 5.0
"""How long requests may still take when the gateway stops."""


class Errands:
    """One carrier's. `running` must be entered before anything is asked."""

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Own the requests; on the way out wait for those under way, within `STOP_S`."""
        try:
            async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as group:
                self._group = group
                try:
                    yield
                finally:
                    self._group = None
                    limit.reschedule(asyncio.get_running_loop().time() + STOP_S)
        except TimeoutError:
            logger.warning("stopped without waiting for the carrier's answer")

    async def lasting(self, work: Coroutine[None, None, None]) -> None:
        """Await work that is done to its end even if who awaits it is not there any more. Raises `CarrierError`."""
        task = self.soon(work)
        if task is None:
            raise CarrierError("the gateway stops", permanent=True, code="stopped")
        failed = await asyncio.shield(task)
        if failed is not None:
            raise failed

    def soon(self, work: Coroutine[None, None, None]) -> "asyncio.Task[CarrierError | None] | None":
        """Begin work that nobody waits for; None, and nothing is done, while the gateway stops."""
        if self._group is None:
            work.close()
            return None
        return self._group.create_task(_contained(work))


async def _contained(work: Coroutine[None, None, None]) -> CarrierError | None:
    """Return the error that work ends with: raised, it would end the requests of all other calls."""
    try:
        await work
    except CarrierError as failed:
        logger.info("a request to the carrier failed: %s", failed)
        return failed
    except GatewayError as failed:
        return CarrierError(str(failed), permanent=True, code="internal")
    except Exception:
        logger.exception("a request to the carrier failed inside")
        return CarrierError("the request failed inside", permanent=True, code="internal")
    return None
