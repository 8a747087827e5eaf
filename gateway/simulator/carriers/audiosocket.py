"""Asterisk with `AudioSocket()`, in the sample dialplan of `deploy/asterisk`: a UUID is asked for over HTTP first.

Source: `res_audiosocket.c`, `app_audiosocket.c`. Asterisk plays what it gets at once, and ends a connection on which
nothing has come for two seconds.
"""

import asyncio
from base64 import b64encode
from collections.abc import Iterable, Sequence
from urllib.parse import urlencode
from uuid import UUID

from gateway.config import Settings
from gateway.simulator.carriers.asterisk import CARRIER as ASTERISK
from gateway.simulator.carriers.asterisk import InDialplan, ari, ari_keys
from gateway.simulator.carriers.frame import (
    Ask,
    Audio,
    Bad,
    Carrier,
    Encoding,
    Frame,
    Happening,
    Leave,
    Limits,
    Step,
)

__all__ = ["CARRIER", "AudioSocketWire"]

HEADER = 3
DEAD_S = 2.0
MOST_AHEAD_MS = 100
WRONG_SIZE, WRONG_KIND, KEYS, AHEAD, MUTE = 1, 2, 3, 4, 5
OFFER_REFUSED = 9103
KINDS = {Encoding.PCM8: 0x10, Encoding.PCM24: 0x13}


class AudioSocketWire:
    """One connection, after `AudioSocket(who, …)`."""

    def __init__(self, who: str, encoding: Encoding = Encoding.PCM8) -> None:
        self.encoding = encoding
        self.limits = Limits()
        self.awaits_gone = False
        self.frames = 0
        """Frames that came."""
        self._who = UUID(who)
        self._kind = KINDS[encoding]
        self._buffer = b""

    def hello(self) -> Sequence[Frame]:
        return [_frame(0x01, self._who.bytes)]

    def media(self, audio: bytes, number: int, at_ms: int) -> Frame:
        return _frame(self._kind, audio)

    def digit(self, digit: str) -> Sequence[Frame]:
        return [_frame(0x03, digit.encode())]

    def read(self, frame: Frame, queued_ms: int) -> Iterable[Ask]:
        self._buffer += frame if isinstance(frame, bytes) else frame.encode()
        while len(self._buffer) >= HEADER:
            end = HEADER + int.from_bytes(self._buffer[1:HEADER], "big")
            if len(self._buffer) < end:
                return
            kind, payload, self._buffer = self._buffer[0], self._buffer[HEADER:end], self._buffer[end:]
            self.frames += 1
            yield from self._one(kind, payload, queued_ms)

    def mark(self, name: str, *, cleared: bool) -> Sequence[Frame]:
        return []

    def tell(self, what: Happening) -> Sequence[Frame]:
        return []

    def stop(self) -> Sequence[Frame]:
        return []  # app_audiosocket closes the connection without a word

    def _one(self, kind: int, payload: bytes, queued_ms: int) -> Iterable[Ask]:
        if kind == 0x00:
            yield Leave()
        elif kind == 0x03:
            yield Bad(KEYS, "a key from the application tears the leg down")
            yield Leave()
        elif kind != self._kind:
            yield Bad(WRONG_KIND, f"a frame of type {kind:#04x}")
        elif len(payload) != self.encoding.frame_bytes:
            yield Bad(WRONG_SIZE, f"{len(payload)} bytes of audio, not {self.encoding.frame_bytes}")
        else:
            if queued_ms > MOST_AHEAD_MS:
                yield Bad(AHEAD, f"audio comes {queued_ms} ms before its time")
            if payload != self.encoding.silence * (len(payload) // self.encoding.sample_bytes):
                yield Audio(payload)  # silence is nothing to be heard


class AudioSocketInDialplan(InDialplan):
    """The same dialplan with the other application."""

    async def connect(self, again: int, result: str) -> None:
        call, keys = self.call, self.call.network.keys
        told = {
            "call": call.call_id,
            "from": call.plan.from_,
            "to": call.plan.to,
            "again": str(again),
            "result": result,
        }
        told |= {"agent": call.plan.agent} if call.plan.agent else {}
        pair = b64encode(f"{keys['username']}:{keys['password']}".encode()).decode()
        reply = await call.request(
            "POST",
            f"{call.network.public_url}/audiosocket/offer",
            headers={"authorization": f"Basic {pair}", "content-type": "application/x-www-form-urlencoded"},
            content=urlencode(told).encode(),
            what="offer",
        )
        who = reply.body.decode()
        if reply.status != 200 or len(who) != 36:
            self.variables.setdefault(self.variable, who if reply.status == 200 else "")
            if reply.status == 200 and who.startswith("apology"):
                call.warn(OFFER_REFUSED, "the offer was answered with an apology: refused; the gateway's log says why")
            return
        wire = AudioSocketWire(who)
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self._watch(wire))
            await call.stream(f"tcp://{keys['listen']}", wire, {})
            watch.cancel()

    async def _watch(self, wire: AudioSocketWire) -> None:
        """Two seconds without a frame: Asterisk gives up."""
        seen = -1
        while seen != wire.frames:
            seen = wire.frames
            await asyncio.sleep(DEAD_S)
        self.call.warn(MUTE, "nothing came for two seconds")
        self.call.stop_stream()

    async def begin(self) -> Step | None:
        self.call.answer()
        return lambda: self.gateway(0)


def _frame(kind: int, payload: bytes) -> bytes:
    return bytes([kind]) + len(payload).to_bytes(2, "big") + payload


def _keys(settings: Settings) -> dict[str, str]:
    return {**ari_keys(settings), "listen": settings.audiosocket_listen or "127.0.0.1:9092"}


CARRIER = Carrier(
    name="audiosocket",
    dialect=AudioSocketInDialplan,
    new_id=ASTERISK.new_id,
    keys=_keys,
    settings={**ASTERISK.settings, "audiosocket_listen": "127.0.0.1:0"},
    rest=ari,
    rest_setting="asterisk_ari_url",
)
