"""A scripted model's lines, read from YAML: every key known, no key twice, bounded in size."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from gateway.errors import ConfigError
from gateway.simulator.model.faults import FaultStep
from gateway.simulator.model.options import ModelOptions
from gateway.simulator.typos import suggestion

__all__ = ["Aside", "Call", "Scenario", "Silent", "Turn", "load_scenario", "parse_scenario"]

MAX_BYTES = 1 << 20


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return pattern


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Call(_Part):
    """A function the model calls in a turn."""

    name: str
    arguments: dict[str, Any] | str = Field(default_factory=dict)
    """Strings inside may hold {group} templates; a plain string is sent as it is, malformed JSON included."""


class Silent(_Part):
    """An output item that has words and no audio at all."""

    text: str = ""
    silent: Literal[True]


class Turn(_Part):
    """What happens at one user turn."""

    heard: str = ""
    """What the audio of this turn is understood as; a text turn is understood as its text."""
    match: Annotated[str, AfterValidator(_compiles)] | None = None
    """Searched in what was understood, ignoring case; its groups fill {1} or {name} in `say` and `calls`."""
    say: str | list[str | Silent] = Field(default_factory=list)
    """Spoken before any call; several texts become several output items."""
    calls: list[Call] = Field(default_factory=list)
    result: str | None = None
    """Spoken once the calls are answered; {field} or {function.field} is taken from the JSON results."""
    think_ms: int = Field(default=0, ge=0, le=600_000)
    faults: list[FaultStep] = Field(default_factory=list)
    result_faults: list[FaultStep] = Field(default_factory=list)
    """As `faults`, for the response after the calls were answered."""

    @property
    def lines(self) -> list[Silent | str]:
        return [self.say] if isinstance(self.say, str) else self.say


class Aside(_Part):
    """What an out-of-band response says; every condition given must hold, and the first aside that fits is taken."""

    metadata: dict[str, str] = Field(default_factory=dict)
    """Pairs that the response's metadata must hold."""
    match: Annotated[str, AfterValidator(_compiles)] | None = None
    """Searched in the instructions, ignoring case."""
    heard: Annotated[str, AfterValidator(_compiles)] | None = None
    """Searched in the caller's latest words, ignoring case; its groups fill `say`."""
    say: str
    think_ms: int = Field(default=0, ge=0, le=600_000)
    faults: list[FaultStep] = Field(default_factory=list)


class Scenario(_Part):
    """The whole script. Turn n is the n-th user turn of a conversation, spoken or written."""

    greeting: str = "Hello, how can I help you?"
    """Spoken when a response is asked before any user turn, unless the instructions say what to say exactly."""
    greeting_faults: list[FaultStep] = Field(default_factory=list)
    idle: str = "Are you still there?"
    """Spoken when the caller said nothing until the idle timeout."""
    default: str = "I am sorry, could you say that again?"
    """Spoken at a turn the script does not have."""
    default_result: str = "All right, that is done."
    """Spoken after a function result when the turn has no `result`."""
    asides: list[Aside] = Field(default_factory=list)
    """Answers of out-of-band responses; without one that fits they answer as the conversation would."""
    turns: list[Turn] = Field(default_factory=list)
    repeat: bool = False
    """Start over after the last turn."""
    server: ModelOptions = ModelOptions()
    """How the server behaves."""

    def turn(self, number: int) -> Turn | None:
        """Return the script of a user turn, counted from 1."""
        if self.repeat and self.turns and number > 0:
            return self.turns[(number - 1) % len(self.turns)]
        return self.turns[number - 1] if 0 < number <= len(self.turns) else None


def load_scenario(path: Path) -> Scenario:
    """Read a scenario file. Raises `ConfigError` with the place and the reason."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path}: a scenario file is at most {MAX_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    return parse_scenario(text, str(path))


def parse_scenario(text: str, name: str = "scenario") -> Scenario:
    """Return the scenario in a YAML text. Raises `ConfigError`."""
    try:
        # A SafeLoader subclass: it builds plain data only.
        data = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{name}: not valid YAML: {error}") from None
    try:
        return Scenario.model_validate({} if data is None else data)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in fault["loc"]) or "top level"
        if fault["type"] == "extra_forbidden":
            raise ConfigError(f"{name}: {place}: unknown key{suggestion(str(fault['loc'][-1]), Scenario)}") from None
        raise ConfigError(f"{name}: {place}: {fault['msg']}") from None


class _UniqueKeyLoader(yaml.SafeLoader):
    pass


def _unique_mapping(loader: _UniqueKeyLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen = set()
    for key_node, _ in node.value:
        key = key_node.value if isinstance(key_node, yaml.ScalarNode) else str(key_node)
        if key in seen:
            line = key_node.start_mark.line + 1
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} twice (line {line})")
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)
