"""A carrier's media sockets: who may open one, which call it is, and which stream is a call's.

Nothing is believed before `admit` says so, and that is asked before the upgrade, so that a refused socket costs
nothing and the carrier's error callback says why.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from gateway.carriers.base import LiveCall, Switchboard, TokenRefused
from gateway.carriers.stream import Media, Reply, Started, StreamCodec
from gateway.carriers.streamleg import Manner, StreamLeg
from gateway.core.events import LegEnded
from gateway.errors import GatewayError, RemoteProtocolError
from gateway.wire import DIRECT_EXTENSION, DirectSocket, TextSocket, WireClosed

__all__ = ["Claim", "MediaSockets", "WebSocketSocket", "by_token", "direct"]

logger = logging.getLogger(__name__)

START_S = 5.0
"""From the accepted socket to a valid start."""
MAX_UNSTARTED = 200
"""Media sockets that may wait for their start at once."""
MAX_EARLY = 100
"""Frames of audio that may come before the start: 2 s."""
NOT_ADMITTED = "its signature or token is wrong"

Claim = Callable[[Started], LiveCall]
"""Finds the call of a stream that has started; raises `GatewayError` when there is none."""


def by_token(calls: Switchboard) -> Claim:
    """Claim calls that a webhook has offered, by the one-use token that the carrier brings back."""
    return lambda started: calls.claim(started.token, started.carrier_call_id, started.account_id)


class MediaSockets:
    """Takes the media sockets of one carrier."""

    def __init__(
        self,
        claim: Claim,
        open_codec: Callable[[WebSocket], StreamCodec],
        admit: Callable[[WebSocket], bool],
        *,
        manner: Manner | None = None,
        subprotocols: Sequence[str] = (),
        why: Callable[[WebSocket], str] = lambda websocket: NOT_ADMITTED,
    ) -> None:
        """`open_codec` gets the upgrade, whose headers or query may belong to the start.

        Of `subprotocols` the first that the carrier offers is selected; it hangs up when none is. `why` says for the
        log what was wrong with an upgrade that `admit` refused; no secret, and nothing that came.
        """
        self._claim = claim
        self._open_codec = open_codec
        self._admit = admit
        self._why = why
        self._manner = manner or Manner()
        self._subprotocols = subprotocols
        self._unstarted = 0
        self._legs: dict[str, StreamLeg] = {}
        """The stream of each call, by the carrier's id of the call."""

    def supersede(self, carrier_call_id: str) -> None:
        """The carrier has taken a call off its stream: nothing more from that one, even if its socket lingers."""
        leg = self._legs.pop(carrier_call_id, None)
        if leg is not None:
            leg.supersede()

    async def serve(self, websocket: WebSocket) -> None:
        """Live as long as the socket."""
        full = self._unstarted >= MAX_UNSTARTED
        if full or not self._admit(websocket):
            why = "too many have not started" if full else self._why(websocket)
            logger.warning("refused a media socket before its upgrade: %s", why)
            await websocket.close(1008)
            return
        socket, codec = WebSocketSocket(websocket), self._open_codec(websocket)
        early: list[str] = []
        self._unstarted += 1  # from here on, and not only once it is accepted
        try:
            started = await self._started(socket, codec, early) if await self._accept(websocket) else None
        finally:
            self._unstarted -= 1
        if started is None:
            return
        try:
            session = self._claim(started)
        except TokenRefused as refused:
            logger.warning("refused a media stream: %s", refused)
        except GatewayError as refused:
            logger.warning("refused a call: %s", refused)
        else:
            await self._stream(direct(websocket) or socket, codec, started, session, early)
            return
        await self._close(socket)

    async def _accept(self, websocket: WebSocket) -> bool:
        offered = websocket.scope.get("subprotocols", ())
        try:
            await websocket.accept(next((name for name in self._subprotocols if name in offered), None))
        except (WebSocketDisconnect, RuntimeError, OSError):  # it has gone meanwhile
            return False
        return True

    async def _stream(
        self, socket: TextSocket, codec: StreamCodec, started: Started, session: LiveCall, early: list[str]
    ) -> None:
        self.supersede(started.carrier_call_id)
        leg = self._legs[started.carrier_call_id] = StreamLeg(socket, codec, started, session.feed, self._manner)
        try:
            session.attach(leg, started.stream_id, started.audio)
            leg.begin(started.replies, early)
            await leg.run()
        finally:
            if self._legs.get(started.carrier_call_id) is leg:
                del self._legs[started.carrier_call_id]

    async def _started(self, socket: TextSocket, codec: StreamCodec, early: list[str]) -> Started | None:
        """Wait for a valid start, keeping audio that overtook it; close the socket when it does not come."""
        try:
            async with asyncio.timeout(START_S):
                while True:
                    message = codec.decode(await socket.receive())
                    match message:
                        case Started():
                            return message
                        case Media(payload) if len(early) < MAX_EARLY:
                            early.append(payload)
                        case Reply(frames):
                            for frame in frames:
                                await socket.send(frame)
                        case LegEnded():
                            raise RemoteProtocolError("it ended before it started")
        except WireClosed:
            return None
        except (TimeoutError, RemoteProtocolError) as refused:
            logger.info("closed a media socket without a start: %s", refused or "nothing came in time")
            await self._close(socket)
            return None

    async def _close(self, socket: TextSocket) -> None:
        try:
            await socket.close(1008)
        except WireClosed:
            return


class WebSocketSocket:
    """A Starlette WebSocket as a `TextSocket`."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def receive(self) -> str | bytes:
        if self._websocket.application_state is WebSocketState.DISCONNECTED:
            raise WireClosed(1000)
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WireClosed(message.get("code", 1006), message.get("reason") or "")
        text: str | bytes | None = message.get("text")
        return text if text is not None else message.get("bytes", b"")

    async def send(self, frame: str | bytes) -> None:
        try:
            if isinstance(frame, str):
                await self._websocket.send_text(frame)
            else:
                await self._websocket.send_bytes(frame)
        except (WebSocketDisconnect, RuntimeError):
            raise WireClosed(1006) from None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self._websocket.application_state is WebSocketState.DISCONNECTED:
            return
        try:
            await self._websocket.close(code, reason)
        except (WebSocketDisconnect, RuntimeError):
            raise WireClosed(1006) from None


def direct(websocket: WebSocket) -> DirectSocket | None:
    """Return the socket under the ASGI connection, where the host hands it over: a frame then wakes no task."""
    offered = websocket.scope.get("extensions", {}).get(DIRECT_EXTENSION)
    return offered if isinstance(offered, DirectSocket) else None
