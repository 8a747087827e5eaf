"""Genesys Cloud: AudioHook, as its Audio Connector speaks it."""

from gateway.carrierconfig import CarrierSettings
from gateway.carriers.front import Carrier, Front
from gateway.carriers.genesys.control import GenesysControl
from gateway.carriers.genesys.routes import router
from gateway.carriers.genesys.signature import UpgradeCheck
from gateway.errors import ConfigError

__all__ = ["CAPABILITIES", "open_carrier"]

CAPABILITIES = {
    "audio": "mu-law",
    "marks": "our clock",
    "after_clear": "our clock",
    "dtmf_in": "socket",
    "dtmf_out": "tones",
    "hang_up": "flow",
    "transfer_blind": "flow",
    "transfer_warm": "no",
    "comes_back": "no",
    "upgrade_auth": "HTTP signature",
    "webhook_auth": "no webhook",
    "silence": "not needed",
}


def open_carrier(settings: CarrierSettings, front: Front) -> Carrier:
    """Return the door. Raises `ConfigError` when the client secret is missing or no base64."""
    if settings.genesys_api_key is None or settings.genesys_client_secret is None:
        raise ConfigError("genesys needs GATEWAY_GENESYS_API_KEY and GATEWAY_GENESYS_CLIENT_SECRET")
    signatures = UpgradeCheck(
        settings.genesys_api_key.get_secret_value(),
        settings.genesys_client_secret.get_secret_value(),
        front.public_url,
        allow_unsigned=front.allow_unsigned,
    )
    control = GenesysControl(front)
    return Carrier("genesys", router(front, signatures, control), control)
