"""Whisper's text tokens, without a tokenizer package.

GPT-2 writes every byte of a token as one printable character. Its vocabulary is in the order in which pairs
were merged, so the vocabulary alone says which pair to merge first.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

__all__ = ["Vocabulary"]

WORD = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[A-Za-z]+| ?\d+| ?[^\sA-Za-z\d]+")


class Vocabulary:
    """The words of one model, read from its `vocabulary.txt`."""

    def __init__(self, path: Path) -> None:
        with path.open(encoding="utf-8") as lines:
            self._rank = {line.rstrip("\n"): rank for rank, line in enumerate(lines)}

    def encode(self, text: str) -> list[str]:
        """Return plain text as token strings; what looks like a special token stays text."""
        return [token for word in WORD.findall(text) for token in self._merge(word)]

    def _merge(self, word: str) -> Sequence[str]:
        parts = [_to_char()[byte] for byte in word.encode()]
        while len(parts) > 1:
            joined = [a + b for a, b in pairwise(parts)]
            pairs = [(self._rank.get(pair, len(self._rank)), at) for at, pair in enumerate(joined)]
            rank, at = min(pairs)
            if rank == len(self._rank):
                break
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        return [part for part in parts if part in self._rank]

    @staticmethod
    def decode(tokens: Iterable[str]) -> str:
        """Return the text of token strings; special tokens (`<|...|>`) are dropped, broken UTF-8 is replaced."""
        kept = "".join(token for token in tokens if not token.startswith("<|"))
        return bytes(_to_byte()[char] for char in kept if char in _to_byte()).decode("utf-8", "replace").strip()


@lru_cache(maxsize=1)
def _to_char() -> dict[int, str]:
    """GPT-2's byte table: printable bytes stand for themselves, the rest is moved above U+0100."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(moved)}


@lru_cache(maxsize=1)
def _to_byte() -> dict[str, int]:
    return {char: byte for byte, char in _to_char().items()}
