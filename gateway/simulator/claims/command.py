"""`gateway simulate claims`: precision and recall of the matcher that hears what agents claim."""

import json
import sys
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.simulator.claims.labelled import PARTS, load_labelled
from gateway.simulator.claims.score import Score, Verdict, judge, score

__all__ = ["run_claims"]

PIPE_WIDTH = 160
"""Columns where the output is no terminal."""


def run_claims(*, misses: bool = False, as_json: bool = False) -> int:
    """Print the scores; 0, for no bound is set. Raises `ConfigError` when the labelled set is damaged."""
    businesses, sentences = load_labelled()
    verdicts = judge(businesses, sentences)
    rows = list(_rows(verdicts))
    wrong = [one for one in verdicts if not one.right]
    if as_json:
        document: dict[str, object] = {"scores": [{"part": p, "language": lang, **s.to_json()} for p, lang, s in rows]}
        if misses:
            document["misses"] = [_miss(one) for one in wrong]
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        return 0
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
    console.print(_table(rows))
    if misses:
        console.print(_misses(wrong))
    return 0


def _rows(verdicts: Sequence[Verdict]) -> Iterator[tuple[str, str, Score]]:
    languages = sorted({one.language for one in verdicts}, key=lambda name: (name != "en", name))
    for part in (*PARTS, "all"):
        inside = [one for one in verdicts if part in (one.sentence.part, "all")]
        for language in (*languages, "all"):
            yield part, language, score(one for one in inside if language in (one.language, "all"))


def _table(rows: Sequence[tuple[str, str, Score]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("part", "language"):
        table.add_column(name)
    for name in ("sentences", "claims", "traps", "found", "false", "precision", "recall", "F1"):
        table.add_column(name, justify="right")
    for part, language, one in rows:
        counts = (one.sentences, one.claims, one.traps, one.found, one.false)
        shares = (one.precision, one.recall, one.f1)
        table.add_row(
            part.replace("_", "-"),
            language,
            *(str(count) for count in counts),
            *("-" if share is None else f"{share:.3f}" for share in shares),
            style="bold" if language == "all" else "",
        )
    return table


def _misses(wrong: Sequence[Verdict]) -> Table:
    table = Table("part", "missed", "false", "said", box=None, pad_edge=False)
    for one in wrong:
        table.add_row(*(Text(cell) for cell in _cells(one)))
    return table


def _cells(one: Verdict) -> tuple[str, str, str, str]:
    miss = _miss(one)
    return (
        str(miss["part"]).replace("_", "-"),
        ", ".join(sorted(one.sentence.made - one.found)),
        ", ".join(sorted(one.found - one.sentence.made)),
        one.sentence.text,
    )


def _miss(one: Verdict) -> dict[str, object]:
    return {
        "part": one.sentence.part,
        "language": one.language,
        "missed": sorted(one.sentence.made - one.found),
        "false": sorted(one.found - one.sentence.made),
        "text": one.sentence.text,
    }
