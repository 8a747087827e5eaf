"""A TCP connection as a socket of whole AudioSocket frames, bounded in size and in time."""

import asyncio
import socket

from gateway.carriers.audiosocket.codec import HEADER_BYTES, MAX_PAYLOAD
from gateway.wire import TextSocket, WireClosed

__all__ = ["Framed", "TcpPieces"]

PIECE_BYTES = 16 * 1024
REST_S = 5.0
"""How long the rest of a frame may take."""
CLOSE_S = 0.5
DEAD_MS = 10_000
"""After so long without an acknowledgement of what was sent the peer counts as dead; silence is sent all the time."""


class TcpPieces:
    """A TCP connection as a socket of bytes in pieces of any size."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        raw = writer.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_MS)

    async def receive(self) -> str | bytes:
        try:
            piece = await self._reader.read(PIECE_BYTES)
        except OSError:
            raise WireClosed(1006) from None
        if not piece:
            raise WireClosed(1000)
        return piece

    async def send(self, frame: str | bytes) -> None:
        try:
            self._writer.write(frame if isinstance(frame, bytes) else frame.encode())
            await self._writer.drain()
        except (OSError, RuntimeError):
            raise WireClosed(1006) from None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self._writer.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._writer.wait_closed()
        except (TimeoutError, OSError):
            self._writer.transport.abort()


class Framed:
    """Cuts pieces into frames. What breaks the framing cannot be mended: it closes the connection."""

    def __init__(self, pieces: TextSocket) -> None:
        self._pieces = pieces
        self._buffer = bytearray()

    async def receive(self) -> str | bytes:
        """Return the next frame. Cancelled, nothing is lost."""
        while (frame := self._cut()) is None:
            try:
                async with asyncio.timeout(REST_S if self._buffer else None):
                    piece = await self._pieces.receive()
            except TimeoutError:
                raise WireClosed(1002, "half a frame") from None
            except WireClosed as closed:
                raise WireClosed(1006 if self._buffer else closed.code) from None
            self._buffer += piece if isinstance(piece, bytes) else piece.encode()
        return frame

    async def send(self, frame: str | bytes) -> None:
        await self._pieces.send(frame)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._pieces.close(code, reason)

    def _cut(self) -> bytes | None:
        if len(self._buffer) < HEADER_BYTES:
            return None
        size = int.from_bytes(self._buffer[1:HEADER_BYTES], "big")
        if size > MAX_PAYLOAD:
            raise WireClosed(1009, "a frame is too long")
        end = HEADER_BYTES + size
        if len(self._buffer) < end:
            return None
        frame = bytes(self._buffer[:end])
        del self._buffer[:end]
        return frame
