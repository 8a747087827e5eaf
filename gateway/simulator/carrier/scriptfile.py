"""Reads a caller's script from YAML; unknown keys are refused:

    name: asks for an order and interrupts
    steps:
      - wait: agent_done            # or agent_speaking, or a number of seconds
        quiet_ms: 600               # silence that counts as done
        within_s: 20                # give up after
      - say: order-01-am_michael    # a .ulaw clip, or tone:HZ:MS
      - say: order-08-bm_george        # and keys in mid-sentence
        keys: [{at_ms: 800, digit: "4"}, {at_ms: 1300, digit: "2"}]
        in_band: true               # the tones are heard in the audio as well
      - pause_ms: 400
      - barge_in: {after_ms: 1200, say: barge-03-am_michael}
      - barge_in: {after_ms: [300, 2500], say: barge-02-am_michael}   # drawn from the seed
      - backchannel: {after_ms: 900, say: turns/back-01-am_michael}   # beside the steps that follow
      - dtmf: "12#"
        in_band: true
      - silence: 2.5                # seconds without a sound
      - wait: ringing               # of a transfer; then bridged, and alone when the other has gone
      - hangup
    stay_s: 30                      # after the last step, stay this long for the other side to hang up
    hang_up_at_s: 42.5              # put the phone down then, whatever is going on

A wait that is not met in time makes the caller hang up and is reported: a script always ends.
"""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.errors import ConfigError
from gateway.simulator.carrier.script import (
    Backchannel,
    BargeIn,
    Dtmf,
    HangUp,
    Key,
    Pause,
    Say,
    Script,
    Step,
    Until,
    Wait,
)
from gateway.simulator.carrier.tones import tone
from gateway.simulator.typos import suggestion

__all__ = ["load_script", "parse_script"]

MAX_FILE_BYTES = 256 * 1024
MAX_CLIP_BYTES = 10 * 60 * 8000
MAX_STEPS = 1000
_TONE = re.compile(r"tone:(\d{1,4}):(\d{1,5})")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


M = TypeVar("M", bound=_Model)
Seconds = Annotated[float, Field(gt=0, le=7200, strict=False)]
Milliseconds = Annotated[int, Field(ge=0, le=600_000)]
ClipName = Annotated[str, Field(min_length=1, max_length=200)]


class _KeyModel(_Model):
    at_ms: Milliseconds
    digit: Annotated[str, Field(pattern=r"^[0-9A-D*#]$")]


class _SayModel(_Model):
    say: ClipName
    keys: Annotated[list[_KeyModel], Field(max_length=64)] = []
    in_band: bool = False


class _WaitModel(_Model):
    wait: Until | Seconds
    within_s: Seconds = 20.0
    quiet_ms: Milliseconds = 600


class _PauseModel(_Model):
    pause_ms: Milliseconds


class _SilenceModel(_Model):
    silence: Seconds


class _BargeInFields(_Model):
    after_ms: Milliseconds | Annotated[list[Milliseconds], Field(min_length=2, max_length=2)]
    say: ClipName


class _BargeInModel(_Model):
    barge_in: _BargeInFields
    within_s: Seconds = 20.0


class _BackchannelFields(_Model):
    after_ms: Milliseconds
    say: ClipName


class _BackchannelModel(_Model):
    backchannel: _BackchannelFields


class _DtmfModel(_Model):
    dtmf: Annotated[str, Field(pattern=r"^[0-9A-D*#]{1,64}$")]
    in_band: bool = False


class _HangUpModel(_Model):
    hangup: Literal[True]


class _ScriptModel(_Model):
    steps: Annotated[list[object], Field(max_length=MAX_STEPS)]
    stay_s: Seconds = 30.0
    name: str = ""
    hang_up_at_s: Seconds | None = None


_MODELS: Mapping[str, type[_Model]] = {
    "say": _SayModel,
    "wait": _WaitModel,
    "pause_ms": _PauseModel,
    "silence": _SilenceModel,
    "barge_in": _BargeInModel,
    "backchannel": _BackchannelModel,
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
    return Script(steps, script.stay_s, script.name, script.hang_up_at_s)


def _validate(model: type[M], data: object, where: str) -> M:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise ConfigError(f"{where}: {place}: unknown key{suggestion(str(first['loc'][-1]), model)}") from error
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


def _build(model: _Model, where: str, clips: Path) -> Step:  # noqa: PLR0911 - one return a step
    match model:
        case _SayModel():
            keys = tuple(Key(key.at_ms, key.digit) for key in model.keys)
            return Say(_clip(model.say, where, clips), model.say, keys, model.in_band)
        case _WaitModel(wait=str(until)):
            return Wait(until, model.within_s, model.quiet_ms)
        case _WaitModel(wait=float(seconds)) | _SilenceModel(silence=seconds):
            return Pause(seconds)
        case _PauseModel():
            return Pause(model.pause_ms / 1000)
        case _BargeInModel():
            return _barge_in(model, where, clips)
        case _BackchannelModel(backchannel=fields):
            return Backchannel(_clip(fields.say, where, clips), fields.after_ms, fields.say)
        case _DtmfModel():
            return Dtmf(model.dtmf, model.in_band)
        case _:
            return HangUp()


def _barge_in(model: _BargeInModel, where: str, clips: Path) -> BargeIn:
    fields = model.barge_in
    first, *more = fields.after_ms if isinstance(fields.after_ms, list) else [fields.after_ms]
    if more and more[0] < first:
        raise ConfigError(f"{where}: barge_in.after_ms: the range must rise, such as [300, 2500]")
    return BargeIn(_clip(fields.say, where, clips), first, model.within_s, fields.say, more[0] if more else None)


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
