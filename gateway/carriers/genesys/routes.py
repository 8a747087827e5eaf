"""The socket that Genesys opens: `/genesys/media`. There is no webhook: the signed upgrade is the offer.

A refused upgrade is answered late, so that guessing is slow. What the session owes Genesys at its end, `closed`, is
said here, after the stream.
"""

import asyncio
import logging

from fastapi import APIRouter, Request, WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from gateway.carriers.base import CallOffer, Draining, Full, LiveCall, Over
from gateway.carriers.front import Front
from gateway.carriers.genesys.codec import GenesysCodec
from gateway.carriers.genesys.control import GenesysControl
from gateway.carriers.genesys.leg import AudioHookLeg
from gateway.carriers.genesys.signature import UpgradeCheck
from gateway.carriers.sockets import MediaSockets
from gateway.carriers.stream import Started
from gateway.carriers.streamleg import Manner
from gateway.errors import GatewayError
from gateway.wire import DIRECT_EXTENSION

__all__ = ["MANNER", "router"]

logger = logging.getLogger(__name__)

MANNER = Manner(exact_frames=True, ahead_frames=50, echoes_marks=False)
"""Genesys tells only when a whole response has played, so marks come by our clock; audio leaves up to 1 s early."""
REFUSED_S = 0.5
MOST_REFUSED = 50
"""Refusals that may wait at once; more are answered at once."""
FAREWELL_S = 2.0
"""How long Genesys may take to close the socket after `closed`."""


class AudioHook:
    """Takes the sessions of one integration."""

    def __init__(self, front: Front, signatures: UpgradeCheck, control: GenesysControl) -> None:
        self._front = front
        self._signatures = signatures
        self._control = control
        self._refusing = 0

    async def serve(self, websocket: WebSocket) -> None:
        """Live as long as the socket."""
        if not self._signatures.passes(_raw_path(websocket), websocket.headers):
            await self._refuse(websocket)
            return
        headers = websocket.headers
        codec = GenesysCodec(
            headers.get("audiohook-session-id", "")[:64], headers.get("audiohook-organization-id", "")[:64]
        )
        # Frames are not taken below the ASGI connection: the last words are ours and come after the stream.
        kept = websocket.scope.get("extensions", {})
        websocket.scope["extensions"] = {name: kept[name] for name in kept if name != DIRECT_EXTENSION}
        sockets = MediaSockets(
            lambda started: self._claim(started, codec), lambda _: codec, lambda _: True, manner=MANNER
        )
        await sockets.serve(websocket)
        await _farewell(websocket, codec.farewell)

    async def _refuse(self, websocket: WebSocket) -> None:
        logger.warning("refused a session before its upgrade")
        if self._refusing < MOST_REFUSED:
            self._refusing += 1
            try:
                await asyncio.sleep(REFUSED_S)
            finally:
                self._refusing -= 1
        await websocket.close(1008)

    def _claim(self, started: Started, codec: GenesysCodec) -> LiveCall:
        """Offer the call of a session, and take its stream at once."""
        calls = self._front.calls
        offer = _offer(started, started.carrier_call_id)
        try:
            try:
                token = calls.offer(offer)
            except Over:
                # A flow may bring one conversation to an agent more than once: each time is a call of its own.
                offer = _offer(started, f"{started.carrier_call_id}/{started.stream_id[:8]}")
                token = calls.offer(offer)
        except (Draining, Full) as refused:
            why = "draining" if isinstance(refused, Draining) else "full"
            self._front.reports.call_refused(offer, why)
            raise
        except Over:
            raise
        except GatewayError:
            self._front.reports.call_refused(offer, "no_agent")
            raise
        live = calls.claim(token, offer.carrier_call_id, offer.account_id)
        leg = AudioHookLeg(codec, live, lambda reason: self._control.variables(offer, reason))
        self._control.joined(offer.carrier_call_id, leg)
        return leg


def router(front: Front, signatures: UpgradeCheck, control: GenesysControl) -> APIRouter:
    """Return the route."""
    routes = APIRouter(prefix="/genesys", include_in_schema=False)
    routes.add_api_websocket_route("/media", AudioHook(front, signatures, control).serve)
    return routes


def _offer(started: Started, carrier_call_id: str) -> CallOffer:
    said = started.parameters
    return CallOffer(
        carrier="genesys",
        carrier_call_id=carrier_call_id,
        account_id=started.account_id,
        direction="inbound",
        from_number=said["from"],
        to_number=said["to"],
        agent=said.get("agent", "")[:64],
        comes_back=False,
    )


async def _farewell(websocket: WebSocket, text: str | None) -> None:
    """Answer Genesys' `close`, if it said so, and leave it to Genesys to close the socket."""
    try:
        async with asyncio.timeout(FAREWELL_S):
            if text is not None:
                await websocket.send_text(text)
            while websocket.application_state is WebSocketState.CONNECTED:
                if (await websocket.receive())["type"] == "websocket.disconnect":
                    return
    except (TimeoutError, WebSocketDisconnect, RuntimeError):
        return


def _raw_path(connection: Request | WebSocket) -> str:
    path: bytes = connection.scope.get("raw_path") or connection.scope["path"].encode()
    query: bytes = connection.scope["query_string"]
    return (path + b"?" + query if query else path).decode("ascii", "replace")
