"""Opens media sockets: signs the upgrade, reports the stream to its status callback."""

import asyncio
from urllib.parse import urlsplit

from gateway.simulator.asgi import UpgradeRefused
from gateway.simulator.carrier.courier import iso_date
from gateway.simulator.carrier.facts import new_sid
from gateway.simulator.carrier.leg import Leg
from gateway.simulator.carrier.media import MediaStream, StreamIds
from gateway.simulator.carrier.plan import LineModel
from gateway.simulator.carrier.twiml import Stream
from gateway.wire import TextSocket

__all__ = ["StreamOpener"]

CONNECT_TIMEOUT_S = 10.0
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class StreamOpener:
    """Runs the streams of one call, one at a time."""

    def __init__(self, leg: Leg, quality: LineModel) -> None:
        self._leg = leg
        self._parts = leg.parts
        self._facts = leg.facts
        self._report = leg.report
        self._line = leg.line
        self._quality = quality

    async def run(self, stream: Stream) -> None:
        """Connect and stream until the socket closes; a failure is a warning and a `stream-error` callback."""
        sid = new_sid("MZ", self._parts.rng)
        socket = await self._open(stream, sid)
        if socket is None:
            return
        ids = StreamIds(self._facts.account_sid, self._facts.call_sid, sid)
        media = MediaStream(
            socket,
            ids,
            stream.parameters,
            report=self._report,
            line=self._quality,
            rng=self._leg.rng,
            clock=self._line.clock,
        )
        self._tell(stream, sid, "stream-started")
        self._line.stream = media
        try:
            code = await media.run()
        finally:
            self._line.stream = None
            self._tell(stream, sid, "stream-stopped")
        if code not in (1000, 1001, 1005):
            self._report.warn(self._line.clock(), 31921, f"the server closed the stream with {code}")

    async def _open(self, stream: Stream, sid: str) -> TextSocket | None:
        try:
            parts = urlsplit(stream.url)
        except ValueError:
            self._fail(stream, sid, 31923, "the stream URL is not a URL")
            return None
        local = self._parts.allow_loopback_ws and parts.hostname in _LOOPBACK and parts.scheme == "ws"
        if not parts.netloc or not (parts.scheme == "wss" or local):
            self._fail(stream, sid, 31922 if parts.netloc else 31923, "the stream URL is not wss://host/path")
            return None
        if parts.query or parts.fragment:
            self._report.warn(self._line.clock(), 31923, "the query string of the stream URL was dropped")
        url = parts._replace(query="", fragment="").geturl()
        headers = {"x-twilio-signature": self._parts.webhooks.sign(url, {}), "user-agent": "Twilio.TmeWs/1.0"}
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                return await self._parts.connect(self._parts.router.real(url), headers)
        except UpgradeRefused as error:
            self._fail(stream, sid, 31920, f"the server answered the upgrade with HTTP {error.status}")
        except (OSError, ValueError) as error:
            self._fail(stream, sid, 31902, f"no connection ({type(error).__name__})")
        return None

    def _fail(self, stream: Stream, sid: str, code: int, text: str) -> None:
        self._report.warn(self._line.clock(), code, text)
        self._tell(stream, sid, "stream-error", StreamError=f"{code} {text}")

    def _tell(self, stream: Stream, sid: str, event: str, **more: str) -> None:
        form = {
            "StreamEvent": event,
            "AccountSid": self._facts.account_sid,
            "CallSid": self._facts.call_sid,
            "StreamSid": sid,
            "StreamName": stream.name or sid,
            "Timestamp": iso_date(self._parts.wall()),
            **more,
        }
        self._leg.courier.post(stream.status_callback, form, stream.status_method)
