"""A WAV file of G.711 mu-law (RIFF, format tag 7), which players and browsers open as it is."""

import struct

__all__ = ["mulaw_wav"]

_MULAW = 7


def mulaw_wav(samples: bytes, channels: int) -> bytes:
    """Return a WAV file of 8 kHz mu-law samples, interleaved when there are several channels."""
    form = struct.pack("<HHIIHHH", _MULAW, channels, 8000, 8000 * channels, channels, 8, 0)
    fact = struct.pack("<I", len(samples) // channels)
    padding = b"\0" * (len(samples) % 2)
    chunks = b"WAVE" + _chunk(b"fmt ", form) + _chunk(b"fact", fact) + _chunk(b"data", samples) + padding
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body
