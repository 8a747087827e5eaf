"""What the model may not decide: fixed and bounded arguments, and how often a function is carried out.

A bound names an argument, or one inside it with dots ("payment.amount"). A fixed argument is not shown to the model,
and what the model writes there is replaced. Every refusal is a sentence from which the model can repair its call or
tell the caller why not.
"""

import copy
import re
from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import NoReturn

from gateway.agents.policy import Bound, whole_match
from gateway.errors import ConfigError, ToolError

__all__ = [
    "CallerCounts",
    "check_bounds",
    "put_fixed",
    "require_per_call",
    "require_per_caller",
    "shown",
    "sound_bounds",
]

MAX_CALLERS = 10_000
"""Callers whose reads are counted at a time; the one not heard of for longest makes room."""
PLACE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_.-]*)\s*\}\}")
SHOWN_VALUES = 20
"""Allowed values that a refusal tells; more would only be read out."""

Document = dict[str, object]


def sound_bounds(tool: str, parameters: Mapping[str, object], bounds: Mapping[str, Bound]) -> None:
    """Raise `ConfigError` for a bound that could never take effect: a mistyped name must not open what it was to close.

    A fixed argument may be one that the schema does not name, if the schema allows others.
    """
    for name, bound in bounds.items():
        if bound.fixed is None and not _described(parameters, _path(parameters, name)):
            raise ConfigError(f"tool {tool}: bounds: there is no argument {name!r}")


def shown(parameters: Mapping[str, object], bounds: Mapping[str, Bound]) -> Mapping[str, object]:
    """Return the schema as the model sees it: without the arguments that are fixed."""
    fixed = [_path(parameters, name) for name, bound in bounds.items() if bound.fixed is not None]
    if not fixed:
        return parameters
    schema: Document = copy.deepcopy(dict(parameters))
    for path in fixed:
        _hide(schema, path)
    return schema


def put_fixed(
    parameters: Mapping[str, object],
    bounds: Mapping[str, Bound],
    arguments: Mapping[str, object],
    known: Mapping[str, object],
) -> Document:
    """Return the arguments with the fixed ones in their place, whatever the model wrote there.

    `known` are the values that may be named: caller, called, and the variables of the call. Raises `ToolError`.
    """
    whole: Document = copy.deepcopy(dict(arguments))
    for name, bound in bounds.items():
        if bound.fixed is not None:
            path = _path(parameters, name)
            section = whole
            for part in path[:-1]:
                inner = section.get(part)
                if not isinstance(inner, dict):
                    inner = section[part] = {}
                section = inner
            section[path[-1]] = _filled(bound.fixed, known)
    return whole


def check_bounds(
    parameters: Mapping[str, object], bounds: Mapping[str, Bound], arguments: Mapping[str, object]
) -> None:
    """Raise `ToolError` (code `bounds`) for arguments outside of their bounds; absent ones are for the schema."""
    broken = []
    for name, bound in bounds.items():
        if bound.fixed is None:
            present, value = _value(arguments, _path(parameters, name))
            problem = _problem(value, bound) if present else ""
            if problem:
                broken.append(f"{name} {problem}")
    if broken:
        raise ToolError(f"this is not allowed: {'; '.join(broken)}", code="bounds")


def require_per_call(limit: int | None, count: int) -> None:
    """Raise `ToolError` (code `quota`) when a call has used up what it may."""
    if limit is not None and count >= limit:
        times = "once" if limit == 1 else f"{limit} times"
        _used_up(f"this may be done at most {times} in one call, and that is used up")


def require_per_caller(limit: int | None, count: int) -> None:
    """Raise `ToolError` (code `quota`) when a calling number has used up what it may."""
    if limit is not None and count >= limit:
        _used_up("the most that this caller may have done for now is used up")


class CallerCounts:
    """When each calling number had a read carried out; of this process, bounded."""

    def __init__(self, limit: int = MAX_CALLERS) -> None:
        self._limit = limit
        self._times: OrderedDict[tuple[str, str, str], deque[float]] = OrderedDict()

    def count(self, caller: tuple[str, str, str], since: float) -> int:
        """Return how often `caller` (agent, tool, number) was counted since a time of the loop."""
        times = self._times.get(caller)
        while times and times[0] < since:
            times.popleft()
        return len(times) if times else 0

    def add(self, caller: tuple[str, str, str], now: float, most: int) -> None:
        """Count one more; `most` times are kept."""
        times = self._times.setdefault(caller, deque())
        times.append(now)
        while len(times) > most:
            times.popleft()
        self._times.move_to_end(caller)
        while len(self._times) > self._limit:
            self._times.popitem(last=False)

    def remove(self, caller: tuple[str, str, str], at: float) -> None:
        """Count one less: what was added at `at` was not carried out."""
        times = self._times.get(caller)
        if times and at in times:
            times.remove(at)


def _used_up(why: str) -> NoReturn:
    raise ToolError(f"{why}. Do not call it again; tell the caller", permanent=True, code="quota")


def _properties(schema: object) -> Mapping[str, object]:
    found = schema.get("properties") if isinstance(schema, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _path(parameters: Mapping[str, object], name: str) -> list[str]:
    """An argument may have a dot in its own name."""
    return [name] if name in _properties(parameters) else name.split(".")


def _described(schema: object, path: list[str]) -> bool:
    for part in path:
        properties = _properties(schema)
        if part not in properties:
            return False
        schema = properties[part]
    return True


def _hide(schema: Document, path: list[str]) -> None:
    section: object = schema
    for part in path[:-1]:
        section = _properties(section).get(part)
    if not isinstance(section, dict):
        return
    properties = section.get("properties")
    if isinstance(properties, dict):
        properties.pop(path[-1], None)
    required = section.get("required")
    if isinstance(required, list):
        section["required"] = [name for name in required if name != path[-1]]


def _value(arguments: Mapping[str, object], path: list[str]) -> tuple[bool, object]:
    value: object = arguments
    for part in path:
        if not isinstance(value, Mapping) or part not in value:
            return False, None
        value = value[part]
    return True, value


def _filled(fixed: object, known: Mapping[str, object]) -> object:
    match fixed:
        case str():
            alone = PLACE.fullmatch(fixed.strip())
            if alone is not None:
                return _named(alone[1], known)
            return PLACE.sub(lambda place: str(_named(place[1], known)), fixed)
        case Mapping():
            return {key: _filled(value, known) for key, value in fixed.items()}
        case list() | tuple():
            return [_filled(value, known) for value in fixed]
        case _:
            return fixed


def _named(name: str, known: Mapping[str, object]) -> object:
    value = known.get(name)
    if value is None or value == "":
        what = {"caller": "the caller's number is withheld", "called": "the number that was called is not known"}
        reason = what.get(name, f"{name} is not known yet in this call")
        raise ToolError(f"this cannot be done: {reason}", code="not_known")
    return value


def _problem(value: object, bound: Bound) -> str:
    """Return what is wrong with a value, as the end of a sentence; "" when nothing is."""
    number = _number_problem(value, bound)
    if number:
        return number
    if bound.max_length is not None:
        if not isinstance(value, str | list):
            return "must be a text or a list"
        if len(value) > bound.max_length:
            return f"may be {bound.max_length} {'characters' if isinstance(value, str) else 'entries'} long at most"
    if bound.allowed is not None and not any(_same(value, one) for one in bound.allowed):
        values = ", ".join(str(one) for one in bound.allowed[:SHOWN_VALUES])
        return f"must be one of: {values}" + (", …" if len(bound.allowed) > SHOWN_VALUES else "")
    if bound.pattern is not None and not (isinstance(value, str) and whole_match(bound.pattern)(value)):
        return "does not have the form that is required"
    return ""


def _number_problem(value: object, bound: Bound) -> str:
    if bound.minimum is None and bound.maximum is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "must be a number"
    if bound.minimum is not None and value < bound.minimum:
        return f"must be at least {bound.minimum:g}"
    if bound.maximum is not None and value > bound.maximum:
        return f"must be at most {bound.maximum:g}"
    return ""


def _same(value: object, allowed: object) -> bool:
    # In Python True == 1; in JSON it is not.
    return isinstance(value, bool) == isinstance(allowed, bool) and value == allowed
