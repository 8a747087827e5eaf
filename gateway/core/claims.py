"""What the agent claims to have done, found by the phrases of the agents file, and whether a function did it.

A phrase ("I have booked", "your appointment is confirmed") is found with other words between its own, and without
regard to case, curly quotes and contractions. It does not count when denied, asked, planned, wished, conditional,
quoted, or the word of somebody else; the words for that are known in English, German and Spanish. These are rules
on words, not understanding: a claim in words that the file does not list is missed, and some sentences fool them.
`gateway simulate claims` measures how often. Text is cut at 8,000 characters; the time is linear in its length.
"""

import re
import unicodedata
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter

from gateway.core import claimwords as of

__all__ = ["Claim", "ClaimRules", "ClaimsLedger"]

MAX_CHARS = 8000
MAX_GAP = 12
"""Words between two words of a phrase: a name, a date and a time fit."""
MAX_ITEMS = 500
"""Of a call whose agent makes claims in more items the oldest are forgotten."""
MAX_STARTS = 32
"""Places in one sentence where a phrase is looked for."""
MAX_BACK = 60
"""Words before a phrase that are looked at."""
MONTH = "jan|feb|mär|apr|mai|jun|jul|aug|sep|okt|nov|dez"
ABBREVIATED = re.compile(
    rf"\b(dr|mr|mrs|ms|prof|sr|sra|nr|st|hr|fr)\.|(?<=\d)\.(?=\d|\s(?:{MONTH}))|(?<=\d):(?=\d)", re.I
)
HALF_DAY = re.compile(r"\b([ap])\.\s?m\.(?=(\s+[A-Z]|\s*$)?)")
QUOTED = re.compile(r'"[^"]{0,1000}"|«[^«»]{0,1000}»')
SENTENCE = re.compile(r"[^.!?;\n¿¡]+[.!?;]*")
WORD = re.compile(r"'(?:ve|re|ll|s|d|m)\b|[^\W_]+|[,:]|(?<=\s)-+(?=\s)")
CONTRACTED = {"'ve": "have", "'re": "are", "'ll": "will"}
SHORT = {
    "is": ("is", "'s"),
    "has": ("has", "'s"),
    "had": ("had", "'d"),
    "am": ("am", "'m"),
    "'s": ("is", "has", "'s"),
    "'m": ("am", "'m"),
}
"""Words of a phrase, and as what they may be heard."""
VERBS = frozenset({"have", "has", "is", "are", "'m", "'s"})


@dataclass(slots=True, frozen=True)
class Claim:
    """The agent said that it has done something."""

    tool: str
    phrase: str
    """As the agents file has it."""
    sentence: str
    """In which it was said."""
    item_id: str = ""
    """The model's item; only in a `ClaimsLedger`."""


class ClaimRules:
    """The phrases of all functions of one agent, ready to be looked for."""

    def __init__(self, phrases: Mapping[str, Sequence[str]]) -> None:
        """`phrases` by function; those without a word are ignored."""
        self._by_first: dict[str, list[tuple[list[str], str, str]]] = {}
        for tool, spoken in phrases.items():
            for phrase in spoken:
                words = [word for word in _words(_plain(phrase)) if word not in ",:-"]
                if words:
                    self._by_first.setdefault(words[0], []).append((words, tool, phrase))

    def __bool__(self) -> bool:
        """Whether anything is looked for."""
        return bool(self._by_first)

    def find(self, text: str) -> list[Claim]:
        """Return the claims in what the agent said, in order; one for each function and sentence."""
        claims = []
        for found in SENTENCE.finditer(QUOTED.sub(" ", _plain(text))):
            sentence = found[0].strip()
            made = self._in_sentence(_words(sentence), sentence.endswith("?"))
            claims += [Claim(tool, phrase, sentence) for tool, (_, phrase) in sorted(made.items(), key=itemgetter(1))]
        return claims

    def _in_sentence(self, words: list[str], asks: bool) -> dict[str, tuple[int, str]]:
        """Return by function where it is claimed, and by which phrase; one phrase is enough."""
        places: dict[str, list[int]] = {}
        for number, word in enumerate(words):
            places.setdefault(word, []).append(number)
        made: dict[str, tuple[int, str]] = {}
        for first, phrases in self._by_first.items():
            starts = sorted(at for form in _heard_as(first) for at in places.get(form, ()))[:MAX_STARTS]
            for phrase, tool, original in phrases if starts else ():
                if tool in made or not all(any(form in places for form in _heard_as(word)) for word in phrase):
                    continue
                ends = ((start, _end(words, start, phrase)) for start in starts)
                claimed = (at for at, end in ends if end is not None and not _doubtful(words, at, end, asks))
                at = next(claimed, None)
                if at is not None:
                    made[tool] = (at, original)
        return made


class ClaimsLedger:
    """What one call's agent has claimed, against what its functions have done. Bounded, pure, and without a clock.

    One success of a function backs all claims of it, made before or after; so it does not notice that two bookings
    were claimed and one was made.
    """

    def __init__(self, rules: ClaimRules) -> None:
        self._rules = rules
        self._claims: OrderedDict[str, list[Claim]] = OrderedDict()
        self._running: Counter[str] = Counter()
        self._done: set[str] = set()

    def said(self, item_id: str, text: str) -> list[Claim]:
        """Take what the agent said in an item; return its claims. A second text for an item replaces the first."""
        claims = [replace(claim, item_id=item_id) for claim in self._rules.find(text)]
        self._claims.pop(item_id, None)
        if claims:
            self._claims[item_id] = claims
        while len(self._claims) > MAX_ITEMS:
            self._claims.popitem(last=False)
        return claims

    def started(self, tool: str) -> None:
        """Note that a function runs; `done` or `failed` must follow."""
        self._running[tool] += 1

    def done(self, tool: str) -> None:
        """Note that a function succeeded in this call, whether or not it was seen to start."""
        self._running[tool] = max(0, self._running[tool] - 1)
        self._done.add(tool)

    def failed(self, tool: str) -> None:
        """Note that a function failed, or that nobody knows whether it did anything."""
        self._running[tool] = max(0, self._running[tool] - 1)

    def unbacked(self) -> list[Claim]:
        """Return the claims, oldest first, of functions that have not succeeded and do not run at this moment."""
        backed = self._done | {tool for tool, count in self._running.items() if count}
        return [claim for claims in self._claims.values() for claim in claims if claim.tool not in backed]


def _plain(text: str) -> str:
    """Return the text with plain quotes and dashes, and with dots only where a sentence ends."""
    text = unicodedata.normalize("NFKC", text[:MAX_CHARS])[:MAX_CHARS]
    text = re.sub(r"[\u201c-\u201f]", '"', re.sub(r"[\u2018\u2019]", "'", text))
    text = re.sub(r"[\u2013\u2014]", " - ", text)
    text = HALF_DAY.sub(lambda found: found[1] + ("m." if found[2] is not None else "m"), text)
    return ABBREVIATED.sub(lambda found: (found[1] or "") + " ", text)


def _words(text: str) -> list[str]:
    lower = re.sub(r"\bcan(?:'t|not)\b", "can not", text.casefold()).replace("won't", "will not").replace("n't", " not")
    return [CONTRACTED.get(word, word) for word in WORD.findall(lower)]


def _heard_as(word: str) -> tuple[str, ...]:
    return SHORT.get(word, (word,))


def _end(words: list[str], start: int, phrase: list[str]) -> int | None:
    """Return where a phrase that begins at `start` ends (exclusive); None when it is not there, or only as a plan."""
    ends = {start + 1}
    for wanted in phrase[1:]:
        ends = {at + 1 for end in ends for at in _nexts(words, end, wanted)}
    return min(ends, default=None)


def _nexts(words: list[str], begin: int, wanted: str) -> list[int]:
    heard_as, found, gap = _heard_as(wanted), [], 0
    for at in range(begin, len(words)):
        if words[at] in heard_as:
            found.append(at)
        if gap == MAX_GAP or _closes(words, at, begin):
            break
        gap += words[at] not in ",-"
    return found


def _closes(words: list[str], at: int, begin: int) -> bool:
    """Whether the word, between two of a phrase, denies it, plans it, or begins another statement."""
    word, before, after = words[at], words[at - 1], words[at + 1] if at + 1 < len(words) else ""
    match word:
        case ":":
            return True
        case "you":
            return at > begin and before != "got"  # "I have you booked", but not "I have what you booked"
        case "to":
            return not VERBS.isdisjoint(words[begin - 1 : at])  # "I have to", but not "your delivery to London"
        case "may":
            return after in ("be", "have", "not")  # else it is the month
        case "'s":
            return before in of.PRONOUNS
    return word in of.CLOSING or (before == "," and word in of.GAP_RELATIVES)


def _doubtful(words: list[str], start: int, end: int, asks: bool) -> bool:
    following = words[end : end + 2] or [""]
    if following[0] in of.FOLLOWING or following == ["as", "soon"]:
        return True
    if asks and (words[0] in of.ASKING or not {",", "-"} & set(words[end:])):
        return True  # "I have booked it, anything else?" is a claim with a question behind it
    return _denied(words, start) or _unreal(words, start)


def _denied(words: list[str], start: int) -> bool:
    for at in range(start - 1, max(-1, start - 1 - MAX_BACK), -1):
        if words[at] in of.NEGATIONS and words[at + 1] not in of.HARMLESS:
            return True
        if words[at] in of.CUTS and not (words[at] == "," and words[at + 1] in of.THAT):
            return False
    return False


def _unreal(words: list[str], start: int) -> bool:
    """Whether what stands before makes it a condition, a wish, or the word of somebody else."""
    wished = True
    for at in range(start - 1, max(-1, start - 1 - MAX_BACK), -1):
        word, before = words[at], words[at - 1] if at else ""
        reported = before in of.REPORTS and words[0] not in ("as", "wie", "como")
        if word in of.HARD_CUTS and not (word == "," and (words[at + 1] in of.THAT or reported)):
            return False
        wished = wished and word not in of.CUTS
        if word in of.CONDITIONS or (before, word) in of.CONDITION_PAIRS or (wished and word in of.WISHES):
            return True
        if word in of.REPORTS and not _speaks_for_itself(words, at):
            return True
    return False


def _speaks_for_itself(words: list[str], at: int) -> bool:
    while at > 0 and words[at - 1] in of.ADVERBS:
        at -= 1
    return at > 0 and words[at - 1] in of.OWN
