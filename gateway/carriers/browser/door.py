"""Takes browsers' calls: an offer in, an answer out, and a task that owns each connection until it is gone."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.carriers.base import CallOffer, Full, Switchboard, TokenRefused
from gateway.carriers.browser.leg import BrowserLeg
from gateway.carriers.browser.peer import Peer
from gateway.carriers.browser.sdp import Offer, read_offer
from gateway.core.events import LegEnd, LegEnded
from gateway.errors import CarrierError

__all__ = ["CARRIER", "BrowserDoor", "Placed"]

logger = logging.getLogger(__name__)

CARRIER = "browser"
ACCOUNT = "console"
ANSWER_S = 5.0
"""How long our own answer may take."""
CONNECT_S = 20.0
"""How long the browser may take to connect, from our answer on."""


@dataclass(slots=True, frozen=True)
class Placed:
    """A call that rings."""

    carrier_call_id: str
    answer: str
    """SDP."""


class BrowserDoor:
    """All browsers of this process. `running` must be entered before calls are taken."""

    def __init__(self, calls: Switchboard, *, loopback: bool, most: int = 8) -> None:
        """`loopback`: browsers on this machine may come by 127.0.0.1. `most`: connections at once."""
        self._calls = calls
        self._loopback = loopback
        self._most = most
        self._peers: set[Peer] = set()
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Own the connections; on the way out those that live are cut."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                try:
                    yield
                finally:
                    self._stopping = True
                    for task in self._tasks:
                        task.cancel()
        finally:
            for peer in list(self._peers):  # whose task was cancelled before it began
                await peer.close()

    async def call(self, agent: str, sdp: str) -> Placed:
        """Answer a browser's offer; the agent gets the call when the connection is up.

        Raises `RemoteProtocolError` for a bad offer, `Full`, `Draining` or another `GatewayError` when the call is not
        admitted, `CarrierError` when no connection can be made.
        """
        offer = read_offer(sdp)
        if len(self._peers) >= self._most or self._group is None or self._stopping:
            raise Full(f"all {self._most} browser connections are taken")
        carrier_call_id = "web_" + secrets.token_hex(16)
        token = self._calls.offer(CallOffer(CARRIER, carrier_call_id, ACCOUNT, "inbound", "", "", agent=agent))
        peer = Peer(loopback=self._loopback)
        self._peers.add(peer)
        try:
            answer = await _answer(peer, offer)
        except BaseException:
            await self._leave(peer, carrier_call_id)
            raise
        task = self._group.create_task(self._serve(peer, token, carrier_call_id), name=f"browser {carrier_call_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return Placed(carrier_call_id, answer)

    async def _serve(self, peer: Peer, token: str, carrier_call_id: str) -> None:
        try:
            async with asyncio.timeout(CONNECT_S):
                connected = await peer.connected()
            if not connected or not peer.up:
                logger.info("a browser's connection failed before it was up")
                return
            session = self._calls.claim(token, carrier_call_id, ACCOUNT)
            leg = BrowserLeg(peer, session.feed)
            tap = peer.tap
            tap.on_packet, tap.on_message = leg.packet, leg.message
            tap.on_gone = lambda state: leg.end(LegEnded(LegEnd.SOCKET_LOST, f"the connection is {state}"))
            session.attach(leg, carrier_call_id)
            await leg.run()
        except TimeoutError:
            logger.info("a browser did not connect within %.0f s", CONNECT_S)
        except TokenRefused as refused:
            logger.info("a browser connected to no call: %s", refused)
        finally:
            await self._leave(peer, carrier_call_id)

    async def _leave(self, peer: Peer, carrier_call_id: str) -> None:
        self._peers.discard(peer)
        if not self._stopping:  # the gateway ends its calls itself, and says so in their records
            self._calls.hung_up(carrier_call_id)
        await peer.close()


async def _answer(peer: Peer, offer: Offer) -> str:
    try:
        async with asyncio.timeout(ANSWER_S):
            return await peer.answer(offer)
    except TimeoutError:
        raise CarrierError("the connection was not ready in time") from None
