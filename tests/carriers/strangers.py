"""The application with every door open, and requests to it that are signed as each carrier signs, by any key."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import count
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import httpx2
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI
from twilio.request_validator import RequestValidator

from gateway.simulator.carriers import jambonz, plivo, signalwire, telnyx, vonage
from gateway.simulator.world import ACCOUNT, CALLER, NUMBER, PUBLIC, TOKEN, World, world
from tests.world import AGENTS

__all__ = ["CARRIERS", "Carrier", "all_doors", "basic", "every_door"]

NAMES = ("telnyx", "signalwire", "plivo", "vonage", "jambonz", "genesys", "asterisk", "audiosocket")
API_KEY = "0123456789abcdef0123456789abcdef"
OPENAI_SECRET = b"the webhook secret of openai, simulated"
CALL = "0e2a6f3c-1b7e-4a54-9d66-6c6d2f6b8a11"
_ids = count()


def every_door() -> dict[str, object]:
    """Return settings that open everything, each with its own secret."""
    opened: dict[str, object] = {
        "twilio_account_sid": ACCOUNT,
        "openai_webhook_secret": "whsec_" + base64.b64encode(OPENAI_SECRET).decode(),
        "browser_phone": True,
        "api_keys": API_KEY,
    }
    for name in NAMES:
        carrier = import_module(f"gateway.simulator.carriers.{name}").CARRIER
        opened |= carrier.settings
        if carrier.rest_setting:
            opened[carrier.rest_setting] = f"https://api.{name}.example.com"
    return opened


@asynccontextmanager
async def all_doors(folder: Path, settings: Mapping[str, object] | None = None) -> AsyncIterator[World]:
    """Start it, inside `clock.run`. What is asked of the carriers' REST is granted, and nothing comes of it."""
    rest = FastAPI(openapi_url=None)

    @rest.api_route("/{path:path}", methods=["GET", "POST", "PUT", "DELETE"])
    async def grant(path: str) -> dict[str, str]:
        return {}

    granting = httpx2.ASGITransport(app=rest)
    async with world(folder, AGENTS, settings=every_door() | dict(settings or {}), transport=granting) as it:
        yield it


Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Carrier:
    """How a carrier offers a call. `sign` takes key, URL and body."""

    name: str
    path: str
    key: bytes
    fields: Fields
    """A call from `CALLER` to `NUMBER`."""
    sign: Callable[[bytes, str, bytes], dict[str, str]]
    form: bool = False
    signs_url: bool = False
    caller: str = "from"
    """Which field the caller is in."""

    @property
    def url(self) -> str:
        return PUBLIC + self.path

    def body(self, **more: object) -> bytes:
        """Return the offer, with other fields over its own."""
        made = {"created_at": int(time.time())} if "created_at" in self.fields else {}  # now, not when this was read
        fields = {**self.fields, **made, **more}
        return (urlencode(fields) if self.form else json.dumps(fields)).encode()

    def headers(self, body: bytes, *, key: bytes | None = None, url: str = "") -> dict[str, str]:
        """Return what goes with a body."""
        kind = "application/x-www-form-urlencoded" if self.form else "application/json"
        return {"content-type": kind, **self.sign(self.key if key is None else key, url or self.url, body)}


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _form(body: bytes) -> dict[str, str]:
    return dict(parse_qsl(body.decode(), keep_blank_values=True))


def _twilio(key: bytes, url: str, body: bytes) -> dict[str, str]:
    return {"x-twilio-signature": RequestValidator(key.decode()).compute_signature(url, _form(body))}


def _signalwire(key: bytes, url: str, body: bytes) -> dict[str, str]:
    return {"x-signalwire-signature": hmac.digest(key, url.encode() + body, "sha1").hex()}


def _plivo(key: bytes, url: str, body: bytes) -> dict[str, str]:
    nonce = f"{next(_ids):020}"
    signed = plivo.signature(key.decode(), "POST", url, _form(body), nonce)
    return {"x-plivo-signature-v3": signed, "x-plivo-signature-v3-nonce": nonce}


def _telnyx(key: bytes, url: str, body: bytes) -> dict[str, str]:
    at = str(int(time.time()))
    signed = Ed25519PrivateKey.from_private_bytes(key).sign(at.encode() + b"|" + body)
    return {"telnyx-timestamp": at, "telnyx-signature-ed25519": base64.b64encode(signed).decode()}


def _vonage(key: bytes, url: str, body: bytes) -> dict[str, str]:
    claims = {
        "iat": int(time.time()),
        "jti": f"jti-{next(_ids)}",
        "application_id": vonage.APPLICATION,
        "payload_hash": hashlib.sha256(body).hexdigest(),
    }
    return {"authorization": "Bearer " + jwt.encode(claims, key, algorithm="HS256")}


def _jambonz(key: bytes, url: str, body: bytes) -> dict[str, str]:
    at = str(int(time.time()))
    return {"jambonz-signature": f"t={at},v1={hmac.digest(key, at.encode() + b'.' + body, 'sha256').hex()}"}


def _openai(key: bytes, url: str, body: bytes) -> dict[str, str]:
    at, webhook = str(int(time.time())), f"wh_{next(_ids)}"
    signed = base64.b64encode(hmac.digest(key, f"{webhook}.{at}.".encode() + body, "sha256")).decode()
    return {"webhook-id": webhook, "webhook-timestamp": at, "webhook-signature": f"v1,{signed}"}


def _audiosocket(key: bytes, url: str, body: bytes) -> dict[str, str]:
    return {"authorization": basic("asterisk", key.decode())}


def _secret(carrier: str, setting: str) -> bytes:
    return str(import_module(f"gateway.simulator.carriers.{carrier}").CARRIER.settings[setting]).encode()


_TWILIO = {"CallSid": "CA" + "1" * 32, "AccountSid": ACCOUNT, "From": CALLER, "To": NUMBER, "CallStatus": "ringing"}
_TELNYX = {
    "data": {
        "id": "e-1",
        "event_type": "call.initiated",
        "payload": {"call_control_id": CALL, "direction": "incoming", "from": CALLER, "to": NUMBER},
    }
}
_JAMBONZ = {"call_sid": CALL, "account_sid": jambonz.ACCOUNT, "from": CALLER, "to": NUMBER, "call_status": "trying"}
_SIP = [{"name": "From", "value": f"<sip:{CALLER}@x>"}, {"name": "To", "value": f"<sip:{NUMBER}@x>"}]
_OPENAI = {
    "type": "realtime.call.incoming",
    "created_at": int(time.time()),
    "data": {"call_id": "rtc_1", "sip_headers": _SIP},
}

CARRIERS = {
    it.name: it
    for it in (
        Carrier("twilio", "/twilio/voice", TOKEN.encode(), _TWILIO, _twilio, form=True, signs_url=True, caller="From"),
        Carrier(
            "signalwire",
            "/signalwire/voice",
            _secret("signalwire", "signalwire_signing_key"),
            {**_TWILIO, "CallSid": CALL, "AccountSid": signalwire.PROJECT},
            _signalwire,
            form=True,
            signs_url=True,
            caller="From",
        ),
        Carrier(
            "plivo",
            "/plivo/answer",
            _secret("plivo", "plivo_auth_token"),
            {"CallUUID": CALL, "From": CALLER[1:], "To": NUMBER[1:], "Direction": "inbound", "CallStatus": "ringing"},
            _plivo,
            form=True,
            signs_url=True,
            caller="From",
        ),
        Carrier("telnyx", "/telnyx/voice", telnyx.PRIVATE_KEY, _TELNYX, _telnyx),
        Carrier(
            "vonage",
            "/vonage/answer",
            _secret("vonage", "vonage_signature_secret"),
            {"uuid": CALL, "from": CALLER[1:], "to": NUMBER[1:]},
            _vonage,
        ),
        Carrier("jambonz", "/jambonz/call", _secret("jambonz", "jambonz_webhook_secret"), _JAMBONZ, _jambonz),
        Carrier("openai", "/openai/incoming", OPENAI_SECRET, _OPENAI, _openai),
        Carrier(
            "audiosocket",
            "/audiosocket/offer",
            _secret("asterisk", "asterisk_password"),
            {"call": "1795327200.12", "from": CALLER, "to": NUMBER},
            _audiosocket,
            form=True,
        ),
    )
}
