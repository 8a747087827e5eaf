"""The same callers and more, labelled to measure turns: where each stretch of speech begins and what it says.

A pause between two stretches was put there: the utterance, and so the caller's turn, is over only after the last one.
"""

import json
from dataclasses import dataclass
from importlib import resources

__all__ = ["Stretch", "Utterance", "load_noise", "load_utterances"]

FOLDER = "gateway.simulator.clips"


@dataclass(slots=True, frozen=True)
class Stretch:
    """Speech without an inserted pause, in ms from the beginning of its clip."""

    start_ms: int
    end_ms: int
    text: str


@dataclass(slots=True, frozen=True)
class Utterance:
    """One clip."""

    name: str
    text: str
    group: str
    """What kind of caller; "prompts" are texts of machines, long enough to be interrupted."""
    voice: str
    speech: tuple[Stretch, ...]
    audio: bytes
    """mu-law, 8 bytes a millisecond; digital silence (0xFF) outside of `speech`."""

    @property
    def has_pause(self) -> bool:
        return len(self.speech) > 1

    @property
    def ends_ms(self) -> int:
        """Where the last word ends."""
        return self.speech[-1].end_ms


def load_utterances() -> tuple[Utterance, ...]:
    """Return every labelled clip, in the order of the file."""
    folder = resources.files(FOLDER)
    return tuple(
        Utterance(
            entry["file"].rpartition("/")[2].removesuffix(".ulaw"),
            entry["text"],
            entry["group"],
            entry["voice"],
            tuple(Stretch(start, end, text) for start, end, text in entry["speech"]),
            folder.joinpath(*entry["file"].split("/")).read_bytes(),
        )
        for entry in json.loads((folder / "turns.json").read_text(encoding="utf-8"))
    )


def load_noise(name: str) -> bytes:
    """Return ten seconds of mu-law: babble, street, pink or hold-music."""
    return (resources.files(FOLDER) / "noise" / f"{name}.ulaw").read_bytes()
