"""Whether a caller's words sound finished: the text rule behind `semantic_vad`."""

import re

__all__ = ["TIMEOUT_MS", "sounds_finished"]

TIMEOUT_MS = {"low": 8000, "medium": 4000, "auto": 4000, "high": 2000}
"""The longest silence waited for after unfinished words, by eagerness (Realtime API, `semantic_vad`)."""

OPEN_WORDS = frozenset(
    "a an the and or but so because if when while although that which who whose to of for from with at in on by about "
    "into than as is are was were am be my your his her its our their this these those very really just also um uh er "
    "erm hmm like well i'm i we you they it's i'd i'll let's please".split()
)
"""A sentence seldom ends with one of these: articles, conjunctions, prepositions, possessives, fillers."""
OPEN_PHRASES = re.compile(r"\b(number|code|name|address|email|zip|date|birthday) (is|was)( number)?$")
NUMBER_WORDS = frozenset("zero oh one two three four five six seven eight nine double triple".split())
SHORT_GROUP = 4
"""Spelled digits after "number is" that are fewer than this are taken for the first group of more."""


def sounds_finished(text: str) -> bool:
    """Return whether the caller seems to be done; "" (nothing understood) is not worth waiting for."""
    stripped = text.strip().lower()
    if not stripped:
        return True
    if stripped.endswith(("…", "...", ",", "-", ":")):
        return False
    words = re.findall(r"[a-z0-9']+", stripped)
    if not words:
        return True
    if words[-1] in OPEN_WORDS or OPEN_PHRASES.search(" ".join(words)):
        return False
    return not _digits_begun(words)


def _digits_begun(words: list[str]) -> bool:
    count = 0
    while words and (words[-1].isdigit() or words[-1] in NUMBER_WORDS):
        word = words.pop()
        count += len(word) if word.isdigit() else 1
    return 0 < count < SHORT_GROUP and bool(OPEN_PHRASES.search(" ".join(words)))
