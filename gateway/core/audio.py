"""Lengths and cuts of base64 G.711 text, without decoding it.

One byte of mu-law is one sample at 8 kHz, so 8 bytes are a millisecond. Four base64 characters carry three
bytes: text cut at multiples of four stays valid, and the bytes inside are never touched.
"""

__all__ = ["BYTES_PER_MS", "payload_bytes", "payload_ms", "silence_like", "split_payload", "split_payload_at"]

BYTES_PER_MS = 8
"""8 kHz, one byte a sample (G.711)."""


def payload_bytes(payload: str) -> int:
    """Return how many bytes a well-formed base64 text carries."""
    size = len(payload) // 4 * 3
    if payload.endswith("=="):
        return size - 2
    return size - 1 if payload.endswith("=") else size


def payload_ms(payload: str) -> float:
    """Return the length of a base64 G.711 text in ms."""
    return payload_bytes(payload) / BYTES_PER_MS


def split_payload(payload: str, most_bytes: int) -> list[str]:
    """Cut a base64 text into texts of at most `most_bytes` (a multiple of 3) bytes each, in order."""
    step = most_bytes // 3 * 4
    if len(payload) <= step:
        return [payload] if payload else []
    return [payload[i : i + step] for i in range(0, len(payload), step)]


def split_payload_at(payload: str, ms: float) -> tuple[str, str]:
    """Cut a base64 text in two; the first part is at most `ms` long and a multiple of 3 bytes (0.375 ms)."""
    at = max(0, int(ms * BYTES_PER_MS)) // 3 * 4
    return payload[:at], payload[at:]


def silence_like(payload: str) -> str:
    """Return mu-law silence (0xFF) of the same length as a base64 text."""
    size = payload_bytes(payload)
    rest = ("", "/w==", "//8=")[size % 3]
    return "////" * (size // 3) + rest
