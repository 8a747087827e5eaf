"""A courier on a real store and real sockets; as a program, a process that can be killed.

python -m tests.deliveries.sending DATABASE LEASE_S
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from pydantic import SecretStr

from gateway.deliveries import Courier, SignedPost
from gateway.deliveries.events import row
from gateway.store.ports import CallStore
from gateway.store.rows import DeliveryRow
from gateway.store.store import Store
from gateway.tools.netguard import NetGuard
from gateway.tools.sender import Outgoing
from tests.deliveries.receiver import SECRET


def event(number: int, url: str, call_id: str = "") -> DeliveryRow:
    data = {"number": number, "text": "Ünïcode ✓"}
    return row("call.ended", call_id or f"call_{number}", "support", (url, None), datetime.now(UTC), "", data)


@asynccontextmanager
async def courier(store: CallStore, lease_s: float = 60.0, guard: NetGuard | None = None) -> AsyncIterator[Courier]:
    guard = guard or NetGuard(allow_loopback=True)
    async with Outgoing(guard) as outgoing, asyncio.TaskGroup() as group:
        post = SignedPost(outgoing, SecretStr(SECRET), headers_of=lambda agent: {"x-agent": agent})
        it = Courier(store, post, lease_s=lease_s)
        group.create_task(it.run())
        try:
            yield it
        finally:
            it.stop()


async def main() -> None:
    async with Store.open(sys.argv[1], node="n1") as store, courier(store, float(sys.argv[2])):
        print("ready", flush=True)  # noqa: T201 - the parent waits for it
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
