"""G.711 and 24 kHz PCM at the server's border; inside, all audio is 8 kHz mu-law (8 bytes a millisecond)."""

import warnings
from typing import TypeAlias

with warnings.catch_warnings():
    # Deprecated in 3.11 and 3.12, gone in 3.13, where audioop-lts provides the same module.
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

__all__ = ["BYTES_PER_MS", "SILENCE", "SILENCES", "Inbound", "Outbound", "encode_all", "level", "tone_tile"]

BYTES_PER_MS = 8
SILENCE = b"\xff"
"""One mu-law sample of silence."""
SILENCES = (b"\xff", b"\x7f")
"""Both zeros of mu-law."""

MULAW_HZ = 8000
PCM_HZ = 24000

RateState: TypeAlias = tuple[int, tuple[tuple[int, int], ...]]


class Inbound:
    """A client's input audio as mu-law; one per session and format, because resampling keeps state."""

    def __init__(self, audio_format: str) -> None:
        self._format = audio_format
        self._state: RateState | None = None
        self._odd = b""

    def mulaw(self, data: bytes) -> bytes:
        match self._format:
            case "audio/pcmu":
                return data
            case "audio/pcma":
                return _bytes(audioop.lin2ulaw(audioop.alaw2lin(data, 2), 2))
            case _:
                return self._from_pcm(self._odd + data)

    def _from_pcm(self, data: bytes) -> bytes:
        cut = len(data) & ~1
        self._odd = data[cut:]
        # The weights are ratecv's own low-pass: without it everything above 4 kHz folds back into speech.
        narrow, self._state = audioop.ratecv(data[:cut], 2, 1, PCM_HZ, MULAW_HZ, self._state, 2, 1)
        return _bytes(audioop.lin2ulaw(narrow, 2))


class Outbound:
    """One item's mu-law audio in the client's output format; call in playing order."""

    def __init__(self, audio_format: str) -> None:
        self._format = audio_format
        self._state: RateState | None = None

    def encode(self, mulaw: bytes) -> bytes:
        match self._format:
            case "audio/pcmu":
                return mulaw
            case "audio/pcma":
                return _bytes(audioop.lin2alaw(audioop.ulaw2lin(mulaw, 2), 2))
            case _:
                wide, self._state = audioop.ratecv(audioop.ulaw2lin(mulaw, 2), 2, 1, MULAW_HZ, PCM_HZ, self._state)
                return _bytes(wide)


def encode_all(mulaw: bytes, audio_format: str) -> bytes:
    """Return a whole recording in a format."""
    return Outbound(audio_format).encode(mulaw)


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
