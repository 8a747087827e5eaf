"""Lengths and cuts of base64 G.711 text, without decoding it.

One byte of mu-law is one sample at 8 kHz, so 8 bytes are a millisecond. Four base64 characters carry three
bytes: text cut at multiples of four stays valid, and the bytes inside are never touched.
"""

__all__ = ["BYTES_PER_MS", "payload_bytes", "payload_ms", "split_payload"]

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
