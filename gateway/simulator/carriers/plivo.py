"""Plivo, as its documentation and its SDKs describe it: signed webhooks, XML, audio streaming, calls by REST.

As strict as Plivo where that is documented: messages of 64 KB, payloads of 16 KB, 60 s of queue, header values of
letters and digits, checkpoints that a clear has dropped never come back. After a stream the verbs behind it run; with
the key `after_stream` set to "hold" the call is kept and nothing runs, which is how another of Plivo's pages reads.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import re
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

__all__ = ["CARRIER", "PlivoDialect", "PlivoWire", "signature"]

QUEUE_MS = 60_000
MOST_MESSAGE, MOST_PAYLOAD, MOST_HEADERS, MOST_XML = 64 * 1024, 16 * 1024, 512, 100_000
MALFORMED, UNKNOWN, BAD_XML, HEADERS = 7001, 7002, 7003, 7004
CONTENT_TYPES = {
    "audio/x-mulaw;rate=8000": ("audio/x-mulaw", Encoding.MULAW),
    "audio/x-l16;rate=8000": ("audio/x-l16", Encoding.PCM8),
    "audio/x-l16;rate=16000": ("audio/x-l16", Encoding.PCM16),
}
KEYS = re.compile(r"[0-9*#A-Dw]{1,64}")


class PlivoWire:
    """One audio stream."""

    awaits_gone = False
    limits = Limits(queue_ms=QUEUE_MS, most_message_bytes=MOST_MESSAGE)

    def __init__(self, call_id: str, account: str, content_type: str, headers: str) -> None:
        self._type, self.encoding = CONTENT_TYPES[content_type]
        self._stream_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{call_id} {headers}"))
        self._headers = headers.replace(",", ";")
        self._seq = -1
        self._start = {
            "callId": call_id,
            "streamId": self._stream_id,
            "accountId": account,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": self._type, "sampleRate": self.encoding.rate_hz},
        }

    def hello(self) -> Sequence[Frame]:
        return [self._said("start", start=self._start)]

    def media(self, audio: bytes, number: int, at_ms: int) -> Frame:
        payload = b64encode(audio).decode()
        return self._said(
            "media", media={"track": "inbound", "timestamp": str(at_ms), "chunk": number, "payload": payload}
        )

    def digit(self, digit: str) -> Sequence[Frame]:
        return [self._said("dtmf", dtmf={"track": "inbound", "digit": digit, "timestamp": "0"})]

    def read(self, frame: Frame, queued_ms: int) -> Iterable[Ask]:
        try:
            message = json.loads(frame)
        except ValueError:
            message = None
        match message:
            case {"event": "playAudio", "media": {"contentType": kind, "sampleRate": rate, "payload": str(payload)}}:
                yield self._audio(kind, rate, payload)
            case {"event": "checkpoint", "streamId": self._stream_id, "name": str(name)}:
                yield Mark(name)
            case {"event": "clearAudio", "streamId": self._stream_id}:
                yield Clear()
            case {"event": "sendDTMF", "dtmf": str(keys)} if KEYS.fullmatch(keys):
                yield Digits(keys)
            case {"event": str(event)}:
                yield Bad(UNKNOWN, f"no such event, or not with these keys: {event[:40]}")
            case _:
                yield Bad(MALFORMED, "not an object with an event")

    def _audio(self, kind: object, rate: object, payload: str) -> Ask:
        if (kind, rate) != (self._type, self.encoding.rate_hz):
            return Bad(MALFORMED, "audio of another type than the stream's")
        if len(payload) > MOST_PAYLOAD:
            return Bad(MALFORMED, f"a payload of {len(payload)} characters")
        try:
            return Audio(b64decode(payload, validate=True))
        except ValueError:
            return Bad(MALFORMED, "no base64")

    def mark(self, name: str, *, cleared: bool) -> Sequence[Frame]:
        return [] if cleared else [self._said("playedStream", name=name)]

    def tell(self, what: Happening) -> Sequence[Frame]:
        return [self._said("clearedAudio")] if what is Happening.CLEARED else []

    def stop(self) -> Sequence[Frame]:
        return []

    def _said(self, event: str, **body: object) -> str:
        self._seq += 1
        named = {} if event == "start" else {"streamId": self._stream_id}
        return json.dumps(
            {"sequenceNumber": self._seq, **named, "event": event, **body, "extra_headers": self._headers}
        )


class PlivoDialect:
    """Fetches XML and does what it says, verb by verb."""

    def __init__(self, call: LiveCall) -> None:
        self.call = call
        self._network = call.network

    async def begin(self) -> Step | None:
        return await self.fetch(f"{self._network.public_url}/plivo/answer", "ringing", Event="StartApp")

    async def over(self) -> None:
        outcome = self.call.report.call.outcome
        url = f"{self._network.public_url}/plivo/hangup"
        await self._post(url, outcome, Event="Hangup", HangupCause="NORMAL_CLEARING", HangupSource="Caller")

    async def fetch(self, url: str, status: str = "in-progress", **more: str) -> Step | None:
        """Ask what to do and return that, to be done."""
        reply = await self._post(url, status, **more)

        async def follow() -> Step | None:
            return await self._follow(reply)

        return follow

    async def _post(self, url: str, status: str, **more: str) -> HttpReply:
        plan = self.call.plan
        form = {
            "CallUUID": self.call.call_id,
            "ALegUUID": self.call.call_id,
            "From": plan.from_.removeprefix("+"),
            "To": plan.to.removeprefix("+"),
            "Direction": "inbound",
            "CallStatus": status,
            "BillRate": "0.0055",
            **more,
        }
        headers = {"content-type": "application/x-www-form-urlencoded", **self._signed("POST", url, form)}
        what = urlsplit(url).path.rpartition("/plivo/")[2]
        return await self.call.request("POST", url, headers=headers, content=urlencode(form).encode(), what=what)

    def _signed(self, method: str, url: str, form: Mapping[str, str]) -> dict[str, str]:
        nonce = str(self._network.rng.randrange(10**19, 10**20))
        ours = signature(self._network.keys["token"], method, url, form, nonce)
        return {"x-plivo-signature-v3": ours, "x-plivo-signature-v3-nonce": nonce}

    async def _follow(self, reply: HttpReply) -> Step | None:
        try:
            root = ElementTree.fromstring(reply.body.decode()) if len(reply.body) <= MOST_XML else None
        except (ElementTree.ParseError, UnicodeDecodeError):
            root = None
        if reply.status != 200 or root is None or root.tag != "Response":
            self.call.warn(BAD_XML, f"no XML to follow: HTTP {reply.status}")
            return None
        for verb in root:
            text, said = (verb.text or "").strip(), verb.attrib
            if verb.tag == "Hangup":
                if not self.call.answered:
                    self.call.refuse("busy" if said.get("reason") == "busy" else "failed")
                self.call.hang_up()
                return None
            if verb.tag == "Redirect":
                return await self.fetch(text, "in-progress" if self.call.answered else "ringing", Event="Redirect")
            step = await self._do(verb.tag, text, said, verb)
            if step is not None:
                return step
        return None

    async def _do(self, tag: str, text: str, said: Mapping[str, str], verb: ElementTree.Element) -> Step | None:
        self.call.answer()
        match tag:
            case "Stream":
                await self._stream(text, said)
            case "Speak":
                await self.call.say(text)
            case "Wait":
                await asyncio.sleep(float(said.get("length", "1")))
            case "Dial":
                return await self._dial(said, verb.findtext("Number", "").strip())
            case _:
                self.call.warn(BAD_XML, f"no such verb: {tag}")
        return None

    async def _stream(self, url: str, said: Mapping[str, str]) -> None:
        headers = said.get("extraHeaders", "")
        for pair in headers.split(","):
            if not re.fullmatch(r"[A-Za-z0-9]+=[A-Za-z0-9]*", pair) or len(headers) > MOST_HEADERS:
                self.call.warn(HEADERS, "extraHeaders: expected name=value of letters and digits, 512 bytes in all")
        if said.get("bidirectional") != "true" or said.get("contentType") not in CONTENT_TYPES or "?" in url:
            self.call.warn(BAD_XML, "Stream: not bidirectional, or of no known content type")
            return
        wire = PlivoWire(self.call.call_id, self._network.keys["account"], said["contentType"], headers)
        signed = self._signed("GET", url, {})
        code = await self.call.stream(url, wire, signed)
        if self._network.keys.get("after_stream") == "hold" and code != 0:
            await self.call.forever()

    async def _dial(self, said: Mapping[str, str], number: str) -> Step | None:
        def told(state: str) -> None:
            if state == "answered" and "callbackUrl" in said:
                self.call.spawn(self._tell(said["callbackUrl"]))

        dialled = await self.call.dial(number, timeout_s=float(said.get("timeout", "120")), told=told)
        if "action" not in said:
            return None
        status = {"rejected": "completed"}.get(dialled.status, dialled.status)
        return await self.fetch(said["action"], Event="Redirect", DialStatus=status, DialRingStatus="true")

    async def _tell(self, url: str) -> None:
        await self._post(url, "in-progress", Event="DialAnswer", DialAction="answer", DialBLegStatus="answer")


def signature(token: str, method: str, url: str, form: Mapping[str, str], nonce: str) -> str:
    """Return Plivo's signature V3, as its SDK checks it."""
    parts = urlsplit(url)
    asked = "&".join(f"{name}={value}" for name, value in sorted(parse_qsl(parts.query, keep_blank_values=True)))
    base = f"{parts.scheme}://{parts.netloc}{parts.path}"
    fields = "".join(f"{name}{form[name]}" for name in sorted(form)) if method == "POST" else ""
    if asked or fields:
        base += "?" + asked
    if asked and fields:
        base += "."
    return base64.b64encode(
        hmac.new(token.encode(), f"{base}{fields}.{nonce}".encode(), hashlib.sha256).digest()
    ).decode()


# --- REST -------------------------------------------------------------------------------------------


def _rest(network: CarrierNetwork) -> Application:
    """`/v1/Account/{id}/Call/{uuid}/`: redirect and hang up."""
    expected = "Basic " + b64encode(f"{network.keys['account']}:{network.keys['token']}".encode()).decode()

    def found(request: Request) -> LiveCall | None:
        call = network.calls.get(request.path_params["uuid"])
        return None if call is None or call.ended.is_set() else call

    def refused(request: Request) -> bool:
        path = request.path_params["account"]
        return request.headers.get("authorization") != expected or path != network.keys["account"]

    async def act(request: Request) -> Response:
        call, deletes = found(request), request.method == "DELETE"
        action = "hangup" if deletes else "transfer"
        status = 401 if refused(request) else 404 if call is None else 204 if deletes else 202
        network.asked(call, action, status)
        if call is None or status >= 400:
            return JSONResponse({"error": "not found" if status == 404 else "unauthorized"}, status)
        if deletes:
            call.hang_up()
            return Response(status_code=204)
        body = json.loads(await request.body())
        dialect = call.dialect
        if body.get("legs") != "aleg" or not isinstance(dialect, PlivoDialect):
            return JSONResponse({"error": "legs must be aleg"}, 400)

        async def fetch() -> Step | None:
            return await dialect.fetch(body["aleg_url"], Event="Redirect")

        call.redirect(fetch)
        return JSONResponse({"message": "call transferred", "api_id": str(uuid.UUID(int=1))}, 202)

    return Starlette(routes=[Route("/v1/Account/{account}/Call/{uuid}/", act, methods=["POST", "DELETE"])])


def _keys(settings: Settings) -> Mapping[str, str]:
    if settings.plivo_auth_token is None:
        raise ConfigError("set GATEWAY_PLIVO_AUTH_TOKEN, with which the simulated Plivo signs")
    return {"token": settings.plivo_auth_token.get_secret_value(), "account": settings.plivo_auth_id or ACCOUNT}


ACCOUNT = "MASIMULATED000000000"
CARRIER = Carrier(
    name="plivo",
    dialect=PlivoDialect,
    new_id=lambda rng: str(uuid.UUID(int=rng.getrandbits(128))),
    keys=_keys,
    settings={"plivo_auth_token": "simulated-plivo-auth-token", "plivo_auth_id": ACCOUNT},
    rest=_rest,
    rest_setting="plivo_api_url",
)
