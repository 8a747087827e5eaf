"""G.711 mu-law to samples and back, and what levels speech has on a telephone line.

Samples are float32 in -1 to 1 at 8 kHz; mu-law is one byte a sample (ITU-T G.711).
"""

import numpy as np
import soxr
from numpy.typing import NDArray

__all__ = ["LINE_HZ", "Samples", "decode", "encode", "level", "resample"]

LINE_HZ = 8000
SPEECH_RMS = 0.1
"""-20 dBFS: the level of a caller's speech after a telephone network's own level control."""
PEAK_LIMIT = 0.9

Samples = NDArray[np.float32]


def _decode_table() -> Samples:
    code = ~np.arange(256) & 0xFF
    magnitude = ((((code & 0x0F) << 3) + 0x84) << ((code >> 4) & 7)) - 0x84
    return (np.where(code & 0x80, -magnitude, magnitude) / 32768.0).astype(np.float32)


DECODE = _decode_table()


def decode(mulaw: bytes) -> Samples:
    """Return the samples of mu-law bytes, in a fresh writable array."""
    return DECODE[np.frombuffer(mulaw, dtype=np.uint8)]


def encode(samples: Samples) -> bytes:
    """Return samples as mu-law bytes; what is beyond full scale is clipped."""
    pcm = np.clip(np.rint(samples * 32768.0), -32635, 32635).astype(np.int32)
    magnitude = np.abs(pcm) + 0x84
    exponent = np.floor(np.log2(magnitude)).astype(np.int32) - 7
    mantissa = (magnitude >> (exponent + 3)) & 0x0F
    sign = np.where(pcm < 0, 0x80, 0)
    return bytes((~(sign | (exponent << 4) | mantissa) & 0xFF).astype(np.uint8).tobytes())


def resample(samples: Samples, source_hz: int, target_hz: int) -> Samples:
    """Return the samples at another rate."""
    if source_hz == target_hz or not samples.size:
        return samples
    return np.asarray(soxr.resample(samples, source_hz, target_hz), dtype=np.float32)


def level(samples: Samples) -> Samples:
    """Return speech at the usual line level: -20 dBFS RMS over its active part, peaks rounded off below full scale."""
    loud = np.abs(samples) > 0.02 * float(np.max(np.abs(samples), initial=0.0))
    rms = float(np.sqrt(np.mean(np.square(samples[loud])))) if loud.any() else 0.0
    if rms <= 0.0:
        return samples
    scaled = samples * np.float32(SPEECH_RMS / rms)
    over = np.abs(scaled) > 0.5
    bent = np.sign(scaled) * (0.5 + (PEAK_LIMIT - 0.5) * np.tanh((np.abs(scaled) - 0.5) / (PEAK_LIMIT - 0.5)))
    return np.where(over, bent, scaled).astype(np.float32)
