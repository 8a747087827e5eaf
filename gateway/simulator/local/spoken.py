"""Digits and numbers in what was heard.

A recogniser writes "four two seven" as "427", "4 27", "for 27" or "4 2 7"; all are the digit string 427.
"""

import re
from dataclasses import dataclass

__all__ = ["DigitRun", "digit_runs", "numbers", "spell_digits"]

UNITS = dict(zip("zero one two three four five six seven eight nine".split(), "0123456789", strict=True))
TEENS = {
    word: str(number)
    for number, word in enumerate(
        "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split(), 10
    )
}
TENS = dict(zip("twenty thirty forty fifty sixty seventy eighty ninety".split(), "23456789", strict=True))
SOUNDS_LIKE = {"oh": "0", "o": "0", "for": "4", "fore": "4", "to": "2", "too": "2", "ate": "8", "won": "1"}
REPEATED = {"double": 2, "triple": 3}
BEFORE_DIGITS = {"number", "order", "id", "code", "account", "reference", "invoice", "ticket", "tracking", "zip"}
NEGATIONS = {"not"}
MAX_RUN = 40


@dataclass(slots=True, frozen=True)
class DigitRun:
    """Digits said in one go."""

    digits: str
    before: tuple[str, ...]
    """Up to four words in front."""
    after: str
    """The word behind, or ""."""
    negated: bool
    """Said to be wrong: "not two three eleven"."""


def digit_runs(text: str) -> list[DigitRun]:
    """Return the digit strings in order; homophones count only beside digits."""
    words = re.findall(r"\d+|[a-z']+", text.lower())
    runs: list[DigitRun] = []
    at = 0
    while at < len(words):
        digits, end = _run(words, at)
        if digits:
            before = tuple(words[max(0, at - 4) : at])
            after = words[end] if end < len(words) else ""
            runs.append(DigitRun(digits[:MAX_RUN], before, after, bool(before) and before[-1] in NEGATIONS))
        at = max(end, at + 1)
    return runs


def numbers(text: str) -> list[tuple[float, DigitRun]]:
    """Return quantities: "forty two" is 42, "$42.50" is 42.5; homophones do not count."""
    found = []
    for part in re.split(r"(\d+\.\d+)", text.replace(",", "")):
        if re.fullmatch(r"\d+\.\d+", part):
            found.append((float(part), DigitRun(part, (), "", False)))
        else:
            plain = re.sub(r"\b(?:" + "|".join(SOUNDS_LIKE) + r")\b", "/", part, flags=re.IGNORECASE)
            found += [(float(run.digits), run) for run in digit_runs(plain)]
    return found


def spell_digits(text: str) -> str:
    """Return text with every number of three or more digits, and every one with a leading zero, as single digits."""
    return re.sub(r"(?<![\d.,:$£€-])(?:\d{3,}|0\d+)(?![\d:]|[.,]\d)", lambda found: " ".join(found[0]), text)


def _run(words: list[str], start: int) -> tuple[str, int]:
    """Return the digits that begin at `start` and the index behind them; ("", start) when none do."""
    digits = ""
    at = start
    times = 1
    while at < len(words):
        word = words[at]
        if word in REPEATED and at + 1 < len(words) and _plain(words[at + 1]):
            times = REPEATED[word]
            at += 1
            continue
        piece, used = _piece(words, at, bool(digits))
        if not piece:
            break
        digits += piece[0] * (times - 1) + piece
        times = 1
        at += used
    return digits, at if digits else start


def _piece(words: list[str], at: int, inside: bool) -> tuple[str, int]:
    word = words[at]
    following = words[at + 1] if at + 1 < len(words) else ""
    if word in TENS:
        return (TENS[word] + UNITS[following], 2) if UNITS.get(following, "0") != "0" else (TENS[word] + "0", 1)
    if plain := _plain(word):
        if following == "hundred":
            return plain + "00", 2
        return (plain + "000", 2) if following == "thousand" else (plain, 1)
    if word in SOUNDS_LIKE and _is_digit_here(words, at, inside):
        return SOUNDS_LIKE[word], 1
    return "", 1


def _is_digit_here(words: list[str], at: int, inside: bool) -> bool:
    """A homophone is a digit after digits when digits or nothing follow, and in front of them after "number"."""
    following = words[at + 1] if at + 1 < len(words) else ""
    digit_follows = bool(_plain(following)) or following in TENS
    if inside:
        return digit_follows or not following or words[at] in {"oh", "o", "ate"}
    named = at > 0 and words[at - 1] in BEFORE_DIGITS
    return digit_follows and (named or words[at] in {"oh", "o", "ate"})


def _plain(word: str) -> str:
    return word if word.isdecimal() and word.isascii() else UNITS.get(word, "") or TEENS.get(word, "")
