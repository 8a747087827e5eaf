"""Settings of the carriers beside Twilio: a part of `config.Settings`, by which each door is opened or stays shut.

A carrier whose first setting here is missing has no routes. What the values are and where to find them at the vendor
is in `carriers/NAME/README.md`.
"""

import base64
import binascii
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings

__all__ = ["MIN_SECRET_CHARS", "NAME_64", "PREFIX", "CarrierSettings", "secret", "shaped"]

PREFIX = "GATEWAY_"
MIN_SECRET_CHARS = 16
"""Below it `gateway check` warns of a secret that strangers could guess."""


def shaped(pattern: str, words: str) -> AfterValidator:
    """Return the check of a text that matches `pattern` as a whole; `words` say what it should be, without regexes."""
    compiled = re.compile(pattern, re.ASCII)

    def check(value: str | None) -> str | None:
        if value is not None and not compiled.fullmatch(value):
            raise ValueError(f"should be {words}")
        return value

    return AfterValidator(check)


NAME_64 = shaped(r"[A-Za-z0-9_.-]{1,64}", "letters, digits, _ . -; 64 at most")
NAME_79 = shaped(r"[A-Za-z0-9_.-]{1,79}", "letters, digits, _ . -; 79 at most")


def secret(name: str, description: str, *, plain: str = "") -> Any:
    """Declare an optional secret; `plain` is a well-known variable name that is accepted too."""
    aliases = [PREFIX + name.upper(), *([plain] if plain else [])]
    return Field(default=None, validation_alias=AliasChoices(*aliases), description=description)


class CarrierSettings(BaseSettings):
    """Mixed into `Settings`."""

    telnyx_public_key: str | None = Field(
        default=None, description="Account's public key, base64: checks every Telnyx webhook. Opens `/telnyx`."
    )
    telnyx_api_key: SecretStr | None = secret(
        "telnyx_api_key", "Answers, transfers and ends calls by Telnyx' Call Control API.", plain="TELNYX_API_KEY"
    )
    telnyx_api_url: str = Field(
        default="https://api.telnyx.com", description="Origin of Telnyx' API, or of a simulator."
    )
    telnyx_connection_id: Annotated[str | None, shaped(r"[0-9]{1,24}", "the digits of the app's id")] = Field(
        default=None, description="Voice app that calls are placed from; none: none are."
    )

    signalwire_signing_key: SecretStr | None = secret(
        "signalwire_signing_key", "Signing key of the project: checks every SignalWire webhook. Opens `/signalwire`."
    )
    signalwire_signature: Literal["sha1", "sha256"] = Field(
        default="sha1",
        description="Which of SignalWire's signatures is needed: `sha1` is on every request, `sha256` is documented "
        "for calls. One that is there must always be right.",
    )
    signalwire_project_id: str | None = Field(default=None, description="Project; needed for transfers by REST.")
    signalwire_api_token: SecretStr | None = secret("signalwire_api_token", "Token of SignalWire's REST API.")
    signalwire_api_url: str | None = Field(
        default=None, description="Origin of the space: https://SPACE.signalwire.com, or of a simulator."
    )

    plivo_auth_token: SecretStr | None = secret(
        "plivo_auth_token", "Checks every Plivo webhook and stream, and uses its API. Opens `/plivo`."
    )
    plivo_auth_id: Annotated[str | None, shaped(r"[A-Za-z0-9]{10,40}", "10 to 40 letters and digits")] = Field(
        default=None, description="Account; needed for transfers by REST."
    )
    plivo_api_url: str = Field(default="https://api.plivo.com", description="Origin of Plivo's API, or of a simulator.")

    vonage_signature_secret: SecretStr | None = secret(
        "vonage_signature_secret", "Signature secret of the account: checks every Vonage webhook. Opens `/vonage`."
    )
    vonage_application_id: str | None = Field(default=None, description="Application; needed for transfers by REST.")
    vonage_private_key: SecretStr | None = secret("vonage_private_key", "Private key of the application, PEM.")
    vonage_api_url: str = Field(
        default="https://api.nexmo.com", description="Origin of Vonage's API, or of a simulator."
    )

    jambonz_webhook_secret: SecretStr | None = secret(
        "jambonz_webhook_secret", "Webhook secret: checks every jambonz webhook. Opens `/jambonz`."
    )
    jambonz_account_sid: str | None = Field(default=None, description="Account; needed for transfers by REST.")
    jambonz_api_key: SecretStr | None = secret("jambonz_api_key", "Key of the jambonz API.")
    jambonz_api_url: str | None = Field(default=None, description="Origin of the jambonz API, or of a simulator.")

    genesys_api_key: SecretStr | None = secret(
        "genesys_api_key", "API key of the AudioHook or Audio Connector integration. Opens `/genesys`."
    )
    genesys_client_secret: SecretStr | None = secret(
        "genesys_client_secret", "Client secret of that integration, base64: checks every Genesys upgrade."
    )

    asterisk_password: SecretStr | None = secret(
        "asterisk_password", "Password that Asterisk's chan_websocket presents. Opens `/asterisk`."
    )
    asterisk_username: Annotated[str, NAME_64] = Field(default="asterisk", description="User name that goes with it.")
    asterisk_ari_url: str | None = Field(
        default=None, description="Origin of Asterisk's REST interface, for transfer and hang-up of the caller's leg."
    )
    asterisk_ari_username: str = Field(default="gateway", description="ARI user.")
    asterisk_ari_password: SecretStr | None = secret("asterisk_ari_password", "Password of the ARI user.")
    asterisk_dial_context: Annotated[str, NAME_79] = Field(
        default="gateway-out",
        description="Dialplan context that callers are sent to when they are transferred; the extension is the number.",
    )
    audiosocket_listen: Annotated[
        str | None,
        shaped(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+):\d{1,5}", "HOST:PORT such as 127.0.0.1:9092, or [::1]:9092"),
    ] = Field(
        default=None,
        description="HOST:PORT on which AudioSocket is served, loopback or a private network: it has neither TLS nor "
        "a password. None: it is not.",
    )

    openai_webhook_secret: SecretStr | None = secret(
        "openai_webhook_secret",
        "Signing secret (whsec_…) of the webhook endpoint for SIP calls at OpenAI. Opens `/openai`.",
        plain="OPENAI_WEBHOOK_SECRET",
    )

    browser_phone: bool = Field(
        default=False, description="Serve `/console`, a page from which agents are called. Needs the extra `browser`."
    )

    @property
    def doors(self) -> list[str]:
        """The carriers beside Twilio that these settings open, by the names of their packages."""
        return [name for name, opened_by in OPENED_BY.items() if opened_by(self)]

    @property
    def can_transfer(self) -> bool:
        """Whether a carrier beside Twilio can be asked for a transfer."""
        return any(TRANSFERS_BY[name](self) for name in self.doors)

    @property
    def short_secrets(self) -> list[str]:
        """The variables whose secret keeps strangers out and is short enough to be guessed."""
        given = {
            "SIGNALWIRE_SIGNING_KEY": self.signalwire_signing_key,
            "PLIVO_AUTH_TOKEN": self.plivo_auth_token,
            "VONAGE_SIGNATURE_SECRET": self.vonage_signature_secret,
            "JAMBONZ_WEBHOOK_SECRET": self.jambonz_webhook_secret,
            "GENESYS_API_KEY": self.genesys_api_key,
            "GENESYS_CLIENT_SECRET": self.genesys_client_secret,
            "ASTERISK_PASSWORD": self.asterisk_password,
        }
        return [
            PREFIX + name
            for name, secret_ in given.items()
            if secret_ is not None and len(secret_.get_secret_value()) < MIN_SECRET_CHARS
        ]

    @field_validator("telnyx_public_key")
    @classmethod
    def _ed25519_key(cls, value: str | None) -> str | None:
        try:
            raw = base64.b64decode(value or "", validate=True)
        except binascii.Error:
            raw = b""
        if value is not None and len(raw) != 32:
            raise ValueError("must be the account's public key, 44 characters of base64")
        return value

    @field_validator(
        "telnyx_api_url",
        "signalwire_api_url",
        "plivo_api_url",
        "vonage_api_url",
        "jambonz_api_url",
        "asterisk_ari_url",
    )
    @classmethod
    def _rest_origin(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username is not None:
            raise ValueError("must be an origin such as https://api.example.com, without query or user")
        return value.strip().rstrip("/")

    @field_validator("asterisk_ari_url")
    @classmethod
    def _before_ari(cls, value: str | None) -> str | None:
        """A path is allowed, for `prefix` of http.conf."""
        if value is not None and "ari" in urlsplit(value).path.split("/"):
            raise ValueError("should end before /ari, which is added by itself: http://127.0.0.1:8088")
        return value

    @model_validator(mode="after")
    def _pairs(self) -> "CarrierSettings":
        if (self.genesys_api_key is None) != (self.genesys_client_secret is None):
            raise ValueError("set both GATEWAY_GENESYS_API_KEY and GATEWAY_GENESYS_CLIENT_SECRET, or neither")
        if self.asterisk_ari_url is not None and self.asterisk_ari_password is None:
            raise ValueError("GATEWAY_ASTERISK_ARI_URL needs GATEWAY_ASTERISK_ARI_PASSWORD")
        return self


OPENED_BY: dict[str, Callable[[CarrierSettings], object]] = {
    "telnyx": lambda settings: settings.telnyx_public_key,
    "signalwire": lambda settings: settings.signalwire_signing_key,
    "plivo": lambda settings: settings.plivo_auth_token,
    "vonage": lambda settings: settings.vonage_signature_secret,
    "jambonz": lambda settings: settings.jambonz_webhook_secret,
    "genesys": lambda settings: settings.genesys_api_key,
    "asterisk": lambda settings: settings.asterisk_password,
    "audiosocket": lambda settings: settings.audiosocket_listen,
    "openai_sip": lambda settings: settings.openai_webhook_secret,
}
"""Each carrier's package under `gateway.carriers`, and the setting that opens it."""

TRANSFERS_BY: dict[str, Callable[[CarrierSettings], object]] = {
    "telnyx": lambda settings: settings.telnyx_api_key,
    "signalwire": lambda settings: settings.signalwire_project_id and settings.signalwire_api_token,
    "plivo": lambda settings: settings.plivo_auth_id,
    "vonage": lambda settings: settings.vonage_private_key,
    "jambonz": lambda settings: settings.jambonz_api_key,
    "genesys": lambda settings: True,
    "asterisk": lambda settings: settings.asterisk_ari_url,
    "audiosocket": lambda settings: settings.asterisk_ari_url,
    "openai_sip": lambda settings: True,
}
"""What each needs, beside the setting that opens it, to transfer a caller."""
