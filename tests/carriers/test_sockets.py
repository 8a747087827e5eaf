"""Who may open a media socket, and how many wait for their start at once."""

import asyncio
from collections import Counter

from fastapi import WebSocket
from starlette.types import Message

from gateway.carriers.base import LiveCall, TokenRefused
from gateway.carriers.sockets import MAX_UNSTARTED, START_S, MediaSockets
from gateway.carriers.stream import Started
from tests.carriers.test_streamleg import Words
from tests.clock import run


class Client:
    """A client's end of an upgrade: one that takes its time, and one that leaves at once."""

    def __init__(self, sent: Counter[str], *, leaves: bool = False) -> None:
        self._sent = sent
        self._leaves = leaves
        self._connected = False

    async def receive(self) -> Message:
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    async def send(self, message: Message) -> None:
        await asyncio.sleep(0.1)
        if self._leaves:
            raise OSError("the client is gone")
        self._sent[message["type"]] += 1


def socket_of(client: Client) -> WebSocket:
    return WebSocket({"type": "websocket", "headers": [], "subprotocols": []}, client.receive, client.send)


def refuse(started: Started) -> LiveCall:
    raise TokenRefused("nobody is expected")


def test_a_flood_of_upgrades_is_bounded_also_while_they_are_being_accepted() -> None:
    sent: Counter[str] = Counter()

    async def main() -> None:
        sockets = MediaSockets(refuse, lambda websocket: Words(), lambda websocket: True)
        async with asyncio.TaskGroup() as group:
            for _ in range(MAX_UNSTARTED + 50):
                group.create_task(sockets.serve(socket_of(Client(sent))))
            await asyncio.sleep(START_S + 1)
            group.create_task(sockets.serve(socket_of(Client(sent))))

    run(main())
    assert sent["websocket.accept"] == MAX_UNSTARTED + 1
    assert sent["websocket.close"] == MAX_UNSTARTED + 1 + 50


def test_a_client_that_leaves_during_the_upgrade_is_no_error() -> None:
    async def main() -> None:
        sockets = MediaSockets(refuse, lambda websocket: Words(), lambda websocket: True)
        await sockets.serve(socket_of(Client(Counter(), leaves=True)))

    run(main())
