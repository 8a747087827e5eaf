"""Vonage, as its Voice API documentation describes it: signed webhooks, NCCO, WebSocket endpoints, calls by REST.

As strict as Vonage where that is documented: audio in frames of exactly 20 ms, 1024 of them queued, headers of 512
bytes, notifies that a clear has dropped never come back.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
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
    Encoding,
    Frame,
    Happening,
    HttpReply,
    Limits,
    LiveCall,
    Mark,
    Step,
)

__all__ = ["CARRIER", "VonageDialect", "VonageWire"]

QUEUE_MS = 1024 * 20
MOST_HEADERS = 512
UNKNOWN, MALFORMED, HEADERS = 8001, 8002, 8003
CONTENT_TYPES = {
    "audio/l16;rate=8000": Encoding.PCM8,
    "audio/l16;rate=16000": Encoding.PCM16,
    "audio/l16;rate=24000": Encoding.PCM24,
}
ENDS = {"busy": "busy", "no-answer": "timeout", "failed": "failed", "rejected": "rejected", "completed": "completed"}

Action = Mapping[str, Any]


class VonageWire:
    """One WebSocket endpoint."""

    awaits_gone = False

    def __init__(self, content_type: str, headers: Mapping[str, str]) -> None:
        self.encoding = CONTENT_TYPES[content_type]
        self.limits = Limits(queue_ms=QUEUE_MS, exact_bytes=self.encoding.frame_bytes)
        self._hello = {"event": "websocket:connected", "content-type": content_type, **headers}

    def hello(self) -> Sequence[Frame]:
        return [json.dumps(self._hello)]

    def media(self, audio: bytes, number: int, at_ms: int) -> Frame:
        return audio

    def digit(self, digit: str) -> Sequence[Frame]:
        return [json.dumps({"event": "websocket:dtmf", "digit": digit, "duration": 260})]

    def read(self, frame: Frame, queued_ms: int) -> Iterable[Ask]:
        if isinstance(frame, bytes):
            yield Audio(frame)
            return
        try:
            message = json.loads(frame)
        except ValueError:
            message = None
        match message:
            case {"action": "clear", **rest} if not rest:
                yield Clear()
            case {"action": "notify", "payload": dict(payload), **rest} if not rest:
                yield Mark(json.dumps(payload))
            case {"action": str(action)}:
                yield Bad(UNKNOWN, f"no such action, or not with these keys: {action[:40]}")
            case _:
                yield Bad(MALFORMED, "not an object with an action")

    def mark(self, name: str, *, cleared: bool) -> Sequence[Frame]:
        return [] if cleared else [json.dumps({"event": "websocket:notify", "payload": json.loads(name)})]

    def tell(self, what: Happening) -> Sequence[Frame]:
        return [json.dumps({"event": "websocket:cleared"})] if what is Happening.CLEARED else []

    def stop(self) -> Sequence[Frame]:
        return []


class VonageDialect:
    """One inbound call of an application whose URLs are `/vonage/answer` and `/vonage/event`."""

    def __init__(self, call: LiveCall) -> None:
        self._call = call
        self._origin = f"{call.network.public_url}/vonage"
        self._conversation = f"CON-{call.call_id}"
        self._numbers = {"from": call.plan.from_.lstrip("+"), "to": call.plan.to.lstrip("+")}
        self._stream_url = ""
        """Where the events of the stream that runs now go."""

    async def begin(self) -> Step | None:
        for status in ("started", "ringing"):
            await self._event(f"{self._origin}/event", self._call.call_id, status)
        query = {**self._numbers, "uuid": self._call.call_id, "conversation_uuid": self._conversation}
        query |= {"region_url": "https://api-us-3.vonage.com", "endpoint_type": "phone"}
        payload = json.dumps(query, separators=(",", ":")).encode()
        url = f"{self._origin}/answer?{urlencode(query)}"
        reply = await self._call.request("GET", url, headers=self._signed(payload), what="answer")
        ncco = _ncco(reply)
        if ncco is None:
            self._call.refuse("failed")
            return None
        return lambda: self.follow(ncco)

    async def over(self) -> None:
        await self._event(f"{self._origin}/event", self._call.call_id, "completed")

    async def follow(self, ncco: Sequence[Action]) -> Step | None:
        """Carry out one NCCO; return the one that takes its place."""
        taken, self._stream_url = self._stream_url, ""
        instead = await self._event(taken, "", "disconnected") if taken else None
        if instead is not None:
            return self._then(instead)
        if not self._call.answered and ncco:
            self._call.answer()
            await self._event(f"{self._origin}/event", self._call.call_id, "answered")
        for action in ncco:
            instead = await self._do(action)
            if instead is not None:
                return self._then(instead)
        return None

    def _then(self, ncco: Sequence[Action]) -> Step:
        return lambda: self.follow(ncco)

    async def _do(self, action: Action) -> Sequence[Action] | None:
        match action:
            case {"action": "talk", "text": str(text)}:
                await self._talk(text)
            case {"action": "notify", "payload": dict(payload), "eventUrl": [str(url)]}:
                return _ncco(await self._post(url, payload, "notify"))
            case {"action": "connect", "endpoint": [{"type": "websocket"} as endpoint]}:
                return await self._connect_stream(action, endpoint)
            case {"action": "connect", "endpoint": [{"type": "phone", "number": str(number)}]}:
                return await self._connect_phone(action, number)
            case _:
                self._call.warn(UNKNOWN, f"no such action: {str(action.get('action'))[:40]}")
        return None

    async def _talk(self, text: str) -> None:
        pause = re.search(r'<break time="(\d+)s"/>', text)
        if pause is not None:
            await asyncio.sleep(int(pause[1]))
        else:
            await self._call.say(text)

    async def _connect_stream(self, action: Action, endpoint: Action) -> Sequence[Action] | None:
        headers = endpoint.get("headers", {})
        if len(json.dumps(headers)) > MOST_HEADERS:
            self._call.warn(HEADERS, f"the headers have more than {MOST_HEADERS} bytes")
        upgrade = {}
        match endpoint.get("authorization"):
            case {"type": "custom", "value": str(value)}:
                upgrade["authorization"] = value
        leg, (url,) = self._leg(), action["eventUrl"]
        self._call.spawn(self._told(url, leg, "started"))
        self._stream_url = url
        wire = VonageWire(endpoint["content-type"], headers)
        code = await self._call.stream(endpoint["uri"], wire, upgrade)
        self._stream_url = ""
        status = "unanswered" if code == 0 else "disconnected"
        return await self._answered(action, url, leg, status)

    async def _connect_phone(self, action: Action, number: str) -> Sequence[Action] | None:
        url, leg = next(iter(action.get("eventUrl", ())), f"{self._origin}/event"), self._leg()

        def told(state: str) -> None:
            if state in ("ringing", "answered"):
                self._call.spawn(self._told(url, leg, state))

        dialled = await self._call.dial(number, timeout_s=float(action.get("timeout", 60)), told=told)
        if dialled.status != "completed":
            # It completes too, and that may overtake the reason.
            await self._event(url, leg, "completed", duration="0")
        return await self._answered(action, url, leg, ENDS[dialled.status], duration=str(round(dialled.talked_s)))

    async def _answered(self, action: Action, url: str, leg: str, status: str, **more: str) -> Sequence[Action] | None:
        """Tell how a leg ended; only a synchronous event's answer is obeyed."""
        instead = await self._event(url, leg, status, **more)
        return instead if action.get("eventType") == "synchronous" and status != "completed" else None

    async def _told(self, url: str, leg: str, status: str) -> None:
        await self._event(url, leg, status)

    async def _event(self, url: str, leg: str, status: str, **more: str) -> Sequence[Action] | None:
        body = {**self._numbers, "uuid": leg or self._leg(), "conversation_uuid": self._conversation}
        body |= {"status": status, "direction": "inbound", "timestamp": "2026-11-22T06:01:31.200Z"}
        body |= more
        return _ncco(await self._post(url, body, status))

    async def _post(self, url: str, body: Mapping[str, object], what: str) -> HttpReply:
        content = json.dumps(body).encode()
        headers = {**self._signed(content), "content-type": "application/json"}
        return await self._call.request("POST", url, headers=headers, content=content, what=what)

    def _leg(self) -> str:
        return str(uuid.UUID(int=self._call.network.rng.getrandbits(128)))

    def _signed(self, payload: bytes) -> dict[str, str]:
        """HS256 by hand: the gateway uses a library for it."""
        network = self._call.network
        claims = {"iat": network.unix_s(), "jti": self._leg(), "iss": "Vonage", "api_key": "a1b2c3d"}
        claims |= {"application_id": network.keys["application"], "payload_hash": hashlib.sha256(payload).hexdigest()}
        signed = f"{_b64({'alg': 'HS256', 'typ': 'JWT'})}.{_b64(claims)}"
        digest = hmac.digest(network.keys["secret"].encode(), signed.encode(), "sha256")
        return {"authorization": f"Bearer {signed}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"}


def _b64(part: Mapping[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def _ncco(reply: HttpReply) -> Sequence[Action] | None:
    """Return the NCCO of an answer; None when there is none."""
    actions = reply.json() if reply.status == 200 else None
    return actions if isinstance(actions, list) else None


def _rest(network: CarrierNetwork) -> Application:
    """`PUT /v1/calls/{uuid}`, and its `/dtmf`."""

    async def update(request: Request) -> Response:
        call = _live(network, request)
        body = await request.json()
        action = str(body.get("action"))
        if not _authorised(network, request):
            return _done(network, call, action, 401)
        if call is None:
            return _done(network, call, action, 404)
        match body:
            case {"action": "hangup"}:
                call.hang_up()
            case {"action": "transfer", "destination": {"type": "ncco", "ncco": list(ncco)}}:
                dialect = call.dialect
                assert isinstance(dialect, VonageDialect)
                call.redirect(lambda: dialect.follow(ncco))
            case _:
                return _done(network, call, action, 400)
        return _done(network, call, action, 204)

    async def dtmf(request: Request) -> Response:
        call = _live(network, request)
        if call is None or not _authorised(network, request):
            return _done(network, call, "dtmf", 404 if call is None else 401)
        call.heard_key(str((await request.json()).get("digits", "")).replace("p", ""))
        return _done(network, call, "dtmf", 200)

    return Starlette(
        routes=[
            Route("/v1/calls/{uuid}", update, methods=["PUT"]),
            Route("/v1/calls/{uuid}/dtmf", dtmf, methods=["PUT"]),
        ]
    )


def _live(network: CarrierNetwork, request: Request) -> LiveCall | None:
    call = network.calls.get(request.path_params["uuid"])
    return None if call is None or call.ended.is_set() else call


def _done(network: CarrierNetwork, call: LiveCall | None, action: str, status: int) -> Response:
    network.asked(call, action, status)
    return Response(status_code=204) if status == 204 else JSONResponse({"status": status}, status)


def _authorised(network: CarrierNetwork, request: Request) -> bool:
    key = serialization.load_pem_private_key(network.keys["private_key"].encode(), None).public_key()
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    try:
        claims = jwt.decode(token, key, algorithms=["RS256"], options={"require": ["iat", "jti"]})  # type: ignore[arg-type]
    except jwt.PyJWTError:
        return False
    return claims.get("application_id") == network.keys["application"]


def _keys(settings: Settings) -> Mapping[str, str]:
    if settings.vonage_signature_secret is None:
        raise ConfigError("set GATEWAY_VONAGE_SIGNATURE_SECRET, with which the simulated Vonage signs")
    private = settings.vonage_private_key.get_secret_value() if settings.vonage_private_key is not None else _new_key()
    return {
        "secret": settings.vonage_signature_secret.get_secret_value(),
        "application": settings.vonage_application_id or APPLICATION,
        "private_key": private.replace("\\n", "\n"),
    }


def _new_key() -> str:
    key = generate_private_key(65537, 2048)
    kind, form, lock = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(kind, form, lock).decode()


APPLICATION = "aaaaaaaa-bbbb-cccc-dddd-0123456789ab"
CARRIER = Carrier(
    name="vonage",
    dialect=VonageDialect,
    new_id=lambda rng: str(uuid.UUID(int=rng.getrandbits(128))),
    keys=_keys,
    settings={
        "vonage_signature_secret": "simulated-vonage-signature-secret-of-40c",
        "vonage_application_id": APPLICATION,
        "vonage_private_key": _new_key(),
    },
    rest=_rest,
    rest_setting="vonage_api_url",
)
