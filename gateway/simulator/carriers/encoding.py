"""What audio is on a carrier's socket; the caller's line and ear speak 8 kHz mu-law.

Mu-law passes untouched, A-law by ITU-T G.711's table. Linear PCM is little-endian. Every encoder and decoder is for
one direction of one stream, because changing a rate keeps state.
"""

import warnings
from enum import Enum
from typing import TypeAlias

with warnings.catch_warnings():
    # Deprecated in 3.11 and 3.12, gone in 3.13, where audioop-lts provides the same module.
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

__all__ = ["Decoder", "Encoder", "Encoding"]

RATE_HZ = 8000
LINEAR_BYTES = 2
RateState: TypeAlias = tuple[int, tuple[tuple[int, int], ...]]


class Encoding(Enum):
    """Name, rate in Hz, bytes a sample."""

    MULAW = ("mu-law", 8000, 1)
    ALAW = ("A-law", 8000, 1)
    PCM8 = ("PCM16 at 8 kHz", 8000, 2)
    PCM16 = ("PCM16 at 16 kHz", 16_000, 2)
    PCM24 = ("PCM16 at 24 kHz", 24_000, 2)

    @property
    def label(self) -> str:
        return self.value[0]

    @property
    def rate_hz(self) -> int:
        return self.value[1]

    @property
    def sample_bytes(self) -> int:
        return self.value[2]

    @property
    def scale(self) -> int:
        """Bytes that stand for one of mu-law."""
        return self.sample_bytes * self.rate_hz // RATE_HZ

    @property
    def frame_bytes(self) -> int:
        """Bytes of 20 ms."""
        return 160 * self.scale

    @property
    def silence(self) -> bytes:
        """One sample of silence."""
        return {Encoding.MULAW: b"\xff", Encoding.ALAW: b"\xd5"}.get(self, b"\0\0")


class Encoder:
    """From the caller's mu-law to the wire."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._state: RateState | None = None
        if encoding.rate_hz != RATE_HZ:
            # The converter gives one sample for its very first and all for each other: it starts with one of silence.
            self._widen(bytes(LINEAR_BYTES))

    def encode(self, mulaw: bytes) -> bytes:
        match self._encoding:
            case Encoding.MULAW:
                return mulaw
            case Encoding.ALAW:
                return mulaw.translate(MULAW_TO_ALAW)
            case _:
                return self._widen(audioop.ulaw2lin(mulaw, LINEAR_BYTES))

    def _widen(self, linear: bytes) -> bytes:
        if self._encoding.rate_hz == RATE_HZ:
            return linear
        wide: bytes
        wide, self._state = audioop.ratecv(linear, LINEAR_BYTES, 1, RATE_HZ, self._encoding.rate_hz, self._state)
        return wide


class Decoder:
    """From the wire to the caller's ear. What is less than one sample of mu-law waits for the next piece."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._held = b""

    def decode(self, data: bytes) -> bytes:
        match self._encoding:
            case Encoding.MULAW:
                return data
            case Encoding.ALAW:
                return data.translate(ALAW_TO_MULAW)
            case _:
                return self._narrow(data)

    def _narrow(self, data: bytes) -> bytes:
        scale = self._encoding.scale
        data = self._held + data
        whole = len(data) - len(data) % scale
        self._held = data[whole:]
        # The ear judges times and bytes, not beauty: of several samples it takes the first.
        samples = memoryview(data[:whole]).cast("h")[:: scale // LINEAR_BYTES].tobytes()
        mulaw: bytes = audioop.lin2ulaw(samples, LINEAR_BYTES)
        return mulaw


def _alaw_to_mulaw() -> bytes:
    table = bytearray(audioop.lin2ulaw(audioop.alaw2lin(bytes(range(256)), LINEAR_BYTES), LINEAR_BYTES))
    table[0xD5] = table[0x55] = 0xFF  # A-law has no zero: these are its silence
    return bytes(table)


ALAW_TO_MULAW = _alaw_to_mulaw()
MULAW_TO_ALAW: bytes = audioop.lin2alaw(audioop.ulaw2lin(bytes(range(256)), LINEAR_BYTES), LINEAR_BYTES)
