"""Carriers of the suite whose audio is binary, or no WebSocket frame at all."""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode
from uuid import UUID

import jwt

from gateway.carriers.audiosocket import AudioSocketCarrier
from gateway.carriers.browser.leg import BrowserLeg
from gateway.core.audio import AudioFormat
from gateway.core.events import LegEnd, LegEnded
from gateway.records.pcm import samples_of
from gateway.wire import TextSocket, WireClosed, pipe
from tests.conformance.legs.rig import Asked, Door, Frame, Rig, Webhook
from tests.conformance.legs.stage import PUBLIC_URL

__all__ = [
    "HOST",
    "OTHER",
    "Asterisk",
    "AsteriskALaw",
    "AsteriskText",
    "AudioSocket",
    "BinaryRig",
    "Browser",
    "Genesys",
    "Jambonz",
    "Vonage",
    "VonageNarrow",
    "b64",
    "parsed",
]

HOST = PUBLIC_URL.removeprefix("https://")
GENESYS_KEY = "SGVsbG8sIEkgYW0gdGhlIEFQSSBrZXkh"
GENESYS_SECRET = base64.b64encode(b"TXlTdXBlclNlY3JldEtleVRlbGxOby0xITJAM").decode()
OTHER = ("unsaid", "")


def b64(audio: bytes) -> str:
    return base64.b64encode(audio).decode()


def parsed(frame: Frame) -> dict[str, object]:
    assert isinstance(frame, str), "this carrier takes text only"
    message = json.loads(frame)
    assert isinstance(message, dict)
    return message


class BinaryRig(Rig):
    """Carriers whose audio is binary, in frames that are not counted."""

    numbered = False

    def media(self, number: int, wire: bytes) -> Frame:
        return wire

    def unknown(self) -> Sequence[Frame]:
        return [json.dumps({"event": "telemetry"}), json.dumps({"type": "telemetry", "data": {}})]

    def broken(self) -> Sequence[Frame]:
        return ["{", "", "\x00", "[]", "5", "null", '"x"', b"", json.dumps({"event": 5}), json.dumps({"event": None})]


class Vonage(BinaryRig):
    name = package = "vonage"
    settings = {"vonage_signature_secret": "a" * 32}
    audio = AudioFormat.PCM24
    call_id = "63f61863-4a51-4f6b-86e1-46edebcf9356"
    account_id = ""
    rate = 24000
    exact_bytes = 960
    stops = False
    mark_echo_after_clear = False

    def webhook(self) -> Webhook | None:
        query = {"from": "14155550101", "to": "14155550199", "uuid": self.call_id, "conversation_uuid": "CON-1"}
        told = json.dumps(query, separators=(",", ":"))
        claims = {
            "iat": int(time.time()),
            "jti": secrets.token_hex(16),
            "iss": "Vonage",
            "payload_hash": hashlib.sha256(told.encode()).hexdigest(),
            "api_key": "a1b2c3d",
            "application_id": "aaaaaaaa-bbbb-cccc-dddd-0123456789ab",
        }
        token = jwt.encode(claims, "a" * 32, algorithm="HS256")
        return Webhook("GET", f"/vonage/answer?{urlencode(query)}", {"authorization": f"Bearer {token}"})

    def upgrade(self, token: str) -> tuple[str, dict[str, str]]:
        return "/vonage/media", {"authorization": f"Bearer {token}"}

    def refused_upgrades(self, token: str) -> Sequence[tuple[str, dict[str, str]]]:
        return [
            ("/vonage/media", {}),
            ("/vonage/media", {"authorization": "Bearer "}),
            ("/vonage/media", {"authorization": f"Basic {token}"}),
        ]

    def hello(self) -> Sequence[Frame]:
        content = f"audio/l16;rate={self.rate}"
        hello = {"event": "websocket:connected", "content-type": content, "token": self.token, "uuid": self.call_id}
        return [json.dumps(hello)]

    def digit(self, digit: str) -> Frame:
        return json.dumps({"event": "websocket:dtmf", "digit": digit, "duration": 260})

    def echo(self, name: str, *, cleared: bool = False) -> Frame | None:
        if cleared:
            return None
        return json.dumps({"event": "websocket:notify", "payload": json.loads(name)})

    def cleared(self) -> Frame | None:
        return json.dumps({"event": "websocket:cleared"})

    def read(self, frame: Frame) -> Asked:
        if isinstance(frame, bytes):
            return Asked("audio", audio=frame)
        match json.loads(frame):
            case {"action": "notify", "payload": dict(payload)}:
                return Asked("mark", json.dumps(payload))
            case {"action": "clear"}:
                return Asked("clear")
        return Asked(*OTHER)


class VonageNarrow(Vonage):
    """A Vonage that speaks 8 kHz although 24 kHz was asked for: converted to mu-law, which loses nothing of G.711."""

    name = "vonage (8 kHz)"
    audio = AudioFormat.PCMU
    rate = 8000
    exact_bytes = 320

    def wire(self, number: int) -> bytes:
        return samples_of(super().wire(number), AudioFormat.PCMU, 8000)

    def heard(self, wire: bytes) -> bytes:
        # mu-law has two zeros; the linear one comes back as the positive.
        by_sample = {
            samples_of(bytes([code]), AudioFormat.PCMU, 8000): code for code in (*range(128), *range(255, 127, -1))
        }
        return bytes(by_sample[wire[at : at + 2]] for at in range(0, len(wire), 2))

    def played(self, audio: bytes) -> bytes:
        return samples_of(audio, AudioFormat.PCMU, 8000)


class Jambonz(BinaryRig):
    name = package = "jambonz"
    settings = {"jambonz_webhook_secret": "secret_jambonz"}
    audio = AudioFormat.PCM24
    call_id = "e2f0a9d2-7a1c-4a6e-9f7a-6e3d0f6f3c11"
    account_id = "9351f46a-678c-43f5-b8a6-d4eb58d131af"
    stops = False

    def webhook(self) -> Webhook | None:
        call = {
            "call_sid": self.call_id,
            "account_sid": self.account_id,
            "application_sid": "0e0681b0-d49f-4fb8-b973-b5a3c6758de1",
            "direction": "inbound",
            "from": "+14155550101",
            "to": "+14155550199",
            "call_status": "trying",
            "sip_status": 100,
        }
        body = json.dumps(call).encode()
        stamp = str(int(time.time()))
        mac = hmac.new(b"secret_jambonz", stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        headers = {"jambonz-signature": f"t={stamp},v1={mac}", "content-type": "application/json"}
        return Webhook("POST", "/jambonz/call", headers, body)

    def upgrade(self, token: str) -> tuple[str, dict[str, str]]:
        basic = b64(f"gateway:{token}".encode())
        return "/jambonz/media", {"authorization": f"Basic {basic}", "sec-websocket-protocol": "audio.drachtio.org"}

    def refused_upgrades(self, token: str) -> Sequence[tuple[str, dict[str, str]]]:
        protocol = {"sec-websocket-protocol": "audio.drachtio.org"}
        wrong = [{}, {"authorization": "Basic %%%"}, {"authorization": f"Basic {b64(b'gateway:')}"}]
        return [("/jambonz/media", {**protocol, **headers}) for headers in wrong]

    def hello(self) -> Sequence[Frame]:
        metadata = {
            "callSid": self.call_id,
            "direction": "inbound",
            "from": "+14155550101",
            "to": "+14155550199",
            "callId": "4f1e7c1a",
            "accountSid": self.account_id,
            "applicationSid": "0e0681b0",
            "sampleRate": 24000,
            "mixType": "mono",
            "token": self.token,
        }
        return [json.dumps(metadata)]

    def digit(self, digit: str) -> Frame:
        return json.dumps({"event": "dtmf", "dtmf": digit, "duration": "1600"})

    def echo(self, name: str, *, cleared: bool = False) -> Frame | None:
        return json.dumps({"type": "mark", "data": {"name": name, "event": "cleared" if cleared else "playout"}})

    def read(self, frame: Frame) -> Asked:
        if isinstance(frame, bytes):
            assert len(frame) % 2 == 0, "half a sample"
            return Asked("audio", audio=frame)
        match json.loads(frame):
            case {"type": "mark", "data": {"name": str(name)}}:
                return Asked("mark", name)
            case {"type": "killAudio"}:
                return Asked("clear")
        return Asked(*OTHER)


class Genesys(BinaryRig):
    name = package = "genesys"
    settings = {"genesys_api_key": GENESYS_KEY, "genesys_client_secret": GENESYS_SECRET}
    offers_first = False
    echoes_marks = False
    call_id = "090eaa2f-72fa-480a-83e0-8667ff89c0ec"
    account_id = "d7934305-0972-4844-938e-9060eef73d05"
    session = "30b0e395-84d3-4570-ac13-9a62d8f514c0"
    path = "/genesys/media"

    def __init__(self) -> None:
        super().__init__()
        self._seq = 0
        self._their_seq = 0

    def upgrade(self, token: str, *, skew_s: int = 0, key: str = GENESYS_SECRET) -> tuple[str, dict[str, str]]:
        named = {
            "audiohook-organization-id": self.account_id,
            "audiohook-session-id": self.session,
            "audiohook-correlation-id": "e160e428-53e2-487c-977d-96989bf5c99d",
            "x-api-key": GENESYS_KEY,
        }
        created = int(time.time()) + skew_s
        components = ["@request-target", "@authority", *named]
        listed = " ".join(f'"{component}"' for component in components)
        nonce = b64(secrets.token_bytes(18))
        times = f"created={created};expires={created + 10}"
        params = f'({listed});keyid="{GENESYS_KEY}";nonce="{nonce}";alg="hmac-sha256";{times}'
        values = {"@request-target": self.path, "@authority": HOST, **named}
        lines = [f'"{component}": {values[component]}' for component in components]
        signed = "\n".join([*lines, f'"@signature-params": {params}'])
        mac = hmac.new(base64.b64decode(key), signed.encode(), hashlib.sha256).digest()
        return self.path, {**named, "signature-input": f"sig1={params}", "signature": f"sig1=:{b64(mac)}:"}

    def refused_upgrades(self, token: str) -> Sequence[tuple[str, dict[str, str]]]:
        path, good = self.upgrade(token)
        unsigned = {name: value for name, value in good.items() if not name.startswith("signature")}
        other_key = self.upgrade(token, key=b64(b"another"))
        return [(path, unsigned), other_key, self.upgrade(token, skew_s=-60), (path, {**good, "x-api-key": "other"})]

    def hello(self) -> Sequence[Frame]:
        participant = {"id": "883efee8", "ani": "+14155550101", "aniName": "Caller", "dnis": "+14155550199"}
        media = [{"type": "audio", "format": "PCMU", "channels": ["external"], "rate": 8000}]
        parameters = {
            "organizationId": self.account_id,
            "conversationId": self.call_id,
            "participant": participant,
            "media": media,
            "language": "en-US",
        }
        return [self._json("open", parameters)]

    def digit(self, digit: str) -> Frame:
        return self._json("dtmf", {"digit": digit})

    def echo(self, name: str, *, cleared: bool = False) -> Frame | None:
        return None

    def stop(self) -> Frame:
        return self._json("close", {"reason": "end"})

    def unknown(self) -> Sequence[Frame]:
        return [self._json("telemetry", {}), self._json("update2", {"language": "en"})]

    def broken(self) -> Sequence[Frame]:
        return [
            "{",
            "",
            "[]",
            "5",
            json.dumps({"version": "2", "type": 5}),
            json.dumps({"version": "2", "type": "ping"}),
        ]

    def read(self, frame: Frame) -> Asked:
        if isinstance(frame, bytes):
            return Asked("audio", audio=frame)
        message = parsed(frame)
        self._their_seq += 1
        assert message["seq"] == self._their_seq, "the gateway counts its messages"
        match message:
            case {"type": "event", "parameters": {"entities": [{"type": "barge_in"}]}}:
                return Asked("clear")
            case {"type": str(kind)}:
                return Asked(kind)
        return Asked(*OTHER)

    def _json(self, kind: str, parameters: Mapping[str, object]) -> str:
        self._seq += 1
        return json.dumps(
            {
                "version": "2",
                "id": self.session,
                "type": kind,
                "seq": self._seq,
                "serverseq": self._their_seq,
                "position": "PT1.0S",
                "parameters": parameters,
            }
        )


class Asterisk(BinaryRig):
    name = package = "asterisk"
    settings = {"asterisk_password": "astpass", "asterisk_username": "ast"}
    offers_first = False
    call_id = "1795327200.11"
    account_id = ""
    mark_echo_after_clear = False
    early_media = True
    stops = False
    format = "ulaw"

    def upgrade(self, token: str) -> tuple[str, dict[str, str]]:
        path = f"/asterisk/media?call={self.call_id}&from=%2B14155550101&to=%2B14155550199"
        return path, {"authorization": f"Basic {b64(b'ast:astpass')}", "sec-websocket-protocol": "media"}

    def refused_upgrades(self, token: str) -> Sequence[tuple[str, dict[str, str]]]:
        path, good = self.upgrade(token)
        wrong = [{}, {"authorization": "Basic %%%"}, {"authorization": f"Basic {b64(b'ast:other')}"}]
        wrong.append({"authorization": "Bearer astpass"})
        return [(path, {"sec-websocket-protocol": "media", **headers}) for headers in wrong]

    def hello(self) -> Sequence[Frame]:
        start = {
            "event": "MEDIA_START",
            "connection_id": "media_connection1-0b7f1f55",
            "channel": "WebSocket/connection1/0x7f3c8c005a10",
            "channel_id": "1795327200.12",
            "format": self.format,
            "optimal_frame_size": 160,
            "ptime": 20,
            "channel_variables": {},
        }
        return [json.dumps(start)]

    def digit(self, digit: str) -> Frame:
        return self._event("DTMF_END", digit=digit)

    def echo(self, name: str, *, cleared: bool = False) -> Frame | None:
        return None if cleared else self._event("MEDIA_MARK_PROCESSED", correlation_id=name)

    def read(self, frame: Frame) -> Asked:
        if isinstance(frame, bytes):
            assert len(frame) < 65_500, "Asterisk ends the call"
            return Asked("audio", audio=frame)
        assert len(frame.encode()) <= 128, "Asterisk ignores it"
        match json.loads(frame):
            case {"command": "MARK_MEDIA", "correlation_id": str(name)}:
                return Asked("mark", name)
            case {"command": "FLUSH_MEDIA"}:
                return Asked("clear")
            case {"command": str(command)}:
                return Asked(command)
        return Asked(*OTHER)

    def _event(self, event: str, **more: object) -> str:
        return json.dumps({"event": event, "channel_id": "1795327200.12", **more})


class AsteriskALaw(Asterisk):
    name = "asterisk (A-law)"
    audio = AudioFormat.PCMA
    format = "alaw"


class AsteriskText(Asterisk):
    """The plain-text control of versions before 20.18, 22.8 and 23.2."""

    name = "asterisk (text)"

    def hello(self) -> Sequence[Frame]:
        return [
            "MEDIA_START connection_id:media_connection1-0b7f1f55 channel:WebSocket/connection1/0x7f3c8c005a10 "
            f"channel_id:1795327200.12 format:{self.format} optimal_frame_size:160 ptime:20"
        ]

    def unknown(self) -> Sequence[Frame]:
        return ["TELEMETRY a:b", "MEDIA2"]

    def broken(self) -> Sequence[Frame]:
        return ["", "\x00", "DTMF_END", "DTMF_END digit:12", b"", "MEDIA_MARK_PROCESSED"]

    def read(self, frame: Frame) -> Asked:
        if isinstance(frame, bytes):
            return Asked("audio", audio=frame)
        assert len(frame.encode()) <= 128, "Asterisk ignores it"
        command, _, rest = frame.partition(" ")
        if command == "MARK_MEDIA":
            return Asked("mark", rest.removeprefix("correlation_id:"))
        return Asked("clear" if command == "FLUSH_MEDIA" else command)

    def _event(self, event: str, **more: object) -> str:
        if event == "MEDIA_MARK_PROCESSED":  # the id stands alone
            return f"{event} {more['correlation_id']}"
        return " ".join([event, "channel_id:1795327200.12", *(f"{key}:{value}" for key, value in more.items())])


class AudioSocket(BinaryRig):
    """TCP in place of a WebSocket; a UUID in place of a token."""

    name = package = "audiosocket"
    settings = {"audiosocket_listen": "127.0.0.1:0", "asterisk_password": "astpass", "asterisk_username": "ast"}
    call_id = "1795327200.11"
    echoes_marks = False
    clears = False
    exact_bytes = 320

    def webhook(self) -> Webhook | None:
        basic = b64(b"ast:astpass")
        query = urlencode({"call": self.call_id, "from": "+14155550101", "to": "+14155550199"})
        return Webhook("GET", f"/audiosocket/offer?{query}", {"authorization": f"Basic {basic}"})

    def token_of(self, answer: str, known: Mapping[str, str]) -> str:
        return answer

    async def open(self, stage: Door, token: str) -> TextSocket:
        assert isinstance(stage.carrier, AudioSocketCarrier)
        ours, theirs = pipe()
        stage.spawn(stage.carrier.server.serve(theirs))
        return ours

    def refused_upgrades(self, token: str) -> Sequence[tuple[str, dict[str, str]]]:
        return []

    def hello(self) -> Sequence[Frame]:
        return [self._frame(0x01, UUID(self.token).bytes)]

    def media(self, number: int, wire: bytes) -> Frame:
        return self._frame(0x10, wire)

    def digit(self, digit: str) -> Frame:
        return self._frame(0x03, digit.encode())

    def echo(self, name: str, *, cleared: bool = False) -> Frame | None:
        return None

    def stop(self) -> Frame:
        return self._frame(0x00, b"")

    def unknown(self) -> Sequence[Frame]:
        return [self._frame(0x20, b"x"), self._frame(0x77, b"")]

    def broken(self) -> Sequence[Frame]:
        return [self._frame(0x03, b"12"), self._frame(0x03, b""), self._frame(0x01, b"short"), self._frame(0x03, b"x")]

    def read(self, frame: Frame) -> Asked:
        assert isinstance(frame, bytes)
        assert len(frame) == 3 + int.from_bytes(frame[1:3], "big"), "one whole frame"
        kind = frame[0]
        assert kind != 0x03, "Asterisk takes no keys"
        return Asked("audio", audio=frame[3:]) if kind == 0x10 else Asked("hang up" if kind == 0 else "unsaid")

    def wire(self, number: int) -> bytes:
        return samples_of(super().wire(number), AudioFormat.PCMU, 8000)

    def heard(self, wire: bytes) -> bytes:
        return VonageNarrow().heard(wire)

    def played(self, audio: bytes) -> bytes:
        return samples_of(audio, AudioFormat.PCMU, 8000)

    @staticmethod
    def _frame(kind: int, payload: bytes) -> bytes:
        return bytes([kind]) + len(payload).to_bytes(2, "big") + payload


class Browser(Rig):
    """A browser's packets and messages, without the network between: that is tried in `tests/browser`."""

    name = package = "browser"
    socketless = "tests/console and tests/carriers/browser"
    offers_first = False
    echoes_marks = False
    clears = False
    exact_bytes = 160

    async def open(self, stage: Door, token: str) -> TextSocket:
        line = Packets()
        line.leg = leg = BrowserLeg(line, stage.feed)
        stage.begin(leg)
        stage.spawn(leg.run())
        return line

    def hello(self) -> Sequence[Frame]:
        return []

    def media(self, number: int, wire: bytes) -> Frame:
        return PACKET + (160 * number).to_bytes(4, "big") + wire

    def digit(self, digit: str) -> Frame:
        return json.dumps({"type": "key", "digit": digit})

    def echo(self, name: str, *, cleared: bool = False) -> Frame | None:
        return None

    def stop(self) -> Frame:
        return json.dumps({"type": "hang_up"})

    def unknown(self) -> Sequence[Frame]:
        return [json.dumps({"type": "telemetry"})]

    def broken(self) -> Sequence[Frame]:
        wrong: list[object] = [[], None, 5, "x", {"type": 5}, {"type": "key"}, {"type": "key", "digit": "12"}]
        return ["{", "", "\x00", b"\x00", *(json.dumps(message) for message in wrong)]

    def read(self, frame: Frame) -> Asked:
        assert isinstance(frame, bytes)
        return Asked("audio", audio=frame)


PACKET = b"RTP"


class Packets:
    """The browser's side of a line: what it sends goes straight into the leg."""

    def __init__(self) -> None:
        self.leg: BrowserLeg | None = None
        self._reports = 0
        self._played: asyncio.Queue[bytes] = asyncio.Queue()
        self._closed = asyncio.Event()

    # the line

    def play(self, frame: bytes) -> bool:
        self._played.put_nowait(frame)
        return True

    async def arrived(self) -> int:
        """A browser always reports: one more than at the last look."""
        self._reports += 1
        return self._reports

    async def receive(self) -> str | bytes:
        getting = asyncio.ensure_future(self._played.get())
        closed = asyncio.ensure_future(self._closed.wait())
        done, waiting = await asyncio.wait({getting, closed}, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        if getting in done:
            return getting.result()
        raise WireClosed(1000)

    async def send(self, frame: str | bytes) -> None:
        assert self.leg is not None
        if isinstance(frame, bytes) and frame.startswith(PACKET):
            self.leg.packet(int.from_bytes(frame[3:7], "big"), frame[7:])
        else:
            self.leg.message(frame)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if not self._closed.is_set():
            self._closed.set()
            if self.leg is not None:
                self.leg.end(LegEnded(LegEnd.SOCKET_LOST, "the connection is gone"))
