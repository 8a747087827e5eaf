"""Word errors between what was said and what was heard.

Numbers are compared digit by digit, however they are written: "427", "4 2 7" and "four two seven" are the same
three words. Case, punctuation and fillers (uh, um) do not count.
"""

import re

__all__ = ["digits_of", "normal_words", "word_errors"]

UNITS = dict(zip("zero one two three four five six seven eight nine".split(), "0123456789", strict=True)) | {"oh": "0"}
TEEN_WORDS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
TEENS = {word: str(number) for number, word in enumerate(TEEN_WORDS, 10)}
TENS = dict(zip("twenty thirty forty fifty sixty seventy eighty ninety".split(), "23456789", strict=True))
ORDINALS = {
    "first": "one", "second": "two", "third": "three", "fifth": "five", "eighth": "eight", "ninth": "nine",
    "twelfth": "twelve", "twentieth": "twenty", "thirtieth": "thirty",
} | {f"{word}th": word for word in ["four", "six", "seven", *TEEN_WORDS]}  # fmt: skip
FILLERS = {"uh", "um", "hmm", "mm", "er", "ah"}
REPEATED = {"double": 2, "triple": 3}
REWRITES = (
    (re.compile(r"’"), "'"),
    (re.compile(r"\$(\d+)\.(\d\d)\b"), r"\1 dollars and \2 cents"),
    (re.compile(r"\$(\d+)"), r"\1 dollars"),
    (re.compile(r"£(\d+)"), r"\1 pounds"),
    (re.compile(r"\b([ap])\.?\s?m\b\.?"), r"\1m"),
    (re.compile(r"(?<=\d)(?:st|nd|rd|th)\b"), ""),
    (re.compile(r"\be-mail\b"), "email"),
    (re.compile(r"\bok\b"), "okay"),
    (re.compile(r"(?<=[a-z])\.(?=[a-z])"), " dot "),
)


def word_errors(reference: str, heard: str) -> tuple[int, int]:
    """Return (errors, words of the reference): the fewest substitutions, deletions and insertions."""
    wanted, got = normal_words(reference), normal_words(heard)
    row = list(range(len(got) + 1))
    for i, word in enumerate(wanted, 1):
        previous, row[0] = row[0], i
        for j, other in enumerate(got, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (word != other))
    return row[-1], len(wanted)


def digits_of(text: str) -> str:
    """Return all digits of the text in order, spoken ones included; "double seven" counts twice."""
    return "".join(word for word in normal_words(text) if word.isdigit())


def normal_words(text: str) -> list[str]:
    """Return the words as they are compared: lower case, one word a digit, no fillers."""
    cleaned = text.lower()
    for pattern, replacement in REWRITES:
        cleaned = pattern.sub(replacement, cleaned)
    words: list[str] = []
    after_tens = False
    times = 1
    for found in re.findall(r"\d|[a-z']+", cleaned):
        word = found.replace("'", "")
        word = ORDINALS.get(word, word)
        if not word or word in FILLERS:
            continue
        if word in REPEATED:
            times = REPEATED[word]
            continue
        if after_tens and UNITS.get(word, "0") != "0":
            words[-1] = UNITS[word]
        else:
            words += _spelled(word) * times
        after_tens = word in TENS
        times = 1
    return words


def _spelled(word: str) -> list[str]:
    if word in TENS:
        return [TENS[word], "0"]
    return list(TEENS.get(word, "")) or [UNITS.get(word, word)]
