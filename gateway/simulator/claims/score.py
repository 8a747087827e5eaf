"""What the matcher finds in the labelled sentences, against what is there."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.core.claims import ClaimRules
from gateway.simulator.claims.labelled import Business, Sentence

__all__ = ["Score", "Verdict", "judge", "score"]


@dataclass(slots=True, frozen=True)
class Verdict:
    """One sentence, judged."""

    sentence: Sentence
    language: str
    found: frozenset[str]

    @property
    def right(self) -> bool:
        return self.found == self.sentence.made


@dataclass(slots=True, frozen=True)
class Score:
    """Claims counted by function and sentence. A share of nothing is None."""

    sentences: int
    claims: int
    traps: int
    """Sentences without a claim."""
    found: int
    """Claims that were found."""
    false: int
    """Claims that nobody made."""
    alarms: int
    """Traps in which a claim was found."""

    @property
    def precision(self) -> float | None:
        return _share(self.found, self.found + self.false)

    @property
    def recall(self) -> float | None:
        return _share(self.found, self.claims)

    @property
    def f1(self) -> float | None:
        return _share(2 * self.found, self.found + self.false + self.claims)

    def to_json(self) -> dict[str, float | None]:
        """Return counts and shares, for `--json`."""
        return {
            "sentences": self.sentences,
            "claims": self.claims,
            "traps": self.traps,
            "found": self.found,
            "false": self.false,
            "false_alarms": self.alarms,
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
        }


def judge(businesses: Mapping[str, Business], sentences: Sequence[Sentence]) -> list[Verdict]:
    """Look for claims in every sentence with the rules of its business."""
    rules = {name: ClaimRules(business.claims) for name, business in businesses.items()}
    return [
        Verdict(one, businesses[one.business].language, frozenset(c.tool for c in rules[one.business].find(one.text)))
        for one in sentences
    ]


def score(verdicts: Iterable[Verdict]) -> Score:
    """Count."""
    judged = list(verdicts)
    traps = [one for one in judged if not one.sentence.made]
    return Score(
        sentences=len(judged),
        claims=sum(len(one.sentence.made) for one in judged),
        traps=len(traps),
        found=sum(len(one.found & one.sentence.made) for one in judged),
        false=sum(len(one.found - one.sentence.made) for one in judged),
        alarms=sum(bool(one.found) for one in traps),
    )


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
