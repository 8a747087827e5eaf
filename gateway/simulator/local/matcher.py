"""Which of the client's tools an utterance asks for, and with what arguments.

Works on any `tools` without examples: words of the utterance are compared with the tool's name, description, parameter
names and enum values, after stemming and a small thesaurus of what people call about. A word that many tools
share counts less. What only says that something is wanted (get, find, number) does not count at all.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from gateway.simulator.local.slots import Slot, fill, placeholder, slot_of
from gateway.simulator.local.tools import Parameter, Tool, Value, words_of_name

__all__ = ["Match", "arguments_for", "concepts", "first_missing", "rank", "with_placeholders"]

NAME_WEIGHT = 3.0
CHOICE_WEIGHT = 2.5
DESCRIPTION_WEIGHT = 1.5
PARAMETER_WEIGHT = 1.0
ENOUGH = 1.5
COMMON = frozenset(
    "a about all also an and any are as at be been by call called caller can could customer data detail details "
    "did do does done find for from get give given go going had has have he help her here hi hello him his how i "
    "id if in info information is it its just know let like ll look lookup make me more my name need new not now "
    "number of off on one or our out over please provide read retrieve return returns say see send set she should "
    "so some still tell than thank thanks that the their them then there these they this those to told tool up us "
    "use used user using want was we were what when where which who will with would yes yet you your fetch search "
    "list query check number code today tomorrow again yeah ok okay sure s t d m re ve two three four five six "
    "seven eight nine ten hundred".split()
)
THESAURUS = (
    "order package parcel delivery deliver shipment ship arrive track purchase bought courier",
    "appointment booking reservation book reserve schedule table visit",
    "cancel cancellation",
    "reschedule move change postpone shift update",
    "human agent operator person representative transfer escalate colleague somebody someone handoff",
    "bill billing invoice charge charged charges",
    "refund money reimburse",
    "pay payment card",
    "hours open opening close closing closed",
    "address location directions branch store",
    "available availability free slot slots vacancy",
    "price cost quote much expensive",
    "weather forecast temperature rain",
    "balance account",
    "email mail",
    "message note voicemail",
    "problem issue fault broken defective complaint complain",
    "callback ring",
)


@dataclass(slots=True, frozen=True)
class Match:
    """A tool and what is known of its arguments."""

    tool: Tool
    arguments: Mapping[str, Value]
    score: float

    @property
    def missing(self) -> Parameter | None:
        """The first required parameter without a value, or None when the call can be made."""
        return first_missing(self.tool, self.arguments)


def rank(tools: Sequence[Tool], text: str, today: date) -> list[Match]:
    """Return the tools that the text asks for, best first; none when it asks for nothing they do."""
    said = concepts(text)
    weights = [_weights(tool) for tool in tools]
    spread = {word: sum(word in one for one in weights) for word in said}
    matches = []
    for tool, known in zip(tools, weights, strict=True):
        score = sum(known[word] * _rarity(spread[word], len(tools)) for word in said if word in known)
        if score < ENOUGH:
            continue
        arguments = arguments_for(tool, [text], today)
        filled = sum(parameter.required and parameter.name in arguments for parameter in tool.parameters)
        matches.append(Match(tool, arguments, score + 0.5 * filled))
    return sorted(matches, key=lambda match: -match.score)


def arguments_for(tool: Tool, texts: Sequence[str], today: date, *, asked: Parameter | None = None) -> dict[str, Value]:
    """Return the arguments found in the texts, oldest first; a later one overrides. `asked` is what the last answers.

    Of two parameters with the same value only the first keeps it ("427" is not both order and account number)."""
    arguments: dict[str, Value] = {}
    for at, text in enumerate(texts):
        last = at == len(texts) - 1
        taken: list[Value] = []
        ordered = sorted(tool.parameters, key=lambda p: (not (last and p is asked), not p.required))
        for parameter in ordered:
            value = fill(parameter, text, today, asked=last and parameter is asked)
            same = value in taken and slot_of(parameter) in {Slot.DIGITS, Slot.NUMBER, Slot.PHONE}
            if value is not None and not same and not (slot_of(parameter) is Slot.FREE and parameter.name in arguments):
                arguments[parameter.name] = value
                taken.append(value)
    for parameter in tool.parameters:
        if parameter.required and parameter.default is not None:
            arguments.setdefault(parameter.name, parameter.default)
    return arguments


def first_missing(tool: Tool, arguments: Mapping[str, Value]) -> Parameter | None:
    return next((p for p in tool.parameters if p.required and p.name not in arguments), None)


def with_placeholders(tool: Tool, arguments: Mapping[str, Value]) -> dict[str, Value]:
    """Return the arguments with every missing required one made up, for a call that `tool_choice` demands."""
    made_up = {p.name: placeholder(p) for p in tool.parameters if p.required and p.name not in arguments}
    return {**arguments, **made_up}


def concepts(text: str) -> set[str]:
    """Return the stems of the words that carry meaning; members of one line of the thesaurus become one."""
    words = re.findall(r"[a-z]+", text.lower())
    stems = {_stem(word) for word in words if word not in COMMON and len(word) > 1}
    return {SYNONYMS.get(stem, stem) for stem in stems}


def _weights(tool: Tool) -> dict[str, float]:
    sources = [(" ".join(words_of_name(p.name)), PARAMETER_WEIGHT) for p in tool.parameters] + [
        (p.description, PARAMETER_WEIGHT) for p in tool.parameters
    ]
    sources += [(tool.description, DESCRIPTION_WEIGHT)]
    sources += [(" ".join(words_of_name(str(c))), CHOICE_WEIGHT) for p in tool.parameters for c in p.choices]
    sources += [(" ".join(words_of_name(tool.name)), NAME_WEIGHT)]
    weights: dict[str, float] = {}
    for text, weight in sources:
        for word in concepts(text):
            weights[word] = max(weight, weights.get(word, 0.0))
    return weights


def _rarity(found_in: int, tools: int) -> float:
    return 1.0 if tools == 1 else 0.5 + 0.5 * math.log(1 + tools / found_in) / math.log(1 + tools)


def _stem(word: str) -> str:
    for ending in ("ations", "ation", "ings", "ing", "ments", "ment", "ies", "ed", "es", "s", "y", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    return word[:-1] if len(word) > 4 and word[-1] == word[-2] else word


SYNONYMS = {_stem(word): line.split()[0] for line in THESAURUS for word in line.split()}
