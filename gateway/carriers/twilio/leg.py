"""One Media Streams socket as a leg: a bounded outbox with a writer, and a reader that feeds the call."""

import asyncio
import logging
from base64 import b64encode
from collections import deque
from typing import assert_never

from gateway.carriers import tones
from gateway.carriers.base import Feed
from gateway.carriers.twilio import codec
from gateway.core.commands import ClearAudio, HangUp, LegCommand, PlayAudio, SendDigits, SendMark
from gateway.core.events import Event, LegEnd, LegEnded
from gateway.errors import RemoteProtocolError
from gateway.wire import DirectSocket, TextSocket, WireClosed

__all__ = ["TwilioLeg"]

logger = logging.getLogger(__name__)

BACKLOG = 512
"""Messages that may wait to be written. The playout's lead keeps it near ten."""
MAX_BAD_FRAMES = 50
"""Malformed frames that are dropped before the stream is given up."""
CLOSE_S = 1.0


class TwilioLeg:
    """The stream of one call. `feed` is the owner's."""

    def __init__(self, socket: TextSocket, stream_id: str, feed: Feed) -> None:
        self._socket = socket
        self._direct = socket if isinstance(socket, DirectSocket) else None
        self._stream_id = stream_id
        self._feed = feed
        self._outbox: deque[tuple[bool, str]] = deque()
        self._wake = asyncio.Event()
        self._ended = False
        self._hanging_up = False
        self._bad_frames = 0

    def send(self, command: LegCommand) -> None:
        """Queue one command. A clear also drops the audio and marks that have not left."""
        if self._ended or self._hanging_up:
            return
        match command:
            case PlayAudio(_, payload, _):
                self._queue(True, codec.media(self._stream_id, payload))
            case SendMark(name):
                self._queue(True, codec.mark(self._stream_id, name))
            case ClearAudio():
                self._outbox = deque(message for message in self._outbox if not message[0])
                self._queue(False, codec.clear(self._stream_id))
            case SendDigits(digits):
                # Media Streams cannot send keys, and `<Play digits>` would cost the stream: the tones are played.
                for digit in digits:
                    self._queue(True, codec.media(self._stream_id, b64encode(tones.key(digit)).decode()))
            case HangUp():
                self._hanging_up = True
                self._wake.set()
            case _:
                assert_never(command)

    def supersede(self) -> None:
        """The carrier has taken the call off this stream, whether the socket shows it or not: close it.

        The call is told that the stream ended, unless it knows, and nothing after that.
        """
        self._end(LegEnded(LegEnd.SOCKET_LOST, "the carrier took the call elsewhere"))
        self._outbox.clear()
        self._hanging_up = True
        self._wake.set()

    async def run(self) -> None:
        """Pump both ways until the stream is over; the call is told once, by `LegEnded`."""
        try:
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(self._write(), name="leg-writer")
                await self._read()
                writer.cancel()
        except BaseExceptionGroup as failed:
            first = failed.exceptions[0]
            if not isinstance(first, WireClosed):
                raise first from None
            self._end(LegEnded(LegEnd.SOCKET_LOST, f"closed with {first.code}"))

    async def close(self) -> None:
        """Close the socket: Twilio goes on with the next verb."""
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._socket.close()
        except (TimeoutError, WireClosed, OSError):
            logger.debug("the media socket did not close in time")

    async def _read(self) -> None:
        try:
            if self._direct is not None:
                raise await self._direct.pump(self._take)
            while not self._ended:
                self._take(await self._socket.receive())
        except WireClosed as closed:
            self._end(LegEnded(LegEnd.SOCKET_LOST, f"closed with {closed.code}"))

    def _take(self, frame: str | bytes) -> None:
        try:
            message = codec.decode(frame)
        except RemoteProtocolError as broken:
            self._bad_frame(broken)
            return
        match message:
            case None | codec.Connected() | codec.Start():
                return
            case LegEnded():
                self._end(message)
            case _:
                self._tell(message)

    async def _write(self) -> None:
        while True:
            while self._outbox:
                await self._socket.send(self._outbox.popleft()[1])
            if self._hanging_up:
                await self.close()
                return
            self._wake.clear()
            await self._wake.wait()

    def _queue(self, droppable: bool, text: str) -> None:
        if len(self._outbox) >= BACKLOG:
            self._end(LegEnded(LegEnd.BROKEN, "the carrier does not read"))
            return
        if self._direct is not None and not self._outbox and self._direct.send_soon(text):
            return
        self._outbox.append((droppable, text))
        self._wake.set()

    def _bad_frame(self, broken: RemoteProtocolError) -> None:
        self._bad_frames += 1
        logger.info("bad frame from the carrier: %s", broken)
        if self._bad_frames > MAX_BAD_FRAMES:
            self._end(LegEnded(LegEnd.BROKEN, "too many malformed frames"))

    def _tell(self, event: Event) -> None:
        if not self._ended:
            self._feed(event)

    def _end(self, event: LegEnded) -> None:
        if not self._ended:
            self._ended = True
            self._feed(event)
