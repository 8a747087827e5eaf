"""The engine without models: hears, says and calls what a scenario tells it to; exact, instant, repeatable."""

import hashlib
import json
import math
import re
from array import array
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from gateway.simulator.engine import Answer, Context, Fault, FunctionCall, Speech, Vad
from gateway.simulator.model.faults import FaultStep
from gateway.simulator.model.hearing import EnergyVad
from gateway.simulator.model.scenario import Aside, Call, Scenario, Silent, Turn
from gateway.simulator.model.sound import tone_tile

__all__ = ["ScriptedEngine", "babble"]

SAY_EXACTLY = re.compile(r'Say exactly: "((?:[^"\\]|\\.)+)"', re.DOTALL)
"""A quote inside the text is written with a backslash."""
TEMPLATE = re.compile(r"\{([\w.]+)\}")

SYLLABLE_SAMPLES = 520
"""65 ms: what one character takes to say."""
TONES = 32
MIN_CHARACTERS = 4


class ScriptedEngine:
    """Plays a `Scenario` for every session. Faults with `times` are counted over all of them."""

    def __init__(self, scenario: Scenario | None = None) -> None:
        self._scenario = scenario or Scenario()
        self._acted: Counter[int] = Counter()

    def vad(self) -> Vad:
        return EnergyVad()

    async def transcribe(self, audio: bytes, prompt: str, turn: int) -> str:
        script = self._scenario.turn(turn)
        return script.heard if script else ""

    async def respond(self, context: Context) -> Answer:
        aside = None if context.in_conversation else self._aside(context)
        if aside is not None:
            groups = _groups(aside.heard, _last_user_text(context.items))
            return self._answer([Speech(_fill(aside.say, groups))], aside.faults, aside.think_ms)
        last = context.items[-1] if context.items else {}
        exactly = _dictated(context)
        if exactly is not None:
            return self._answer([Speech(exactly)], self._scenario.greeting_faults if context.turn == 0 else ())
        if _silent(last):
            return self._answer([Speech(self._scenario.idle)], ())
        if context.turn == 0 and last.get("type") != "function_call_output":
            return self._answer([Speech(self._scenario.greeting)], self._scenario.greeting_faults)
        script = self._scenario.turn(context.turn)
        if last.get("type") == "function_call_output":
            return self._conclude(script, context.items)
        if script is None:
            return self._answer([Speech(self._scenario.default)], ())
        return self._open(script, context.items)

    async def speak(self, text: str, voice: str) -> bytes:
        return babble(text)

    def _aside(self, context: Context) -> Aside | None:
        return next((aside for aside in self._scenario.asides if _fits(aside, context)), None)

    def _open(self, script: Turn, items: Sequence[Mapping[str, Any]]) -> Answer:
        groups = _groups(script.match, _last_user_text(items) or script.heard)
        spoken = [_speech(line, groups) for line in script.lines]
        calls = [FunctionCall(call.name, _arguments(call, groups)) for call in script.calls]
        if not spoken and not calls and not script.faults:
            spoken = [Speech(self._scenario.default)]
        return self._answer([*spoken, *calls], script.faults, script.think_ms)

    def _conclude(self, script: Turn | None, items: Sequence[Mapping[str, Any]]) -> Answer:
        template = script.result if script and script.result is not None else self._scenario.default_result
        text = _fill(template, _results(items))
        return self._answer([Speech(text)] if text else [], script.result_faults if script else ())

    def _answer(self, items: Sequence[Speech | FunctionCall], steps: Sequence[FaultStep], think_ms: int = 0) -> Answer:
        return Answer(items=items, faults=tuple(self._due(steps)), think_s=think_ms / 1000)

    def _due(self, steps: Iterable[FaultStep]) -> Iterator[Fault]:
        for step in steps:
            # The scenario outlives the engine, so an object's identity names its place in the script.
            self._acted[id(step)] += 1
            if step.times is None or self._acted[id(step)] <= step.times:
                yield Fault(step.kind, step.model_dump(exclude={"kind"}))


def _speech(line: str | Silent, groups: Mapping[str, str]) -> Speech:
    if isinstance(line, str):
        return Speech(_fill(line, groups))
    return Speech(_fill(line.text, groups), silent=True)


def _fits(aside: Aside, context: Context) -> bool:
    words = _last_user_text(context.items)
    return (
        aside.metadata.items() <= context.metadata.items()
        and (aside.match is None or re.search(aside.match, context.instructions, re.IGNORECASE) is not None)
        and (aside.heard is None or re.search(aside.heard, words, re.IGNORECASE) is not None)
    )


def _dictated(context: Context) -> str | None:
    """Return the words the response must say. What the session's instructions dictate is a greeting, said once."""
    if not context.own_instructions and context.turn > 0:
        return None
    # The last: a response's own instructions often begin with the session's.
    found = deque(SAY_EXACTLY.finditer(context.instructions), maxlen=1)
    return re.sub(r"\\(.)", r"\1", found[0][1]) if found else None


def _silent(item: Mapping[str, Any]) -> bool:
    """Whether an item is the silence an idle timeout commits: caller audio in which nothing was ever heard."""
    content = item.get("content") or [{}]
    return content[0].get("type") == "input_audio" and content[0].get("transcript") is None


def _last_user_text(items: Sequence[Mapping[str, Any]]) -> str:
    for item in reversed(items):
        if item.get("role") == "user":
            return " ".join(part.get("text") or part.get("transcript") or "" for part in item["content"]).strip()
    return ""


def _groups(pattern: str | None, text: str) -> dict[str, str]:
    found = re.search(pattern, text, re.IGNORECASE) if pattern else None
    if found is None:
        return {"0": text}
    numbered = {str(index): value or "" for index, value in enumerate((found[0], *found.groups()))}
    return numbered | {name: value or "" for name, value in found.groupdict().items()}


def _arguments(call: Call, groups: Mapping[str, str]) -> str:
    if isinstance(call.arguments, str):
        return call.arguments
    return json.dumps(_fill_all(call.arguments, groups))


def _fill_all(value: Any, groups: Mapping[str, str]) -> Any:
    match value:
        case str():
            return _fill(value, groups)
        case dict():
            return {key: _fill_all(entry, groups) for key, entry in value.items()}
        case list():
            return [_fill_all(entry, groups) for entry in value]
        case _:
            return value


def _fill(template: str, values: Mapping[str, str]) -> str:
    """Fill {name}; an unknown name stays visible, so that a wrong script is noticed."""
    return TEMPLATE.sub(lambda found: values.get(found[1], found[0]), template)


def _results(items: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return every field of the function outputs since the last user turn, by path and by function.path."""
    names = {item["call_id"]: item["name"] for item in items if item.get("type") == "function_call"}
    values: dict[str, str] = {}
    for item in items:
        if item.get("role") == "user":
            values.clear()
        if item.get("type") == "function_call_output":
            name = names.get(item["call_id"], "result")
            for path, value in _flat(_json(item["output"])):
                values[path] = values[f"{name}.{path}"] = value
    return values


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return {"output": text}


def _flat(value: object, path: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    entries: Iterable[tuple[object, object]] = ()
    if isinstance(value, dict) and depth < 8:
        entries = value.items()
    elif isinstance(value, list) and depth < 8:
        entries = enumerate(value)
    else:
        yield path or "output", value if isinstance(value, str) else json.dumps(value)
    for key, entry in entries:
        yield from _flat(entry, f"{path}.{key}".lstrip("."), depth + 1)


@lru_cache(maxsize=1)
def _tiles() -> tuple[bytes, ...]:
    """65 ms syllables of a voice-like harmonic tone, each at its own pitch."""
    tiles = []
    for tone in range(TONES):
        pitch = 100 * 2 ** (tone / 16)
        samples = array("h")
        for at in range(SYLLABLE_SAMPLES):
            phase = 2 * math.pi * pitch * at / 8000
            envelope = math.sin(math.pi * (at + 1) / (SYLLABLE_SAMPLES + 1)) * 0.7 + 0.3
            voice = math.sin(phase) + 0.6 * math.sin(2 * phase) + 0.4 * math.sin(5 * phase) + 0.2 * math.sin(9 * phase)
            samples.append(int(4500 * envelope * voice))
        tiles.append(samples.tobytes())
    return tuple(tone_tile(tile, gain) for tile in tiles for gain in (1.0, 0.55))


@lru_cache(maxsize=512)
def babble(text: str) -> bytes:
    """Return the mu-law sound of a text: 65 ms a character, and a different sound for every text."""
    length = max(MIN_CHARACTERS, len(text))
    stream = hashlib.shake_256(text.encode("utf-8", "replace")).digest(length)
    tiles = _tiles()
    return b"".join(tiles[byte % len(tiles)] for byte in stream)
