"""The media socket: who may open one, and which stream is a call's."""

import asyncio
import logging

from fastapi import WebSocket

from gateway.carriers.base import TokenRefused
from gateway.carriers.sockets import WebSocketSocket, direct
from gateway.carriers.twilio import codec
from gateway.carriers.twilio.door import TwilioDoor, raw_path
from gateway.carriers.twilio.leg import TwilioLeg
from gateway.carriers.twilio.signature import SIGNATURE_HEADER
from gateway.errors import RemoteProtocolError
from gateway.wire import WireClosed

__all__ = ["MediaSockets"]

logger = logging.getLogger(__name__)

START_S = 5.0
"""From the accepted socket to a valid `start`."""
MAX_UNSTARTED = 200
"""Media sockets that may wait for their `start` at once."""


class MediaSockets:
    """Takes media sockets: signature before the upgrade, then a `start` with a token, then a leg."""

    def __init__(self, door: TwilioDoor) -> None:
        self._door = door
        self._unstarted = 0
        self._legs: dict[str, TwilioLeg] = {}
        """The stream of each call, by the carrier's id of the call."""

    def supersede(self, carrier_call_id: str) -> None:
        """The carrier has taken a call off its stream: nothing more from that one, even if its socket lingers."""
        leg = self._legs.pop(carrier_call_id, None)
        if leg is not None:
            leg.supersede()

    async def serve(self, websocket: WebSocket) -> None:
        door = self._door
        if self._unstarted >= MAX_UNSTARTED or not door.signatures.upgrade(
            raw_path(websocket), websocket.headers.get(SIGNATURE_HEADER)
        ):
            logger.warning("refused a media socket before its upgrade")
            await websocket.close(1008)
            return
        await websocket.accept()
        socket = WebSocketSocket(websocket)
        start = await self._start(socket)
        if start is None:
            return
        try:
            token = start.parameters.get("token", "")
            session = door.calls.claim(token, start.carrier_call_id, start.account_id)
        except TokenRefused as refused:
            logger.warning("refused a media stream: %s", refused)
            await self._close(socket)
            return
        self.supersede(start.carrier_call_id)
        leg = self._legs[start.carrier_call_id] = TwilioLeg(direct(websocket) or socket, start.stream_id, session.feed)
        try:
            session.attach(leg, start.stream_id)
            await leg.run()
        finally:
            if self._legs.get(start.carrier_call_id) is leg:
                del self._legs[start.carrier_call_id]

    async def _start(self, socket: WebSocketSocket) -> codec.Start | None:
        """Wait for a valid `start`; close the socket when it does not come."""
        self._unstarted += 1
        try:
            async with asyncio.timeout(START_S):
                while True:
                    message = codec.decode(await socket.receive())
                    if isinstance(message, codec.Start):
                        return message
                    if not isinstance(message, codec.Connected) and message is not None:
                        raise RemoteProtocolError("expected start first")
        except WireClosed:
            return None
        except (TimeoutError, RemoteProtocolError) as refused:
            logger.info("closed a media socket without a start: %s", refused or "nothing came in time")
            await self._close(socket)
            return None
        finally:
            self._unstarted -= 1

    async def _close(self, socket: WebSocketSocket) -> None:
        try:
            await socket.close(1008)
        except WireClosed:
            return
