"""One browser as a leg: its packets feed the call, what is played leaves on a clock of ours.

WebRTC has neither marks nor a clear, and a browser plays what comes: both are kept by the pacer. What the browser's
jitter buffer holds, some 50 ms, is beyond our reach.
"""

import asyncio
import logging
from base64 import b64encode
from typing import Protocol, assert_never

from gateway.carriers import tones
from gateway.carriers.base import Feed
from gateway.carriers.browser import codec
from gateway.carriers.browser.intake import Intake
from gateway.carriers.pacer import Pacer
from gateway.core.commands import ClearAudio, HangUp, LegCommand, PlayAudio, SendDigits, SendMark
from gateway.core.events import CallerAudio, Dtmf, LegEnd, LegEnded
from gateway.errors import RemoteProtocolError

__all__ = ["BrowserLeg", "Line"]

logger = logging.getLogger(__name__)

MOST_PACKET_BYTES = 960
"""120 ms; browsers send 20."""
MAX_BAD_MESSAGES = 50
KEY_GAP_S = 0.02
"""Keys that come faster were pressed by no finger."""
GONE_S = 10.0
"""A browser of which no packet came for so long is gone: one that is muted or quiet still reports what it receives,
every few seconds."""
LOOK_S = 1.0
"""How often packets are counted."""
LINGER_S = 0.2
"""After the last frame: the browser's jitter buffer still has the end of the goodbye."""
HUNG_UP = LegEnded(LegEnd.SOCKET_LOST, "we hung up")


class Line(Protocol):
    """The connection to one browser."""

    def play(self, frame: bytes) -> bool:
        """Send 20 ms of mu-law; False when the browser's connection does not take it any more."""

    async def arrived(self) -> int:
        """Return how many packets have come so far, of whatever kind."""

    async def close(self) -> None:
        """Close it; safe to call twice."""


class BrowserLeg:
    """The stream of one call. `feed` is the owner's."""

    def __init__(self, line: Line, feed: Feed) -> None:
        self._line = line
        self._feed = feed
        self._pacer = Pacer(self._play, feed, idle_silence=True)
        self._intake = Intake(self._hear)
        self._over = asyncio.Event()
        self._ended = False
        """Whether the call was told that the stream is over."""
        self._gone = False
        self._bad_messages = 0
        self._last_key_s = 0.0
        self._played = 0

    def send(self, command: LegCommand) -> None:
        """Carry out one command; nothing waits."""
        if self._over.is_set():
            if self._gone and isinstance(
                command, HangUp
            ):  # cut off by the gateway's own end: there is nothing to close
                self.end(HUNG_UP)
            return
        match command:
            case PlayAudio(_, payload, _):
                self._pacer.play(payload)
            case SendMark(name):
                self._pacer.mark(name)
            case ClearAudio():
                self._pacer.clear()
            case SendDigits(digits):  # for whoever listens: a browser knows no keys
                for digit in digits:
                    self._pacer.play(b64encode(tones.key(digit)).decode())
            case HangUp():
                self._over.set()
            case _:
                assert_never(command)

    def packet(self, timestamp: int, payload: bytes) -> None:
        """Take one RTP packet of the caller."""
        if len(payload) <= MOST_PACKET_BYTES:
            self._intake.packet(timestamp, payload)

    def message(self, message: str | bytes) -> None:
        """Take what the page says on the data channel."""
        try:
            said = codec.decode(message)
        except RemoteProtocolError as broken:
            self._bad_message(str(broken))
            return
        match said:
            case Dtmf():
                self._key(said)
            case codec.HungUp():
                self.end(LegEnded(LegEnd.CALLER_HANGUP, "hung up in the page", call_over=True))
            case None:
                self._bad_message("unknown type")
            case _:
                assert_never(said)

    def end(self, event: LegEnded) -> None:
        """The browser is gone: tell the call, once."""
        if not self._ended:
            self._ended = True
            self._feed(event)
        self._over.set()

    async def run(self) -> None:
        """Pump both ways until either side ends the call; close the line. The call is told the end once, by `LegEnded`;
        of one that is cancelled, when it hangs up."""
        try:
            async with asyncio.TaskGroup() as group:
                work = (self._pacer.run(), self._intake.run(), self._watch())
                pumps = [group.create_task(pump) for pump in work]
                await self._over.wait()
                for pump in pumps:
                    pump.cancel()
            await asyncio.sleep(LINGER_S)
            await self._line.close()
            self.end(HUNG_UP)
        finally:
            self._over.set()
            self._gone = True
            await self._line.close()
            logger.info("browser stream: %s frames played, heard %s", self._played, self._intake.figures)

    async def close(self) -> None:
        """Have `run` close the line."""
        self._over.set()

    async def _watch(self) -> None:
        """End the stream of a browser that has vanished: the network tells nobody, and ICE notices after 30 s."""
        loop = asyncio.get_running_loop()
        arrived, since_s = await self._line.arrived(), loop.time()
        while loop.time() - since_s < GONE_S:
            await asyncio.sleep(LOOK_S)
            now_arrived = await self._line.arrived()
            if now_arrived != arrived:
                arrived, since_s = now_arrived, loop.time()
        self.end(LegEnded(LegEnd.SOCKET_LOST, f"nothing came from the browser for {GONE_S:.0f} s"))

    def _play(self, frame: bytes) -> None:
        self._played += 1
        if not self._line.play(frame):
            self.end(LegEnded(LegEnd.SOCKET_LOST, "the browser takes no more audio"))

    def _hear(self, sound: bytes) -> None:
        if not self._over.is_set():
            self._feed(CallerAudio(b64encode(sound).decode()))

    def _key(self, key: Dtmf) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._last_key_s < KEY_GAP_S:
            self._bad_message("keys come too fast")
            return
        self._last_key_s = now
        if not self._over.is_set():
            self._feed(key)

    def _bad_message(self, why: str) -> None:
        self._bad_messages += 1
        if self._bad_messages <= MAX_BAD_MESSAGES:
            logger.info("bad message from the page: %s", why)
        else:
            self.end(LegEnded(LegEnd.BROKEN, "too many malformed messages"))
