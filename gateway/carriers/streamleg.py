"""One media socket as a leg, whatever the carrier: outbox and writer, reader, mark book, play-out, the caller's clock.

What differs between carriers is the wire format, a `StreamCodec`, and a `Manner`: how the carrier wants to be treated.
"""

import asyncio
import logging
from base64 import b64encode
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

from gateway.carriers import tones
from gateway.carriers.base import Feed
from gateway.carriers.intake import Intake
from gateway.carriers.markbook import MarkBook
from gateway.carriers.pacer import Pacer
from gateway.carriers.stream import Cleared, Flow, Frame, Ignored, Media, Reply, Started, StreamCodec
from gateway.core.audio import AudioFormat
from gateway.core.commands import ClearAudio, HangUp, LegCommand, PlayAudio, SendDigits, SendMark
from gateway.core.events import CallerAudio, Dtmf, Event, LegEnd, LegEnded, MarkPlayed
from gateway.errors import RemoteProtocolError
from gateway.wire import DirectSocket, TextSocket, WireClosed

__all__ = ["Manner", "StreamLeg"]

logger = logging.getLogger(__name__)

BACKLOG = 512
"""Frames that may wait to be written. The playout's lead keeps it near ten."""
MAX_BAD_FRAMES = 50
"""Malformed frames that are dropped before the stream is given up."""
CLOSE_S = 1.0
CLEARED_S = 0.5
"""How long a carrier that acknowledges clears is waited for before it is sent audio again."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a carrier wants to be treated beside its wire format."""

    exact_frames: bool = False
    """Audio is sent in whole frames of 20 ms; a tail that nothing follows is filled with silence."""
    ahead_frames: int = 30
    """With `exact_frames`: how many may be sent before their time; 1 for a carrier that does not buffer."""
    idle_silence: bool = False
    """With `exact_frames`: silence is sent while nothing plays, because the carrier hangs up on a mute leg."""
    echoes_marks: bool = True
    """The carrier tells when a mark was reached; else, with `exact_frames`, our clock does."""
    acknowledges_clear: bool = False
    """Audio sent between a clear and its acknowledgement might be dropped too: it waits."""
    reorders: bool = False
    """The carrier does not promise the order of the caller's frames."""
    close_is_hang_up: bool = False
    """The carrier has no goodbye: it closes the socket in order (1000) when the caller hangs up. One that is lost
    ends otherwise."""


class StreamLeg:
    """The stream of one call. `feed` is the owner's."""

    def __init__(
        self, socket: TextSocket, codec: StreamCodec, started: Started, feed: Feed, manner: Manner | None = None
    ) -> None:
        self._socket = socket
        self._codec = codec
        self._audio: AudioFormat = started.audio
        self._feed = feed
        self._manner = manner = manner or Manner()
        self._outbox = _Outbox(socket)
        self._marks = MarkBook()
        self._intake = Intake(self._heard, started.audio, reorders=manner.reorders)
        self._pacer = self._paced(feed, manner) if manner.exact_frames else None
        self._ended = False
        self._bad_frames = 0
        self.unknown: dict[str, int] = {}
        """Messages that meant nothing to us, by kind."""

    def _paced(self, feed: Feed, manner: Manner) -> Pacer:
        return Pacer(
            lambda frame: self._queue(self._codec.play(b64encode(frame).decode()), droppable=True),
            self._mark_due if not manner.echoes_marks else feed,
            audio=self._audio,
            ahead=manner.ahead_frames,
            idle_silence=manner.idle_silence,
            send_mark=self._send_mark if manner.echoes_marks else None,
        )

    # --- towards the carrier ------------------------------------------------------------------

    def send(self, command: LegCommand) -> None:
        """Queue one command. A clear also drops the audio and marks that have not left."""
        if self._ended or self._outbox.closing:
            return
        match command:
            case PlayAudio(_, payload, _):
                self._play(payload)
            case SendMark(name):
                self._marks.sent(name)
                if self._pacer is not None:
                    self._pacer.mark(name)
                else:
                    self._send_mark(name)
            case ClearAudio():
                self._clear()
            case SendDigits(digits):
                self._press(digits)
            case HangUp():
                self._queue(self._codec.hang_up(), droppable=False)
                self._outbox.close_soon()
            case _:
                assert_never(command)

    def supersede(self) -> None:
        """The carrier has taken the call off this stream, whether the socket shows it or not: close it.

        The call is told that the stream ended, unless it knows, and nothing after that.
        """
        self._end(LegEnded(LegEnd.SOCKET_LOST, "the carrier took the call elsewhere"))
        self._outbox.drop_all()
        self._outbox.close_soon()

    def _play(self, payload: str) -> None:
        if self._pacer is not None:
            self._pacer.play(payload)
        else:
            self._queue(self._codec.play(payload), droppable=True)

    def _send_mark(self, name: str) -> None:
        self._queue(self._codec.mark(name), droppable=True)

    def _clear(self) -> None:
        self._marks.cleared()
        self._outbox.drop_audio()
        frames = self._codec.clear()
        if self._pacer is not None:
            self._pacer.clear(flushed=bool(frames))
        self._queue(frames, droppable=False)
        if self._manner.acknowledges_clear and frames:
            self._outbox.wait(asyncio.get_running_loop().time() + CLEARED_S)

    def _press(self, digits: str) -> None:
        frames = self._codec.digits(digits)
        if frames is not None:
            self._queue(frames, droppable=False)
            return
        for digit in digits:  # the stream has no message for keys: the tones are played
            self._play(b64encode(tones.key(digit, self._audio)).decode())

    def _queue(self, frames: Iterable[Frame], *, droppable: bool, answer: bool = False) -> None:
        for frame in frames:
            if not self._outbox.put(frame, droppable=droppable, answer=answer):
                self._end(LegEnded(LegEnd.BROKEN, "the carrier does not read"))
                return

    # --- both ways ----------------------------------------------------------------------------

    def begin(self, replies: Iterable[Frame] = (), early: Iterable[str] = ()) -> None:
        """The call has this stream: answer the carrier's start, and hear what overtook it."""
        self._queue(replies, droppable=False, answer=True)
        for payload in early:
            self._intake.take(payload)
        self._intake.begin()

    async def run(self) -> None:
        """Pump both ways until the stream is over; the call is told once, by `LegEnded`."""
        try:
            async with asyncio.TaskGroup() as group:
                beside = [group.create_task(self._write(), name="leg-writer")]
                if self._pacer is not None:
                    beside.append(group.create_task(self._pacer.run(), name="leg-pacer"))
                await self._read()
                for task in beside:
                    task.cancel()
        except BaseExceptionGroup as failed:
            first = failed.exceptions[0]
            if not isinstance(first, WireClosed):
                self._end(LegEnded(LegEnd.BROKEN, "the stream failed inside"))
                raise first from None
            self._end(self._closed(first.code))
        finally:
            self._end(LegEnded(LegEnd.SOCKET_LOST, "the stream was cut off"))  # unless it has ended, as it should
            self._intake.close()
            if self.unknown:
                logger.info("messages of the carrier that mean nothing to us: %s", self.unknown)

    async def close(self) -> None:
        """Close the socket: the carrier goes on with its next instruction."""
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._socket.close()
        except (TimeoutError, WireClosed, OSError):
            logger.debug("the media socket did not close in time")

    async def _write(self) -> None:
        await self._outbox.write()
        await self.close()

    # --- from the carrier ---------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            if isinstance(self._socket, DirectSocket):
                raise await self._socket.pump(self.take)
            while not self._ended:
                self.take(await self._socket.receive())
        except WireClosed as closed:
            self._end(self._closed(closed.code))

    def _closed(self, code: int) -> LegEnded:
        hung_up = code == 1000 and self._manner.close_is_hang_up
        return LegEnded(LegEnd.CALLER_HANGUP if hung_up else LegEnd.SOCKET_LOST, f"closed with {code}")

    def take(self, frame: Frame) -> None:
        """Take one frame of the carrier. Never raises."""
        try:
            message = self._codec.decode(frame)
        except RemoteProtocolError as broken:
            self._bad_frame(broken)
            return
        match message:
            case Media(payload, number):
                if not self._ended:
                    self._intake.take(payload, number)
            case MarkPlayed(name):
                if self._marks.echoed(name):
                    self._tell(message)
            case LegEnded():
                self._end(message)
            case Dtmf():
                self._tell(message)
            case _:
                self._about_the_stream(message)

    def _about_the_stream(self, message: Cleared | Flow | Reply | Ignored | Started) -> None:
        """Take what is not for the call."""
        match message:
            case Cleared():
                self._outbox.go_on()
            case Flow(ready):
                self._outbox.block(not ready)
                if self._pacer is not None:
                    self._pacer.hold(not ready)
            case Reply(frames):
                self._queue(frames, droppable=False, answer=True)
            case Ignored(kind, known):
                if not known:
                    self._count(kind)
            case Started():
                self._count("start")
            case _:
                assert_never(message)

    def _mark_due(self, event: Event) -> None:
        """Our own clock says that a mark was reached."""
        if isinstance(event, MarkPlayed) and self._marks.echoed(event.name):
            self._tell(event)

    def _heard(self, payload: str) -> None:
        self._tell(CallerAudio(payload))

    def _bad_frame(self, broken: RemoteProtocolError) -> None:
        self._bad_frames += 1
        logger.info("bad frame from the carrier: %s", broken)
        if self._bad_frames > MAX_BAD_FRAMES:
            self._end(LegEnded(LegEnd.BROKEN, "too many malformed frames"))

    def _count(self, kind: str) -> None:
        if kind in self.unknown or len(self.unknown) < 16:
            self.unknown[kind] = self.unknown.get(kind, 0) + 1

    def _tell(self, event: Event) -> None:
        if not self._ended:
            self._feed(event)

    def _end(self, event: LegEnded) -> None:
        if not self._ended:
            self._ended = True
            self._intake.close()
            if self._pacer is not None:
                self._pacer.close()
            self._feed(event)


@dataclass(slots=True, eq=False)
class _Waiting:
    frame: Frame
    droppable: bool
    answer: bool


class _Outbox:
    """What waits to be written: in order, bounded; audio may be dropped or held back, the rest may not."""

    def __init__(self, socket: TextSocket) -> None:
        self._socket = socket
        self._direct = socket if isinstance(socket, DirectSocket) else None
        self._frames: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._blocked = False
        self._waits_until: float | None = None
        self.closing = False

    def put(self, frame: Frame, *, droppable: bool, answer: bool = False) -> bool:
        """Queue a frame, or send it at once where that needs no waiting; False: there is no room.

        An `answer` to the carrier does not wait for audio that is held back.
        """
        if self.closing:
            return True
        if len(self._frames) >= BACKLOG:
            return False
        held = droppable and (self._blocked or self._waits_until is not None)
        if self._direct is not None and not self._frames and not held and self._direct.send_soon(frame):
            return True
        self._frames.append(_Waiting(frame, droppable, answer))
        self._wake.set()
        return True

    def drop_audio(self) -> None:
        self._frames = deque(waiting for waiting in self._frames if not waiting.droppable)

    def drop_all(self) -> None:
        self._frames.clear()

    def block(self, blocked: bool) -> None:
        """The carrier takes no audio now, or takes it again."""
        self._blocked = blocked
        self._wake.set()

    def wait(self, until_s: float) -> None:
        """Hold audio back until `go_on`, or until then."""
        self._waits_until = until_s
        self._wake.set()

    def go_on(self) -> None:
        self._waits_until = None
        self._wake.set()

    def close_soon(self) -> None:
        """Take nothing more; `write` ends when what may still be written was."""
        self.closing = True
        self._blocked, self._waits_until = False, None
        self._wake.set()

    async def write(self) -> None:
        """Write until closed."""
        while True:
            while (waiting := self._next()) is not None:
                self._frames.remove(waiting)
                await self._socket.send(waiting.frame)
            if self.closing:
                return
            self._wake.clear()
            try:
                async with asyncio.timeout_at(self._waits_until):
                    await self._wake.wait()
            except TimeoutError:
                self._waits_until = None

    def _next(self) -> "_Waiting | None":
        """Return what may be written now."""
        if not self._frames:
            return None
        held = self._frames[0].droppable and (self._blocked or self._waits_until is not None)
        return next((waiting for waiting in self._frames if waiting.answer), None) if held else self._frames[0]
