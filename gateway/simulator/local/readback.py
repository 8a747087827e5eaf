"""A function's output, said as a person would say it."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime

from gateway.simulator.local.spoken import spell_digits
from gateway.simulator.local.tools import Value, words_of_name
from gateway.simulator.local.when import say_date

__all__ = ["apology", "read_back"]

SPOKEN_KEYS = ("say", "message", "speech", "spoken", "answer", "text", "summary", "reply")
DONE_KEYS = {"ok", "success", "succeeded", "done", "accepted"}
MAX_CHARS = 600
MAX_FACTS = 8
MAX_LISTED = 5
MAX_DEPTH = 3


def read_back(output: str, arguments: Mapping[str, Value]) -> str:
    """Return what to tell the caller. `arguments` are those of the call: what only repeats them opens the sentence."""
    value = _parse(output)
    if isinstance(value, dict):
        if "error" in value and value["error"]:
            return apology(value["error"])
        for key in SPOKEN_KEYS:
            if isinstance(said := value.get(key), str) and said.strip():
                return _bounded(said.strip())
        return _bounded(_facts(value, arguments))
    if isinstance(value, list):
        return _bounded(f"I found {_say(value)}." if value else "I found nothing.")
    said = _say(value)
    return _bounded(said[:1].upper() + said[1:] + ("" if said[-1:] in ".!?" else ".")) if said else "That is done."


def apology(error: object) -> str:
    """Return how to tell a failure; only an error that reads like a sentence is repeated."""
    if isinstance(error, dict):
        error = error.get("message", "")
    told = error.strip() if isinstance(error, str) else ""
    sentence = re.fullmatch(r"[\w][\w ,.'-]{5,140}", told) is not None and " " in told and "_" not in told
    reason = f" {spell_digits(told[0].upper() + told[1:]).rstrip('.')}." if sentence else ""
    return f"I am sorry, that did not work.{reason} Can I help you with something else?"


def _parse(output: str) -> object:
    try:
        parsed: object = json.loads(output)
    except (ValueError, RecursionError):
        return output.strip()
    return parsed


def _facts(value: Mapping[str, object], arguments: Mapping[str, Value]) -> str:
    """Return "Okay. Order 4 2 7: the status is shipped, and the carrier is Parcel Express."."""
    echoed: list[str] = []
    facts: list[str] = []
    for key, found in _flat(value):
        said = _say(found)
        if not said or key.lower() in DONE_KEYS:
            continue
        if str(found) in {str(argument) for argument in arguments.values()}:
            echoed.append(said if re.match(r"[A-Z]\w+day, ", said) else f"{_key(key, subject=True)} {said}")
        elif isinstance(found, bool):
            facts.append(_yes_or_no(_key(key), found))
        else:
            several = re.search(r"(?<![su])s$", _key(key)) and found != 1
            facts.append(f"the {_key(key)} {'are' if several else 'is'} {said}")
    facts = facts[:MAX_FACTS]
    if not facts:
        return f"That is done for {echoed[0]}." if echoed else _done(value)
    listed = facts[0] if len(facts) == 1 else ", ".join(facts[:-1]) + ", and " + facts[-1]
    if not echoed:
        return f"{listed[0].upper()}{listed[1:]}."
    # "For order" comes out of an 8 kHz synthesiser as "four order": a word in front keeps the number apart.
    return f"Okay. {echoed[0][0].upper()}{echoed[0][1:]}: {listed}."


def _yes_or_no(key: str, value: bool) -> str:
    if re.search(r"(?:ed|able|open|ready|paid)$", key):
        return f"it is {'' if value else 'not '}{key}"
    return f"{key}: {'yes' if value else 'no'}"


def _done(value: Mapping[str, object]) -> str:
    refused = any(value.get(key) is False for key in DONE_KEYS)
    return "I am sorry, that was not possible." if refused else "That is done."


def _flat(value: Mapping[str, object], depth: int = 1) -> Iterator[tuple[str, object]]:
    for key, found in list(value.items())[: 2 * MAX_FACTS]:
        if isinstance(found, dict) and depth < MAX_DEPTH:
            yield from _flat(found, depth + 1)
        else:
            yield str(key), found


def _key(key: str, *, subject: bool = False) -> str:
    words = [word for word in words_of_name(key[:60]) if not (word in {"id", "number", "no"} and subject)]
    named = {"eta": "expected arrival", "id": "number", "qty": "quantity"}
    return " ".join(named.get(word, word) for word in words if word != "at") or "number"


def _say(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return spell_digits(str(value)) if isinstance(value, int) and abs(value) > 9999 else str(value)
        case str():
            return _say_text(value.strip()[:MAX_CHARS])
        case list():
            said = [text for one in value[:MAX_LISTED] if (text := _say(one))]
            return said[0] if len(said) == 1 else ", ".join(said[:-1]) + " and " + said[-1] if said else ""
        case dict():
            return ", ".join(f"{_key(key)} {told}" for key, one in _flat(value, MAX_DEPTH - 1) if (told := _say(one)))
    return ""


def _say_text(text: str) -> str:
    if re.fullmatch(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d.*)?", text):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return spell_digits(text)
        day = say_date(date(moment.year, moment.month, moment.day))
        return f"{day} at {_clock(moment.hour, moment.minute)}" if len(text) > 10 else day
    if clock := re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)(?::\d\d)?", text):
        return _clock(int(clock[1]), int(clock[2]))
    if text.isdecimal():
        return " ".join(text)
    if re.fullmatch(r"[a-z]+(?:[_-][a-z]+)+", text):
        return re.sub(r"[_-]", " ", text)
    return spell_digits(text)


def _clock(hour: int, minute: int) -> str:
    half = "in the morning" if hour < 12 else "in the afternoon" if hour < 18 else "in the evening"
    return f"{(hour - 1) % 12 + 1}{f':{minute:02d}' if minute else ''} {half}"


def _bounded(text: str) -> str:
    return text if len(text) <= MAX_CHARS else text[:MAX_CHARS].rsplit(" ", 1)[0] + "."
