"""The carriers of the suite. Each says in its own words what `Rig` asks; see protocols of each vendor."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from urllib.parse import urlencode
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from plivo.utils.signature_v3 import get_signature_v3
from twilio.request_validator import RequestValidator

from gateway.core.audio import AudioFormat
from tests.conformance.legs.binaryrigs import (
    HOST,
    OTHER,
    Asterisk,
    AsteriskALaw,
    AsteriskText,
    AudioSocket,
    Browser,
    Genesys,
    Jambonz,
    Vonage,
    VonageNarrow,
    b64,
    parsed,
)
from tests.conformance.legs.rig import Asked, Frame, Rig, Webhook
from tests.conformance.legs.stage import PUBLIC_URL

__all__ = ["RIGS"]

TWILIO_TOKEN = "12345678901234567890123456789012"


class JsonRig(Rig):
    """Carriers whose every message is JSON with an event, with base64 audio inside."""

    def unknown(self) -> Sequence[Frame]:
        return [json.dumps({"event": name, name: {"a": 1}}) for name in ("telemetry", "MEDIA2", "")]

    def broken(self) -> Sequence[Frame]:
        media = json.loads(str(self.media(1, self.wire(1))))
        bodies: list[object] = [None, 3, "x", [], {}, {"payload": "%%%"}]
        bodies += [{**media["media"], "payload": payload} for payload in (7, None, "A", "AA=A", "é")]
        wrong: list[object] = [{**media, "media": body} for body in bodies]
        wrong += [[], None, 5, "text", {"event": 5}, {"event": None}, {}]
        keys: list[object] = [None, {}, {"digit": "12"}, {"digit": 5}, "5"]
        wrong += [{"event": "dtmf", "dtmf": key} for key in keys]
        return ["{", "", "\x00", b"\x00\x01", *(json.dumps(message) for message in wrong)]


class Twilio(JsonRig):
    name = package = "twilio"
    settings = {"twilio_auth_token": TWILIO_TOKEN}
    stream = "MZ0000000000000000000000000000000c"

    def upgrade(self, token: str) -> tuple[str, dict[str, str]]:
        url = f"wss://{HOST}/{self.name}/media"
        return f"/{self.name}/media", {"x-twilio-signature": RequestValidator(TWILIO_TOKEN).compute_signature(url, {})}

    def hello(self) -> Sequence[Frame]:
        start = {
            "accountSid": self.account_id,
            "streamSid": self.stream,
            "callSid": self.call_id,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"token": self.token},
        }
        connected = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
        return [json.dumps(connected), self._json("start", start=start)]

    def media(self, number: int, wire: bytes) -> Frame:
        body = {"track": "inbound", "chunk": str(number), "timestamp": str(20 * number), "payload": b64(wire)}
        return self._json("media", media=body)

    def digit(self, digit: str) -> Frame:
        return self._json("dtmf", dtmf={"track": "inbound_track", "digit": digit})

    def echo(self, name: str, *, cleared: bool = False) -> Frame | None:
        return self._json("mark", mark={"name": name})

    def stop(self) -> Frame:
        return self._json("stop", stop={"accountSid": self.account_id, "callSid": self.call_id})

    def read(self, frame: Frame) -> Asked:
        match parsed(frame):
            case {"event": "media", "streamSid": self.stream, "media": {"payload": str(payload)}}:
                return Asked("audio", audio=base64.b64decode(payload, validate=True))
            case {"event": "mark", "streamSid": self.stream, "mark": {"name": str(name)}}:
                return Asked("mark", name)
            case {"event": "clear", "streamSid": self.stream}:
                return Asked("clear")
            case {"event": "dtmf", "streamSid": self.stream, "dtmf": {"digit": str(digit)}}:
                return Asked("keys", digit)
        return Asked(*OTHER)

    def _json(self, event: str, **body: object) -> str:
        return json.dumps({"event": event, "sequenceNumber": "1", **body, "streamSid": self.stream})


class SignalWire(Twilio):
    name = package = "signalwire"
    settings = {"signalwire_signing_key": "PSK_signing_key", "signalwire_api_url": "https://acme.signalwire.com"}
    call_id = "7d9c2b50-8d0a-4f3e-9e8f-3a8f9b6f1c22"
    account_id = "5b5f2c1e-0000-4000-8000-9d2f3a1b4c5d"
    stream = "3f1a4f7e-21c7-4bb1-8a2e-5a9e6c1b7d10"

    def webhook(self) -> Webhook | None:
        form = {
            "CallSid": self.call_id,
            "AccountSid": self.account_id,
            "From": "+14155550101",
            "To": "+14155550199",
            "CallStatus": "ringing",
            "Direction": "inbound",
        }
        signed = f"{PUBLIC_URL}/signalwire/voice" + "".join(f"{name}{form[name]}" for name in sorted(form))
        mac = hmac.new(b"PSK_signing_key", signed.encode(), hashlib.sha1).digest()
        headers = {"x-signalwire-signature": b64(mac), "content-type": "application/x-www-form-urlencoded"}
        return Webhook("POST", "/signalwire/voice", headers, urlencode(form).encode())

    def upgrade(self, token: str) -> tuple[str, dict[str, str]]:
        return "/signalwire/media", {"authorization": f"Bearer {token}"}

    def refused_upgrades(self, token: str) -> Sequence[tuple[str, dict[str, str]]]:
        return [
            ("/signalwire/media", {}),
            ("/signalwire/media", {"authorization": "Bearer "}),
            ("/signalwire/media", {"authorization": f"Basic {token}"}),
        ]

    def _json(self, event: str, **body: object) -> str:
        return json.dumps({"event": event, "sequenceNumber": "1", **body})


class Telnyx(JsonRig):
    name = package = "telnyx"
    signing = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    settings = {"telnyx_public_key": b64(signing.public_key().public_bytes_raw()), "telnyx_api_key": "KEY_telnyx"}
    call_id = "v3:WZTgPLmJyAfBvZl2wr2kyeWKPBbVx0bqkZC0NgpEWn3h1234567890"
    account_id = "conn_1"
    encoding = "PCMU"
    exact_bytes = 160

    def webhook(self) -> Webhook | None:
        payload = {
            "call_control_id": self.call_id,
            "call_leg_id": "428c31b6-7af4-4bcb-b7f5-5013ef9657c1",
            "call_session_id": "428c31b6-abf3-3bc1-b7f4-5013ef9657c1",
            "connection_id": self.account_id,
            "client_state": None,
            "direction": "incoming",
            "from": "+14155550101",
            "to": "+14155550199",
            "state": "parked",
            "offered_codecs": f"{self.encoding},G722",
        }
        event = {
            "record_type": "event",
            "event_type": "call.initiated",
            "id": str(uuid4()),
            "occurred_at": "2026-11-22T06:00:00.000000Z",
            "payload": payload,
        }
        body = json.dumps({"data": event, "meta": {"attempt": 1}}).encode()
        stamp = str(int(time.time()))
        signature = b64(self.signing.sign(stamp.encode() + b"|" + body))
        headers = {"telnyx-signature-ed25519": signature, "telnyx-timestamp": stamp, "content-type": "application/json"}
        return Webhook("POST", "/telnyx/voice", headers, body)

    def upgrade(self, token: str) -> tuple[str, dict[str, str]]:
        return "/telnyx/media", {"x-telnyx-streaming-auth-token": token}

    def refused_upgrades(self, token: str) -> Sequence[tuple[str, dict[str, str]]]:
        return [("/telnyx/media", {}), ("/telnyx/media", {"x-telnyx-streaming-auth-token": ""})]

    def hello(self) -> Sequence[Frame]:
        start: dict[str, object] = {
            "user_id": "3e6f995f-85f7-4705-9741-53b116d28237",
            "call_control_id": self.call_id,
            "call_session_id": "428c31b6-abf3-3bc1-b7f4-5013ef9657c1",
            "from": "+14155550101",
            "to": "+14155550199",
            "tags": [],
            "client_state": None,
            "custom_parameters": {},
            "media_format": {"encoding": self.encoding, "sample_rate": 8000, "channels": 1},
        }
        return [json.dumps({"event": "connected", "version": "1.0.0"}), self._json("start", start=start)]

    def media(self, number: int, wire: bytes) -> Frame:
        body = {"track": "inbound", "chunk": str(number), "timestamp": str(20 * number), "payload": b64(wire)}
        return self._json("media", media=body)

    def digit(self, digit: str) -> Frame:
        return self._json("dtmf", dtmf={"digit": digit}, occurred_at="2026-11-22T06:00:20.000000Z")

    def echo(self, name: str, *, cleared: bool = False) -> Frame | None:
        return self._json("mark", mark={"name": name})

    def stop(self) -> Frame:
        return self._json("stop", stop={"user_id": "3e6f", "call_control_id": self.call_id})

    def read(self, frame: Frame) -> Asked:
        match parsed(frame):
            case {"event": "media", "media": {"payload": str(payload)}}:
                return Asked("audio", audio=base64.b64decode(payload, validate=True))
            case {"event": "mark", "mark": {"name": str(name)}}:
                return Asked("mark", name)
            case {"event": "clear"}:
                return Asked("clear")
        return Asked(*OTHER)

    def _json(self, event: str, **body: object) -> str:
        return json.dumps({"event": event, "sequence_number": "1", **body, "stream_id": "32de0dea-53cb"})


class TelnyxALaw(Telnyx):
    name = "telnyx (A-law)"
    encoding = "PCMA"
    audio = AudioFormat.PCMA


class Plivo(JsonRig):
    name = package = "plivo"
    settings = {"plivo_auth_token": "plivo_token", "plivo_auth_id": "MAXXXXXXXXXXXXXXXXXX"}
    call_id = "0e2a6f3c-1b7e-4a54-9d66-6c6d2f6b8a11"
    account_id = "MAXXXXXXXXXXXXXXXXXX"
    mark_echo_after_clear = False
    stops = False

    def upgrade(self, token: str) -> tuple[str, dict[str, str]]:
        nonce = "22345678901234567890"
        signature = get_signature_v3("plivo_token", f"wss://{HOST}/plivo/media", nonce)
        return "/plivo/media", {
            "x-plivo-signature-v3": signature.decode() if isinstance(signature, bytes) else signature,
            "x-plivo-signature-v3-nonce": nonce,
        }

    def hello(self) -> Sequence[Frame]:
        start = {
            "callId": self.call_id,
            "streamId": "b77e037d",
            "accountId": self.account_id,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000},
        }
        extra = f"agent=support;token={self.token}"
        return [json.dumps({"sequenceNumber": 0, "event": "start", "start": start, "extra_headers": extra})]

    def media(self, number: int, wire: bytes) -> Frame:
        stamp = str(1795327201000 + 20 * number)
        return self._json(
            "media", media={"track": "inbound", "timestamp": stamp, "chunk": number, "payload": b64(wire)}
        )

    def digit(self, digit: str) -> Frame:
        return self._json("dtmf", dtmf={"track": "inbound", "digit": digit, "timestamp": "1795327209000"})

    def echo(self, name: str, *, cleared: bool = False) -> Frame | None:
        return None if cleared else self._json("playedStream", name=name)

    def cleared(self) -> Frame | None:
        return self._json("clearedAudio")

    def stop(self) -> Frame:
        return self._json("stop")

    def read(self, frame: Frame) -> Asked:
        match parsed(frame):
            case {"event": "playAudio", "media": {"sampleRate": 8000, "payload": str(payload)}}:
                assert len(payload) <= 16 * 1024, "Plivo takes 16 KB"
                return Asked("audio", audio=base64.b64decode(payload, validate=True))
            case {"event": "checkpoint", "name": str(name)}:
                return Asked("mark", name)
            case {"event": "clearAudio"}:
                return Asked("clear")
            case {"event": "sendDTMF", "dtmf": str(digits)}:
                return Asked("keys", digits)
        return Asked(*OTHER)

    def _json(self, event: str, **body: object) -> str:
        return json.dumps({"sequenceNumber": 1, "streamId": "b77e037d", "event": event, **body})


RIGS: Sequence[type[Rig]] = (
    Twilio,
    SignalWire,
    Telnyx,
    TelnyxALaw,
    Plivo,
    Vonage,
    VonageNarrow,
    Jambonz,
    Genesys,
    Asterisk,
    AsteriskALaw,
    AsteriskText,
    AudioSocket,
    Browser,
)
