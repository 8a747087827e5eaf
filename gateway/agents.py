"""The agents file: which number reaches which agent, what it says, hears, may do and may cost.

Read once, frozen, and checked whole: every mistake of the file is one line with its place (`agentfile.py`).
Values that decide how a call feels are explicit defaults here, never left to the API, whose own have changed.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import jsonschema_rs
import phonenumbers
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from gateway import agentfile
from gateway.agentfile import Problem
from gateway.errors import ConfigError

__all__ = [
    "HANG_UP",
    "Agent",
    "AgentsFile",
    "Fallback",
    "Limits",
    "SemanticVad",
    "ServerVad",
    "Tool",
    "Transcription",
    "load_agents",
    "resolve_secret",
    "schema",
]

HANG_UP = "hang_up"
"""Name of the built-in tool by which the model ends the call."""

DEFAULT_MODEL = "gpt-realtime-2.1"
MAX_SECRET_BYTES = 4096
RESERVED_HEADERS = re.compile(
    r"(?i)(host|connection|content-.*|transfer-.*|accept.*|webhook-.*|idempotency-key|te|upgrade)"
)
SECRET_HEADERS = re.compile(r"(?i)(authorization|cookie|proxy-.*|.*(api-?key|token|secret).*)")
SECRET_REF = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:\S.*")

HANG_UP_TOOL: Mapping[str, Any] = {
    "type": "function",
    "name": HANG_UP,
    "description": "End the phone call. Say goodbye first; the caller hears the rest of your sentence before the line "
    "closes. Use it only when the caller is done or asks to end the call.",
    "parameters": {
        "type": "object",
        "properties": {"reason": {"type": "string", "description": "Why the call ends, in a few words."}},
        "additionalProperties": False,
    },
}


def _e164(value: str) -> str:
    """Accept a complete international number only: a national one would reach different people in each country."""
    try:
        number = phonenumbers.parse(value, None)
    except phonenumbers.NumberParseException:
        raise ValueError('is not an international number; write it as "+14155550199"') from None
    if phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) != value:
        raise ValueError('must be + and digits only, such as "+14155550199"')
    if not phonenumbers.is_valid_number(number):
        raise ValueError("is not a valid number in its country")
    return value


E164 = Annotated[str, AfterValidator(_e164)]


class _Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class ServerVad(_Model):
    """Turn-taking by loudness: the turn ends after a fixed silence."""

    type: Literal["server_vad"]
    threshold: float = Field(default=0.5, ge=0, le=1)
    """Loudness that counts as speech, 0 to 1; raise it on noisy lines."""
    prefix_padding_ms: int = Field(default=300, ge=0, le=5000)
    """Audio kept from before speech was noticed."""
    silence_duration_ms: int = Field(default=500, ge=100, le=10_000)
    """Silence that ends the caller's turn; shorter answers sooner and cuts in more often."""
    idle_timeout_ms: int | None = Field(default=None, ge=5000, le=30_000)
    """Silence after which the agent speaks up by itself; null: it waits."""


class SemanticVad(_Model):
    """Turn-taking by meaning: the turn ends when the sentence seems complete."""

    type: Literal["semantic_vad"]
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    """How soon it answers: waits at most 8 s (low), 4 s (medium, auto) or 2 s (high)."""


class Transcription(_Model):
    """Transcription of the caller, for records; the model itself hears the audio. Billed apart."""

    model: str = Field(default="gpt-transcribe", min_length=1, max_length=100)
    """Transcription model; on Azure the deployment name."""
    prompt: str | None = Field(default=None, max_length=4000)
    """Words to expect, such as product names."""


class Tool(_Model):
    """A function the model may call, answered by a webhook of the business."""

    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    """Name the model calls it by, unique within the agent."""
    description: str = Field(min_length=1, max_length=4000)
    """When to use it and what it returns: all the model knows about it."""
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})
    """JSON Schema of the arguments; they are checked against it before the webhook is called."""
    url: str = Field(max_length=2000)
    """Where the signed POST goes. https; http only to loopback (development) or allow-listed private networks."""
    secret: str | None = None
    """Reference to the signing secret, env:NAME or file:/path, never the secret; null: GATEWAY_WEBHOOK_SECRET."""
    timeout_s: float = Field(default=8, ge=0.1, le=120)
    """Seconds until the model is told that it took too long."""
    headers: dict[str, str] = Field(default_factory=dict, max_length=20)
    """Additional request headers; no secrets, requests are signed."""

    @field_validator("name")
    @classmethod
    def _not_built_in(cls, value: str) -> str:
        if value == HANG_UP:
            raise ValueError(f"{HANG_UP!r} is built in; choose another name, or set hang_up: false")
        return value

    @field_validator("parameters")
    @classmethod
    def _valid_schema(cls, value: dict[str, Any]) -> dict[str, Any]:
        if value.get("type") != "object":
            raise ValueError("must be a JSON Schema with type: object")
        try:
            jsonschema_rs.validator_for(value, offline=True)
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
            raise ValueError(f"is not a valid JSON Schema: {str(error).splitlines()[0]}") from None
        return value

    @field_validator("url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or not value.isascii() or not value.isprintable() or " " in value:
            raise ValueError("must be a URL such as https://api.example.com/orders")
        if parts.username is not None or parts.fragment:
            raise ValueError("must not hold a user, password or fragment")
        return value

    @field_validator("secret")
    @classmethod
    def _reference(cls, value: str | None) -> str | None:
        if value is not None and not SECRET_REF.fullmatch(value):
            raise ValueError("must be env:NAME or file:/path; the secret itself does not belong in this file")
        return value

    @field_validator("headers")
    @classmethod
    def _plain_headers(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", name) or not text.isascii() or not text.isprintable():
                raise ValueError(f"{name!r} is not a plain header of printable ASCII")
            if RESERVED_HEADERS.fullmatch(name):
                raise ValueError(f"{name!r} is set by the gateway")
            if SECRET_HEADERS.fullmatch(name):
                raise ValueError(
                    f"{name!r} looks like a secret, which does not belong in this file; requests are signed"
                )
        return value


class Limits(_Model):
    """What ends a call that would go on for ever."""

    max_duration_s: int = Field(default=1800, ge=10, le=14_400)
    """Seconds from answer to end. The carrier's own limit is 4 hours."""
    max_cost_usd: float | None = Field(default=2.0, gt=0, le=1000)
    """Model cost in US dollars, by the price table; null: no limit."""


class Fallback(_Model):
    """What the caller hears when the model fails: never silence."""

    say: str = Field(
        default="Sorry, we have a technical problem. Please call again later.", min_length=1, max_length=1000
    )
    """Said by the carrier's own voice."""
    dial: E164 | None = None
    """Number to connect the caller to afterwards, E.164; null: hang up."""


class Agent(_Model):
    """One voice agent."""

    numbers: tuple[E164, ...] = Field(default=(), max_length=1000)
    """Dialled numbers that reach this agent, E.164, in quotes."""
    default: bool = False
    """Whether it answers numbers that no agent lists; one agent at most."""
    instructions: str = Field(min_length=1, max_length=100_000)
    """The system prompt."""
    voice: str = Field(default="marin", min_length=1, max_length=100)
    """The model's voice; marin and cedar are the recommended ones."""
    model: str = Field(default=DEFAULT_MODEL, min_length=1, max_length=100)
    """Realtime model; on Azure the deployment name."""
    greeting: str | None = Field(default=None, min_length=1, max_length=2000)
    """First sentence, said exactly so; null: the caller speaks first."""
    language: str | None = Field(default=None, pattern=r"^[a-z]{2,3}$")
    """ISO 639 code the transcription expects; null: detected."""
    transcription: Transcription | None = Field(default_factory=Transcription)
    """Transcription of the caller; null: records hold the agent's side only."""
    turn_detection: Annotated[ServerVad | SemanticVad, Field(discriminator="type")] = Field(
        default_factory=lambda: ServerVad(type="server_vad")
    )
    """How the end of the caller's turn is noticed."""
    noise_reduction: Literal["near_field", "far_field"] | None = None
    """Filter in front of the model: near_field for handsets, far_field for speakerphones, null for none."""
    tools: tuple[Tool, ...] = Field(default=(), max_length=128)
    """Functions the model may call."""
    limits: Limits = Field(default_factory=Limits)
    """When a call is ended."""
    fallback: Fallback = Field(default_factory=Fallback)
    """What happens when the model fails."""
    recording: bool = False
    """Whether a two-channel WAV is kept. The law may ask for the caller's consent."""
    price_as: str | None = Field(default=None, max_length=100)
    """Model of the price table to account by, for deployments it does not know; null: `model`."""
    hang_up: bool = True
    """Whether the model may end the call."""

    _name: str = PrivateAttr(default="")

    @property
    def name(self) -> str:
        """The agent's key in the file."""
        return self._name

    def session_config(self) -> dict[str, Any]:
        """Return the Realtime `session` object: mu-law both ways, every value explicit.

        Realtime API, client event `session.update`; `model` is not in it, the connection's URL decides.
        """
        noise = {"type": self.noise_reduction} if self.noise_reduction else None
        turns = self.turn_detection.model_dump() | {"create_response": True, "interrupt_response": True}
        return {
            "type": "realtime",
            "output_modalities": ["audio"],
            "instructions": self.instructions,
            "audio": {
                "input": {
                    "format": {"type": "audio/pcmu"},
                    "noise_reduction": noise,
                    "transcription": self._transcription_config(),
                    "turn_detection": turns,
                },
                "output": {"format": {"type": "audio/pcmu"}, "voice": self.voice},
            },
            "tools": self._tools_config(),
            "tool_choice": "auto",
        }

    def _transcription_config(self) -> dict[str, str] | None:
        if self.transcription is None:
            return None
        language = {"language": self.language} if self.language else {}
        return self.transcription.model_dump(exclude_none=True) | language

    def _tools_config(self) -> list[dict[str, Any]]:
        tools = [
            {"type": "function", "name": tool.name, "description": tool.description, "parameters": tool.parameters}
            for tool in self.tools
        ]
        return [*tools, dict(HANG_UP_TOOL)] if self.hang_up else tools


AgentName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class AgentsFile(_Model):
    """All agents of a deployment."""

    agents: dict[AgentName, Agent] = Field(min_length=1, max_length=1000)
    """Agents by name: lower-case letters, digits, - and _."""

    @model_validator(mode="after")
    def _whole(self) -> "AgentsFile":
        for problem in cross_check(self.model_dump()):
            raise PydanticCustomError("cross_check", "{message}", {"message": problem.message})
        for name, agent in self.agents.items():
            agent._name = name
        return self

    def for_number(self, e164: str) -> Agent | None:
        """Return the agent that answers this dialled number; else the default one; else None."""
        default = None
        for agent in self.agents.values():
            if e164 in agent.numbers:
                return agent
            default = agent if agent.default else default
        return default

    @property
    def content_hash(self) -> str:
        """SHA-256 of what the file means; comments and order of keys do not change it. Kept in each call's record."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def load_agents(path: Path) -> AgentsFile:
    """Read and check the agents file. Raises `ConfigError`, one `file:line:column: sentence` per line."""
    return agentfile.load(path, AgentsFile, cross_check)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the agents file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **AgentsFile.model_json_schema()}


def resolve_secret(ref: str) -> SecretStr:
    """Read the secret behind `env:NAME` or `file:/path`, now: files may be rotated. Raises `ConfigError`."""
    kind, _, where = ref.partition(":")
    if kind == "env":
        text = os.environ.get(where, "").strip()
        if not text:
            raise ConfigError(f"the environment variable {where} is not set")
        return SecretStr(text)
    try:
        with Path(where).open("rb") as file:
            text = file.read(MAX_SECRET_BYTES).decode().strip()
    except OSError as error:
        raise ConfigError(f"the secret file {where} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"the secret file {where} is not UTF-8 text") from None
    if not text:
        raise ConfigError(f"the secret file {where} is empty")
    return SecretStr(text)


def cross_check(data: object) -> Iterator[Problem]:
    """Name what concerns several places of the file. `data` may be wrong in any way; what is unsound is skipped."""
    agents = data.get("agents") if isinstance(data, dict) else None
    if not isinstance(agents, dict):
        return
    owners: dict[str, str] = {}
    default = ""
    for name, agent in agents.items():
        if not isinstance(agent, dict):
            continue
        yield from _shared_numbers(str(name), agent, owners)
        if agent.get("default") is True:
            if default:
                yield Problem(("agents", name, "default"), f"agent {default!r} is the default already; only one can be")
            default = default or str(name)
        yield from _doubled_tools(str(name), agent)


def _shared_numbers(name: str, agent: Mapping[str, object], owners: dict[str, str]) -> Iterator[Problem]:
    numbers = agent.get("numbers")
    for index, number in enumerate(numbers if isinstance(numbers, list | tuple) else ()):
        owner = owners.setdefault(number, name) if isinstance(number, str) else name
        if owner != name:
            yield Problem(("agents", name, "numbers", index), f"this number belongs to agent {owner!r} already")


def _doubled_tools(name: str, agent: Mapping[str, object]) -> Iterator[Problem]:
    tools = agent.get("tools")
    seen: Counter[object] = Counter()
    for index, tool in enumerate(tools if isinstance(tools, list | tuple) else ()):
        tool_name = tool.get("name") if isinstance(tool, dict) else None
        if not isinstance(tool_name, str):
            continue
        seen[tool_name] += 1
        if seen[tool_name] == 2:
            yield Problem(("agents", name, "tools", index, "name"), f"this agent has a tool {tool_name!r} already")
