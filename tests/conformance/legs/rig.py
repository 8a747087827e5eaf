"""How a carrier's end of a media socket behaves, in as few words as the suite needs. Written from the carriers' own
documents, without a line of the gateway's code: it is the other side."""

import base64
import hashlib
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.carriers.base import CallOffer, Leg
from gateway.carriers.front import Carrier
from gateway.core.audio import AudioFormat
from gateway.core.events import CallerAudio, Event
from gateway.wire import TextSocket

__all__ = ["Asked", "Door", "Frame", "Rig", "Webhook"]

Frame = str | bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """What a frame of the gateway asks of the carrier."""

    kind: str
    """"audio", "mark", "clear", "keys", or another word for what the suite does not judge."""
    value: str = ""
    audio: bytes = b""
    """As on the wire."""


class Door(Protocol):
    """What a rig reaches the gateway by."""

    carrier: Carrier

    async def connect_socket(self, path: str, headers: Mapping[str, str]) -> TextSocket:
        """Open a WebSocket; raises `UpgradeRefused`."""

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Run something until the stage is left."""

    def begin(self, leg: Leg) -> None:
        """Give the call a leg that needs no socket."""

    def feed(self, event: Event) -> None:
        """What such a leg feeds."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """A request with which a carrier offers a call."""

    method: str
    path: str
    """With its query."""
    headers: Mapping[str, str]
    body: bytes = b""


class Rig:
    """One carrier. Frames of the caller are 20 ms, each of its own sound."""

    name = ""
    package = ""
    settings: Mapping[str, object] = {}
    audio = AudioFormat.PCMU
    """What the call is told, and the model speaks."""
    offers_first = True
    """A webhook offers the call and its token comes back on the socket; else the socket itself is the offer."""
    numbered = True
    """The carrier counts its media frames, so that gaps are seen."""
    echoes_marks = True
    mark_echo_after_clear = True
    """Pending marks come back when a clear drops them."""
    digit_frames = True
    """The caller's keys come as messages."""
    stops = True
    """The carrier says goodbye before it closes."""
    socketless = ""
    """Why there is no media socket whose upgrade and start could be tried here; where they are tried."""
    clears = True
    """The carrier is told of a clear; else it has nothing that could be dropped."""
    early_media = False
    """Audio before the start is kept; else it is out of order and the socket is closed."""
    exact_bytes = 0
    """Audio messages must have exactly this size; 0: any."""

    def __init__(self) -> None:
        self.token = ""

    def offer(self) -> CallOffer:
        return CallOffer(self.name, self.call_id, self.account_id, "inbound", "+14155550101", "+14155550199")

    call_id = "CA0000000000000000000000000000000a"
    account_id = "AC00000000000000000000000000000001"

    def webhook(self) -> Webhook | None:
        """Return the request that offers the call, for a door that must have given its token out itself."""
        return None

    def token_of(self, answer: str, known: Mapping[str, str]) -> str:
        """Return what the webhook's answer admits by."""
        return list(known)[-1]

    async def open(self, stage: "Door", token: str) -> TextSocket:
        """Return the carrier's end of a new media socket."""
        path, headers = self.upgrade(token)
        return await stage.connect_socket(path, headers)

    # --- frames of the carrier

    def upgrade(self, token: str) -> tuple[str, dict[str, str]]:
        """Return the path and headers of an upgrade that must be taken."""
        raise NotImplementedError

    def refused_upgrades(self, token: str) -> Sequence[tuple[str, dict[str, str]]]:
        """Return upgrades that must be refused before they are accepted."""
        path, headers = self.upgrade(token)
        wrong = {name: self._forged(value) for name, value in headers.items()}
        return [(path, {}), (path, wrong)]

    def hello(self) -> Sequence[Frame]:
        """Return what the carrier says up to and with the start."""
        raise NotImplementedError

    def media(self, number: int, wire: bytes) -> Frame:
        raise NotImplementedError

    def digit(self, digit: str) -> Frame:
        raise NotImplementedError

    def echo(self, name: str, *, cleared: bool = False) -> Frame | None:
        raise NotImplementedError

    def cleared(self) -> Frame | None:
        """The carrier's acknowledgement of a clear."""
        return None

    def stop(self) -> Frame:
        raise NotImplementedError

    def unknown(self) -> Sequence[Frame]:
        """Return messages of kinds that do not exist."""
        raise NotImplementedError

    def broken(self) -> Sequence[Frame]:
        """Return messages that break the protocol: wrong base64, wrong types, missing parts."""
        raise NotImplementedError

    # --- frames of the gateway

    def read(self, frame: Frame) -> Asked:
        raise NotImplementedError

    def obey(self, asked: Asked) -> Sequence[Frame]:
        """Return what the carrier answers at once; marks are echoed by the suite."""
        answer = self.cleared() if asked.kind == "clear" else None
        return [] if answer is None else [answer]

    # --- sound

    def wire(self, number: int) -> bytes:
        """Return 20 ms of the caller, as on the wire."""
        size = 20 * self.audio.bytes_per_ms
        return (hashlib.sha256(f"{self.name} {number}".encode()).digest() * (size // 32 + 1))[:size]

    def heard(self, wire: bytes) -> bytes:
        """Return what the model must get of it."""
        return wire

    def played(self, audio: bytes) -> bytes:
        """Return what must be on the wire of the agent's audio."""
        return audio

    @staticmethod
    def bytes_of(event: CallerAudio) -> bytes:
        return base64.b64decode(event.payload)

    @staticmethod
    def _forged(value: str) -> str:
        return value[:-4] + ("AAA=" if not value.endswith("AAA=") else "BBB=")
