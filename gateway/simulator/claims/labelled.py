"""The labelled sentences: what an agent says, and which functions it thereby claims to have carried out."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import ConfigError

__all__ = ["LABELLED", "PARTS", "Business", "Sentence", "load_labelled"]

LABELLED = Path(__file__).with_name("labelled.jsonl")
PARTS = ("tuned", "held_out")
LEAST = 300
"""Fewer sentences are not the set that README.md speaks of."""


@dataclass(slots=True, frozen=True)
class Business:
    """One imaginary agents file: its language and its phrases by function."""

    name: str
    language: str
    claims: Mapping[str, Sequence[str]]


@dataclass(slots=True, frozen=True)
class Sentence:
    """One thing an agent says."""

    part: str
    business: str
    made: frozenset[str]
    """The functions it claims to have carried out; empty for most traps."""
    text: str


def load_labelled(path: Path = LABELLED) -> tuple[dict[str, Business], list[Sentence]]:
    """Return the businesses by name and all sentences. Raises `ConfigError` for a set that is not whole."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the labelled set cannot be read: {type(error).__name__}") from None
    businesses: dict[str, Business] = {}
    sentences: list[Sentence] = []
    for number, line in enumerate(lines, 1):
        one = _entry(line, number)
        if isinstance(one, Business):
            businesses[one.name] = one
        elif one.part not in PARTS or not one.made <= set(_claims_of(businesses, one.business)):
            raise ConfigError(f"the labelled set is damaged in line {number}: unknown part, business or function")
        else:
            sentences.append(one)
    if len(sentences) < LEAST or len({one.text for one in sentences}) != len(sentences):
        raise ConfigError(f"the labelled set is damaged: fewer than {LEAST} sentences, or one of them twice")
    return businesses, sentences


def _entry(line: str, number: int) -> Business | Sentence:
    try:
        entry = json.loads(line)
        if "claims" in entry:
            return Business(str(entry["business"]), str(entry["language"]), dict(entry["claims"]))
        return Sentence(str(entry["part"]), str(entry["business"]), frozenset(entry["made"]), str(entry["text"]))
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"the labelled set is damaged in line {number}") from None


def _claims_of(businesses: Mapping[str, Business], name: str) -> Iterable[str]:
    return businesses[name].claims if name in businesses else ()
