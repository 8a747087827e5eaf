"""Twilio, spoken in the carriers' frame: as much of it as a call without transfers needs. It shows what a dialect is,
and lets the frame be tested against the real application by a carrier that has a simulator of its own."""

import base64
import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlencode

from gateway.config import Settings
from gateway.simulator.carrier import twiml
from gateway.simulator.carriers.frame import (
    Ask,
    Audio,
    Bad,
    Carrier,
    Clear,
    Encoding,
    Frame,
    Happening,
    HttpReply,
    Limits,
    LiveCall,
    Mark,
    Step,
)
from gateway.simulator.world import ACCOUNT

__all__ = ["FAMILIAR"]


class Wire:
    encoding = Encoding.MULAW
    limits = Limits(queue_ms=600_000)
    awaits_gone = False

    def __init__(self, call_id: str, parameters: Mapping[str, str]) -> None:
        self._sequence = 0
        self._start = {
            "accountSid": ACCOUNT,
            "streamSid": "MZ1",
            "callSid": call_id,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": dict(parameters),
        }

    def hello(self) -> Sequence[Frame]:
        connected = json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        return [connected, self._message("start", start=self._start)]

    def media(self, audio: bytes, number: int, at_ms: int) -> Frame:
        payload = base64.b64encode(audio).decode()
        media = {"track": "inbound", "chunk": str(number), "timestamp": str(at_ms), "payload": payload}
        return self._message("media", media=media)

    def digit(self, digit: str) -> Sequence[Frame]:
        return [self._message("dtmf", dtmf={"track": "inbound_track", "digit": digit})]

    def read(self, frame: Frame, queued_ms: int) -> Iterable[Ask]:
        message = json.loads(frame)
        match message["event"]:
            case "media":
                yield Audio(base64.b64decode(message["media"]["payload"]))
            case "mark":
                yield Mark(message["mark"]["name"])
            case "clear":
                yield Clear()
            case _:
                yield Bad(31951, "unknown")

    def mark(self, name: str, *, cleared: bool) -> Sequence[Frame]:
        return [self._message("mark", mark={"name": name})]

    def tell(self, what: Happening) -> Sequence[Frame]:
        return []

    def stop(self) -> Sequence[Frame]:
        return [self._message("stop", stop={"accountSid": ACCOUNT, "callSid": self._start["callSid"]})]

    def _message(self, event: str, **body: object) -> str:
        self._sequence += 1
        return json.dumps({"event": event, "sequenceNumber": str(self._sequence), **body, "streamSid": "MZ1"})


class Dialect:
    def __init__(self, call: LiveCall) -> None:
        self._call = call

    async def begin(self) -> Step | None:
        reply = await self._post(f"{self._call.network.public_url}/twilio/voice", "ringing")
        return lambda: self._follow(reply)

    async def over(self) -> None:
        await self._post(f"{self._call.network.public_url}/twilio/status", "completed")

    async def _follow(self, reply: HttpReply) -> Step | None:
        for verb in twiml.parse_twiml(reply.body).verbs:
            match verb:
                case twiml.Reject():
                    self._call.refuse("busy")
                case twiml.Connect(stream):
                    self._call.answer()
                    wire = Wire(self._call.call_id, stream.parameters)
                    await self._call.stream(stream.url, wire, {"x-twilio-signature": self._sign(stream.url, {})})
                case twiml.Redirect(url):
                    return lambda url=url: self._fetch(url)  # type: ignore[misc]
                case twiml.Say(text):
                    await self._call.say(text)
                case twiml.Hangup():
                    self._call.hang_up()
        return None

    async def _fetch(self, url: str) -> Step | None:
        return await self._follow(await self._post(url, "in-progress"))

    async def _post(self, url: str, status: str) -> HttpReply:
        plan = self._call.plan
        form = {"CallSid": self._call.call_id, "AccountSid": ACCOUNT, "From": plan.from_, "To": plan.to}
        form |= {"Direction": "inbound", "CallStatus": status}
        headers = {
            "content-type": "application/x-www-form-urlencoded",
            "x-twilio-signature": self._sign(url, form),
        }
        return await self._call.request("POST", url, headers=headers, content=urlencode(form).encode(), what=status)

    def _sign(self, url: str, form: Mapping[str, str]) -> str:
        text = url + "".join(name + form[name] for name in sorted(form))
        digest = hmac.digest(self._call.network.keys["token"].encode(), text.encode(), "sha1")
        return base64.b64encode(digest).decode()


def _keys(settings: Settings) -> Mapping[str, str]:
    assert settings.twilio_auth_token is not None
    return {"token": settings.twilio_auth_token.get_secret_value()}


FAMILIAR = Carrier(
    name="familiar",
    dialect=Dialect,
    new_id=lambda rng: f"CA{rng.getrandbits(128):032x}",
    keys=_keys,
    settings={},
)
