"""SignalWire: Twilio's webhooks, markup and REST under other names. The routes and the control are Twilio's modules."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import WebSocket
from twilio.twiml.voice_response import Connect

from gateway.carrierconfig import CarrierSettings
from gateway.carriers.front import Carrier, Front
from gateway.carriers.signalwire.codec import SignalWireCodec
from gateway.carriers.signalwire.signature import SignatureCheck, bearer
from gateway.carriers.twilio.control import TwilioControl
from gateway.carriers.twilio.dialect import Dialect
from gateway.carriers.twilio.door import TwilioDoor
from gateway.carriers.twilio.rest import TwilioRest
from gateway.carriers.twilio.routes import router
from gateway.carriers.upgradetokens import UpgradeTokens
from gateway.errors import ConfigError

__all__ = ["CAPABILITIES", "open_carrier"]

CAPABILITIES = {
    "audio": "mu-law",
    "marks": "echoed",
    "after_clear": "marks returned",
    "dtmf_in": "socket",
    "dtmf_out": "socket",
    "hang_up": "cXML, REST",
    "transfer_blind": "REST",
    "transfer_warm": "REST, conference",
    "comes_back": "yes",
    "upgrade_auth": "bearer token",
    "webhook_auth": "HMAC-SHA1 or SHA256",
    "silence": "not needed",
}
API_PATH = "/api/laml"
CODEC = "PCMU@8000h"
UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
"""SignalWire's ids, of projects too."""


def open_carrier(settings: CarrierSettings, front: Front) -> Carrier:
    """Return the door. Without the REST settings calls are taken, but none is transferred. Raises `ConfigError`."""
    if settings.signalwire_signing_key is None:
        raise ConfigError("signalwire needs GATEWAY_SIGNALWIRE_SIGNING_KEY")
    tokens = UpgradeTokens()
    dialect = _dialect(tokens)
    rest = _rest(settings, front, dialect)
    control = TwilioControl(rest, front.calls, front.public_url, None, dialect)
    signatures = SignatureCheck(
        settings.signalwire_signing_key.get_secret_value(),
        front.public_url,
        settings.signalwire_signature,
        tokens,
        allow_unsigned=front.allow_unsigned,
    )
    door = TwilioDoor(front, dialect, settings.signalwire_project_id, signatures, control)

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        try:
            async with control.running():
                yield
        finally:
            if rest is not None:
                await rest.close()

    return Carrier(dialect.name, router(door), control, running)


def _dialect(tokens: UpgradeTokens) -> Dialect:
    def stream(connect: Connect, url: str, status_url: str, token: str) -> None:
        """`realtime="false"` lets SignalWire queue what we send ahead of its time; a clear empties that queue."""
        tokens.add(token)
        connect.stream(url=url, codec=CODEC, realtime="false", auth_bearer_token=token, status_callback=status_url)

    def open_codec(websocket: WebSocket) -> SignalWireCodec:
        return SignalWireCodec(bearer(websocket.headers))

    return Dialect(
        name="signalwire",
        webhook_id=UUID,
        call_id=UUID,
        account_id=UUID,
        account_words="a UUID",
        stream=stream,
        open_codec=open_codec,
    )


def _rest(settings: CarrierSettings, front: Front, dialect: Dialect) -> TwilioRest | None:
    """Return the client; None when none of its settings is there. Raises `ConfigError` when some are missing."""
    project, token, url = settings.signalwire_project_id, settings.signalwire_api_token, settings.signalwire_api_url
    if token is None:
        return None
    if project is None or url is None:
        raise ConfigError(
            "GATEWAY_SIGNALWIRE_API_TOKEN needs GATEWAY_SIGNALWIRE_PROJECT_ID and GATEWAY_SIGNALWIRE_API_URL"
        )
    return TwilioRest(
        project,
        auth_token=token.get_secret_value(),
        api_url=url + API_PATH,
        dialect=dialect,
        transport=front.transport,
    )
