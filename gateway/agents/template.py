"""Texts with variables: `{{name}}` and nothing more, no expressions, no loops, no text that unfolds again."""

import re
from collections.abc import Mapping

__all__ = ["fill", "fill_value", "names"]

MAX_TEXT_CHARS = 8000
MAX_VARIABLE_CHARS = 1000
MAX_DEPTH = 20

PLACE = re.compile(r"[ \t]?\{\{ ?([A-Za-z_][A-Za-z0-9_.-]{0,63}) ?\}\}")
"""With the blank before it, which goes when there is nothing to say: "Hello {{name}}!" is then "Hello!"."""


def fill(text: str, variables: Mapping[str, object]) -> str:
    """Return the text with its variables; of an unknown one nothing is left, nor of one that is a list or an object.

    Values stay on one line and are cut to 1000 characters, the whole to 8000.
    """
    return PLACE.sub(lambda place: _filled(place, variables), text)[:MAX_TEXT_CHARS]


def fill_value(value: object, variables: Mapping[str, object]) -> object:
    """Return a value of the agents file with the variables in its texts.

    A text that is one variable alone becomes its value as it is, a number too; None where it is unknown.
    """
    return _filled_value(value, variables, 0)


def names(text: str) -> tuple[str, ...]:
    """Return the variables of a text, each once, in order."""
    return tuple(dict.fromkeys(PLACE.findall(text)))


def _filled(place: re.Match[str], variables: Mapping[str, object]) -> str:
    said = _text(variables.get(place[1]))
    return place[0][: place[0].index("{")] + said if said else ""


def _text(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return " ".join(value[: 2 * MAX_VARIABLE_CHARS].split())[:MAX_VARIABLE_CHARS]
        case int() | float():
            return f"{value:.15g}" if isinstance(value, float) else _digits(value)
        case _:
            return ""


def _digits(value: int) -> str:
    # Python refuses to write numbers of more than 4300 digits.
    return str(value) if value.bit_length() < 4096 else ""


def _filled_value(value: object, variables: Mapping[str, object], depth: int) -> object:
    if depth > MAX_DEPTH:
        return None
    match value:
        case str():
            alone = PLACE.fullmatch(value)
            return variables.get(alone[1]) if alone is not None else fill(value, variables)
        case Mapping():
            return {key: _filled_value(part, variables, depth + 1) for key, part in value.items()}
        case list() | tuple():
            return [_filled_value(part, variables, depth + 1) for part in value]
        case _:
            return value
