"""One argument out of what was heard, by the parameter's JSON schema."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from difflib import SequenceMatcher
from enum import Enum, auto

from gateway.simulator.local.spoken import DigitRun, digit_runs, numbers
from gateway.simulator.local.tools import Parameter, Value, words_of_name
from gateway.simulator.local.when import dates, times, without_times

__all__ = ["Slot", "fill", "placeholder", "slot_of"]

DIGIT_WORDS = {
    "account", "card", "code", "confirmation", "id", "invoice", "no", "number", "order", "pin", "postcode",
    "ref", "reference", "ticket", "tracking", "zip",
}  # fmt: skip
COUNT_WORDS = {"amount", "count", "days", "guests", "nights", "party", "people", "quantity", "seats", "size", "tickets"}
COUNTED = {"people", "persons", "guests", "nights", "days", "items", "tickets", "seats", "adults", "of"}
MEASURES = {"dollars", "pounds", "weeks", "days", "minutes", "hours", "times", "months", "years", "people"} | {
    "moment", "second", "minute",
}  # fmt: skip
FREE_WORDS = {
    "comment", "description", "details", "issue", "message", "note", "notes", "problem", "q", "query", "question",
    "reason", "request", "subject", "summary", "text", "topic",
}  # fmt: skip
EMAIL = re.compile(r"[a-z0-9][a-z0-9._+-]{0,63}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,4}")
NAME_LEADS = (
    r"(?:my (?:full |last |first )?name is|name's|under the name(?: of)?|the name is|this is|speaking with|i am|i'm"
    r"|it's for)"
)
SPELLED = re.compile(r"\b[A-Za-z](?:[\s,.-]+[A-Za-z]\b){2,30}")
SAME_CHOICE = 0.8
MAX_FREE_CHARS = 500


class Slot(Enum):
    """What kind of thing a parameter asks for."""

    CHOICE = auto()
    DATE = auto()
    DATE_TIME = auto()
    DIGITS = auto()
    EMAIL = auto()
    FREE = auto()
    NAME = auto()
    NUMBER = auto()
    PHONE = auto()
    TIME = auto()
    YES_NO = auto()


@dataclass(slots=True, frozen=True)
class Hint:
    """The first of these that applies names the slot."""

    slot: Slot
    formats: frozenset[str]
    names: frozenset[str]


HINTS = (
    Hint(Slot.EMAIL, frozenset({"email", "idn-email"}), frozenset({"email", "mail"})),
    Hint(Slot.PHONE, frozenset({"phone", "tel"}), frozenset({"phone", "telephone", "mobile", "callback"})),
    Hint(Slot.DATE_TIME, frozenset({"date-time"}), frozenset({"datetime"})),
    Hint(Slot.DATE, frozenset({"date"}), frozenset({"date", "day"})),
    Hint(Slot.TIME, frozenset({"time"}), frozenset({"time", "hour"})),
    Hint(Slot.NAME, frozenset(), frozenset({"name", "surname", "customer", "caller"})),
    Hint(Slot.FREE, frozenset(), frozenset(FREE_WORDS)),
    Hint(Slot.DIGITS, frozenset(), frozenset(DIGIT_WORDS)),
)


def slot_of(parameter: Parameter) -> Slot:
    """Return what the parameter asks for, by enum, type, format and name, in this order."""
    names = set(words_of_name(parameter.name))
    if parameter.choices:
        return Slot.CHOICE
    if parameter.kind == "boolean":
        return Slot.YES_NO
    if parameter.kind in {"integer", "number"}:
        return Slot.DIGITS if names & DIGIT_WORDS and not names & COUNT_WORDS else Slot.NUMBER
    for hint in HINTS:
        if parameter.format in hint.formats or names & hint.names:
            # "customer_id" is an id, "order_date" is a date.
            return Slot.DIGITS if hint.slot is Slot.NAME and names & {"id", "number"} else hint.slot
    pattern = str(parameter.rules.get("pattern", ""))
    return Slot.DIGITS if "\\d" in pattern or "0-9" in pattern else Slot.FREE


def fill(parameter: Parameter, text: str, today: date, *, asked: bool = False) -> Value:
    """Return the parameter's value in the text, or None. `asked`: the text answers a question for just this."""
    slot = slot_of(parameter)
    candidates = _candidates(slot, parameter, text, today, asked)
    return next((value for value in candidates if parameter.fits(value)), None)


def placeholder(parameter: Parameter) -> Value:
    """Return something of the right type when a call is demanded and nothing was said."""
    if parameter.default is not None:
        return parameter.default
    if parameter.choices:
        return parameter.choices[0]
    return {"boolean": False, "integer": 0, "number": 0, "null": None}.get(parameter.kind, "")


def _candidates(slot: Slot, parameter: Parameter, text: str, today: date, asked: bool) -> Sequence[Value]:
    match slot:
        case Slot.CHOICE:
            return _choices(parameter, text)
        case Slot.DATE:
            return _ordered(parameter, dates(text, today))
        case Slot.TIME:
            return _ordered(parameter, times(text))
        case Slot.DATE_TIME:
            days, hours = dates(text, today), times(text)
            return [f"{days[-1]}T{hours[-1]}:00"] if days and hours else []
        case Slot.DIGITS:
            return _digits(parameter, text)
        case Slot.NUMBER:
            return _numbers(parameter, text)
        case Slot.PHONE:
            return [run.digits for run in digit_runs(text) if 7 <= len(run.digits) <= 15]
        case Slot.EMAIL:
            return _emails(text)
        case Slot.NAME:
            return _names(text, asked)
        case Slot.YES_NO:
            return _yes_no(text) if asked else []
        case Slot.FREE:
            named = bool(set(words_of_name(parameter.name)) & FREE_WORDS)
            return [text.strip()[:MAX_FREE_CHARS]] if asked or (named and parameter.required) else []


def _ordered(parameter: Parameter, found: list[str]) -> list[str]:
    """Of "from the 14th to the 21st" the first goes to a start, the last to everything else."""
    first = set(words_of_name(parameter.name)) & {"from", "start", "old", "current", "departure"}
    return found if first else found[::-1]


def _choices(parameter: Parameter, text: str) -> list[Value]:
    lower = " ".join(re.findall(r"[a-z0-9]+", text.lower()))
    words = lower.split()
    best: list[tuple[float, int, Value]] = []
    for at, choice in enumerate(parameter.choices):
        plain = " ".join(words_of_name(str(choice))) or str(choice).lower()
        size = len(plain.split())
        spans = [" ".join(words[i : i + size]) for i in range(max(1, len(words) - size + 1))]
        likeness = max(SequenceMatcher(None, plain, span).ratio() for span in spans)
        if likeness >= SAME_CHOICE:
            best.append((likeness + 0.01 * size, -at, choice))
    return [choice for _, _, choice in sorted(best, key=lambda one: one[:2], reverse=True)]


def _digits(parameter: Parameter, text: str) -> list[Value]:
    names = set(words_of_name(parameter.name)) | set(re.findall(r"[a-z]+", parameter.description.lower()))
    runs = [run for run in digit_runs(text) if not run.negated] or digit_runs(text)
    # A single digit is a number only where one is expected: not in "I told you three times" or "a new one".
    few = len(text.split()) <= 3
    runs = [run for run in runs if run.after not in MEASURES]
    runs = [run for run in runs if few or len(run.digits) > 1 or set(run.before[-2:]) & DIGIT_WORDS]

    def rank(run: DigitRun) -> tuple[bool, int]:
        return bool(set(run.before) & (names & (DIGIT_WORDS | {"order"}))), len(run.digits)

    ranked = sorted(runs, key=rank, reverse=True)
    if parameter.kind in {"integer", "number"}:
        return [int(run.digits) for run in ranked]
    prefix = re.match(r"\^?\(?([A-Z]{1,6}-?)", str(parameter.rules.get("pattern", "")))
    return [lead + run.digits for run in ranked for lead in (["", prefix[1]] if prefix else [""])]


def _numbers(parameter: Parameter, text: str) -> list[Value]:
    found = numbers(without_times(text))
    found.sort(key=lambda one: one[1].after not in COUNTED)
    whole = parameter.kind == "integer"
    return [int(value) if whole or value.is_integer() else value for value, _ in found]


def _emails(text: str) -> list[str]:
    lower = text.lower().rstrip(".?! ")
    joined = re.sub(r"[,.]?\s+at[,.]?\s+", "@", lower)
    joined = re.sub(r"[,.]?\s+(?:dot|point)[,.]?\s+", ".", joined)
    joined = re.sub(r"\s+underscore\s+", "_", re.sub(r"\s+(?:dash|hyphen)\s+", "-", joined))
    return EMAIL.findall(joined)


def _names(text: str, asked: bool) -> list[str]:
    if spelled := SPELLED.search(text):
        return ["".join(re.findall(r"[A-Za-z]", spelled[0])).capitalize()]
    found = re.search(rf"\b{NAME_LEADS}\s+((?-i:[A-Z][a-z'-]+(?:\s+[A-Z][a-z'-]+){{0,2}}))", text, re.IGNORECASE)
    if found:
        return [found[1]]
    bare = text.strip(" .!?")
    plain = bool(re.fullmatch(r"(?:It's |It is )?[A-Z][a-z'-]+(?: [A-Z][a-z'-]+){0,2}", bare))
    return [re.sub(r"^(?:It's|It is) ", "", bare)] if asked and plain else []


def _yes_no(text: str) -> list[Value]:
    if re.match(r"\W*(?:yes|yeah|yep|sure|correct|right|please do|okay|ok)\b", text, re.IGNORECASE):
        return [True]
    return [False] if re.match(r"\W*(?:no|nope|not)\b", text, re.IGNORECASE) else []
