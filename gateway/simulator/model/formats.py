"""The audio formats of the API, at the server's border; inside, all audio is 8 kHz mu-law (8 bytes a millisecond).

Sizes are exact: every mu-law byte stands for one A-law byte or for three samples of PCM, in both directions, so that
positions, lengths and cuts are the same whatever the format. PCM is taken to have the machine's byte order, which is
little-endian wherever this runs.
"""

import math
import warnings
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias, assert_never

from gateway.simulator.model.refusals import Refused
from gateway.simulator.model.sound import BYTES_PER_MS, SILENCE, SILENCES

with warnings.catch_warnings():
    # Deprecated in 3.11 and 3.12, gone in 3.13, where audioop-lts provides the same module.
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

__all__ = ["Arrived", "Encoding", "Inbound", "Outbound", "check_samples", "recoded"]

PCM_BYTES = 2
WIDE = 4
"""Sums are made in 32 bits, so that rounding stays far below what 16 bits can tell."""
MULAW_HZ, PCM_HZ = 8000, 24_000
PCM_SAMPLES = PCM_HZ // MULAW_HZ
TAPS = 31
CUTOFF_HZ = 3700
"""Of the low-pass before the rate is cut to a third: without it all above 4 kHz folds back into speech."""

RateState: TypeAlias = tuple[int, tuple[tuple[int, int], ...]]


class Encoding(StrEnum):
    """`audio.input.format.type` and `audio.output.format.type` of a session."""

    PCMU = "audio/pcmu"
    PCMA = "audio/pcma"
    PCM = "audio/pcm"
    """16 bits, 24 kHz, mono."""

    @property
    def sample_bytes(self) -> int:
        return PCM_BYTES if self is Encoding.PCM else 1

    @property
    def scale(self) -> int:
        """Bytes that stand for one of mu-law."""
        return PCM_BYTES * PCM_SAMPLES if self is Encoding.PCM else 1

    @property
    def bytes_per_ms(self) -> int:
        return BYTES_PER_MS * self.scale

    def silence(self, ms: int) -> bytes:
        """Return digital silence."""
        return self.from_mulaw(SILENCE * (ms * BYTES_PER_MS))

    def sounding(self, audio: bytes) -> int:
        """Return how many bytes are of samples that are not digital silence."""
        match self:
            case Encoding.PCMU:
                return len(audio) - sum(map(audio.count, SILENCES))
            case Encoding.PCMA:
                return len(audio) - sum(map(audio.count, ALAW_SILENCES))
            case Encoding.PCM:
                # Most of what a caller sends is silence, and seen to be so without looking at samples.
                silent = not audio.strip(b"\0")
                return 0 if silent else len(audio) - PCM_BYTES * memoryview(audio).cast("h").tolist().count(0)
            case _:
                assert_never(self)

    def to_mulaw(self, audio: bytes) -> bytes:
        """Return a whole recording as it is heard."""
        return Inbound(self).take(audio).mulaw

    def from_mulaw(self, mulaw: bytes) -> bytes:
        """Return a whole recording as it is sent."""
        return Outbound(self).encode(mulaw)


@dataclass(slots=True, frozen=True)
class Arrived:
    """The same stretch of audio twice."""

    mulaw: bytes
    wire: bytes
    """As it came: `Encoding.scale` bytes for each of mu-law."""


class Inbound:
    """Converts a client's input audio once, as it arrives; one per session and format, because filters keep state."""

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self._held = b""
        """One or two samples of PCM that are not yet one of mu-law."""
        self._past = bytes(WIDE * (TAPS - 1))
        """What the filter still needs of the audio before."""

    def take(self, data: bytes) -> Arrived:
        """Return what is complete now. `data` is of whole samples."""
        match self.encoding:
            case Encoding.PCMU:
                return Arrived(data, data)
            case Encoding.PCMA:
                return Arrived(data.translate(ALAW_TO_MULAW), data)
            case Encoding.PCM:
                data = self._held + data
                whole = len(data) - len(data) % self.encoding.scale
                self._held = data[whole:]
                return Arrived(self._narrow(data[:whole]), data[:whole])
            case _:
                assert_never(self.encoding)

    def _narrow(self, pcm: bytes) -> bytes:
        # Halved, so that two samples can be added; the coefficients are twice as large.
        new = audioop.mul(audioop.lin2lin(pcm, PCM_BYTES, WIDE), WIDE, 0.5)
        line, size = self._past + new, len(new)
        self._past = line[size:]
        last = TAPS - 1
        total = audioop.mul(_cut(line, last // 2, size), WIDE, LOW_PASS[last // 2])
        for at in range(last // 2):
            pair = audioop.add(_cut(line, at, size), _cut(line, last - at, size), WIDE)
            total = audioop.add(total, audioop.mul(pair, WIDE, LOW_PASS[at]), WIDE)
        smooth = audioop.lin2lin(total, WIDE, PCM_BYTES)
        mulaw: bytes = audioop.lin2ulaw(memoryview(smooth).cast("h")[::PCM_SAMPLES].tobytes(), PCM_BYTES)
        return mulaw


class Outbound:
    """One item's mu-law audio in the client's output format; call in playing order."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        # The converter gives one sample for its very first and three for each other: it starts with one of silence.
        self._state: RateState | None = None
        if encoding is Encoding.PCM:
            self._widen(bytes(PCM_BYTES))

    def encode(self, mulaw: bytes) -> bytes:
        match self._encoding:
            case Encoding.PCMU:
                return mulaw
            case Encoding.PCMA:
                return mulaw.translate(MULAW_TO_ALAW)
            case Encoding.PCM:
                return self._widen(audioop.ulaw2lin(mulaw, PCM_BYTES))
            case _:
                assert_never(self._encoding)

    def _widen(self, pcm: bytes) -> bytes:
        wide: bytes
        wide, self._state = audioop.ratecv(pcm, PCM_BYTES, 1, MULAW_HZ, PCM_HZ, self._state)
        return wide


def check_samples(audio: bytes, encoding: Encoding, param: str) -> None:
    """Raise `Refused`, in the service's words, for audio that ends in the middle of a sample."""
    if len(audio) % encoding.sample_bytes:
        expected = "base64-encoded audio bytes (mono PCM16 at 24kHz)"
        raise Refused("invalid_value", f"Invalid 'audio'. Expected {expected} but got an invalid value.", param)


def recoded(audio: bytes, source: Encoding, target: Encoding) -> bytes:
    """Return a whole recording in another format; the very same bytes when it is the same."""
    return audio if source is target else target.from_mulaw(source.to_mulaw(audio))


def _cut(line: bytes, sample: int, size: int) -> bytes:
    return line[sample * WIDE : sample * WIDE + size]


def _low_pass() -> tuple[float, ...]:
    """A windowed sinc (Hamming) of gain 2."""
    middle = (TAPS - 1) / 2
    ideal = [_sinc(2 * CUTOFF_HZ / PCM_HZ * (at - middle)) for at in range(TAPS)]
    window = [0.54 - 0.46 * math.cos(2 * math.pi * at / (TAPS - 1)) for at in range(TAPS)]
    taps = [one * other for one, other in zip(ideal, window, strict=True)]
    return tuple(2 * tap / sum(taps) for tap in taps)


def _sinc(x: float) -> float:
    return math.sin(math.pi * x) / (math.pi * x) if x else 1.0


def _alaw_to_mulaw() -> bytes:
    table = bytearray(audioop.lin2ulaw(audioop.alaw2lin(bytes(range(256)), PCM_BYTES), PCM_BYTES))
    # A-law has no zero: its smallest steps are what it is silent with (ITU-T G.711, and what every gateway sends).
    for code in ALAW_SILENCES:
        table[code[0]] = SILENCE[0]
    return bytes(table)


ALAW_SILENCES = (b"\xd5", b"\x55")
LOW_PASS = _low_pass()
ALAW_TO_MULAW = _alaw_to_mulaw()
MULAW_TO_ALAW: bytes = audioop.lin2alaw(audioop.ulaw2lin(bytes(range(256)), PCM_BYTES), PCM_BYTES)
