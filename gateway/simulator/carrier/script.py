"""A caller's script: what the person on the phone says, waits for and presses.

In YAML (unknown keys are refused):

    name: asks for an order and interrupts
    steps:
      - wait: agent_done            # or agent_speaking, or a number of seconds
        quiet_ms: 600               # silence that counts as done
        within_s: 20                # give up after
      - say: orders-01-af_heart     # a .ulaw clip, or tone:HZ:MS
      - pause_ms: 400
      - barge_in: {after_ms: 1200, say: barge-01-am_michael}
      - dtmf: "12#"
      - silence: 2.5                # seconds without a sound
      - hangup
    stay_s: 30                      # after the last step, stay this long for the other side to hang up

A wait that is not met in time makes the caller hang up and is reported: a script always ends.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.errors import ConfigError
from gateway.simulator.carrier.tones import tone

__all__ = ["BargeIn", "Dtmf", "HangUp", "Pause", "Say", "Script", "Step", "Wait", "load_script", "parse_script"]

MAX_FILE_BYTES = 256 * 1024
MAX_CLIP_BYTES = 10 * 60 * 8000
MAX_STEPS = 1000
_TONE = re.compile(r"tone:(\d{1,4}):(\d{1,5})")


@dataclass(slots=True, frozen=True)
class Say:
    """Speak; ends when the last frame was spoken."""

    audio: bytes
    """Mu-law, 8 kHz."""
    name: str = ""


@dataclass(slots=True, frozen=True)
class Wait:
    """Wait for the agent."""

    until: Literal["agent_done", "agent_speaking"]
    within_s: float = 20.0
    quiet_ms: int = 600


@dataclass(slots=True, frozen=True)
class Pause:
    """Say nothing for a time."""

    seconds: float


@dataclass(slots=True, frozen=True)
class BargeIn:
    """Speak once the caller has heard `after_ms` of the agent's current turn."""

    audio: bytes
    after_ms: int
    within_s: float = 20.0
    name: str = ""


@dataclass(slots=True, frozen=True)
class Dtmf:
    """Press keys, one each 250 ms."""

    digits: str


@dataclass(slots=True, frozen=True)
class HangUp:
    """Put the phone down."""


Step: TypeAlias = Say | Wait | Pause | BargeIn | Dtmf | HangUp


@dataclass(slots=True, frozen=True)
class Script:
    """What a caller does, in order."""

    steps: Sequence[Step] = ()
    stay_s: float = 30.0
    """After the last step: how long to wait, in silence, for the other side to hang up."""
    name: str = ""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


M = TypeVar("M", bound=_Model)
Seconds = Annotated[float, Field(gt=0, le=7200, strict=False)]
Milliseconds = Annotated[int, Field(ge=0, le=600_000)]
ClipName = Annotated[str, Field(min_length=1, max_length=200)]


class _SayModel(_Model):
    say: ClipName


class _WaitModel(_Model):
    wait: Literal["agent_done", "agent_speaking"] | Seconds
    within_s: Seconds = 20.0
    quiet_ms: Milliseconds = 600


class _PauseModel(_Model):
    pause_ms: Milliseconds


class _SilenceModel(_Model):
    silence: Seconds


class _BargeInFields(_Model):
    after_ms: Milliseconds
    say: ClipName


class _BargeInModel(_Model):
    barge_in: _BargeInFields
    within_s: Seconds = 20.0


class _DtmfModel(_Model):
    dtmf: Annotated[str, Field(pattern=r"^[0-9A-D*#]{1,64}$")]


class _HangUpModel(_Model):
    hangup: Literal[True]


class _ScriptModel(_Model):
    steps: Annotated[list[object], Field(max_length=MAX_STEPS)]
    stay_s: Seconds = 30.0
    name: str = ""


_MODELS: Mapping[str, type[_Model]] = {
    "say": _SayModel,
    "wait": _WaitModel,
    "pause_ms": _PauseModel,
    "silence": _SilenceModel,
    "barge_in": _BargeInModel,
    "dtmf": _DtmfModel,
    "hangup": _HangUpModel,
}


def load_script(path: Path, clips: Path) -> Script:
    """Read a YAML script; clip names are looked up in the directory `clips`. Raises `ConfigError`."""
    return parse_script(_read(path, MAX_FILE_BYTES).decode("utf-8", "replace"), clips)


def parse_script(text: str, clips: Path) -> Script:
    """Parse the YAML text of a script. Raises `ConfigError` naming the step that is wrong."""
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"the caller script is not YAML: {str(error).splitlines()[0]}") from error
    script = _validate(_ScriptModel, data, "the caller script")
    steps = [_step(item, f"step {number}", clips) for number, item in enumerate(script.steps, 1)]
    return Script(steps, script.stay_s, script.name)


def _validate(model: type[M], data: object, where: str) -> M:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{where}: {place}: {first['msg'].lower()}".replace(": :", ":")) from error


def _step(item: object, where: str, clips: Path) -> Step:
    if item == "hangup":
        return HangUp()
    if not isinstance(item, dict):
        raise ConfigError(f"{where}: expected a mapping such as 'say: clip' or the word hangup")
    kinds = [key for key in item if key in _MODELS]
    if len(kinds) != 1:
        raise ConfigError(f"{where}: expected exactly one of {', '.join(_MODELS)}{_suggestion(item)}")
    return _build(_validate(_MODELS[kinds[0]], item, where), where, clips)


def _suggestion(item: Mapping[object, object]) -> str:
    for key in item:
        if near := difflib.get_close_matches(str(key), _MODELS, 1):
            return f"; did you mean {near[0]}?" if key not in _MODELS else ""
    return ""


def _build(model: _Model, where: str, clips: Path) -> Step:
    match model:
        case _SayModel():
            return Say(_clip(model.say, where, clips), model.say)
        case _WaitModel(wait="agent_done" | "agent_speaking" as until):
            return Wait(until, model.within_s, model.quiet_ms)
        case _WaitModel(wait=float(seconds)) | _SilenceModel(silence=seconds):
            return Pause(seconds)
        case _PauseModel():
            return Pause(model.pause_ms / 1000)
        case _BargeInModel(barge_in=fields):
            return BargeIn(_clip(fields.say, where, clips), fields.after_ms, model.within_s, fields.say)
        case _DtmfModel():
            return Dtmf(model.dtmf)
        case _:
            return HangUp()


def _clip(name: str, where: str, clips: Path) -> bytes:
    if match := _TONE.fullmatch(name):
        return tone(int(match[1]), int(match[2]))
    file = name if name.endswith(".ulaw") else f"{name}.ulaw"
    path = (clips / file).resolve()
    if not path.is_relative_to(clips.resolve()):
        raise ConfigError(f"{where}: a clip must lie inside the clips directory")
    audio = _read(path, MAX_CLIP_BYTES)
    if not audio or audio[:4] == b"RIFF":
        raise ConfigError(f"{where}: {file} is not raw mu-law audio")
    return audio


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {path.name}: {error.strerror}") from error
    if len(data) > limit:
        raise ConfigError(f"{path.name} is larger than {limit} bytes")
    return data
