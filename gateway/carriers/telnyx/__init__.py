"""Telnyx: Call Control webhooks, commands by REST, media streaming over a WebSocket.

Settings: `telnyx_public_key` opens it, `telnyx_api_key` is needed too: no call is even answered without a command.
"""

import httpx2

from gateway.carrierconfig import CarrierSettings
from gateway.carriers.errands import Errands
from gateway.carriers.front import Carrier, Front
from gateway.carriers.telnyx.callers import Callers
from gateway.carriers.telnyx.control import TelnyxControl
from gateway.carriers.telnyx.line import NAME
from gateway.carriers.telnyx.outbound import TelnyxOutbound
from gateway.carriers.telnyx.rest import TelnyxRest
from gateway.carriers.telnyx.routes import TelnyxDoor, router
from gateway.carriers.telnyx.signature import SignatureCheck
from gateway.errors import ConfigError

__all__ = ["CAPABILITIES", "open_carrier", "open_outbound"]

CAPABILITIES: dict[str, str] = {
    "audio": "mu-law, A-law",
    "marks": "echoed",
    "after_clear": "marks returned",
    "dtmf_in": "socket",
    "dtmf_out": "tones",
    "hang_up": "REST",
    "transfer_blind": "REST",
    "transfer_warm": "dial + bridge",
    "comes_back": "no, we drive",
    "upgrade_auth": "header token",
    "webhook_auth": "Ed25519, 300 s",
    "silence": "ours, always",
}


def open_carrier(settings: CarrierSettings, front: Front) -> Carrier:
    """Return the door. Raises `ConfigError`."""
    if settings.telnyx_public_key is None or settings.telnyx_api_key is None:
        raise ConfigError("GATEWAY_TELNYX_PUBLIC_KEY and GATEWAY_TELNYX_API_KEY are needed both: set the other one too")
    errands = Errands()
    rest = TelnyxRest(settings.telnyx_api_key.get_secret_value(), settings.telnyx_api_url, transport=front.transport)
    callers = Callers(rest, front, errands)
    control = TelnyxControl(rest, callers, front.calls, errands)
    signatures = SignatureCheck(settings.telnyx_public_key, allow_unsigned=front.allow_unsigned)
    door = TelnyxDoor(signatures, callers, control, rest, errands, front.reports)
    return Carrier(NAME, router(door), control, control.running)


def open_outbound(
    settings: CarrierSettings, transport: httpx2.AsyncBaseTransport | None = None
) -> TelnyxOutbound | None:
    """Return what places calls; None when the settings do not hold what it needs. Close it at the end."""
    if settings.telnyx_api_key is None or settings.telnyx_connection_id is None:
        return None
    rest = TelnyxRest(settings.telnyx_api_key.get_secret_value(), settings.telnyx_api_url, transport=transport)
    return TelnyxOutbound(rest, settings.telnyx_connection_id)
