"""What the dialplan tells of a call: who calls whom, and whether they come back. Pure."""

import re
from collections.abc import Mapping

__all__ = ["MAX_VALUE", "NAMES", "is_channel", "known_of", "result_of"]

MAX_VALUE = 256
NAMES = {"call": ("call",), "from": ("from", "caller"), "to": ("to", "called")} | {
    name: (name,) for name in ("agent", "again", "result")
}
"""What we want to know, and under which variables it comes."""
NO_RESULT = "none"
"""What the dialplan says where there is nothing to say: Asterisk does not like empty values."""

is_channel = re.compile(r"[A-Za-z0-9+][A-Za-z0-9_.:+@-]{0,127}").fullmatch
"""Whether a text can be the unique id of a channel, perhaps with the system's name before it."""


def known_of(*sources: Mapping[object, object] | Mapping[str, str]) -> dict[str, str]:
    """Return what the sources tell us, the first that tells it; what is too long or no text is not told."""
    known: dict[str, str] = {}
    for source in sources:
        for name, aliases in NAMES.items():
            for value in (source.get(alias) for alias in aliases):
                if name not in known and isinstance(value, str) and 0 < len(value) <= MAX_VALUE:
                    known[name] = _number(value) if name in ("from", "to") else value
    return known


def result_of(known: Mapping[str, str]) -> str:
    """Return the `DIALSTATUS` that a caller comes back with from a transfer; "" for one who does not."""
    result = known.get("result", NO_RESULT)
    return "" if result == NO_RESULT else result


def _number(value: str) -> str:
    """A + that nobody encoded has become a blank on its way through a query."""
    value = "+" + value.lstrip() if value.startswith(" ") else value
    return "".join(filter(str.isprintable, value))[:64]
