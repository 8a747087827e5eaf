"""What a transcript says about an agreement: does it plainly refuse?

Rules for English, German, Spanish and French. They know plain refusals only; what else the caller may have meant the
model judges. Where they err they should take an agreement for a refusal: then the caller is asked once more.
"""

import re
import unicodedata

__all__ = ["refuses"]

REFUSALS = frozenset(
    "no nope nah nay never not dont wont stop wait nein nee nö niemals nie nicht halt stopp warte warten nunca jamás "
    "tampoco espera espere aguarda non jamais pas arrête arrêtez attends attendez niente aspetta nao não".split()
)
"""A turn that begins with one of these refuses."""
CANCELS = frozenset("cancel moment".split())
"""They refuse where nothing else is said: "cancel it" may be what is agreed to."""
ENDS = frozenset("no not never dont nein nicht niemals nunca non pas jamais".split())
"""A pause behind one of these makes it the sense of what was said: "absolutely not"."""
NEGATIONS = REFUSALS | frozenset("cant isnt doesnt didnt ne kein keine keinen".split())
YES = frozenset("yes yeah yep yup yea aye ja jawohl sí oui ouais".split())
FILLERS = frozenset(
    "oh ah uh um hm hmm well so please sorry i mean and but und aber ach äh ähm bitte ich meine also y pero bueno "
    "pues eh perdón por favor digo et mais euh ben alors bon vous je veux dire then dann entonces".split()
)
AGREEMENTS = frozenset(
    (
        "go ahead|do it|please do|go for it|thats right|thats correct|right|correct|sure|of course|exactly|absolutely|"
        "okay do it|ok do it|no problem|no problem at all|not a problem|no worries|why not|i dont mind|"
        "dont mind|no objections|"
        "nur zu|mach es|mach das|machen sie es|machen sie das|genau|richtig|stimmt|das stimmt|natürlich|klar|"
        "selbstverständlich|einverstanden|kein problem|warum nicht|"
        "adelante|claro|claro que sí|correcto|exacto|de acuerdo|hazlo|hágalo|no hay problema|"
        "ningún problema|por qué no|"
        "allez y|vas y|daccord|bien sûr|exactement|cest ça|pas de problème|aucun problème|pourquoi pas"
    ).split("|")
)
"""Said alone between two pauses, they agree."""
UNWANTED = re.compile(
    r"\b(dont want|will (das |es )?nicht|möchte (das |es )?nicht|auf keinen fall|no (lo |la )?quiero|veux pas)\b"
)
PAUSES = re.compile(r"[.,;:!?…\n\u2013\u2014]+")
APOSTROPHES = re.compile(r"['\u2019`]")


def refuses(text: str) -> bool:
    """Return whether a turn refuses plainly and agrees nowhere; true for one without words."""
    clauses = [words for words in map(_words, PAUSES.split(text)) if words]
    if not clauses:
        return True
    if any(_agrees(clause) for clause in clauses):
        return False
    said = [rest for rest in map(_without_fillers, clauses) if rest]
    if not said:
        return False
    alone = all(word in REFUSALS | CANCELS for clause in said for word in clause)
    return alone or said[0][0] in REFUSALS or any(_refuses(clause) for clause in said)


def _agrees(clause: list[str]) -> bool:
    rest = _without_fillers(clause)
    if " ".join(clause) in AGREEMENTS or " ".join(rest) in AGREEMENTS:
        return True
    while rest and rest[0] in REFUSALS:
        rest = _without_fillers(rest[1:])
    return bool(rest) and rest[0] in YES and not NEGATIONS.intersection(rest)


def _refuses(clause: list[str]) -> bool:
    """Whether it is or ends with a no, or says what is not wanted."""
    return clause[-1] in ENDS or bool(UNWANTED.search(" ".join(clause)))


def _without_fillers(words: list[str]) -> list[str]:
    begin = next((at for at, word in enumerate(words) if word not in FILLERS), len(words))
    end = next((at for at in range(len(words), begin, -1) if words[at - 1] not in FILLERS), begin)
    return words[begin:end]


def _words(clause: str) -> list[str]:
    spoken = APOSTROPHES.sub("", unicodedata.normalize("NFC", clause).lower().replace("do not", "dont"))
    return re.findall(r"[^\W_]+", spoken)
