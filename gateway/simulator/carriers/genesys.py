"""Genesys Cloud, as its AudioHook documentation describes it: a signed socket, and an Architect flow around it.

As strict as the protocol: versions, ids and counts of every message, `opened` within 5 s, five messages of audio a
second in the mean with a burst of 25, error 429 beyond. There is no webhook and no REST: what becomes of the caller
afterwards is in the output variables, and the flow here does what they say.
"""

import hashlib
import hmac
import json
import uuid
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from urllib.parse import urlsplit

from gateway.config import Settings
from gateway.errors import ConfigError
from gateway.simulator.carriers.frame import (
    Ask,
    Audio,
    Bad,
    Carrier,
    Clear,
    Encoding,
    Frame,
    Gone,
    Happening,
    Leave,
    Limits,
    LiveCall,
    Reply,
    Step,
)

__all__ = ["CARRIER", "NIL", "GenesysDialect", "GenesysWire", "signed_headers"]

NIL = "00000000-0000-0000-0000-000000000000"
MALFORMED, UNKNOWN, OUT_OF_ORDER, FLOODED, LATE = 6001, 6002, 6003, 6004, 6005
OPENED_MS = 5000
AUDIO_PER_S, AUDIO_BURST = 5.0, 25.0
RETRY_AFTER = "PT0.5S"


class GenesysWire:
    """One AudioHook session, the client's side."""

    encoding = Encoding.MULAW
    limits = Limits(most_message_bytes=64_000)
    awaits_gone = True

    def __init__(self, session_id: str, opening: Mapping[str, object]) -> None:
        self._session_id = session_id
        self._opening = opening
        self._seq = self._server_seq = 0
        self._at_ms = 0
        self._opened = False
        self._closing = False
        self._may_take, self._refilled_ms = AUDIO_BURST, 0
        self.output: Mapping[str, str] | None = None
        """Output variables of the session's end; None while it was not asked for."""
        self.refused = 0
        """Messages of audio answered with 429."""

    def hello(self) -> Sequence[Frame]:
        return [self._said("open", **self._opening)]

    def media(self, audio: bytes, number: int, at_ms: int) -> Frame:
        self._at_ms = at_ms
        return audio

    def digit(self, digit: str) -> Sequence[Frame]:
        return [self._said("dtmf", digit=digit)]

    def read(self, frame: Frame, queued_ms: int) -> Iterable[Ask]:
        if isinstance(frame, bytes):
            yield self._audio(frame)
            return
        try:
            message = json.loads(frame)
        except ValueError:
            message = None
        if not isinstance(message, dict) or message.get("version") != "2" or message.get("id") != self._session_id:
            yield Bad(MALFORMED, "not a message of this session")
            return
        if message.get("seq") != self._server_seq + 1 or not 0 <= message.get("clientseq", -1) <= self._seq:
            yield Bad(OUT_OF_ORDER, f"seq {message.get('seq')} behind {self._server_seq}, or a clientseq not sent")
        self._server_seq += 1
        yield from self._obey(message)

    def _obey(self, message: Mapping[str, object]) -> Iterable[Ask]:
        match message:
            case {"type": "opened", "parameters": {"startPaused": False, "media": [media]}} if not self._opened:
                self._opened = True
                if media not in self._offered or self._at_ms > OPENED_MS:
                    yield Bad(LATE, "opened too late, or with audio that was not offered")
            case {"type": "pong"} | {"type": "updated"}:
                return
            case {"type": "event", "parameters": {"entities": [{"type": "barge_in", "data": {}}]}}:
                yield Clear()
            case {"type": "disconnect", "parameters": {"reason": str(), "outputVariables": dict(output)}}:
                self.output = output
                if not all(isinstance(value, str) for value in output.values()):
                    yield Bad(MALFORMED, "output variables are texts")
                yield Leave()
            case {"type": "closed"} if self._closing:
                yield Gone()
            case {"type": str(kind)}:
                yield Bad(UNKNOWN, f"no such message, or not now: {kind[:40]}")
            case _:
                yield Bad(MALFORMED, "no type")

    def _audio(self, frame: bytes) -> Ask:
        if not self._opened or self._closing:
            return Bad(OUT_OF_ORDER, "audio outside of the session")
        passed = max(0, self._at_ms - self._refilled_ms)
        self._may_take = min(AUDIO_BURST, self._may_take + passed * AUDIO_PER_S / 1000)
        self._refilled_ms = self._at_ms
        if self._may_take < 1:
            self.refused += 1
            return Reply([self._said("error", code=429, message="too many requests", retryAfter=RETRY_AFTER)])
        self._may_take -= 1
        return Audio(frame)

    def mark(self, name: str, *, cleared: bool) -> Sequence[Frame]:
        return []

    def tell(self, what: Happening) -> Sequence[Frame]:
        match what:
            case Happening.STARTED:
                return [self._said("playback_started")]
            case Happening.DRAINED:
                return [self._said("playback_completed")]
            case _:
                return []

    def stop(self) -> Sequence[Frame]:
        self._closing = True
        return [self._said("close", reason="end" if self.output is None else "disconnect")]

    @property
    def _offered(self) -> Sequence[object]:
        media = self._opening["media"]
        assert isinstance(media, list), "written below"
        return media

    def _said(self, kind: str, **parameters: object) -> str:
        self._seq += 1
        return json.dumps(
            {
                "version": "2",
                "id": self._session_id,
                "type": kind,
                "seq": self._seq,
                "serverseq": self._server_seq,
                "position": f"PT{self._at_ms / 1000:.3f}S",
                "parameters": parameters,
            }
        )


class GenesysDialect:
    """An inbound flow: call the Audio Connector, then do what its output variables say."""

    def __init__(self, call: LiveCall) -> None:
        self.call = call
        session_id = str(uuid.uuid5(uuid.NAMESPACE_URL, call.call_id))
        self._session_id = session_id
        self._wire = GenesysWire(session_id, self._opening())

    async def begin(self) -> Step | None:
        network = self.call.network
        self.call.answer()
        url = f"{network.stream_origin}/genesys/media"
        headers = signed_headers(network.keys, url, ORGANIZATION, self._session_id, network.rng, network.unix_s())
        await self.call.stream(url, self._wire, headers)
        return await self._flow(self._wire.output or {"action": "fallback", "say": "Please call later."})

    async def over(self) -> None:
        self.call.report.extra["output_variables"] = dict(self._wire.output or {})
        self.call.report.extra["refused_429"] = self._wire.refused

    async def _flow(self, output: Mapping[str, str]) -> Step | None:
        match output.get("action"):
            case "transfer":
                dialled = await self.call.dial(output["number"])
                if dialled.status != "completed":
                    await self.call.say("Nobody is free. Goodbye.")
            case "fallback":
                await self.call.say(output.get("say", ""))
                if output.get("target"):
                    await self.call.dial(output["target"])
            case "hangup":
                self.call.hang_up()
            case action:
                self.call.warn(UNKNOWN, f"the flow knows no such action: {action}")
        return None

    def _opening(self) -> Mapping[str, object]:
        plan = self.call.plan
        offers = [["external"], ["external", "internal"]]
        return {
            "organizationId": ORGANIZATION,
            "conversationId": self.call.call_id,
            "participant": {
                "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.call.call_id} participant")),
                "ani": f"tel:{plan.from_}",
                "aniName": "Caller",
                "dnis": f"tel:{plan.to}",
            },
            "media": [{"type": "audio", "format": "PCMU", "channels": one, "rate": 8000} for one in offers],
            "language": "en-US",
            "customConfig": {},
            "inputVariables": {"agent": plan.agent} if plan.agent else {},
        }


def signed_headers(
    keys: Mapping[str, str], url: str, organization: str, session_id: str, rng: Random, now: int
) -> dict[str, str]:
    """Return the headers of an upgrade, signed."""
    parts = urlsplit(url)
    named = {
        "audiohook-organization-id": organization,
        "audiohook-session-id": session_id,
        "audiohook-correlation-id": str(uuid.UUID(int=rng.getrandbits(128))),
        "x-api-key": keys["api_key"],
    }
    values = {"@request-target": parts.path, "@authority": parts.netloc, **named}
    listed = " ".join(f'"{name}"' for name in values)
    nonce = b64encode(rng.randbytes(18)).decode()
    given = f'({listed});keyid="{keys["api_key"]}";nonce="{nonce}";alg="hmac-sha256"'
    given += f";created={now};expires={now + 10}"
    lines = [f'"{name}": {value}' for name, value in values.items()] + [f'"@signature-params": {given}']
    mac = hmac.new(b64decode(keys["secret"]), "\n".join(lines).encode(), hashlib.sha256).digest()
    return {
        **named,
        "host": parts.netloc,
        "signature-input": f"sig1={given}",
        "signature": f"sig1=:{b64encode(mac).decode()}:",
    }


def _keys(settings: Settings) -> Mapping[str, str]:
    if settings.genesys_api_key is None or settings.genesys_client_secret is None:
        raise ConfigError("set GATEWAY_GENESYS_API_KEY and GATEWAY_GENESYS_CLIENT_SECRET, with which Genesys signs")
    return {
        "api_key": settings.genesys_api_key.get_secret_value(),
        "secret": settings.genesys_client_secret.get_secret_value(),
    }


ORGANIZATION = "d7934305-0972-4844-938e-9060eef73d05"
CARRIER = Carrier(
    name="genesys",
    dialect=GenesysDialect,
    new_id=lambda rng: str(uuid.UUID(int=rng.getrandbits(128))),
    keys=_keys,
    settings={
        "genesys_api_key": "simulated-genesys-api-key",
        "genesys_client_secret": b64encode(b"simulated genesys client secret").decode(),
    },
)
