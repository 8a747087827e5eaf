"""Settings of one deployment: read once from the environment (and `.env`), frozen, passed as arguments.

Three variables put the gateway behind a real number: `OPENAI_API_KEY`, `TWILIO_AUTH_TOKEN`, `GATEWAY_PUBLIC_URL`.
Every other setting has a default. A secret may come from a file instead: `<NAME>_FILE` names it, as container
platforms mount secrets; setting both is an error. Environment wins over `.env`.

What people call and what the agent says is not here: that is the agents file (`agents.py`).
"""

import difflib
import os
import re
import socket
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.apikeys import KeyRing, plain_entry
from gateway.carrierconfig import NAME_64, PREFIX, CarrierSettings, secret, shaped
from gateway.errors import ConfigError

__all__ = ["PREFIX", "Settings", "database_sentence", "is_loopback", "load_settings"]

DOTENV = ".env"
MAX_SECRET_FILE_BYTES = 64 * 1024
AZURE_SUFFIXES = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")
TYPO_SIMILARITY = 0.8
"""How alike an unknown GATEWAY_ variable must be to a setting to count as a typo; others are someone else's."""

PRIVATE = tuple(ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
LOCAL_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
"""A host without a dot, such as a compose service; not a number, which would be a spelling of an address."""

Network = IPv4Network | IPv6Network


def _host_name() -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname())[:64] or "gateway"


class Settings(CarrierSettings):
    """One deployment. Build it with `load_settings`, or directly in tests."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=DOTENV,
        frozen=True,
        extra="ignore",  # .env is shared with compose and other programs
        populate_by_name=True,
        hide_input_in_errors=True,
        env_ignore_empty=True,  # compose passes unset variables as ""
    )

    host: str = Field(
        default="127.0.0.1", description="Address to listen on; 0.0.0.0 in a container. Loopback by default."
    )
    port: int = Field(default=8080, ge=1, le=65535, description="TCP port to listen on.")
    public_url: str = Field(
        default_factory=lambda data: f"http://127.0.0.1:{data.get('port', 8080)}",
        validate_default=True,
        description="Origin under which the carrier reaches us, https and without a path. Signatures are computed "
        "over it, so it is never guessed from request headers. http is allowed for loopback only (development).",
    )
    agents_file: Path = Field(
        default=Path("agents.yaml"), description="The agents file: numbers, prompts, voices, tools."
    )
    database_url: str = Field(
        default="sqlite:///gateway.db",
        repr=False,  # may hold a password
        description="URL of the store: sqlite:///FILE, or postgresql://… when there are several nodes.",
    )
    recordings_dir: Path = Field(default=Path("recordings"), description="Folder of the two-channel WAV files.")

    openai_api_key: SecretStr | None = secret(
        "openai_api_key", "Key of the realtime model; OPENAI_API_KEY works too.", plain="OPENAI_API_KEY"
    )
    model_url: str = Field(
        default="wss://api.openai.com/v1/realtime",
        validate_default=True,
        description="Realtime endpoint of any compatible server; a base that ends in /v1 gets /realtime appended, "
        "http(s) becomes ws(s). Without TLS only on this machine or in a private network. Azure: https://RESOURCE.openai.azure.com/openai/v1/realtime.",
    )
    model_auth: Literal["bearer", "api-key"] = Field(
        default_factory=lambda data: "api-key" if _is_azure(data.get("model_url", "")) else "bearer",
        description="Header that carries the key: `Authorization: Bearer` or `api-key` (Azure's, and its default).",
    )

    twilio_account_sid: Annotated[str | None, shaped(r"AC[0-9a-fA-F]{32}", "AC and 32 hex digits")] = Field(
        default=None,
        validation_alias=AliasChoices("GATEWAY_TWILIO_ACCOUNT_SID", "TWILIO_ACCOUNT_SID"),
        description="Account; needed for outbound calls, transfer and hang-up by REST, not to answer calls.",
    )
    twilio_auth_token: SecretStr | None = secret(
        "twilio_auth_token", "Checks the signature of every webhook and stream.", plain="TWILIO_AUTH_TOKEN"
    )
    twilio_auth_token_secondary: SecretStr | None = secret(
        "twilio_auth_token_secondary", "Also accepted in signatures, while the token is being rotated."
    )
    twilio_api_key_sid: Annotated[str | None, shaped(r"SK[0-9a-fA-F]{32}", "SK and 32 hex digits")] = Field(
        default=None,
        description="API key for REST, better than the account's own token.",
    )
    twilio_api_key_secret: SecretStr | None = secret("twilio_api_key_secret", "Secret of the API key.")
    twilio_api_url: str = Field(
        default="https://api.twilio.com", description="Origin of Twilio's REST API, or of a simulator."
    )
    twilio_from_number: Annotated[
        str | None, shaped(r"\+[1-9]\d{6,14}", "a number in E.164 form: + and 7 to 15 digits, such as +14155550123")
    ] = Field(
        default=None,
        description="Caller id of outbound calls, E.164; must be yours at Twilio.",
    )
    allow_unsigned: bool = Field(
        default=False,
        description="Accept unsigned carrier webhooks. Development only: refused unless public_url is loopback.",
    )

    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(),
        description="Keys of our own HTTP API, comma separated: NAME:sha256:HEX as `gateway key NAME` makes it, or the "
        "key itself, at least 16 characters. None: the API is off.",
    )
    client_key: SecretStr | None = secret(
        "client_key",
        "Key that `gateway call` and `gateway operate` present; else the first of GATEWAY_API_KEYS that is in clear.",
    )
    node_name: Annotated[str, NAME_64] = Field(
        default_factory=_host_name,
        description="What this process is called among several: told in X-Gateway-Node. The host's name by default.",
    )
    vault_ttl_s: int = Field(
        default=900, ge=10, le=86_400, description="Seconds after which digits of a secure collector are forgotten."
    )
    vault_max: int = Field(
        default=1000, ge=1, le=100_000, description="Entries the vault holds at once; when full, none is taken."
    )
    webhook_secret: SecretStr | None = secret(
        "webhook_secret", "Signs tool webhooks of tools that name no secret of their own (whsec_… or raw)."
    )
    webhook_allow_cidrs: Annotated[tuple[Network, ...], NoDecode] = Field(
        default=(),
        description="Private networks that tool URLs may reach, comma separated; all others are refused (SSRF).",
    )
    dial_countries: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(),
        description="ISO regions outbound calls may go to, comma separated. Empty: none (toll fraud).",
    )

    max_calls: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="Calls at once in this process; more are refused. 100 is what is tested.",
    )
    drain_s: int = Field(
        default=3700,
        ge=0,
        le=86_400,
        description="Seconds live calls may go on after SIGTERM; a model session lives 3600.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Least level that is logged."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _SecretFiles(settings_cls), dotenv_settings

    @field_validator("port", mode="before")
    @classmethod
    def _port_is_ours(cls, value: object) -> object:
        if isinstance(value, str) and value.startswith("tcp://"):
            raise ValueError(
                "Kubernetes set this variable for a service named gateway; put enableServiceLinks: false into the pod"
            )
        return value

    @field_validator("public_url")
    @classmethod
    def _public_origin(cls, value: str) -> str:
        return _origin(value, "public_url")

    @field_validator("twilio_api_url")
    @classmethod
    def _twilio_origin(cls, value: str) -> str:
        return _origin(value, "twilio_api_url")

    @field_validator("model_url")
    @classmethod
    def _realtime_endpoint(cls, value: str) -> str:
        return _model_url(value)

    @field_validator("api_keys", "dial_countries", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return _parts(value)

    @field_validator("webhook_allow_cidrs", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        parts = _parts(value)
        return [_network(part) for part in parts] if isinstance(parts, list | tuple) else parts

    @field_validator("api_keys")
    @classmethod
    def _usable_keys(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        KeyRing(key.get_secret_value() for key in value)
        return value

    @field_validator("dial_countries")
    @classmethod
    def _regions(cls, value: frozenset[str]) -> frozenset[str]:
        import phonenumbers

        regions = frozenset(region.upper() for region in value)
        unknown = sorted(regions - phonenumbers.SUPPORTED_REGIONS)
        if unknown:
            raise ValueError(f"unknown ISO region {', '.join(unknown)}; two letters such as US or DE are expected")
        return regions

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if not value.startswith(("sqlite:", "sqlite+aiosqlite:", "postgresql:", "postgresql+psycopg:", "postgres:")):
            raise ValueError("must be a URL such as sqlite:///gateway.db or postgresql://host/name")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        if self.allow_unsigned and not self.development:
            raise ValueError(
                "GATEWAY_ALLOW_UNSIGNED is for development: it needs a GATEWAY_PUBLIC_URL on 127.0.0.1 or localhost"
            )
        if self.allow_unsigned and not is_loopback(self.host):
            raise ValueError("GATEWAY_ALLOW_UNSIGNED is for this machine alone: it needs a GATEWAY_HOST on loopback")
        if (self.twilio_api_key_sid is None) != (self.twilio_api_key_secret is None):
            raise ValueError("set both GATEWAY_TWILIO_API_KEY_SID and GATEWAY_TWILIO_API_KEY_SECRET, or neither")
        return self

    @classmethod
    def alone(cls, values: Mapping[str, object]) -> "Settings":
        """Return settings of these values and defaults: the environment and `.env` are not looked at.

        For gateways of our own making, such as the demo's. Raises `ValidationError`.
        """
        return _Alone.model_validate(dict(values))

    @property
    def development(self) -> bool:
        """Whether the public origin is loopback: nobody outside can reach us, so checks may be relaxed."""
        return is_loopback(urlsplit(self.public_url).hostname or "")

    @property
    def stream_origin(self) -> str:
        """The public origin for WebSockets: wss://… (ws:// in development)."""
        return "ws" + self.public_url.removeprefix("http")

    def model_endpoint(self, model: str) -> str:
        """Return the WebSocket URL of a session with this model (Azure: the deployment name)."""
        joint = "&" if "?" in self.model_url else "?"
        return f"{self.model_url}{joint}model={quote(model, safe='')}"

    def model_headers(self) -> dict[str, str]:
        """Return the headers that authenticate us to the model; empty without a key, as local servers want."""
        if self.openai_api_key is None:
            return {}
        key = self.openai_api_key.get_secret_value()
        return {"api-key": key} if self.model_auth == "api-key" else {"Authorization": f"Bearer {key}"}

    def key_ring(self) -> KeyRing:
        """Return who may use our own HTTP API."""
        return KeyRing(key.get_secret_value() for key in self.api_keys)

    def own_key(self) -> str:
        """Return the key with which our own commands come to a running gateway. Raises `ConfigError`."""
        if self.client_key is not None:
            return self.client_key.get_secret_value()
        entries = [key.get_secret_value() for key in self.api_keys]
        if not entries:
            raise ConfigError("GATEWAY_API_KEYS is not set: the gateway takes commands from holders of a key only")
        plain = [entry for entry in entries if plain_entry(entry)]
        if not plain:
            raise ConfigError("GATEWAY_API_KEYS holds hashes only: put the key itself into GATEWAY_CLIENT_KEY")
        return plain[0]

    def secret_values(self) -> list[str]:
        """Return every secret in clear, so that the log can remove them wherever they turn up."""
        values = [getattr(self, name) for name in type(self).model_fields]  # names come from the model itself
        flat = [part for value in values for part in (value if isinstance(value, tuple) else (value,))]
        return [part.get_secret_value() for part in flat if isinstance(part, SecretStr)]

    def serving_problems(self) -> list[str]:
        """Return what keeps this deployment from answering real calls, one sentence each; empty when nothing does."""
        problems = []
        if self.openai_api_key is None and not is_loopback(urlsplit(self.model_url).hostname or ""):
            problems.append("OPENAI_API_KEY is not set: the realtime model will refuse every call")
        if self.twilio_auth_token is None and not (self.allow_unsigned or self.doors or self.browser_phone):
            problems.append(
                "TWILIO_AUTH_TOKEN is not set, nor a setting that opens the door of another carrier: nobody can call"
            )
        return problems


class _Alone(Settings):
    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def load_settings() -> Settings:
    """Read the environment and `.env`. Raises `ConfigError` with one sentence per problem, a line each."""
    try:
        _check_dotenv(Path(DOTENV))
        typos = list(_typos({**dotenv_values(DOTENV), **os.environ}))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{DOTENV}: cannot be read: {type(error).__name__}") from None
    try:
        settings = Settings()
    except ValidationError as error:
        problems = [
            _sentence(list(problem["loc"]), problem["msg"])
            for problem in error.errors(include_input=False)
            if problem["type"] != "default_factory_not_called"  # follows from another problem
        ]
        raise ConfigError("\n".join(problems + typos)) from None
    if typos:
        raise ConfigError("\n".join(typos))
    return settings


def _check_dotenv(path: Path) -> None:
    """Raise `ConfigError` with the first line that is no setting; python-dotenv would log a warning and go on."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as file:
        for binding in parse_stream(file):
            if binding.error:  # not quoted: it may hold a secret
                raise ConfigError(f"{path}:{binding.original.line}: is not NAME=value; check its quotes and blanks")


def database_sentence(sentence: str, url: str) -> str:
    """Return what went wrong with the database in the operator's words: `url` as written, no number of the system.

    The store names a URL with the driver that it chose; the password is hidden by then.
    """
    scheme = url.partition(":")[0]
    plain = re.sub(r"\b(?:sqlite\+aiosqlite|postgresql\+psycopg)://", lambda _: f"{scheme}://", sentence)
    return re.sub(r"\[Errno -?\d+\] ", "", plain)


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address is this machine."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class _SecretFiles(PydanticBaseSettingsSource):
    """Reads `<NAME>_FILE` for every secret, and for the database URL, which may hold a password."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError  # __call__ does the work

    def __call__(self) -> dict[str, Any]:
        variables = {**dotenv_values(DOTENV), **os.environ}
        found: dict[str, Any] = {}
        for field_name, names in _variable_names().items():
            if not _may_come_from_file(field_name):
                continue
            for name in names:
                path = variables.get(name + "_FILE")
                if path and variables.get(name):
                    raise ConfigError(f"{name} and {name}_FILE are both set; keep one")
                if path:
                    found.setdefault(field_name, _read_secret(name, path))
        return found


def _may_come_from_file(field_name: str) -> bool:
    return field_name == "database_url" or "SecretStr" in str(Settings.model_fields[field_name].annotation)


def _read_secret(name: str, path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_SECRET_FILE_BYTES + 1)
        text = raw.decode().strip()
    except OSError as error:
        raise ConfigError(f"{name}_FILE: {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{name}_FILE: {path} is not UTF-8 text") from None
    if not text or len(raw) > MAX_SECRET_FILE_BYTES:
        raise ConfigError(f"{name}_FILE: {path} is {'empty' if not text else 'over 64 KiB'}")
    return text


def _variable_names() -> dict[str, list[str]]:
    """Return, for each field, the variables it is read from, in order."""
    names = {}
    for field_name, field in Settings.model_fields.items():
        alias = field.validation_alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [PREFIX + field_name.upper()]
        names[field_name] = [str(choice) for choice in choices]
    return names


def _typos(variables: Mapping[str, str | None]) -> Iterator[str]:
    # Only look-alikes: other programs (Kubernetes service links among them) also use this prefix.
    known = [name for names in _variable_names().values() for name in names]
    known += [name + "_FILE" for name in known]
    for name in sorted(variables):
        if name.startswith(PREFIX) and name not in known and "_SERVICE_" not in name and "_PORT_" not in name:
            close = difflib.get_close_matches(name, known, 1, TYPO_SIMILARITY)
            if close:
                yield f"{name} is not a setting; did you mean {close[0]}?"


def _sentence(loc: list[int | str], message: str) -> str:
    message = message.removeprefix("Value error, ")
    if not loc:
        return message
    names = _variable_names()
    name = names[str(loc[0])][0] if str(loc[0]) in names else str(loc[0])
    return f"{name}: {re.sub('^(Input|String) should', 'should', message)}"


def _origin(value: str, name: str) -> str:
    parts = _split_url(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an https origin such as https://voice.example.com")
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        raise ValueError("must be an origin only, without path, query or user: https://voice.example.com")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError(f"must be https; http is allowed for loopback only (host {parts.hostname})")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _model_url(value: str) -> str:
    parts = _split_url(value)
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
    if scheme is None or not parts.hostname or parts.username is not None or parts.fragment:
        raise ValueError("must be a URL such as wss://api.openai.com/v1/realtime")
    if scheme == "ws" and not _is_private(parts.hostname):
        raise ValueError(f"must be wss or https: to {parts.hostname} the key and the call would travel in clear")
    path = parts.path.rstrip("/")
    if _is_azure(value) and ("api-version" in parts.query or path == "/openai/realtime"):
        raise ValueError("is Azure's retired preview path; use https://RESOURCE.openai.azure.com/openai/v1/realtime")
    return urlunsplit((scheme, parts.netloc, path + "/realtime" if path.endswith("/v1") else path, parts.query, ""))


def _is_private(host: str) -> bool:
    """Tell whether a host is here or in a private network by its very name: what it resolves to may change."""
    if is_loopback(host) or LOCAL_NAME.fullmatch(host):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in PRIVATE if network.version == address.version)


def _split_url(value: str) -> SplitResult:
    parts = urlsplit(value.strip())
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("has a port that is not a number up to 65535") from None
    return parts


def _is_azure(url: str) -> bool:
    return (urlsplit(url).hostname or "").endswith(AZURE_SUFFIXES)


def _parts(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _network(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return ip_network(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a network such as 10.1.0.0/16 (host bits must be zero)") from None
