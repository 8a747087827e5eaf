"""A browser's part, by aiortc: it offers a call, sends packets of its own making and keeps what it gets."""

import asyncio
import json
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtcrtpparameters import RTCRtpCodecCapability
from aiortc.rtp import RtpPacket
from av import Packet

from gateway.carriers.base import CallOffer, Ended, Leg, LiveCall, Over, Resumed, TokenRefused
from gateway.carriers.browser.codec import CHANNEL
from gateway.core.audio import AudioFormat
from gateway.core.events import CallerAudio, Event, TransferProgress

__all__ = ["Exchange", "Page", "wait_for"]

WITHIN_S = 10.0


async def wait_for(condition: Any) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():  # noqa: ASYNC110 - the far end has no events
            await asyncio.sleep(0.005)


class Microphone(MediaStreamTrack):
    """Sends the frames it was given, 20 ms each, as they are."""

    kind = "audio"

    def __init__(self, frames: list[bytes]) -> None:
        super().__init__()
        self._frames = list(frames)
        self._sent = 0

    async def recv(self) -> "Packet[Any]":
        await asyncio.sleep(0.02)
        if not self._frames:
            await asyncio.Event().wait()
        packet = Packet(self._frames.pop(0))
        packet.pts, packet.time_base = 160 * self._sent, Fraction(1, 8000)
        self._sent += 1
        return packet


class Page:
    """One call from a page."""

    def __init__(self, frames: list[bytes]) -> None:
        self.heard: list[bytes] = []
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._connection.addTrack(Microphone(frames))
        (transceiver,) = self._connection.getTransceivers()
        transceiver.setCodecPreferences([RTCRtpCodecCapability("audio/PCMU", 8000, 1)])
        receiver = transceiver.receiver

        async def take(packet: RtpPacket, arrival_time_ms: int) -> None:
            self.heard.append(packet.payload)

        receiver._handle_rtp_packet = take  # type: ignore[method-assign]  # as the gateway does
        self.channel = self._connection.createDataChannel(CHANNEL)

    async def offer(self) -> str:
        """Return an offer as Chromium writes it: aiortc leaves out where PCMU alone is meant."""
        await self._connection.setLocalDescription(await self._connection.createOffer())
        return self._connection.localDescription.sdp

    async def take(self, answer: str) -> None:
        await self._connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    def say(self, **message: str) -> None:
        self.channel.send(json.dumps(message))

    async def vanish(self) -> None:
        """Be gone without a word, as a browser that is killed: only its sockets close."""
        assert self._connection.sctp is not None
        await self._connection.sctp.transport.transport.stop()

    async def close(self) -> None:
        await self._connection.close()


@dataclass(slots=True)
class Exchange:
    """A switchboard with one call that keeps what it is told."""

    events: list[Event] = field(default_factory=list)
    offers: list[CallOffer] = field(default_factory=list)
    over: list[str] = field(default_factory=list)
    leg: Leg | None = None
    refuse: Exception | None = None

    def offer(self, offer: CallOffer, *, again: int = 0) -> str:
        if self.refuse is not None:
            raise self.refuse
        self.offers.append(offer)
        return "a-token"

    def claim(self, token: str, carrier_call_id: str, account_id: str) -> LiveCall:
        if carrier_call_id != self.offers[-1].carrier_call_id or account_id != self.offers[-1].account_id:
            raise TokenRefused("another call")
        return self

    def attach(self, leg: Leg, stream_id: str, audio: AudioFormat = AudioFormat.PCMU) -> None:
        self.leg = leg

    def feed(self, event: Event) -> None:
        self.events.append(event)

    def hung_up(self, carrier_call_id: str) -> None:
        self.over.append(carrier_call_id)

    def resume(self, carrier_call_id: str) -> Resumed:
        raise Over("a browser's call does not leave its stream")

    def transfer_progress(self, carrier_call_id: str, progress: TransferProgress) -> None:
        raise AssertionError("a browser's call is not transferred")

    def outcome(self, carrier_call_id: str) -> Ended | None:
        return None

    def told(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if type(event) is kind]

    @property
    def sounds(self) -> list[str]:
        return [event.payload for event in self.events if isinstance(event, CallerAudio)]
