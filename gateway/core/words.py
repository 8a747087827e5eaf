"""What a transcript says about the turn, beside its content: is it only listening, does it seem to go on?

Rules for English, on letters and digits only; of another language they know the punctuation. They judge, they do not
decide: whoever asks waits a little longer or shorter by them, and never for ever.
"""

import re
from collections.abc import Iterable

__all__ = ["echoes", "has_words", "only_backchannels", "seems_unfinished"]

OPEN_WORDS = frozenset(
    "a about an and are at because but by can could did do for from had has have how i i'd i'll i'm if in into is it's "
    "like my of on or our please so than that that's the their then they this to uh um was we we're well were what "
    "when where which who will with would you your er erm hmm".split()
)
"""A sentence seldom ends with one of these."""
OPENERS = frozenset("hello hey hi wait actually".split())
"""Said alone, they call for attention."""
OPEN_PHRASES = re.compile(
    r"\b(((number|code|name|address|email|zip|date|birthday) (is|was)( number)?)"
    r"|let me (think|see|find|look|check)( (it|that|for it))?"
    r"|(one|just a|give me a) (moment|second|sec|minute)|hold on|hang on)$"
)
"""They announce what is to come."""
NUMBER_WORDS = frozenset("zero oh one two three four five six seven eight nine double triple".split())
ANNOUNCING = frozenset("number code order zip card account phone is it's was".split())
SHORT_GROUP = 4
"""Spelled digits that are fewer than this are taken for the first group of more."""


ECHOED = 0.6
"""Share of a transcript's words that the agent has said when it is the agent's echo; a bad line garbles some."""


def echoes(text: str, said: Iterable[str]) -> bool:
    """Return whether a transcript is made of what the agent has said; false for one without words."""
    own = {word for line in said for word in _words(line)}
    heard = _words(text)
    return bool(heard) and sum(word in own for word in heard) >= ECHOED * len(heard)


def has_words(text: str) -> bool:
    return any(character.isalnum() for character in text)


def only_backchannels(text: str, words: frozenset[str]) -> bool:
    """Return whether a transcript holds nothing but words of listening; true for one without words."""
    return all(word in words for word in _words(text))


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower().replace("-", "").replace("'", ""))


def seems_unfinished(text: str) -> bool:
    """Return whether the speaker seems to have only paused; false where nothing was understood."""
    stripped = text.strip().lower()
    if stripped.endswith(("…", "...", ",", "-", ":", ";")):
        return True
    words = re.findall(r"[^\W_]+(?:'[^\W_]+)?", stripped)
    if not words:
        return False
    alone = len(words) == 1 and words[0] in OPENERS
    return alone or words[-1] in OPEN_WORDS or bool(OPEN_PHRASES.search(" ".join(words))) or _digits_begun(words)


def _digits_begun(words: list[str]) -> bool:
    """Whether it ends with the first digits of a number that was announced."""
    count = 0
    while words and (words[-1].isdigit() or words[-1] in NUMBER_WORDS):
        word = words.pop()
        count += len(word) if word.isdigit() else 1
    return 0 < count < SHORT_GROUP and bool(words) and words[-1] in ANNOUNCING
