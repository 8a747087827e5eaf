"""How one spoken message is cut into deltas: variable sizes, words ahead of sound (protocol notes §5.1)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from gateway.simulator.model.sound import BYTES_PER_MS

__all__ = ["Step", "said", "steps", "words"]

TEXT_LEAD = 1.6
"""The transcript runs ahead: it is complete when 1/1.6 of the sound is."""


@dataclass(slots=True, frozen=True)
class Step:
    """Some words, then the next piece of audio; either may be empty."""

    words: tuple[str, ...]
    audio: bytes


def words(text: str) -> list[str]:
    """Return a text in pieces that join to it again, each with its leading blank."""
    pieces: list[str] = []
    for character in text:
        if not pieces or (character.isspace() and not pieces[-1].isspace()):
            pieces.append(character)
        else:
            pieces[-1] += character
    return pieces


def said(text: str, share: float) -> str:
    """Return about the words of a text that are in the first part of its sound; whole words only."""
    pieces = words(text)
    return "".join(pieces[: int(len(pieces) * min(1.0, share))])


def steps(rng: Random, text: str, audio: bytes, delta_ms: tuple[int, int]) -> Iterator[Step]:
    """Yield a message's deltas. All words and all audio are in them, in order, whatever the sizes drawn."""
    waiting = words(text)
    total, said, at = len(waiting), 0, 0
    while at < len(audio) or said < total:
        size = rng.randint(delta_ms[0] * BYTES_PER_MS, delta_ms[1] * BYTES_PER_MS)
        piece = audio[at : at + size]
        at += size
        progress = min(1.0, TEXT_LEAD * at / len(audio)) if audio else 1.0
        ready = math.ceil(total * progress)
        yield Step(tuple(waiting[said:ready]), piece)
        said = ready
