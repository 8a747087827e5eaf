"""Calls from Asterisk by AudioSocket, for versions without its WebSocket channel driver."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.carrierconfig import CarrierSettings
from gateway.carriers.asterisk import open_ari
from gateway.carriers.asterisk.basic import BasicAuth
from gateway.carriers.asterisk.control import DialplanControl
from gateway.carriers.audiosocket.offers import NAME, Offers, router
from gateway.carriers.audiosocket.server import AudioSocketServer, Listen
from gateway.carriers.front import Carrier, Front
from gateway.errors import ConfigError

__all__ = ["CAPABILITIES", "AudioSocketCarrier", "open_carrier"]

CAPABILITIES: dict[str, str] = {
    "audio": "PCM 8 kHz, PCM24",
    "marks": "clock",
    "after_clear": "none sent",
    "dtmf_in": "socket",
    "dtmf_out": "tones",
    "hang_up": "ARI",
    "transfer_blind": "dialplan, ARI",
    "transfer_warm": "no",
    "comes_back": "with ARI",
    "upgrade_auth": "UUID",
    "webhook_auth": "Basic",
    "silence": "needed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioSocketCarrier(Carrier):
    """With the server, for whoever connects without a network."""

    server: AudioSocketServer


def open_carrier(settings: CarrierSettings, front: Front) -> AudioSocketCarrier:
    """Open the door. Raises `ConfigError`."""
    password = settings.asterisk_password
    if password is None and not front.allow_unsigned:
        raise ConfigError(
            "GATEWAY_AUDIOSOCKET_LISTEN needs GATEWAY_ASTERISK_PASSWORD: with it the dialplan asks for UUIDs"
        )
    auth = BasicAuth(
        settings.asterisk_username,
        password.get_secret_value() if password is not None else None,
        allow_unsigned=front.allow_unsigned,
    )
    control = DialplanControl(front, open_ari(settings, front), settings.asterisk_dial_context)
    offers = Offers(front, control)
    server = AudioSocketServer(Listen(settings.audiosocket_listen or ""), offers)
    control.supersede = server.supersede

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        async with control.running(), server.running():
            yield

    return AudioSocketCarrier(NAME, router(offers, auth), control, running, server=server)
