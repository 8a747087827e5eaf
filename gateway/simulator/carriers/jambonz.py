"""jambonz, as its documentation describes it: signed webhooks, verbs, the `listen` verb's socket, call control by REST.

As strict as jambonz: its subprotocol must be selected, 30 marks may be pending, what a kill drops comes back labelled.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

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
    Leave,
    Limits,
    LiveCall,
    Mark,
    Step,
)

__all__ = ["CARRIER", "JambonzDialect", "JambonzWire"]

SUBPROTOCOL = "audio.drachtio.org"
MOST_MARKS = 30
UNKNOWN, MALFORMED, ODD = 8101, 8102, 8103
RATES = {8000: Encoding.PCM8, 16_000: Encoding.PCM16, 24_000: Encoding.PCM24}

Verb = Mapping[str, Any]


class JambonzWire:
    """One `listen` with bidirectional streaming."""

    awaits_gone = False

    def __init__(self, metadata: Mapping[str, object], rate_hz: int, *, pass_dtmf: bool) -> None:
        self.encoding = RATES[rate_hz]
        self.limits = Limits(marks=MOST_MARKS)
        self._metadata = {**metadata, "sampleRate": rate_hz, "mixType": "mono"}
        self._pass_dtmf = pass_dtmf

    def hello(self) -> Sequence[Frame]:
        return [json.dumps(self._metadata)]

    def media(self, audio: bytes, number: int, at_ms: int) -> Frame:
        return audio

    def digit(self, digit: str) -> Sequence[Frame]:
        return [json.dumps({"event": "dtmf", "dtmf": digit, "duration": "1600"})] if self._pass_dtmf else []

    def read(self, frame: Frame, queued_ms: int) -> Iterable[Ask]:
        if isinstance(frame, bytes):
            yield Bad(ODD, "half a sample") if len(frame) % 2 else Audio(frame)
            return
        try:
            message = json.loads(frame)
        except ValueError:
            message = None
        match message:
            case {"type": "mark", "data": {"name": str(name)}}:
                yield Mark(name)
            case {"type": "killAudio"}:
                yield Clear()
            case {"type": "clearMarks"}:
                pass  # those of the audio that was killed have gone with it
            case {"type": "disconnect"}:
                yield Leave()
            case {"type": str(kind)}:
                yield Bad(UNKNOWN, f"no such message while streaming: {kind[:40]}")
            case _:
                yield Bad(MALFORMED, "not an object with a type")

    def mark(self, name: str, *, cleared: bool) -> Sequence[Frame]:
        return [json.dumps({"type": "mark", "data": {"name": name, "event": "cleared" if cleared else "playout"}})]

    def tell(self, what: Happening) -> Sequence[Frame]:
        return []

    def stop(self) -> Sequence[Frame]:
        return []


class JambonzDialect:
    """One inbound call of an application whose webhooks are `/jambonz/call` and `/jambonz/status`."""

    def __init__(self, call: LiveCall) -> None:
        self._call = call
        self._origin = f"{call.network.public_url}/jambonz"
        self._fields: dict[str, object] = {
            "call_sid": call.call_id,
            "account_sid": call.network.keys["account"],
            "application_sid": APPLICATION,
            "direction": "inbound",
            "from": call.plan.from_,
            "to": call.plan.to,
            "call_id": f"sip-{call.call_id}",
        }
        self._status = "trying"
        self._listening = ""
        """Hook of the stream that runs now."""

    async def begin(self) -> Step | None:
        await self._report()
        verbs = await self._ask(f"{self._origin}/call", "call")
        if not verbs:
            self._call.refuse("failed")
            return None
        return lambda: self._follow(verbs)

    async def over(self) -> None:
        self._status = self._call.report.outcome
        await self._killed()
        await self._report()

    async def _killed(self) -> None:
        """A verb that was killed tells its hook, and whatever that answers is ignored."""
        hook, self._listening = self._listening, ""
        if hook:
            await self._ask(hook, "killed")

    async def hook(self, url: str) -> Step | None:
        """Ask for new verbs and carry them out: what `call_hook` does."""
        await self._killed()
        return await self._follow(await self._ask(url, "hook"))

    async def _follow(self, verbs: Sequence[Verb]) -> Step | None:
        for verb in verbs:
            url = await self._do(verb)
            if url:
                instead = await self._ask(url, str(verb["verb"]))
                if instead:
                    return self._then(instead)
            if self._call.ended.is_set():
                break
        return None

    def _then(self, verbs: Sequence[Verb]) -> Step:
        return lambda: self._follow(verbs)

    async def _do(self, verb: Verb) -> str:
        """Carry out one verb; return the hook to ask then, "" for none."""
        match verb:
            case {"verb": "answer"}:
                await self._answer()
            case {"verb": "listen"}:
                await self._listen(verb)
            case {"verb": "say", "text": str(text)}:
                await self._answer()
                await self._call.say(text)
            case {"verb": "pause", "length": int(seconds)}:
                await asyncio.sleep(seconds)
            case {"verb": "dial", "target": [{"type": "phone", "number": str(number)}]}:
                await self._dial(verb, number)
            case {"verb": "sip:decline", "status": int(status)}:
                self._call.refuse("busy" if status == 486 else "failed")
            case {"verb": "hangup"}:
                self._call.hang_up()
            case {"verb": "redirect"}:
                pass
            case _:
                self._call.warn(UNKNOWN, f"no such verb: {str(verb.get('verb'))[:40]}")
        return str(verb.get("actionHook", ""))

    async def _answer(self) -> None:
        if not self._call.answered:
            self._call.answer()
            self._status = "in-progress"
            await self._report()

    async def _listen(self, verb: Verb) -> None:
        both = verb.get("bidirectionalAudio", {})
        if not self._call.answered or not both.get("streaming") or both.get("sampleRate") != verb["sampleRate"]:
            self._call.warn(MALFORMED, "expected an answered call, streaming, and one rate for both ways")
            return
        auth = verb["wsAuth"]
        basic = base64.b64encode(f"{auth['username']}:{auth['password']}".encode()).decode()
        fields = {"callSid": "call_sid", "accountSid": "account_sid", "applicationSid": "application_sid"}
        fields |= {"direction": "direction", "from": "from", "to": "to", "callId": "call_id"}
        metadata = {name: self._fields[key] for name, key in fields.items()} | dict(verb.get("metadata", {}))
        wire = JambonzWire(metadata, int(verb["sampleRate"]), pass_dtmf=bool(verb.get("passDtmf")))
        headers = {"authorization": f"Basic {basic}", "sec-websocket-protocol": SUBPROTOCOL}
        self._listening = str(verb["actionHook"])
        await self._call.stream(verb["url"], wire, headers)
        self._listening = ""

    async def _dial(self, verb: Verb, number: str) -> None:
        leg = str(uuid.UUID(int=self._call.network.rng.getrandbits(128)))
        states = {"ringing": "ringing", "answered": "in-progress"}

        def told(state: str) -> None:
            if state in states:
                child = {"call_sid": leg, "parent_call_sid": self._call.call_id, "direction": "outbound"}
                self._call.spawn(self._report(child | {"call_status": states[state]}))

        dialled = await self._call.dial(number, timeout_s=float(verb.get("timeout", 60)), told=told)
        status = "failed" if dialled.status == "rejected" else dialled.status
        self._fields |= {"dial_call_status": status, "dial_call_sid": leg, "dial_sip_status": 200}

    async def _report(self, fields: Mapping[str, object] | None = None) -> None:
        await self._post(f"{self._origin}/status", fields or {}, "status")

    async def _ask(self, url: str, what: str) -> Sequence[Verb]:
        reply = await self._post(url, {}, what)
        verbs = reply.json() if reply.status == 200 else None
        return verbs if isinstance(verbs, list) else []

    async def _post(self, url: str, fields: Mapping[str, object], what: str) -> HttpReply:
        network = self._call.network
        content = json.dumps({**self._fields, "call_status": self._status, **fields}).encode()
        moment = str(network.unix_s())
        digest = hmac.new(network.keys["secret"].encode(), f"{moment}.".encode() + content, hashlib.sha256).hexdigest()
        headers = {"content-type": "application/json", "jambonz-signature": f"t={moment},v1={digest}"}
        return await self._call.request("POST", url, headers=headers, content=content, what=what)


def _rest(network: CarrierNetwork) -> Application:
    """`POST /api/v1/Accounts/{account}/Calls/{call}`."""

    async def update(request: Request) -> Response:
        call = network.calls.get(request.path_params["call"])
        if call is not None and call.ended.is_set():
            call = None
        body = await request.json()
        action = ",".join(body)
        authorised = request.headers.get("authorization") == f"Bearer {network.keys['api_key']}"
        if not authorised or request.path_params["account"] != network.keys["account"]:
            return _done(network, call, action, 401)
        if call is None:
            return _done(network, call, action, 404)
        dialect = call.dialect
        assert isinstance(dialect, JambonzDialect)
        match body:
            case {"call_hook": str(url)}:
                call.redirect(lambda: dialect.hook(url))
            case {"call_status": "completed"}:
                call.hang_up()
            case _:
                return _done(network, call, action, 400)
        return _done(network, call, action, 202)

    return Starlette(routes=[Route("/api/v1/Accounts/{account}/Calls/{call}", update, methods=["POST"])])


def _done(network: CarrierNetwork, call: LiveCall | None, action: str, status: int) -> Response:
    network.asked(call, action, status)
    return Response(status_code=202) if status == 202 else JSONResponse({"status": status}, status)


def _keys(settings: Settings) -> Mapping[str, str]:
    if settings.jambonz_webhook_secret is None:
        raise ConfigError("set GATEWAY_JAMBONZ_WEBHOOK_SECRET, with which the simulated jambonz signs")
    return {
        "secret": settings.jambonz_webhook_secret.get_secret_value(),
        "account": settings.jambonz_account_sid or ACCOUNT,
        "api_key": settings.jambonz_api_key.get_secret_value() if settings.jambonz_api_key is not None else "",
    }


ACCOUNT = "9351f46a-678c-43f5-b8a6-d4eb58d131af"
APPLICATION = "0e0681b0-d49f-4fb8-b973-b5a3c6758de1"
CARRIER = Carrier(
    name="jambonz",
    dialect=JambonzDialect,
    new_id=lambda rng: str(uuid.UUID(int=rng.getrandbits(128))),
    keys=_keys,
    settings={
        "jambonz_webhook_secret": "simulated-jambonz-webhook-secret",
        "jambonz_account_sid": ACCOUNT,
        "jambonz_api_key": "simulated-jambonz-api-key",
    },
    rest=_rest,
    rest_setting="jambonz_api_url",
)
