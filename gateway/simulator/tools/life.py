"""A gateway process on the virtual clock that can be killed: what it had written stays, and the next one takes over.

The telephone network reaches whichever lives. While none does its requests wait, as at a balancer.
"""

import asyncio
from collections.abc import Callable, Mapping

import httpx2
from fastapi import FastAPI

from gateway.simulator.asgi import AsgiHost
from gateway.store.memory import MemoryStore
from gateway.wire import TextSocket

__all__ = ["Lives"]

RESTART_S = 0.3
"""From the kill to the next process."""
PATIENCE_S = 10.0


class Lives:
    """The processes of one gateway, one after another. An async context manager."""

    def __init__(self, make: Callable[[MemoryStore], FastAPI]) -> None:
        self._make = make
        self.store = MemoryStore()
        self._host: AsgiHost | None = None
        self._up = asyncio.Event()
        self._requests: set[asyncio.Task[httpx2.Response]] = set()
        self.kills = 0

    async def __aenter__(self) -> "Lives":
        await self._begin()
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._host is not None:
            await self._host.__aexit__(None, None, None)

    def http(self) -> httpx2.AsyncClient:
        """Return a client whose requests reach the process that lives."""
        return httpx2.AsyncClient(transport=_Balancer(self), base_url="https://gateway.example")

    async def connect(self, url: str, headers: Mapping[str, str]) -> TextSocket:
        return await (await self._living()).connect(url, headers)

    async def kill(self) -> None:
        """End the process as SIGKILL does, and begin the next one a little later."""
        host, self._host = self._host, None
        if host is None:
            return
        self.kills += 1
        self._up.clear()
        # Whatever the dying process still does, it does to a store that nobody reads any more.
        self.store = self.store.reopened()
        for request in self._requests:
            request.cancel()
        await host.kill()
        await asyncio.sleep(RESTART_S)
        await self._begin()

    async def request(self, request: httpx2.Request) -> httpx2.Response:
        host = await self._living()
        task = asyncio.get_running_loop().create_task(_send(host, request))
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)
        await asyncio.wait({task})
        if task.cancelled():
            raise httpx2.ReadError("the process died")
        return task.result()

    async def _begin(self) -> None:
        self._host = await AsgiHost(self._make(self.store)).__aenter__()
        self._up.set()

    async def _living(self) -> AsgiHost:
        async with asyncio.timeout(PATIENCE_S):
            await self._up.wait()
        assert self._host is not None
        return self._host


class _Balancer(httpx2.AsyncBaseTransport):
    def __init__(self, lives: Lives) -> None:
        self._lives = lives

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await self._lives.request(request)


async def _send(host: AsgiHost, request: httpx2.Request) -> httpx2.Response:
    async with host.http() as http:
        answer = await http.send(request)
    return httpx2.Response(answer.status_code, headers=answer.headers, stream=httpx2.ByteStream(answer.content))
