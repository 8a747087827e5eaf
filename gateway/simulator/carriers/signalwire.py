"""SignalWire, as its documentation and its SDKs describe it: signed forms, cXML, media streams, calls by REST.

As strict as it is documented: a stream's own id in every message, exactly the documented keys, `wss` without a query.
The upgrade brings `authBearerToken` and no signature. Marks that a clear has dropped are echoed like all others. Warm
transfers (calls placed by REST, conferences) are not simulated: markup and requests are Twilio's, whose network
`gateway.simulator.carrier` simulates whole.
"""

import asyncio
import hashlib
import hmac
import json
import random
import uuid
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit
from xml.etree import ElementTree

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.config import Settings
from gateway.errors import ConfigError
from gateway.simulator.carriers.frame import (
    Application,
    Ask,
    Audio,
    Bad,
    Carrier,
    CarrierNetwork,
    Clear,
    Digits,
    Encoding,
    Frame,
    Happening,
    HttpReply,
    Limits,
    LiveCall,
    Mark,
    Step,
)

__all__ = ["CARRIER", "SignalWireDialect", "SignalWireWire", "signature"]

MALFORMED, UNKNOWN, BAD_XML, BAD_STREAM = 7101, 7102, 7103, 7104
MOST_XML, MOST_BODY = 64 * 1024, 64 * 1024
CODECS = {
    "PCMU@8000h": ("audio/x-mulaw", Encoding.MULAW),
    "L16@16000h": ("audio/x-L16", Encoding.PCM16),
    "L16@24000h": ("audio/x-L16", Encoding.PCM24),
}
PROJECT = "5b5f2c1e-0000-4000-8000-9d2f3a1b4c5d"
API = "/api/laml/2010-04-01/Accounts/{project}/Calls/{sid}.json"


class SignalWireWire:
    """One media stream."""

    awaits_gone = False
    limits = Limits(most_message_bytes=64 * 1024)

    def __init__(self, call_id: str, project: str, stream_id: str, codec: str, parameters: Mapping[str, str]) -> None:
        kind, self.encoding = CODECS[codec]
        self._stream_id = stream_id
        self._number = 0
        form = {"encoding": kind, "sampleRate": self.encoding.rate_hz, "channels": 1}
        ids = {"streamSid": stream_id, "accountSid": project, "callSid": call_id}
        self._start = {**ids, "tracks": ["inbound"], "mediaFormat": form, "customParameters": dict(parameters)}

    def hello(self) -> Sequence[Frame]:
        connected = json.dumps({"event": "connected", "protocol": "Call", "version": "0.2.0"})
        return [connected, self._said("start", start=self._start)]

    def media(self, audio: bytes, number: int, at_ms: int) -> Frame:
        payload = b64encode(audio).decode()
        body = {"track": "inbound", "chunk": str(number), "timestamp": str(at_ms), "payload": payload}
        return self._said("media", media=body)

    def digit(self, digit: str) -> Sequence[Frame]:
        return [self._said("dtmf", streamSid=self._stream_id, dtmf={"digit": digit, "duration": 160})]

    def read(self, frame: Frame, queued_ms: int) -> Iterable[Ask]:
        try:
            message = json.loads(frame) if isinstance(frame, str) else None
        except ValueError:
            message = None
        match message:
            case {"event": "media", "streamSid": self._stream_id, "media": {"payload": str(payload)}}:
                yield _audio(payload)
            case {"event": "mark", "streamSid": self._stream_id, "mark": {"name": str(name)}}:
                yield Mark(name)
            case {"event": "clear", "streamSid": self._stream_id}:
                yield Clear()
            case {"event": "dtmf", "streamSid": self._stream_id, "dtmf": {"digit": str(key)}} if len(key) == 1:
                yield Digits(key)
            case {"event": str(event)}:
                yield Bad(UNKNOWN, f"no such event, or not of this stream: {event[:40]}")
            case _:
                yield Bad(MALFORMED, "not an object with an event")
        if isinstance(message, dict) and len(message) > (2 if message.get("event") == "clear" else 3):
            yield Bad(MALFORMED, "superfluous keys")

    def mark(self, name: str, *, cleared: bool) -> Sequence[Frame]:
        return [self._said("mark", streamSid=self._stream_id, mark={"name": name})]

    def tell(self, what: Happening) -> Sequence[Frame]:
        return []

    def stop(self) -> Sequence[Frame]:
        return [self._said("stop")]

    def _said(self, event: str, **body: object) -> str:
        self._number += 1
        return json.dumps({"event": event, "sequenceNumber": str(self._number), **body}, separators=(",", ":"))


def _audio(payload: str) -> Ask:
    try:
        return Audio(b64decode(payload, validate=True))
    except ValueError:
        return Bad(MALFORMED, "no base64")


class SignalWireDialect:
    """Fetches cXML and does what it says, verb by verb."""

    def __init__(self, call: LiveCall) -> None:
        self.call = call
        self._network = call.network
        self._base = f"{call.network.public_url}/signalwire"

    async def begin(self) -> Step | None:
        return await self.fetch(f"{self._base}/voice", CallStatus="ringing")

    async def over(self) -> None:
        outcome = self.call.report.call.outcome
        await self.post(f"{self._base}/status", CallStatus=outcome, SequenceNumber="1")

    async def fetch(self, url: str, **form: str) -> Step | None:
        """Ask what to do and return that, to be done."""
        reply = await self.post(url, **form)
        return lambda: self.follow(reply.status, reply.body)

    async def post(self, url: str, **more: str) -> HttpReply:
        plan = self.call.plan
        form = {
            "CallSid": self.call.call_id,
            "AccountSid": self._network.keys["project"],
            "From": plan.from_,
            "To": plan.to,
            "CallStatus": "in-progress",
            "ApiVersion": "2010-04-01",
            "Direction": "inbound",
            **more,
        }
        body, key = urlencode(form).encode(), self._network.keys["key"]
        headers = {
            "content-type": "application/x-www-form-urlencoded",
            "x-signalwire-signature": signature(key, url, body),
        }
        if self._network.keys["signature"] == "sha256":
            strong = hmac.new(key.encode(), url.encode() + body, hashlib.sha256).hexdigest()
            headers["x-signalwire-sha256-signature"] = strong
        what = urlsplit(url).path.rpartition("/signalwire/")[2]
        return await self.call.request("POST", url, headers=headers, content=body, what=what, within_s=15.0)

    async def follow(self, status: int, body: bytes) -> Step | None:
        try:
            root = ElementTree.fromstring(body.decode()) if len(body) <= MOST_XML else None
        except (ElementTree.ParseError, UnicodeDecodeError):
            root = None
        if not 200 <= status < 300 or root is None or root.tag != "Response":
            self.call.warn(BAD_XML, f"no cXML to follow: HTTP {status}")
            return None
        for verb in root:
            text, said = (verb.text or "").strip(), verb.attrib
            match verb.tag:
                case "Reject":
                    self.call.refuse("busy" if said.get("reason") == "busy" else "failed")
                    return None
                case "Hangup":
                    self.call.hang_up()
                    return None
                case "Redirect":
                    return await self.fetch(text)
                case _:
                    step = await self._do(verb, text, said)
            if step is not None:
                return step
        return None

    async def _do(self, verb: ElementTree.Element, text: str, said: Mapping[str, str]) -> Step | None:
        self.call.answer()
        match verb.tag:
            case "Connect" if (stream := verb.find("Stream")) is not None:
                await self._stream(stream)
            case "Say":
                await self.call.say(text)
            case "Pause":
                await asyncio.sleep(float(said.get("length", "1")))
            case "Dial":
                return await self._dial(verb, text)
            case _:
                self.call.warn(BAD_XML, f"not simulated: {verb.tag}")
        return None

    async def _stream(self, stream: ElementTree.Element) -> None:
        url, codec = stream.get("url", ""), stream.get("codec", "PCMU@8000h")
        parts = urlsplit(url)
        local = parts.hostname in ("127.0.0.1", "localhost") and parts.scheme == "ws"
        if codec not in CODECS or parts.query or not (parts.scheme == "wss" or local):
            self.call.warn(BAD_STREAM, "Stream: codec_error or invalid_url")
            return
        parameters = {one.get("name", ""): one.get("value", "") for one in stream.findall("Parameter")}
        stream_id = _uuid(self._network.rng)
        wire = SignalWireWire(self.call.call_id, self._network.keys["project"], stream_id, codec, parameters)
        token = stream.get("authBearerToken")
        await self.call.stream(url, wire, {"authorization": f"Bearer {token}"} if token else {})

    async def _dial(self, verb: ElementTree.Element, text: str) -> Step | None:
        noun = verb.find("Number")
        number = text if noun is None else (noun.text or "").strip()
        human = _uuid(self._network.rng)

        def told(state: str) -> None:
            url = "" if noun is None else noun.get("statusCallback", "")
            if (
                state == "answered"
                and url
                and "answered" in (noun.get("statusCallbackEvent", "") if noun is not None else "")
            ):
                self.call.spawn(self._tell(url, CallSid=human, ParentCallSid=self.call.call_id))

        dialled = await self.call.dial(number, timeout_s=float(verb.get("timeout", "30")), told=told)
        action = verb.get("action")
        if action is None:
            return None
        status = {"rejected": "completed"}.get(dialled.status, dialled.status)
        return await self.fetch(action, DialCallStatus=status, DialCallSid=human)

    async def _tell(self, url: str, **more: str) -> None:
        await self.post(url, **more)


def signature(key: str, url: str, body: bytes) -> str:
    """Return the base64 signature of a form: names sorted, those that repeat in their order."""
    fields = sorted(parse_qsl(body.decode(), keep_blank_values=True), key=lambda field: field[0])
    signed = url + "".join(name + value for name, value in fields)
    return b64encode(hmac.new(key.encode(), signed.encode(), hashlib.sha1).digest()).decode()


# --- REST -------------------------------------------------------------------------------------------


def _rest(network: CarrierNetwork) -> Application:
    """Give a call new cXML, or end it."""
    keys = network.keys
    expected = "Basic " + b64encode(f"{keys['project']}:{keys['token']}".encode()).decode()

    async def update(request: Request) -> Response:
        call = network.calls.get(request.path_params["sid"])
        form = dict(parse_qsl((await request.body())[:MOST_BODY].decode("utf-8", "replace")))
        action = "hangup" if form.get("Status") == "completed" else "redirect" if "Twiml" in form else "unknown"
        if request.headers.get("authorization") != expected or request.path_params["project"] != keys["project"]:
            return _answered(network, call, action, 401, {"code": "20003", "message": "Authenticate"})
        if call is None or call.ended.is_set():
            return _answered(network, call, action, 404, {"code": "20404", "message": "not found", "status": 404})
        dialect = call.dialect
        if action == "unknown" or not isinstance(dialect, SignalWireDialect):
            return _answered(network, call, action, 400, {"code": "20001", "message": "Status or Twiml", "status": 400})
        if action == "hangup":
            call.hang_up("rest")
        else:
            call.redirect(lambda: dialect.follow(200, form["Twiml"].encode()))
        return _answered(network, call, action, 200, {"sid": call.call_id, "account_sid": keys["project"]})

    return Starlette(routes=[Route(API, update, methods=["POST"])])


def _answered(
    network: CarrierNetwork, call: LiveCall | None, action: str, status: int, body: Mapping[str, object]
) -> Response:
    network.asked(call, action, status)
    return JSONResponse(dict(body), status)


def _keys(settings: Settings) -> Mapping[str, str]:
    if settings.signalwire_signing_key is None:
        raise ConfigError("set GATEWAY_SIGNALWIRE_SIGNING_KEY, with which the simulated SignalWire signs")
    token = settings.signalwire_api_token
    return {
        "key": settings.signalwire_signing_key.get_secret_value(),
        "signature": settings.signalwire_signature,
        "project": settings.signalwire_project_id or PROJECT,
        "token": token.get_secret_value() if token is not None else "",
    }


def _uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


CARRIER = Carrier(
    name="signalwire",
    dialect=SignalWireDialect,
    new_id=_uuid,
    keys=_keys,
    settings={
        "signalwire_signing_key": "PSK_simulated",
        "signalwire_project_id": PROJECT,
        "signalwire_api_token": "PT_simulated",
    },
    rest=_rest,
    rest_setting="signalwire_api_url",
)
