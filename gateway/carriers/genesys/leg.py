"""One AudioHook session as a leg: the shared stream, with its clock, and an end that Genesys takes part in.

Genesys ends a session in two steps: we ask for it by `disconnect`, which also hands our output variables to the
Architect flow, and Genesys answers `close`; or it says `close` by itself. Either way `closed` is owed, and Genesys then
closes the socket. So a hang-up does not close the socket here; it asks, and waits for Genesys a while.
"""

import asyncio
from collections.abc import Callable, Mapping

from gateway.carriers.base import Leg, LiveCall
from gateway.carriers.genesys.codec import TICK, TICK_S, GenesysCodec
from gateway.carriers.streamleg import StreamLeg
from gateway.core.audio import AudioFormat
from gateway.core.commands import EndReason, HangUp, LegCommand
from gateway.core.events import Event, LegEnded

__all__ = ["AudioHookLeg"]

PART_S = 4.5
"""From our wish to end the session to Genesys' `close`, what still plays included; then the socket is closed."""

Variables = Callable[[EndReason], Mapping[str, str]]


class AudioHookLeg:
    """Stands between the shared stream and the call: it is the stream's `LiveCall` and the call's `Leg`."""

    def __init__(self, codec: GenesysCodec, call: LiveCall, variables: Variables) -> None:
        """`variables` says what the flow is told when the call ends for a reason of ours."""
        self._codec = codec
        self._call = call
        self._variables = variables
        self._stream: StreamLeg | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._gives_up_s: float | None = None
        self.over = asyncio.Event()
        """Genesys has said that the session ends, or its socket is closed."""

    # --- as the stream's call -----------------------------------------------------------------

    def attach(self, leg: Leg, stream_id: str, audio: AudioFormat = AudioFormat.PCMU) -> None:
        assert isinstance(leg, StreamLeg), "our sockets make these"
        self._stream = leg
        self._tick_at(asyncio.get_running_loop().time() + TICK_S)
        self._call.attach(self, stream_id, audio)

    def feed(self, event: Event) -> None:
        if isinstance(event, LegEnded):
            self._stop()
        self._call.feed(event)

    # --- as the call's leg --------------------------------------------------------------------

    def send(self, command: LegCommand) -> None:
        if self._gives_up_s is not None or self._stream is None:
            return
        if isinstance(command, HangUp):
            self.part(self._variables(command.reason))
        else:
            self._stream.send(command)

    def part(self, variables: Mapping[str, str]) -> None:
        """Hand the call back to the flow, once what was said has played. Nothing is played after that."""
        if self._gives_up_s is None and not self.over.is_set():
            self._gives_up_s = asyncio.get_running_loop().time() + PART_S
            self._codec.part(variables)

    async def close(self) -> None:
        """Let Genesys end the session, or close the socket if it does not."""
        if self._stream is None or self.over.is_set():
            return
        try:
            async with asyncio.timeout(PART_S):
                await self.over.wait()
        except TimeoutError:
            await self._stream.close()

    # --- its clock ----------------------------------------------------------------------------

    def _tick_at(self, at_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_at(at_s, self._tick, at_s)

    def _tick(self, due_s: float) -> None:
        assert self._stream is not None, "the clock runs while there is a stream"
        now = asyncio.get_running_loop().time()
        if self._gives_up_s is not None and now >= self._gives_up_s:
            self._stream.send(HangUp(EndReason.STOPPED))  # closes the socket, which ends the stream
            return
        self._tick_at(max(due_s + TICK_S, now))
        self._stream.take(TICK)

    def _stop(self) -> None:
        self.over.set()
        if self._timer is not None:
            self._timer.cancel()
