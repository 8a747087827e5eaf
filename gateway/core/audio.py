"""The audio formats of a call, and lengths and cuts of base64 audio without decoding it.

Four base64 characters carry three bytes: text cut at multiples of four stays valid, and the bytes inside are never
touched. Samples of two bytes stay whole where it is cut at multiples of eight.
"""

from enum import StrEnum

__all__ = ["AudioFormat", "payload_bytes", "payload_ms", "silence_like", "split_payload", "split_payload_at"]


class AudioFormat(StrEnum):
    """What audio passes through a call, the same on both sides; the values are the Realtime API's `format.type`."""

    PCMU = "audio/pcmu"
    """G.711 mu-law: 8 kHz, one byte a sample."""
    PCMA = "audio/pcma"
    """G.711 A-law: 8 kHz, one byte a sample."""
    PCM24 = "audio/pcm"
    """Signed 16 bit, little-endian, mono, 24 kHz: the only rate the API takes."""

    @property
    def rate_hz(self) -> int:
        return 24_000 if self is AudioFormat.PCM24 else 8000

    @property
    def sample_bytes(self) -> int:
        return 2 if self is AudioFormat.PCM24 else 1

    @property
    def bytes_per_ms(self) -> int:
        return _BYTES_PER_MS[self]

    @property
    def silence(self) -> bytes:
        """One sample of silence."""
        return _SILENCE[self]

    @property
    def g711(self) -> bool:
        return self is not AudioFormat.PCM24


_BYTES_PER_MS = {AudioFormat.PCMU: 8, AudioFormat.PCMA: 8, AudioFormat.PCM24: 48}
_SILENCE = {AudioFormat.PCMU: b"\xff", AudioFormat.PCMA: b"\xd5", AudioFormat.PCM24: b"\0\0"}
_SILENT_TEXT = {
    AudioFormat.PCMU: ("////", ("", "/w==", "//8=")),
    AudioFormat.PCMA: ("1dXV", ("", "1Q==", "1dU=")),
    AudioFormat.PCM24: ("AAAA", ("", "AA==", "AAA=")),
}
"""Three bytes of silence in base64, and none, one, or two of them."""


def payload_bytes(payload: str) -> int:
    """Return how many bytes a well-formed base64 text carries."""
    size = len(payload) // 4 * 3
    if payload.endswith("=="):
        return size - 2
    return size - 1 if payload.endswith("=") else size


def payload_ms(payload: str, audio: AudioFormat = AudioFormat.PCMU) -> float:
    """Return the length of a base64 text in ms."""
    return payload_bytes(payload) / _BYTES_PER_MS[audio]


def split_payload(payload: str, most_bytes: int) -> list[str]:
    """Cut a base64 text into texts of at most `most_bytes` (a multiple of 6) bytes each, in order."""
    step = most_bytes // 3 * 4
    if len(payload) <= step:
        return [payload] if payload else []
    return [payload[i : i + step] for i in range(0, len(payload), step)]


def split_payload_at(payload: str, ms: float, audio: AudioFormat = AudioFormat.PCMU) -> tuple[str, str]:
    """Cut a base64 text in two between samples; the first part is at most `ms` long, by less than half a ms shorter."""
    step = 3 * audio.sample_bytes
    at = max(0, int(ms * _BYTES_PER_MS[audio])) // step * step // 3 * 4
    return payload[:at], payload[at:]


def silence_like(payload: str, audio: AudioFormat = AudioFormat.PCMU) -> str:
    """Return silence of the same length as a base64 text."""
    size = payload_bytes(payload)
    three, rest = _SILENT_TEXT[audio]
    return three * (size // 3) + rest[size % 3]
