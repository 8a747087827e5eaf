"""Levels and sums of mu-law audio. Levels are RMS in dB of full scale (a full-scale sine has -3 dBFS)."""

import math
import warnings

from gateway.simulator.carrier.tones import FRAME_BYTES

with warnings.catch_warnings():
    # Deprecated in 3.11 and 3.12, gone in 3.13, where audioop-lts provides the same module.
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

__all__ = ["added", "level_dbfs", "scaled", "speech_level_dbfs", "to_pcm", "to_ulaw"]

FULL_SCALE = 32768
SPOKEN_DBFS = -45.0
"""Frames below this are pauses."""
USUAL_SPEECH_DBFS = -23.0
"""Taken for a caller who says nothing."""


def to_pcm(ulaw: bytes) -> bytes:
    pcm: bytes = audioop.ulaw2lin(ulaw, 2)
    return pcm


def to_ulaw(pcm: bytes) -> bytes:
    ulaw: bytes = audioop.lin2ulaw(pcm, 2)
    return ulaw


def added(one: bytes, other: bytes) -> bytes:
    """Return the sum of two equally long pieces of PCM, clipped."""
    pcm: bytes = audioop.add(one, other, 2)
    return pcm


def scaled(pcm: bytes, gain_db: float) -> bytes:
    """Return PCM made louder, clipped, or softer."""
    louder: bytes = audioop.mul(pcm, 2, 10 ** (gain_db / 20))
    return louder


def level_dbfs(ulaw: bytes) -> float:
    """Return the RMS level; digital silence is -inf."""
    rms = audioop.rms(to_pcm(ulaw), 2) if ulaw else 0
    return 20 * math.log10(rms / FULL_SCALE) if rms else -math.inf


def speech_level_dbfs(clips: list[bytes]) -> float:
    """Return the level of what is spoken in the clips, without the pauses in them."""
    powers = []
    for clip in clips:
        for start in range(0, len(clip), FRAME_BYTES):
            level = level_dbfs(clip[start : start + FRAME_BYTES])
            if level > SPOKEN_DBFS:
                powers.append(10 ** (level / 10))
    return 10 * math.log10(sum(powers) / len(powers)) if powers else USUAL_SPEECH_DBFS
