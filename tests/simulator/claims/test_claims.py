"""The labelled sentences are whole, and are scored as README.md says."""

import json
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.simulator.claims import run_claims
from gateway.simulator.claims.labelled import LABELLED, Business, Sentence, load_labelled
from gateway.simulator.claims.score import judge, score


def test_the_set_has_three_languages_and_as_many_sentences_unseen_as_seen() -> None:
    businesses, sentences = load_labelled()
    parts = [one.part for one in sentences]
    assert len(sentences) >= 300
    assert parts.count("held_out") >= parts.count("tuned")
    assert {one.language for one in businesses.values()} == {"en", "de", "es"}
    assert len({tool for one in businesses.values() for tool in one.claims}) >= 8
    assert sum(not one.made for one in sentences) > len(sentences) / 2


def test_the_matcher_gets_no_worse_than_readme_says() -> None:
    """Not a bound of the product: whoever changes the rules shall look at the figures, and at README.md."""
    businesses, sentences = load_labelled()
    verdicts = judge(businesses, sentences)
    unseen = score(one for one in verdicts if one.sentence.part == "held_out")
    assert all(one.right for one in verdicts if one.sentence.part == "tuned")
    assert (unseen.precision, unseen.recall, unseen.f1) == (0.8646, 0.9881, 0.9222)


def test_claims_are_counted_by_function_and_sentence() -> None:
    clinic = Business("clinic", "en", {"book": ["I have booked"], "cancel": ["I have cancelled", "all gone"]})
    said = {
        "I have booked it.": {"book"},
        "It is all gone.": {"book"},
        "All gone?": {"cancel"},
        "Once, all was gone.": set[str](),
        "I have cancelled something in here, did I say so.": set[str](),
    }
    sentences = [Sentence("tuned", "clinic", frozenset(made), text) for text, made in said.items()]
    one = score(judge({"clinic": clinic}, sentences))
    assert (one.sentences, one.claims, one.traps, one.found, one.false, one.alarms) == (5, 3, 2, 1, 2, 1)
    assert (one.precision, one.recall, one.f1) == (0.3333, 0.3333, 0.3333)


def test_shares_of_nothing_are_left_out() -> None:
    one = score([])
    assert (one.precision, one.recall, one.f1) == (None, None, None)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda text: "", "fewer than 300"),
        (lambda text: text + text.splitlines()[-1], "one of them twice"),
        (lambda text: text.replace('"text"', '"words"', 1), "damaged in line 11"),
        (lambda text: text.replace("held_out", "unseen", 1), "unknown part"),
        (
            lambda text: text.replace('"made": ["book_room"]', '"made": ["fly"]', 1),
            "unknown part, business or function",
        ),
        (lambda text: "[]\n" + text, "damaged in line 1"),
    ],
)
def test_a_damaged_set_is_refused(tmp_path: Path, damage: object, named: str) -> None:
    assert callable(damage)
    path = tmp_path / "labelled.jsonl"
    path.write_text(damage(LABELLED.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(ConfigError, match=named):
        load_labelled(path)


def test_a_missing_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: FileNotFoundError"):
        load_labelled(tmp_path / "nothing")


def test_the_command_prints_every_part_and_language(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_claims(misses=True, as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert {(one["part"], one["language"]) for one in told["scores"]} == {
        (part, language) for part in ("tuned", "held_out", "all") for language in ("en", "de", "es", "all")
    }
    assert all(one["missed"] or one["false"] for one in told["misses"])
    assert run_claims(misses=True) == 0
    table = capsys.readouterr().out
    assert "held-out" in table
    assert "the moment your appointment is confirmed" in table.lower()
