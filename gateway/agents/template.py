"""Texts with variables: `{{name}}` and nothing more, no expressions, no loops, no text that unfolds again."""

import re
from collections.abc import Mapping

__all__ = ["fill", "names"]

MAX_TEXT_CHARS = 8000
MAX_VARIABLE_CHARS = 1000

PLACE = re.compile(r"[ \t]?\{\{ ?([A-Za-z_][A-Za-z0-9_.-]{0,63}) ?\}\}")
"""With the blank before it, which goes when there is nothing to say: "Hello {{name}}!" is then "Hello!"."""


def fill(text: str, variables: Mapping[str, object]) -> str:
    """Return the text with its variables; of an unknown one nothing is left, nor of one that is a list or an object.

    Values stay on one line and are cut to 1000 characters, the whole to 8000.
    """
    return PLACE.sub(lambda place: _filled(place, variables), text)[:MAX_TEXT_CHARS]


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
