"""One WebRTC connection, by aiortc: the only module that knows the library (1.16; an optional dependency).

G.711 passes through untouched. Towards the browser, a track that hands out packets instead of frames: aiortc packs
those without an encoder. From the browser, packets are taken before aiortc's jitter buffer and decoder; for that a
method of its receiver is replaced, on this one receiver. The method is private: `test_peer.py` proves that it is there.
"""

import asyncio
import logging
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from aioice import Candidate
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.exceptions import InvalidAccessError, InvalidStateError, OperationError
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtcdatachannel import RTCDataChannel
from aiortc.rtcrtpreceiver import RTCRtpReceiver
from aiortc.rtp import RtpPacket
from aiortc.stats import RTCTransportStats
from av import Packet

from gateway.carriers.browser.codec import CHANNEL
from gateway.carriers.browser.sdp import Offer
from gateway.errors import CarrierError

__all__ = ["Peer", "Tap"]

logger = logging.getLogger(__name__)

CLOCK = Fraction(1, 8000)
BACKLOG = 50
"""Frames that may wait to be sent. The connection is UDP: it takes them at once, or it is gone."""
PCMU = 0
CLOSE_S = 3.0
LOOPBACK = "127.0.0.1"


class Tap:
    """Where a connection's events go. Set `on_packet` and `on_message` once somebody listens."""

    def __init__(self) -> None:
        self.on_packet: Callable[[int, bytes], None] = lambda timestamp, payload: None
        self.on_message: Callable[[str | bytes], None] = lambda message: None
        self.on_gone: Callable[[str], None] = lambda state: None


class _Voice(MediaStreamTrack):
    """Frames for the browser, as packets."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(BACKLOG)
        self._samples = 0

    def put(self, frame: bytes) -> bool:
        if self._queue.full() or self.readyState != "live":
            return False
        self._queue.put_nowait(frame)
        return True

    async def recv(self) -> "Packet[Any]":
        if self.readyState != "live":
            raise MediaStreamError
        frame = await self._queue.get()
        packet = Packet(frame)
        packet.pts, packet.time_base = self._samples, CLOCK
        self._samples += len(frame)
        return packet


class Peer:
    """A browser's connection, from its offer on. Implements `leg.Line`."""

    def __init__(self, *, loopback: bool) -> None:
        """`loopback` also offers the address 127.0.0.1, which is of use to a browser on this machine only."""
        self.tap = Tap()
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._voice = _Voice()
        self._state: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._source: int | None = None
        """The synchronisation source that is listened to: the first one."""
        self._channel: RTCDataChannel | None = None
        sender = self._connection.addTrack(self._voice)
        if loopback:
            _add_loopback(sender)
        self._connection.on("connectionstatechange", self._changed)
        self._connection.on("datachannel", self._opened)

    async def answer(self, offer: Offer) -> str:
        """Return our SDP for the browser's. Raises `CarrierError`."""
        connection = self._connection
        try:
            await connection.setRemoteDescription(RTCSessionDescription(sdp=offer.sdp(), type="offer"))
            (transceiver,) = connection.getTransceivers()
            _divert(transceiver.receiver, self._received)
            await connection.setLocalDescription(await connection.createAnswer())
        except (InvalidAccessError, InvalidStateError, OperationError, ValueError, OSError) as failed:
            raise CarrierError(f"the browser's offer cannot be answered: {failed}", permanent=True) from None
        return connection.localDescription.sdp

    async def connected(self) -> bool:
        """Wait until the connection is up, or has failed: then False."""
        return await asyncio.shield(self._state) == "connected"

    @property
    def up(self) -> bool:
        return self._connection.connectionState == "connected"

    def play(self, frame: bytes) -> bool:
        """See `Line.play`."""
        return self._voice.put(frame)

    async def arrived(self) -> int:
        """See `Line.arrived`."""
        stats = await self._connection.getStats()
        return sum(part.packetsReceived for part in stats.values() if isinstance(part, RTCTransportStats))

    async def close(self) -> None:
        """See `Line.close`."""
        self.tap = Tap()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._connection.close()
        except TimeoutError:
            logger.warning("a browser's connection did not close in time")

    def _received(self, packet: RtpPacket) -> None:
        if packet.payload_type != PCMU:
            return
        if self._source is None:
            self._source = packet.ssrc
        if packet.ssrc == self._source:
            self.tap.on_packet(packet.timestamp, packet.payload)

    def _changed(self) -> None:
        state = self._connection.connectionState
        if state not in ("connected", "failed", "closed"):
            return
        if not self._state.done():
            self._state.set_result(state)
        elif state != "connected":
            self.tap.on_gone(state)

    def _opened(self, channel: RTCDataChannel) -> None:
        if self._channel is not None or channel.label != CHANNEL:
            channel.close()
            return
        self._channel = channel
        channel.on("message", self._said)

    def _said(self, message: str | bytes) -> None:
        self.tap.on_message(message)


def _divert(receiver: RTCRtpReceiver, take: Callable[[RtpPacket], None]) -> None:
    async def handle(packet: RtpPacket, arrival_time_ms: int) -> None:
        take(packet)

    receiver._handle_rtp_packet = handle  # type: ignore[method-assign]  # see the module's docstring


def _add_loopback(sender: RTCRtpSender) -> None:
    """Have this connection gather 127.0.0.1 too, which the library leaves out."""
    agent = sender.transport.transport.iceGatherer._connection
    gather = agent.get_component_candidates

    async def with_loopback(component: int, addresses: list[str]) -> list[Candidate]:
        return await gather(component=component, addresses=[*addresses, LOOPBACK])

    agent.get_component_candidates = with_loopback  # type: ignore[method-assign, assignment]
