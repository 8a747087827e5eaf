"""What all audio is inside the server: 8 kHz mu-law, 8 bytes a millisecond. `formats` converts at the border."""

import warnings

with warnings.catch_warnings():
    # Deprecated in 3.11 and 3.12, gone in 3.13, where audioop-lts provides the same module.
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

__all__ = ["BYTES_PER_MS", "SILENCE", "SILENCES", "level", "tone_tile"]

BYTES_PER_MS = 8
SILENCE = b"\xff"
"""One mu-law sample of silence."""
SILENCES = (b"\xff", b"\x7f")
"""Both zeros of mu-law."""


def level(mulaw: bytes) -> int:
    """Return the RMS of a frame on the 16-bit scale."""
    return int(audioop.rms(audioop.ulaw2lin(mulaw, 2), 2))


def tone_tile(pcm: bytes, gain: float) -> bytes:
    """Return 16-bit PCM at a gain, as mu-law."""
    return _bytes(audioop.lin2ulaw(audioop.mul(pcm, 2, gain), 2))


def _bytes(value: object) -> bytes:
    # audioop has no types; on every path above it returns bytes.
    assert isinstance(value, bytes)
    return value
