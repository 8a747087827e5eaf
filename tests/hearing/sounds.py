"""Sounds for the tests of hearing: 16-bit samples at 8 kHz, computed and seeded."""

import binascii
import math
import random
import struct
import warnings
from collections.abc import Iterator

from gateway.core.events import VoiceStarted, VoiceStopped
from gateway.hearing import Ear

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

RATE, FRAME = 8000, 160


def silence(seconds: float) -> bytes:
    return bytes(2 * int(RATE * seconds))


def noise(seconds: float, level_db: float, seed: int = 1) -> bytes:
    """White noise with a little more below than above, as a line has it."""
    draw = random.Random(seed)
    peak = 32768 * 10 ** (level_db / 20) * 1.5
    white = [draw.uniform(-peak, peak) for _ in range(int(RATE * seconds) + 1)]
    samples = [round((one + other) / 2 * 1.63) for one, other in zip(white, white[1:], strict=False)]
    return struct.pack(f"={len(samples)}h", *samples)


def tone(seconds: float, *hz: float, level_db: float = -16.0) -> bytes:
    """Sines of equal level; `level_db` is of their sum."""
    peak = 32768 * 10 ** (level_db / 20) * math.sqrt(2 / len(hz))
    samples = [
        round(sum(peak * math.sin(2 * math.pi * one * number / RATE) for one in hz))
        for number in range(int(RATE * seconds))
    ]
    return struct.pack(f"={len(samples)}h", *samples)


def scaled(pcm: bytes, gain_db: float) -> bytes:
    louder: bytes = audioop.mul(pcm, 2, 10 ** (gain_db / 20))
    return louder


def mixed(pcm: bytes, other: bytes) -> bytes:
    """Add `other`, repeated as needed."""
    both: bytes = audioop.add(pcm, (other * (len(pcm) // len(other) + 1))[: len(pcm)], 2)
    return both


def ulaw(pcm: bytes) -> bytes:
    coded: bytes = audioop.lin2ulaw(pcm, 2)
    return coded


def payload(pcm: bytes) -> str:
    """Return samples as a carrier sends them: base64 of mu-law."""
    return binascii.b2a_base64(ulaw(pcm), newline=False).decode()


def frames(pcm: bytes, size: int = FRAME) -> Iterator[tuple[str, float]]:
    """Yield frames and when the last sample of each was heard."""
    for at in range(0, len(pcm), 2 * size):
        piece = pcm[at : at + 2 * size]
        yield payload(piece), (at + len(piece)) / 2 / RATE


def voices(pcm: bytes, ear: Ear | None = None, size: int = FRAME) -> list[tuple[str, float, float]]:
    """Return what an ear tells of the sound: "started" or "stopped", at what time, and when it told it."""
    ear = ear or Ear()
    told = []
    for frame, now in frames(pcm, size):
        for event in ear.caller(frame, now):
            if isinstance(event, VoiceStarted):
                told.append(("started", event.at_s, now))
            elif isinstance(event, VoiceStopped):
                told.append(("stopped", event.ended_s, now))
    return told
