"""A carrier that can be asked to place calls: who it is, what it signs with, whom it knows, and its REST API."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2

from gateway.config import Settings
from gateway.simulator.asgi import Application, connect_websocket
from gateway.simulator.carrier.parties import Party
from gateway.simulator.carrier.parts import Connector
from gateway.simulator.carrier.plan import Callee
from gateway.simulator.carrier.report import Event
from gateway.simulator.carrier.webhooks import Router
from gateway.simulator.carriers.advice import refused_by_rest
from gateway.simulator.carriers.live import Dialect, LiveCall, Plan
from gateway.simulator.carriers.report import CarrierReport
from gateway.simulator.carriers.requests import Reply, send
from gateway.wire import TextSocket, WireClosed

__all__ = ["Carrier", "CarrierNetwork", "connect_any"]

KEEP_CALLS = 2000
CHUNK_BYTES = 64 * 1024
REST_REFUSED = 9104
"""Warning: the gateway's credentials are not those of the REST API."""


@dataclass(slots=True, frozen=True)
class Carrier:
    """One carrier's simulator: what its file exports as `CARRIER`."""

    name: str
    dialect: Callable[[LiveCall], Dialect]
    new_id: Callable[[random.Random], str]
    """Makes the carrier's id of a call."""
    keys: Callable[[Settings], Mapping[str, str]]
    """Takes what the simulator signs and authenticates with from a gateway's settings, by names of its own.

    Raises `ConfigError` that says which setting is missing."""
    settings: Mapping[str, object]
    """Fields of `Settings` of a gateway that this simulator can call: the tests' gateway has them."""
    rest: "Callable[[CarrierNetwork], Application] | None" = None
    """Makes the stand-in of the carrier's REST API; it finds calls by `network.calls`."""
    rest_setting: str = ""
    """The field of `Settings` that must be the origin of `rest`, such as `telnyx_api_url`."""
    needs_rest: bool = False
    """Not even an answer comes without REST."""


class CarrierNetwork:
    """One account at a carrier. Create inside a running event loop; `http` and `connect` stay the caller's to close."""

    def __init__(
        self,
        carrier: Carrier,
        keys: Mapping[str, str],
        http: httpx2.AsyncClient,
        connect: Connector | None = None,
        *,
        public_url: str,
        real_url: str = "",
        parties: Sequence[Party] = (),
        everybody: Callee | None = None,
        seed: int = 7,
    ) -> None:
        """`real_url` is where the gateway of `public_url` really listens, when that is elsewhere.

        `everybody` is who answers at the numbers of nobody among `parties`; None: they ring for ever.
        """
        self.carrier = carrier
        self.keys = keys
        self.public_url = public_url
        self.calls: dict[str, LiveCall] = {}
        """By the carrier's id, live and ended."""
        self.rng = random.Random(seed)
        self.requests: list[Event] = []
        """Everything asked by REST, also of calls that do not exist."""
        self._http = http
        self._connect = connect or connect_any
        self._router = Router({public_url: real_url} if real_url else {})
        self._parties = {party.number: party.behaviour for party in parties}
        self._everybody = everybody
        self.rest = carrier.rest(self) if carrier.rest is not None else None

    @property
    def stream_origin(self) -> str:
        """The public origin, for WebSockets."""
        return "ws" + self.public_url.removeprefix("http")

    async def call(self, plan: Plan) -> CarrierReport:
        """Have somebody call a number, and return when the call is over. Never raises for what the application did."""
        return await self.offer(plan).run()

    def offer(self, plan: Plan) -> LiveCall:
        """Register a call, to watch it or to act on it meanwhile; whoever asked then runs its `run()`."""
        if len(self.calls) >= KEEP_CALLS:
            ended = next((name for name, call in self.calls.items() if call.ended.is_set()), None)
            if ended is not None:
                del self.calls[ended]
        call_id = self.carrier.new_id(self.rng)
        call = self.calls[call_id] = LiveCall(self, call_id, plan)
        return call

    def party(self, number: str) -> Callee | None:
        """Return who answers at a number (with its +); None: nobody ever does."""
        return self._parties.get(number) or self._parties.get(f"+{number}") or self._everybody

    def asked(self, call: LiveCall | None, action: str, status: int) -> None:
        """Note a request that came by REST, and how it was answered."""
        event = Event(call.clock() if call is not None else 0.0, action, str(status))
        self.requests.append(event)
        if call is not None:
            call.report.requests.append(event)
            meaning = refused_by_rest(self.carrier.name, action, status)
            if meaning is not None:
                call.warn(REST_REFUSED, meaning)

    def unix_s(self) -> int:
        """Return the time of day that signatures are made with: the real one, whatever clock the loop has."""
        return int(time.time())

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes, within_s: float
    ) -> Reply:
        """Make a request that belongs to no call."""
        return await send(self._http, self._router, method, url, headers, content, within_s)

    async def open(self, url: str, headers: Mapping[str, str]) -> TextSocket:
        """Open a socket at a public URL. Raises `UpgradeRefused`, `OSError`."""
        if urlsplit(url).scheme == "tcp":
            return await self._connect(url, headers)
        return await self._connect(self._router.real(url), {"host": urlsplit(url).netloc, **headers})


async def connect_any(url: str, headers: Mapping[str, str]) -> TextSocket:
    """Open a real WebSocket, or a TCP connection for `tcp://HOST:PORT`. Raises `UpgradeRefused`, `OSError`."""
    parts = urlsplit(url)
    if parts.scheme != "tcp":
        return await connect_websocket(url, headers)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    return _TcpSocket(reader, writer)


@dataclass(slots=True)
class _TcpSocket:
    """A TCP connection as a socket of byte pieces of any size: what a piece is, is the dialect's to find out."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def receive(self) -> str | bytes:
        try:
            data = await self.reader.read(CHUNK_BYTES)
        except OSError:
            data = b""
        if not data:
            raise WireClosed(1000)
        return data

    async def send(self, frame: str | bytes) -> None:
        try:
            self.writer.write(frame if isinstance(frame, bytes) else frame.encode())
            await self.writer.drain()
        except OSError:
            raise WireClosed(1006) from None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            return
