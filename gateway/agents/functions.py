"""Functions that the gateway itself runs for the model. What a model knows of them stands here, and in what words.

A model follows a description closely, so each says when to call it, what to say before and what not to do. Names and
arguments are the core's (`gateway.core`); they never reach a webhook.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from gateway.core.functions import (
    COLLECT_DIGITS,
    HANG_UP,
    OPT_OUT,
    SCHEDULE_CALLBACK,
    SEND_DIGITS,
    SET_LANGUAGE,
    TRANSFER_CALL,
)

__all__ = [
    "BUILT_IN",
    "COLLECT_DIGITS",
    "COLLECT_DIGITS_TOOL",
    "HANG_UP",
    "HANG_UP_TOOL",
    "LOCAL",
    "MAX_CALLBACK_MINUTES",
    "OPT_OUT",
    "OPT_OUT_TOOL",
    "SCHEDULE_CALLBACK",
    "SCHEDULE_CALLBACK_TOOL",
    "SEND_DIGITS",
    "SEND_DIGITS_TOOL",
    "SET_LANGUAGE",
    "TRANSFER_CALL",
    "set_language_tool",
    "transfer_call_tool",
]

LOCAL = frozenset({SCHEDULE_CALLBACK, OPT_OUT})
"""Those that are kept on record and carried out beside the call, not by its core."""

BUILT_IN = LOCAL | {HANG_UP, TRANSFER_CALL, COLLECT_DIGITS, SEND_DIGITS, SET_LANGUAGE}
"""Names that no tool of the business may take."""

MAX_DIGITS = 32
"""Fewer than the core takes: no number that people key in is longer."""
MAX_CALLBACK_MINUTES = 90 * 24 * 60
"""As far ahead as any agent may promise a call."""


def _function(name: str, description: str, properties: Mapping[str, Any], *required: str) -> Mapping[str, Any]:
    parameters: dict[str, Any] = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    if required:
        parameters["required"] = list(required)
    return MappingProxyType({"type": "function", "name": name, "description": description, "parameters": parameters})


HANG_UP_TOOL = _function(
    HANG_UP,
    "End the phone call. Say goodbye first; the caller hears the rest of your sentence before the line "
    "closes. Use it only when the caller is done or asks to end the call.",
    {"reason": {"type": "string", "description": "Why the call ends, in a few words."}},
)

COLLECT_DIGITS_TOOL = _function(
    COLLECT_DIGITS,
    "Let the caller key in a number on the telephone's keypad and get its digits. Use it for numbers that are easily "
    "misheard (order, account or customer number, date of birth, PIN). Put the request into `prompt`; it is spoken to "
    "the caller for you, so say nothing else before. With `secure` you get a token in place of the digits: hand the "
    "token to the function that needs the number. Always use `secure` for card numbers, security codes, PINs and "
    "passwords, and never ask the caller to speak one of those. If the answer says that there is no complete entry, "
    "ask the caller what the trouble is before you try again.",
    {
        "max_digits": {
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_DIGITS,
            "description": "Digits the number has at most; the entry ends by itself after so many.",
        },
        "min_digits": {
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_DIGITS,
            "description": "Digits it has at least; 1 when you do not know.",
        },
        "terminator": {
            "type": "string",
            "enum": ["#", "*", ""],
            "description": 'Key that ends an entry before `max_digits`; "#" unless there is a reason, "" for none.',
        },
        "secure": {"type": "boolean", "description": "Whether you get a token and never see or hear the digits."},
        "prompt": {
            "type": "string",
            "maxLength": 500,
            "description": "Said to the caller word for word, in the language of the call: what to key in, and the "
            'key that ends it. For example "Please key in your order number, then press the pound key."',
        },
    },
    "max_digits",
    "prompt",
)

SEND_DIGITS_TOOL = _function(
    SEND_DIGITS,
    "Press keys on this call, as on a telephone's keypad: for a recorded menu, an extension or a conference code at "
    "the other end. Use it only when the other end asks for keys. Say nothing in the same turn; the keys go out when "
    "you are silent. Then wait for what the other end says.",
    {
        "digits": {
            "type": "string",
            "pattern": f"^[0-9*#A-D]{{1,{MAX_DIGITS}}}$",
            "description": 'The keys in their order, such as "2" or "4711#".',
        }
    },
    "digits",
)

SCHEDULE_CALLBACK_TOOL = _function(
    SCHEDULE_CALLBACK,
    "Promise the person on the line a phone call at a later time, on the number of this call; no other number can be "
    "called. Agree on the time first, then call this, and only confirm what the answer says: it names the time in the "
    "person's own time zone, read it back. Give either `in_minutes`, when they say how long from now, or `at`. You do "
    "not know what day it is: when they name a day or a time of day, and you were not told the date, the answer to a "
    "time in the past tells you what time it is there. If the answer is that it is not possible, nothing was arranged: "
    "say why in plain words and offer the time it suggests. A new time replaces the one that was agreed before.",
    {
        "at": {
            "type": "string",
            "maxLength": 40,
            "description": "Date and time, ISO 8601, such as 2026-11-23T15:00: the clock where the person is. Add the "
            "offset from UTC (2026-11-23T15:00-05:00) only when they mean the clock of another place.",
        },
        "in_minutes": {
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_CALLBACK_MINUTES,
            "description": "Minutes from now, instead of `at`.",
        },
        "reason": {
            "type": "string",
            "maxLength": 500,
            "description": "What the call is to be about, in one sentence, for whoever makes it; no card numbers, "
            "codes or passwords.",
        },
    },
    "reason",
)

OPT_OUT_TOOL = _function(
    OPT_OUT,
    "Note that the person on the line does not want to be called any more, on the number of this call. Call it as soon "
    "as they ask for that in any words, also in anger (stop calling me, take me off your list); do not argue and do "
    "not ask whether they are sure. Then confirm that they will not be called again. It cannot be undone in a call.",
    {},
)


def transfer_call_tool(targets: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the function by which the model hands the caller on; `targets` are names and what each is for."""
    listed = "\n".join(f"- {name}: {about}" if about else f"- {name}" for name, about in targets.items())
    return _function(
        TRANSFER_CALL,
        "Connect the caller with a person and leave the call. Tell the caller whom you would connect them with and ask "
        "whether they want that; call this only when they agree, or when they asked for it themselves. Then say one "
        "short sentence such as that you are putting them through. If the answer is that it did not work, the caller "
        "is with you again: say so, give the reason in plain words, and offer another way.\n"
        f"Targets:\n{listed}",
        {
            "target": {"type": "string", "enum": list(targets), "description": "Who is to take the call."},
            "summary": {
                "type": "string",
                "maxLength": 1000,
                "description": "What that person must know before they take it: who calls, what they want, what was "
                "already done. One to three sentences; no card numbers, codes or passwords.",
            },
        },
        "target",
        "summary",
    )


def set_language_tool(languages: Sequence[str]) -> Mapping[str, Any]:
    """Return the function by which the model says which language the call goes on in; `languages` are ISO 639 codes."""
    return _function(
        SET_LANGUAGE,
        "Say that the call goes on in another language, so that the caller is understood in it. Call it as soon as the "
        "caller speaks, or asks for, one of the languages below that is not the one you speak; then go on in it, "
        "beginning with an answer to what they said. Not for single foreign words, names or addresses.",
        {"language": {"type": "string", "enum": list(languages), "description": "ISO 639 code of the language."}},
        "language",
    )
