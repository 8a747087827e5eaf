"""Vonage Voice API: signed webhooks answered with NCCO, audio over a WebSocket."""

from gateway.carrierconfig import CarrierSettings
from gateway.carriers.front import Carrier, Front
from gateway.carriers.vonage.context import Seal
from gateway.carriers.vonage.control import VonageControl
from gateway.carriers.vonage.ncco import Ncco
from gateway.carriers.vonage.rest import VonageRest
from gateway.carriers.vonage.routes import CARRIER, VonageDoor, media_sockets, router
from gateway.carriers.vonage.signature import JwtCheck
from gateway.carriers.vonage.streams import Streams
from gateway.errors import ConfigError

__all__ = ["CAPABILITIES", "open_carrier"]

CAPABILITIES: dict[str, str] = {
    "audio": "PCM 24 kHz; 8/16 kHz as mu-law",
    "marks": "notify echo",
    "after_clear": "never echoed",
    "dtmf_in": "yes",
    "dtmf_out": "tones",
    "hang_up": "NCCO, REST",
    "transfer_blind": "REST",
    "transfer_warm": "no",
    "comes_back": "yes",
    "upgrade_auth": "bearer token",
    "webhook_auth": "JWT HS256",
    "silence": "not needed",
}


def open_carrier(settings: CarrierSettings, front: Front) -> Carrier:
    """Open the door. Raises `ConfigError`."""
    if settings.vonage_signature_secret is None:
        raise ConfigError("set GATEWAY_VONAGE_SIGNATURE_SECRET to take calls from Vonage")
    secret = settings.vonage_signature_secret.get_secret_value()
    seal = Seal(secret)
    ncco = Ncco(front.public_url, front.stream_origin, seal)
    streams = Streams(front.calls, allow_unsigned=front.allow_unsigned)
    control = VonageControl(_rest(settings, front), front.calls, ncco, streams)
    signatures = JwtCheck(secret, settings.vonage_application_id, allow_unsigned=front.allow_unsigned)
    door = VonageDoor(front, signatures, seal, ncco, streams, control, media_sockets(streams))
    return Carrier(CARRIER, router(door), control, control.running)


def _rest(settings: CarrierSettings, front: Front) -> VonageRest | None:
    if settings.vonage_private_key is None:
        return None
    if settings.vonage_application_id is None:
        raise ConfigError("GATEWAY_VONAGE_PRIVATE_KEY needs GATEWAY_VONAGE_APPLICATION_ID")
    key = settings.vonage_private_key.get_secret_value()
    return VonageRest(settings.vonage_application_id, key, settings.vonage_api_url, transport=front.transport)
