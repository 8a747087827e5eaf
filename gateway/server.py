"""The HTTP server, and how it goes away.

Stock uvicorn closes every WebSocket with 1012 about 0.1 s after SIGTERM: all live calls are cut. Here the first
signal drains (no new calls, readiness red, the live ones go on until they end or the drain's deadline hands them
over) and the second stops: every call ends and has its record.
"""

import logging
import time
from types import FrameType

import uvicorn

from gateway.app import Gateway

__all__ = ["DrainingServer", "server"]

logger = logging.getLogger(__name__)

MAX_WS_BYTES = 64 * 1024
LINGER_S = 5.0
"""After the last call: how long the carrier may take to ask for its next instruction and to report the end."""
HAND_OVER_S = 10.0
"""After the drain's deadline: how long handed-over calls may take to leave."""
STOP_S = 3.0
"""After the second signal: how long calls may take to end."""


class DrainingServer(uvicorn.Server):
    """A uvicorn server that lets live calls end. One process each: never `--workers`."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._deadline: float | None = None
        self._stop_by: float | None = None
        self._told = False
        self._handed_over = False
        self._empty_since: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First signal: drain. Second: stop, ending what is left. Third: do not wait for that either.

        Calls are not touched here: the signal may have interrupted one of them.
        """
        if self._deadline is None:
            self._deadline = time.monotonic() + self._gateway.settings.drain_s
            self._gateway.registry.drain()
        elif self._stop_by is None:
            self._stop_by = time.monotonic() + STOP_S
        else:
            self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Called by uvicorn ten times a second; True ends the main loop."""
        if self._deadline is not None and not self.should_exit:
            self.should_exit = self._drained(self._deadline) if self._stop_by is None else self._stopped(self._stop_by)
        return await super().on_tick(counter)

    def _drained(self, deadline: float) -> bool:
        registry, now = self._gateway.registry, time.monotonic()
        if not self._told:  # not told in the signal handler, which may have interrupted a write of the log
            self._told = True
            logger.info("draining: no new calls; calls that may go on: %s, for %.0f s", registry.live, deadline - now)
        if not registry.live:
            # The carrier may still ask what to tell the last caller, and report the end.
            self._empty_since = self._empty_since or now
            return not registry.owed or now >= self._empty_since + LINGER_S
        self._empty_since = None
        if now < deadline:
            return False
        if not self._handed_over:
            self._handed_over = True
            logger.info("drain deadline: handing over %s calls", registry.live)
            registry.hand_over()
        return now >= deadline + HAND_OVER_S

    def _stopped(self, deadline: float) -> bool:
        """End every call in its own words: uvicorn's shutdown would close the sockets under them, as if lost."""
        registry = self._gateway.registry
        registry.stop()
        return not (registry.live or registry.owed) or time.monotonic() >= deadline


def server(app: object, gateway: Gateway, *, host: str, port: int) -> DrainingServer:
    """Return the server for an application, configured for media sockets."""
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # uvicorn's own alias for an ASGI application is not exported
        host=host,
        port=port,
        http="h11",  # it bounds the head of a request, which a faster parser would not
        ws="websockets-sansio",
        ws_max_size=MAX_WS_BYTES,
        ws_per_message_deflate=False,
        ws_ping_interval=20,
        ws_ping_timeout=20,
        timeout_graceful_shutdown=5,
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        lifespan="on",
    )
    return DrainingServer(config, gateway)
