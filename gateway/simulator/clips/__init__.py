"""Recorded callers: see README.md in this folder. Needs no speech packages."""

import json
from dataclasses import dataclass
from importlib import resources

__all__ = ["Clip", "load_clips"]


@dataclass(slots=True, frozen=True)
class Clip:
    """One utterance of a caller."""

    name: str
    """File name without its ending, for instance "order-01-am_michael"."""
    text: str
    group: str
    voice: str
    speech_ms: tuple[tuple[int, int], ...]
    """Start and end of each stretch of speech; pauses lie between them."""
    audio: bytes
    """mu-law, 8 bytes a millisecond."""

    @property
    def duration_ms(self) -> int:
        return len(self.audio) // 8


def load_clips() -> dict[str, Clip]:
    """Return every clip by its name."""
    folder = resources.files(__name__)
    clips = {}
    for entry in json.loads((folder / "clips.json").read_text(encoding="utf-8")):
        name = entry["file"].removesuffix(".ulaw")
        bounds = tuple((start, end) for start, end in entry["speech_ms"])
        audio = (folder / entry["file"]).read_bytes()
        clips[name] = Clip(name, entry["text"], entry["group"], entry["voice"], bounds, audio)
    return clips
