"""Plivo: audio streaming and its webhooks."""

from gateway.carrierconfig import CarrierSettings
from gateway.carriers.front import Carrier, Front
from gateway.carriers.plivo.control import PlivoControl
from gateway.carriers.plivo.rest import PlivoRest
from gateway.carriers.plivo.routes import PlivoDoor, open_media, router
from gateway.carriers.plivo.signature import SignatureCheck
from gateway.errors import ConfigError

__all__ = ["CAPABILITIES", "open_carrier"]

CAPABILITIES = {
    "audio": "mu-law",
    "marks": "echoed",
    "after_clear": "void",
    "dtmf_in": "socket",
    "dtmf_out": "socket",
    "hang_up": "XML, REST",
    "transfer_blind": "REST",
    "transfer_warm": "no",
    "comes_back": "yes",
    "upgrade_auth": "signature, token",
    "webhook_auth": "HMAC-SHA256",
    "silence": "not needed",
}


def open_carrier(settings: CarrierSettings, front: Front) -> Carrier:
    """Return the door. Without the account's id calls are taken, but neither transferred nor looked after by REST."""
    if settings.plivo_auth_token is None:
        raise ConfigError("plivo needs GATEWAY_PLIVO_AUTH_TOKEN")
    token = settings.plivo_auth_token.get_secret_value()
    signatures = SignatureCheck(token, front.public_url, allow_unsigned=front.allow_unsigned)
    account, url = settings.plivo_auth_id, settings.plivo_api_url
    rest = PlivoRest(account, token, url, transport=front.transport) if account else None
    control = PlivoControl(rest, front)
    door = PlivoDoor(front, signatures, control, open_media(front, signatures))
    return Carrier("plivo", router(door), control, control.running)
