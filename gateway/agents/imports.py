"""Functions that are not written in the agents file but taken from an OpenAPI document or an MCP server."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from gateway.agents.functions import BUILT_IN
from gateway.agents.outside import SECRET_NAMES, SECRET_REF, Auth, Headers, SecretRef, WebAddress
from gateway.agents.policy import PolicyOverrides, ToolPolicy
from gateway.agents.section import Section

__all__ = ["ImportedTool", "Mcp", "OpenApi"]

MAX_IMPORTED = 128
"""What the Realtime API takes; a model chooses badly among far fewer."""
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
SECRET_WORDS = frozenset("KEY KEYS APIKEY TOK PASS PASSWD PASSPHRASE PAT JWT".split())
"""Parts of a variable's name, between its underscores, that say that it holds a secret, beside `SECRET_NAMES`."""

OperationId = Annotated[str, Field(min_length=1, max_length=200)]


def _printable(value: str) -> str:
    if not value.isprintable() or not value.strip():
        raise ValueError("should be plain text on one line")
    return value


def _holds_secret(variable: str) -> bool:
    return bool(SECRET_NAMES.fullmatch(variable)) or not SECRET_WORDS.isdisjoint(variable.upper().split("_"))


Plain = Annotated[str, Field(max_length=4096), AfterValidator(_printable)]


class ImportedTool(PolicyOverrides):
    """What is said otherwise about one function of a document or a server."""

    name: str | None = Field(default=None, pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    """Name the model calls it by; null: made of its name there."""
    description: str | None = Field(default=None, min_length=1, max_length=4000)
    """When to use it and what it returns; null: what stands there, which is often written for programmers."""

    @field_validator("name")
    @classmethod
    def _not_built_in(cls, value: str | None) -> str | None:
        if value in BUILT_IN:
            raise ValueError(f"{value!r} is built in; choose another name")
        return value


class OpenApi(Section):
    """Functions made of the operations of an OpenAPI document: the gateway calls your API as it is."""

    document: Plain
    """File with the document, JSON or YAML; a relative path begins at the folder of this file."""
    server: WebAddress | None = None
    """Address before every path; null: the first server of the document."""
    tags: tuple[Plain, ...] | None = Field(default=None, max_length=100)
    """Operations with one of these tags are offered. With neither tags nor `operations`, all are."""
    operations: tuple[OperationId, ...] | None = Field(default=None, max_length=MAX_IMPORTED)
    """Operations offered by their operationId, beside those of `tags`."""
    exclude: tuple[OperationId, ...] = Field(default=(), max_length=1000)
    """Operations never offered, by their operationId."""
    auth: Auth | None = None
    """How the API is shown who calls; null: by our signature alone."""
    headers: Headers = Field(default_factory=dict)
    """Additional request headers; no secrets."""
    sign: bool = True
    """Whether our signature goes along; the Idempotency-Key and the traceparent always do."""
    secret: SecretRef | None = None
    """Reference to the signing secret, env:NAME or file:/path; null: GATEWAY_WEBHOOK_SECRET. Without either, `auth`
    alone shows who calls."""
    defaults: PolicyOverrides = Field(default_factory=PolicyOverrides)
    """What holds for every operation, unless `tools` says otherwise. By itself GET and HEAD are effect: read."""
    tools: dict[OperationId, ImportedTool] = Field(default_factory=dict, max_length=MAX_IMPORTED)
    """What holds for one operation, by its operationId."""

    @field_validator("document")
    @classmethod
    def _file(cls, value: str) -> str:
        if "://" in value:
            raise ValueError("should be a file; what a call may do must not change because a web page did")
        return value

    @field_validator("server")
    @classmethod
    def _before_paths(cls, value: str | None) -> str | None:
        if value is not None and "?" in value:
            raise ValueError("should end before the path of an operation, and has a query")
        return value

    @model_validator(mode="after")
    def _chosen_once(self) -> Self:
        for name in self.exclude:
            if name in (self.operations or ()) or name in self.tools:
                raise ValueError(f"{name!r} is both offered and excluded")
        return self

    def offers(self, operation_id: str, tags: tuple[str, ...] | list[str] = ()) -> bool:
        """Tell whether an operation of the document is offered to the model."""
        if operation_id in self.exclude:
            return False
        if self.tags is None and self.operations is None:
            return True
        return operation_id in (self.operations or ()) or any(tag in (self.tags or ()) for tag in tags)

    def policy(self, operation_id: str, base: ToolPolicy) -> ToolPolicy:
        """Return how an operation is run; `base` is what its method suggests. Raises `ConfigError`."""
        own = self.tools.get(operation_id)
        return (own.over(self.defaults) if own is not None else self.defaults).apply(base)


class Mcp(Section):
    """Functions of an MCP server. The gateway calls them, so policy and record hold as for any other."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    """The server's name in records, logs and metrics."""
    command: Plain | None = None
    """Program that is started and spoken to over its standard input and output; else `url`."""
    args: tuple[Annotated[str, Field(max_length=4096)], ...] = Field(default=(), max_length=100)
    """Its arguments."""
    env: dict[str, Annotated[str, Field(max_length=4096)]] = Field(default_factory=dict, max_length=50)
    """Its environment, beside PATH and HOME: values, or env:NAME and file:/path, which is a must where the name is that
    of a secret (TOKEN, SECRET, KEY, PASSWORD …)."""
    cwd: Plain | None = None
    """Folder it is started in; a relative path begins at the folder of this file, which it is by itself."""
    url: WebAddress | None = None
    """Address of a server that speaks Streamable HTTP; else `command`."""
    headers: Headers = Field(default_factory=dict)
    """url: additional request headers; no secrets."""
    auth: Auth | None = None
    """url: how the server is shown who calls."""
    prefix: str = Field(default="", pattern=r"^[a-zA-Z0-9_-]{0,32}$")
    """Put before the names of its tools, where two servers use the same."""
    timeout_s: float = Field(default=8, ge=0.1, le=120)
    """Seconds for one call, unless `overrides` says otherwise."""
    start_s: float = Field(default=10, ge=0.5, le=120)
    """Seconds until the server must have told its tools."""
    tools: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] | None = Field(
        default=None, min_length=1, max_length=MAX_IMPORTED
    )
    """Names of its tools that are offered; null: all that it has when the gateway starts, but for destructive ones."""
    defaults: PolicyOverrides = Field(default_factory=PolicyOverrides)
    """What holds for every tool, unless `overrides` says otherwise. By itself what the server calls read-only is
    effect: read."""
    overrides: dict[Annotated[str, Field(min_length=1, max_length=200)], ImportedTool] = Field(
        default_factory=dict, max_length=MAX_IMPORTED
    )
    """What holds for one tool, by its name there."""

    @field_validator("args")
    @classmethod
    def _no_keys(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            name, given, _ = text.partition("=")
            if given and SECRET_NAMES.fullmatch(name):
                raise ValueError(f"{name!r} looks like a secret, which every user of the machine could see; use env")
        return value

    @field_validator("env")
    @classmethod
    def _no_secrets(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not VARIABLE.fullmatch(name) or "\0" in text:
                raise ValueError(f"{name!r} is not a plain variable")
            if _holds_secret(name) and not SECRET_REF.fullmatch(text):
                raise ValueError(f"{name!r} is the name of a secret, so its value must be env:NAME or file:/path")
        return value

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise ValueError("should have either a command or a url")
        if self.command is None and (self.args or self.env or self.cwd is not None):
            raise ValueError("args, env and cwd belong to a command; a url has none")
        if self.url is None and (self.headers or self.auth is not None):
            raise ValueError("headers and auth belong to a url; give secrets to a command by env")
        for name in self.overrides:
            if self.tools is not None and name not in self.tools:
                raise ValueError(f"overrides: {name!r} is not among the tools that are offered")
        return self

    @property
    def env_secrets(self) -> dict[str, str]:
        """The variables of `env` that are references, by name."""
        return {name: text for name, text in self.env.items() if SECRET_REF.fullmatch(text)}

    def offers(self, tool: str) -> bool:
        """Tell whether a tool of the server is offered to the model."""
        return self.tools is None or tool in self.tools

    def policy(self, tool: str, base: ToolPolicy) -> ToolPolicy:
        """Return how a tool is run; `base` is what its annotations suggest. Raises `ConfigError`."""
        own = self.overrides.get(tool)
        said = own.over(self.defaults) if own is not None else self.defaults
        timed = PolicyOverrides(timeout_s=self.timeout_s)
        return said.over(timed).apply(base)
