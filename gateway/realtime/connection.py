"""One session with the model: dial, configure, pump, close.

`send` is synchronous and bounded; a writer task empties it. `run` is the whole life of the session and never
raises but for cancellation: whatever goes wrong is told to the call as one `ModelClosed`.

A refused connection (429, 5xx, no answer, closed at once) is tried once more within the ring time. A key that is
wrong is refused *after* the upgrade: an `error` event, then close 3000 (protocols/openai-realtime.md, §1).

A server may also freeze: its socket stays open and it hears nothing, not even that the caller speaks. So one that
was quiet for a while is asked for a sign of life, an empty `session.update`; without any event it is given up.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI

from gateway.core.commands import ConfigureAudio
from gateway.core.events import Event, ModelClosed, ModelFault, SessionReady
from gateway.core.recovery import is_permanent
from gateway.errors import ModelError, RemoteProtocolError
from gateway.realtime import codec
from gateway.wire import DirectSocket, TextSocket, WebSocketEnd, WireClosed

__all__ = ["Dial", "ModelTarget", "RealtimeConnection", "dial"]

logger = logging.getLogger(__name__)

OPEN_S = 5.0
"""Longest wait for the upgrade, and again for the configured session."""
RETRY_S = (0.2, 0.6)
"""Pause before the one retry, drawn evenly so that refused calls do not come back together."""
BACKLOG = 600
"""Client events that may wait to be written: 12 s of caller audio."""
MAX_BAD_EVENTS = 20
"""Server events that may be malformed before the session is given up."""
PROBE_S = 5.0
"""Quiet of the server after which it is asked for a sign of life."""
SILENT_S = 10.0
"""Quiet of the server after which it is given up."""
FLUSH_S = 1.0
"""How long what was queued before the end may take to be written."""
CLOSE_S = 1.0
PERMANENT_STATUS = frozenset({400, 401, 403, 404})
"""Refusals of the upgrade that will be the same next time."""
PERMANENT_CLOSE = frozenset({3000, 4000, 4004})
"""Close codes for a bad key, a bad or missing model, a removed protocol (protocols, §1)."""


@dataclass(frozen=True)
class ModelTarget:
    """Where the model is."""

    url: str
    """WebSocket URL with the model in its query."""
    headers: Mapping[str, str]
    """Authentication. Never logged."""


Dial = Callable[[str, Mapping[str, str]], Awaitable[TextSocket]]
"""Opens a socket to a URL with headers; raises `ModelError`."""


async def dial(url: str, headers: Mapping[str, str]) -> TextSocket:
    """Open a WebSocket without compression: base64 audio does not shrink, and offering it costs 1.55 times the CPU."""
    try:
        connection = await connect(
            url,
            additional_headers=dict(headers),
            compression=None,
            max_size=codec.MAX_EVENT_BYTES,
            open_timeout=OPEN_S,
            close_timeout=CLOSE_S,
            ping_interval=10,
            ping_timeout=10,
            user_agent_header=None,
            proxy=None,
        )
    except InvalidStatus as refused:
        status = refused.response.status_code
        raise ModelError(f"refused with {status}", permanent=status in PERMANENT_STATUS, code=str(status)) from None
    except InvalidURI:
        raise ModelError("the model url is not a websocket url", permanent=True, code="bad_url") from None
    except (OSError, TimeoutError, InvalidHandshake) as failed:
        raise ModelError(f"no connection: {type(failed).__name__}", code="unreachable") from None
    return WebSocketEnd(connection)


class _Pulse:
    """Notices that a server has fallen silent: asks it for a sign of life, then gives it up."""

    def __init__(self, ask: Callable[[], None], give_up: Callable[[], None]) -> None:
        self._ask = ask
        self._give_up = give_up
        self._loop = asyncio.get_running_loop()
        self._heard_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self.beat()
        self._timer = self._loop.call_later(PROBE_S, self._probe)

    def beat(self) -> None:
        """The server said something."""
        self._heard_s = self._loop.time()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _probe(self) -> None:
        due_s = self._heard_s + PROBE_S
        if self._loop.time() < due_s:
            self._timer = self._loop.call_at(due_s, self._probe)
            return
        self._timer = self._loop.call_at(self._heard_s + SILENT_S, self._judge, self._heard_s)
        self._ask()

    def _judge(self, heard_s: float) -> None:
        if self._heard_s == heard_s:
            self._give_up()
            return
        self._timer = self._loop.call_at(self._heard_s + PROBE_S, self._probe)


class RealtimeConnection:
    """A session of one call. `feed` gets its events until `detach`; then it is nobody's and only closes."""

    def __init__(
        self,
        target: ModelTarget,
        session: Mapping[str, Any],
        feed: Callable[[Event], None],
        *,
        open_socket: Dial = dial,
        rng: random.Random | None = None,
        decode: Callable[[codec.Message], list[Event]] = codec.events,
    ) -> None:
        """A `session` without audio formats leaves them to the server, as that of a SIP call does (`sideband.py`)."""
        self._open_socket = partial(open_socket, target.url, target.headers)
        self._session = session
        self._feed = feed
        self._decode = decode
        self._rng = rng or random.Random()
        self._socket: TextSocket | None = None
        self._direct: DirectSocket | None = None
        """The socket once it is configured, if it takes frames without waiting."""
        self._outbox: deque[str] = deque()
        self._wake = asyncio.Event()
        self._over = asyncio.Event()
        """Set at the first end, whichever side's: from then on nothing is told and nothing is taken."""
        self._formats = _formats(session)
        """The audio formats that the server was told; an echo may be of one before the newest."""
        self._pulse = _Pulse(self._ask_for_life, self._found_silent)
        self._bad_events = 0
        self._last_error = ""

    def send(self, command: codec.Encodable) -> None:
        """Queue one command; never blocks. When the model does not read, the session is given up."""
        if self._over.is_set():
            return
        if len(self._outbox) >= BACKLOG:
            self._lost("backlog", "the model does not read", permanent=False)
            return
        if isinstance(command, ConfigureAudio):
            self._formats = {*self._formats, command.audio.value}
        self._put(codec.text_of(command))

    def _put(self, text: str) -> None:
        if self._direct is not None and not self._outbox and self._direct.send_soon(text):
            return
        self._outbox.append(text)
        self._wake.set()

    def detach(self) -> None:
        """Close soon; what was queued before is still written, nothing that comes is told any more."""
        self._over.set()
        self._wake.set()

    async def run(self) -> None:
        """Live until the session is gone or detached."""
        try:
            socket = await self._open()
            if not self._over.is_set():
                self._pulse.start()
                await self._pump(socket)
        except ModelError as failed:
            self._lost(failed.code, str(failed), permanent=failed.permanent)
        except WireClosed as closed:
            gone = self._failure(closed)
            self._lost(gone.code, str(gone), permanent=gone.permanent)
        finally:
            self._over.set()
            self._pulse.stop()
            await self._close()

    async def _open(self) -> TextSocket:
        """Connect and configure; what may go better the next time is tried once more."""
        try:
            return await self._attempt()
        except ModelError as refused:
            if refused.permanent or self._over.is_set():
                raise
            first = refused
        logger.info("model connection failed (%s), trying once more", first.code)
        await self._close()
        await asyncio.sleep(self._rng.uniform(*RETRY_S))
        if self._over.is_set():
            raise first
        return await self._attempt()

    async def _attempt(self) -> TextSocket:
        self._socket = socket = await self._open_socket()
        try:
            await self._configure(socket)
        except WireClosed as closed:
            raise self._failure(closed) from None
        return socket

    def _failure(self, closed: WireClosed) -> ModelError:
        permanent = closed.code in PERMANENT_CLOSE or is_permanent(self._last_error)
        code = self._last_error or str(closed.code)
        return ModelError(closed.reason or f"closed with {closed.code}", permanent=permanent, code=code)

    async def _configure(self, socket: TextSocket) -> None:
        """Send our configuration and wait until the server echoes it: before that, audio would be static."""
        try:
            async with asyncio.timeout(OPEN_S):
                # When it has closed already, what it said before that says why: read on.
                with suppress(WireClosed):
                    await socket.send(codec.session_update(self._session))
                while True:
                    message = self._parse(await socket.receive())
                    if message.get("type") == "session.updated":
                        break
                    self._refused(message)
        except TimeoutError:
            raise ModelError("the session was not configured in time", code="session_timeout") from None
        if not self._speaks_ours(message):
            raise ModelError(
                "the session does not speak the call's audio format", permanent=True, code="session_refused"
            )
        if not self._over.is_set():
            session_id = message["session"].get("id")
            self._feed(SessionReady(str(session_id or "")[:128]))

    def _refused(self, message: codec.Message) -> None:
        """Look for an error about our configuration; others are followed by a close or are harmless."""
        error = message.get("error")
        if message.get("type") != "error" or not isinstance(error, dict):
            return
        self._last_error = codec.error_code(error)
        if error.get("event_id") == codec.SESSION_UPDATE_ID:
            what = f"session.update refused: {self._last_error} {str(error.get('param') or '')[:60]}".rstrip()
            raise ModelError(what, permanent=True, code="session_refused")

    async def _pump(self, socket: TextSocket) -> None:
        """Read and write until the session is gone, or over and written out."""
        try:
            async with asyncio.TaskGroup() as group:
                reader = group.create_task(self._read(socket), name="model-reader")
                writer = group.create_task(self._write(socket), name="model-writer")
                await self._over.wait()
                # A server that does not read would hold the writer, and with it the session, for ever.
                await asyncio.wait({writer}, timeout=FLUSH_S)
                reader.cancel()
                writer.cancel()
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _read(self, socket: TextSocket) -> None:
        if isinstance(socket, DirectSocket):
            self._direct = socket
            raise await socket.pump(self._take)
        while not self._over.is_set():
            self._take(await socket.receive())

    def _take(self, frame: str | bytes) -> None:
        self._pulse.beat()
        try:
            message = codec.parse(frame)
            events = self._decode(message)
        except RemoteProtocolError as broken:
            if self._too_many_bad(broken):
                self._lost("protocol", "too many malformed events", permanent=False)
            return
        if (
            message["type"] == "session.updated"
            and isinstance(message.get("session"), dict)
            and not self._speaks_ours(message)
        ):
            self._lost("session_refused", "the session does not speak the call's audio format any more", permanent=True)
        for event in events:
            if isinstance(event, ModelFault):
                self._last_error = event.code
                if codec.is_about(message, codec.AUDIO_ID):
                    self._lost("session_refused", f"the stream's audio format is refused: {event.code}", permanent=True)
            if not self._over.is_set():
                self._feed(event)

    async def _write(self, socket: TextSocket) -> None:
        try:
            while True:
                while self._outbox:
                    await socket.send(self._outbox.popleft())
                if self._over.is_set():
                    return
                self._wake.clear()
                await self._wake.wait()
        except WireClosed:
            # The reader meets the close too, after what the server said before it, which says why.
            return

    def _speaks_ours(self, message: codec.Message) -> bool:
        session = message.get("session")
        if "" in self._formats:  # not ours to choose
            return isinstance(session, dict)
        return isinstance(session, dict) and len(formats := _formats(session)) == 1 and formats <= self._formats

    def _ask_for_life(self) -> None:
        if not self._over.is_set():
            self._put(codec.SIGN_OF_LIFE)

    def _found_silent(self) -> None:
        self._lost("silent", f"no event for {SILENT_S:g} s", permanent=False)

    def _parse(self, frame: str | bytes) -> codec.Message:
        try:
            return codec.parse(frame)
        except RemoteProtocolError as broken:
            if self._too_many_bad(broken):
                raise ModelError("too many malformed events", code="protocol") from None
            return {}

    def _too_many_bad(self, broken: RemoteProtocolError) -> bool:
        self._bad_events += 1
        logger.info("bad event from the model: %s", broken)
        return self._bad_events > MAX_BAD_EVENTS

    def _lost(self, code: str, reason: str, *, permanent: bool) -> None:
        if not self._over.is_set():
            self._over.set()
            self._wake.set()
            self._feed(ModelClosed(code, reason, permanent))

    async def _close(self) -> None:
        socket, self._socket = self._socket, None
        if socket is None:
            return
        try:
            async with asyncio.timeout(CLOSE_S):
                await socket.close()
        except (TimeoutError, WireClosed, OSError):
            logger.debug("the model's socket did not close in time")


def _formats(session: Mapping[str, Any]) -> set[str]:
    """Return the audio formats of both sides; "" stands for one that is missing."""
    audio = session.get("audio")
    sides = [audio.get(side) for side in ("input", "output")] if isinstance(audio, dict) else [None]
    forms = [side.get("format") if isinstance(side, dict) else None for side in sides]
    return {str(form.get("type", "")) if isinstance(form, dict) else "" for form in forms}
