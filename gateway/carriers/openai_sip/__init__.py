"""OpenAI as the carrier of media: it has the caller by SIP, we steer the call beside it.

Settings: `openai_webhook_secret` opens it; the endpoints are those beside the model's.
"""

from collections.abc import Mapping
from typing import Protocol

import httpx2
from pydantic import SecretStr

from gateway.carriers.front import Carrier, Front
from gateway.carriers.openai_sip.control import CARRIER, SipCalls
from gateway.carriers.openai_sip.rest import CallsRest, calls_url
from gateway.carriers.openai_sip.routes import OpenaiSipDoor, router
from gateway.carriers.openai_sip.signature import WebhookCheck
from gateway.errors import ConfigError

__all__ = ["CAPABILITIES", "open_carrier"]

CAPABILITIES: dict[str, str] = {
    "audio": "at OpenAI",
    "marks": "none",
    "after_clear": "at OpenAI",
    "dtmf_in": "sideband",
    "dtmf_out": "no",
    "hang_up": "REST",
    "transfer_blind": "REFER",
    "transfer_warm": "no",
    "comes_back": "if the trunk lets it",
    "upgrade_auth": "no upgrade",
    "webhook_auth": "Standard Webhooks",
    "silence": "not ours",
}


class SipSettings(Protocol):
    """The settings that are read here."""

    @property
    def openai_webhook_secret(self) -> SecretStr | None: ...
    @property
    def model_url(self) -> str: ...
    def model_headers(self) -> dict[str, str]: ...


def open_carrier(settings: SipSettings, front: Front, *, transport: httpx2.AsyncBaseTransport | None = None) -> Carrier:
    """Return the door. `transport` replaces the network below the calls endpoints. Raises `ConfigError`."""
    headers = settings.model_headers()
    if settings.openai_webhook_secret is None:
        raise ConfigError("OPENAI_WEBHOOK_SECRET is not set: no webhook of a SIP call can be checked")
    _must_be_bearer(headers)
    signatures = WebhookCheck(settings.openai_webhook_secret.get_secret_value())
    control = SipCalls(CallsRest(calls_url(settings.model_url), headers, transport=transport), front.calls)
    door = OpenaiSipDoor(signatures, control, front.reports)
    return Carrier(CARRIER, router(door), control, control.running)


def _must_be_bearer(headers: Mapping[str, str]) -> None:
    if "Authorization" not in headers:
        raise ConfigError("OPENAI_API_KEY is not set: SIP calls are accepted, steered and ended with it")
