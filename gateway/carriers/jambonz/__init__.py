"""jambonz: signed webhooks answered with verbs, audio over the WebSocket of the `listen` verb."""

from gateway.carrierconfig import CarrierSettings
from gateway.carriers.front import Carrier, Front
from gateway.carriers.jambonz.control import JambonzControl
from gateway.carriers.jambonz.rest import JambonzRest
from gateway.carriers.jambonz.routes import CARRIER, JambonzDoor, router
from gateway.carriers.jambonz.signature import SignatureCheck
from gateway.carriers.jambonz.verbs import Verbs
from gateway.errors import ConfigError

__all__ = ["CAPABILITIES", "open_carrier"]

CAPABILITIES: dict[str, str] = {
    "audio": "PCM 24 kHz; 8/16 kHz as mu-law",
    "marks": "native, 30 pending",
    "after_clear": "labelled cleared",
    "dtmf_in": "yes",
    "dtmf_out": "tones",
    "hang_up": "socket, REST",
    "transfer_blind": "REST",
    "transfer_warm": "no",
    "comes_back": "yes",
    "upgrade_auth": "basic, per call",
    "webhook_auth": "HMAC-SHA256",
    "silence": "not needed",
}


def open_carrier(settings: CarrierSettings, front: Front) -> Carrier:
    """Open the door. Raises `ConfigError`."""
    if settings.jambonz_webhook_secret is None:
        raise ConfigError("set GATEWAY_JAMBONZ_WEBHOOK_SECRET to take calls from jambonz")
    secret = settings.jambonz_webhook_secret.get_secret_value()
    verbs = Verbs(front.public_url, front.stream_origin)
    control = JambonzControl(_rest(settings, front), front.calls, verbs)
    signatures = SignatureCheck(secret, allow_unsigned=front.allow_unsigned)
    door = JambonzDoor(front, settings.jambonz_account_sid, signatures, verbs, control)
    return Carrier(CARRIER, router(door), control, control.running)


def _rest(settings: CarrierSettings, front: Front) -> JambonzRest | None:
    url, account, key = settings.jambonz_api_url, settings.jambonz_account_sid, settings.jambonz_api_key
    if url is None and key is None:
        return None
    if url is None or account is None or key is None:
        raise ConfigError(
            "jambonz' API needs all of GATEWAY_JAMBONZ_API_URL, GATEWAY_JAMBONZ_ACCOUNT_SID and GATEWAY_JAMBONZ_API_KEY"
        )
    return JambonzRest(url, account, key.get_secret_value(), transport=front.transport)
