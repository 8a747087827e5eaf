"""Calls from Asterisk, by its WebSocket channel driver."""

from gateway.carrierconfig import CarrierSettings
from gateway.carriers.asterisk.basic import BasicAuth
from gateway.carriers.asterisk.control import DialplanControl
from gateway.carriers.asterisk.rest import Ari
from gateway.carriers.asterisk.routes import router
from gateway.carriers.front import Carrier, Front

__all__ = ["CAPABILITIES", "open_ari", "open_carrier"]

CAPABILITIES: dict[str, str] = {
    "audio": "PCMU, PCMA, PCM24",
    "marks": "echoed",
    "after_clear": "silent",
    "dtmf_in": "socket",
    "dtmf_out": "tones",
    "hang_up": "ARI",
    "transfer_blind": "dialplan, ARI",
    "transfer_warm": "no",
    "comes_back": "with ARI",
    "upgrade_auth": "Basic",
    "webhook_auth": "none needed",
    "silence": "not needed",
}


def open_carrier(settings: CarrierSettings, front: Front) -> Carrier:
    """Open the door. Without ARI calls are taken, but not transferred."""
    password = settings.asterisk_password
    auth = BasicAuth(
        settings.asterisk_username,
        password.get_secret_value() if password is not None else None,
        allow_unsigned=front.allow_unsigned,
    )
    control = DialplanControl(front, open_ari(settings, front), settings.asterisk_dial_context)
    return Carrier("asterisk", router(front, auth, control), control, control.running)


def open_ari(settings: CarrierSettings, front: Front) -> Ari | None:
    """Return the client of Asterisk's REST interface, if the settings have it."""
    url, password = settings.asterisk_ari_url, settings.asterisk_ari_password
    if url is None or password is None:
        return None
    return Ari(url, settings.asterisk_ari_username, password.get_secret_value(), transport=front.transport)
