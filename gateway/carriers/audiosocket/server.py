"""The TCP server of AudioSocket: who connects says a UUID within five seconds, or is gone.

It has neither TLS nor a password, so it listens on loopback or a private network only. Asterisk ends a connection on
which nothing has passed for two seconds, and plays what it gets at once: so one frame leaves each 20 ms, silence when
there is nothing to say, and clears and marks are ours alone.
"""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv6Address, ip_address

from gateway.carriers.audiosocket.codec import AudioSocketCodec
from gateway.carriers.audiosocket.framing import Framed, TcpPieces
from gateway.carriers.audiosocket.offers import Offers
from gateway.carriers.stream import Started
from gateway.carriers.streamleg import Manner, StreamLeg
from gateway.errors import ConfigError, GatewayError, RemoteProtocolError
from gateway.wire import TextSocket, WireClosed

__all__ = ["AudioSocketServer", "Listen"]

logger = logging.getLogger(__name__)

START_S = 5.0
FIRST_AUDIO_S = 1.0
"""How long the first audio is waited for, which tells the format; without any it is PCM at 8 kHz."""
MAX_UNSTARTED = 100
AHEAD = 3
"""Frames that leave before their time: a wake-up that is 40 ms late is not heard, and a clear takes 40 ms longer."""
MANNER = Manner(exact_frames=True, ahead_frames=AHEAD, idle_silence=True, echoes_marks=False, close_is_hang_up=True)


class Listen:
    """Where to listen: `HOST:PORT`, an IPv6 address in brackets."""

    def __init__(self, text: str) -> None:
        """Raises `ConfigError` for an address that is public, or all of this machine's."""
        host, _, port = text.rpartition(":")
        self.host, self.port = host.strip("[]"), int(port)
        if self.port > 65_535:
            raise ConfigError("GATEWAY_AUDIOSOCKET_LISTEN: a port is at most 65535")
        try:
            ip_address(self.host)
        except ValueError:
            self._literal = False  # a name: looked up when the server starts
        else:
            self._literal = True
            self._check(self.host)

    async def addresses(self) -> list[str]:
        """Look the host up, unless it is an address. Raises `ConfigError`."""
        if self._literal:
            return [self.host]
        try:
            found = await asyncio.get_running_loop().getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError:
            raise ConfigError(f"GATEWAY_AUDIOSOCKET_LISTEN: there is no host {self.host}") from None
        addresses = sorted({str(entry[4][0]) for entry in found})
        for address in addresses:
            self._check(address)
        return addresses

    def _check(self, address: str) -> None:
        parsed = ip_address(address)
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped  # what it binds to; in itself it counts as private
        if parsed.is_unspecified or not (parsed.is_loopback or parsed.is_private):
            raise ConfigError(
                "GATEWAY_AUDIOSOCKET_LISTEN: AudioSocket has neither TLS nor a password; name one address of loopback "
                f"or a private network, not {address}"
            )


class AudioSocketServer:
    """Takes connections while it is `running`."""

    def __init__(self, listen: Listen, offers: Offers) -> None:
        self._listen = listen
        self._offers = offers
        self._unstarted = 0
        self._legs: dict[str, StreamLeg] = {}
        """The stream of each call, by the carrier's id of the call."""
        self._group: asyncio.TaskGroup | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.port = listen.port
        """Where it listens; another than was asked for when that was 0."""

    def supersede(self, carrier_call_id: str) -> None:
        """The call has left its stream: nothing more from that one."""
        leg = self._legs.pop(carrier_call_id, None)
        if leg is not None:
            leg.supersede()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen until the context is left. Raises `ConfigError` when that cannot be."""
        addresses = await self._listen.addresses()
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                server = await asyncio.start_server(self._connected, addresses, self._listen.port)
            except OSError as error:
                raise ConfigError(_cannot(error, f"{', '.join(addresses)} port {self._listen.port}")) from None
            self.port = server.sockets[0].getsockname()[1]
            logger.info("audiosocket listens on %s port %s", ", ".join(addresses), self.port)
            try:
                yield
            finally:
                server.close()
                self._group = None
                for task in self._connections:
                    task.cancel()

    async def serve(self, pieces: TextSocket) -> None:
        """Live as long as a connection, whose bytes come in pieces of any size."""
        connection = Framed(pieces)
        try:
            await self._serve(connection)
        except WireClosed:
            logger.info("a connection ended before it was a call")
        except Exception:  # raised, it would end all the others
            logger.exception("a connection failed inside")
        finally:
            await connection.close()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._group is None:
            writer.transport.abort()
            return
        task = self._group.create_task(self.serve(TcpPieces(reader, writer)))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, connection: Framed) -> None:
        if self._unstarted >= MAX_UNSTARTED:
            logger.warning("refused a connection: too many say nothing")
            return
        self._unstarted += 1
        try:
            who, first = await self._begun(connection)
            codec = AudioSocketCodec(first)
            offer, live = self._offers.claim(who)
        except (TimeoutError, RemoteProtocolError) as refused:
            logger.info("closed a connection without a UUID: %s", refused or "nothing came in time")
            return
        except GatewayError as refused:
            logger.warning("refused a call: %s", refused)
            for frame in AudioSocketCodec().hang_up():
                await connection.send(frame)
            return
        finally:
            self._unstarted -= 1
        if codec.mislabelled:
            logger.warning("asterisk sends the caller's codec as if it were PCM: dial with c(slin)")
        self.supersede(offer.carrier_call_id)
        started = Started(who, offer.carrier_call_id, audio=codec.audio)
        leg = self._legs[offer.carrier_call_id] = StreamLeg(connection, codec, started, live.feed, MANNER)
        try:
            live.attach(leg, who, codec.audio)
            leg.begin()
            if first:
                leg.take(first)
            await leg.run()
        finally:
            if self._legs.get(offer.carrier_call_id) is leg:
                del self._legs[offer.carrier_call_id]

    async def _begun(self, connection: Framed) -> tuple[str, bytes]:
        """Return the UUID, and the frame after it if one came soon."""
        async with asyncio.timeout(START_S):
            message = AudioSocketCodec().decode(await connection.receive())
        if not isinstance(message, Started):
            raise RemoteProtocolError("expected a UUID first")
        try:
            async with asyncio.timeout(FIRST_AUDIO_S):
                first = await connection.receive()
        except TimeoutError:
            first = b""
        return message.token, first if isinstance(first, bytes) else first.encode()


def _cannot(error: OSError, where: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"GATEWAY_AUDIOSOCKET_LISTEN: {where} is in use; stop what listens there or set another port"
    return f"GATEWAY_AUDIOSOCKET_LISTEN: cannot listen on {where}: {os.strerror(error.errno or 0)}"
