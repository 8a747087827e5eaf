"""16-bit PCM at 8 or 16 kHz to G.711 mu-law and back, for carriers that speak neither mu-law nor 24 kHz.

At 8 kHz both ways are a look-up per sample, without state and without loss for what was mu-law before. At 16 kHz the
samples are resampled, and the resampler's state passes from piece to piece, so that no seam is heard.
"""

import sys
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

__all__ = ["Pcm16"]

SAMPLE_BYTES = 2
MU_LAW_HZ = 8000
RATES_HZ = (8000, 16_000)

_State = tuple[int, tuple[tuple[int, int], ...]] | None


class Pcm16:
    """One stream's conversion, each way its own; samples are signed, little-endian, mono."""

    def __init__(self, rate_hz: int) -> None:
        """`rate_hz` is 8000 or 16000; raises `ValueError` for another."""
        if rate_hz not in RATES_HZ:
            raise ValueError(f"expected 8000 or 16000 Hz, got {rate_hz}")
        self.rate_hz = rate_hz
        self._half = b""
        """First byte of a sample whose second has not come."""
        self._down: _State = None
        self._up: _State = None
        if rate_hz != MU_LAW_HZ:
            # For its very first sample the resampler gives one, for each other two: it begins with one of silence, so
            # that frames keep their size.
            _, self._up = audioop.ratecv(bytes(SAMPLE_BYTES), SAMPLE_BYTES, 1, MU_LAW_HZ, rate_hz, None)

    def to_mu_law(self, pcm: bytes) -> bytes:
        """Return the mu-law of the next piece; half a sample at its end waits for the piece after."""
        pcm = self._half + pcm
        whole = len(pcm) // SAMPLE_BYTES * SAMPLE_BYTES
        pcm, self._half = pcm[:whole], pcm[whole:]
        if not pcm:
            return b""
        pcm = _native(pcm)
        if self.rate_hz != MU_LAW_HZ:
            pcm, self._down = audioop.ratecv(pcm, SAMPLE_BYTES, 1, self.rate_hz, MU_LAW_HZ, self._down)
        ulaw: bytes = audioop.lin2ulaw(pcm, SAMPLE_BYTES)
        return ulaw

    def from_mu_law(self, ulaw: bytes) -> bytes:
        """Return the samples of the next piece, as long as the piece is."""
        if not ulaw:
            return b""
        pcm: bytes = audioop.ulaw2lin(ulaw, SAMPLE_BYTES)
        if self.rate_hz != MU_LAW_HZ:
            pcm, self._up = audioop.ratecv(pcm, SAMPLE_BYTES, 1, MU_LAW_HZ, self.rate_hz, self._up)
        return _native(pcm)


def _native(pcm: bytes) -> bytes:
    """Turn little-endian samples into the machine's, or back."""
    if sys.byteorder == "little":
        return pcm
    swapped: bytes = audioop.byteswap(pcm, SAMPLE_BYTES)
    return swapped
