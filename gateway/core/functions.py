"""The functions that the gateway itself runs for the model, by name, and what their arguments mean.

The arguments come from a model: anything may be in them. What cannot be read becomes a sentence that the model gets
as the function's output.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.core.operator import CollectDigits

__all__ = [
    "COLLECT_DIGITS",
    "HANG_UP",
    "OPT_OUT",
    "SCHEDULE_CALLBACK",
    "SEND_DIGITS",
    "SET_LANGUAGE",
    "TRANSFER_CALL",
    "BadArguments",
    "WantedTransfer",
    "collect_arguments",
    "digits_arguments",
    "language_argument",
    "transfer_arguments",
]

HANG_UP = "hang_up"
TRANSFER_CALL = "transfer_call"
COLLECT_DIGITS = "collect_digits"
SEND_DIGITS = "send_digits"
SET_LANGUAGE = "set_language"
SCHEDULE_CALLBACK = "schedule_callback"
OPT_OUT = "opt_out"

MOST_DIGITS = 64
MOST_TEXT = 1000
is_keys = re.compile(r"[0-9*#A-D]{1,64}").fullmatch


class BadArguments(Exception):
    """The model's arguments cannot be used; the message is for the model."""


@dataclass(slots=True, frozen=True)
class WantedTransfer:
    target: str
    summary: str


def transfer_arguments(text: str) -> WantedTransfer:
    fields = _object(text)
    target = fields.get("target")
    if not isinstance(target, str) or not target:
        raise BadArguments("target must be the name of a transfer target")
    summary = fields.get("summary")
    return WantedTransfer(target[:MOST_TEXT], summary[:MOST_TEXT] if isinstance(summary, str) else "")


def digits_arguments(text: str) -> str:
    digits = _object(text).get("digits")
    if not isinstance(digits, str) or not is_keys(digits):
        raise BadArguments(f"digits must be 1 to {MOST_DIGITS} of 0-9 * # A-D")
    return digits


def language_argument(text: str, languages: frozenset[str]) -> str:
    language = _object(text).get("language")
    if not isinstance(language, str) or language not in languages:
        raise BadArguments(f"language must be one of {', '.join(sorted(languages))}")
    return language


def collect_arguments(text: str) -> CollectDigits:
    fields = _object(text)
    defaults = CollectDigits()
    most = _count(fields, "max_digits", defaults.max_digits)
    least = _count(fields, "min_digits", defaults.min_digits)
    terminator = fields.get("terminator", defaults.terminator)
    if not isinstance(terminator, str) or (terminator and not is_keys(terminator)) or len(terminator) > 1:
        raise BadArguments("terminator must be one key, or empty")
    if least > most:
        raise BadArguments("min_digits must not be above max_digits")
    prompt = fields.get("prompt")
    return CollectDigits(
        max_digits=most,
        min_digits=least,
        terminator=terminator,
        prompt=prompt[:MOST_TEXT] if isinstance(prompt, str) else "",
        # Whatever is not plainly "no" hides the keys: the other mistake cannot be undone.
        secure=fields.get("secure", False) not in (False, None),
    )


def _object(text: str) -> Mapping[str, object]:
    try:
        fields = json.loads(text or "{}")
    except (ValueError, RecursionError):
        raise BadArguments("the arguments are not JSON") from None
    if not isinstance(fields, dict):
        raise BadArguments("the arguments must be an object")
    return fields


def _count(fields: Mapping[str, object], key: str, default: int) -> int:
    value = fields.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_DIGITS:
        raise BadArguments(f"{key} must be a whole number from 1 to {MOST_DIGITS}")
    return value
