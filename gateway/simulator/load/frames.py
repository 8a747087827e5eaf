"""Caller audio in which every 20 ms frame carries its own number, so that each one is found again at the model.

The number is written in the first 48 bytes of a frame, a bit each: mu-law 0xFF is +0 and 0x7F is -0, so to an ear and
to a voice detector it is silence. The rest is silence too, or a tone where the caller speaks. The gateway passes the
bytes untouched; a frame that was changed on its way no longer has a number.
"""

from gateway.simulator.carrier.tones import FRAME_BYTES, SILENCE, tone

__all__ = ["FRAME_BYTES", "MAX_CALLS", "caller_audio", "read_number"]

MAGIC = "10100101"
CALL_BITS, NUMBER_BITS = 16, 24
HEAD_BYTES = len(MAGIC) + CALL_BITS + NUMBER_BITS
MAX_CALLS = 2**CALL_BITS
VOICE_HZ = 300
_TO_BYTES = bytes.maketrans(b"01", b"\x7f\xff")
_TO_BITS = bytes(ord("1") if byte == 0xFF else ord("0") if byte == 0x7F else ord("x") for byte in range(256))
_MAGIC = MAGIC.encode()


def caller_audio(call: int, turns: int, turn_s: float, speech_s: float) -> bytes:
    """Return `turns` turns of numbered frames, numbers from 0: speech first, then silence up to `turn_s`."""
    voice = tone(VOICE_HZ, 20)[HEAD_BYTES:FRAME_BYTES]
    silence = bytes([SILENCE]) * (FRAME_BYTES - HEAD_BYTES)
    frames, spoken = round(turn_s * 50), round(speech_s * 50)
    return b"".join(
        _head(call, turn * frames + at) + (voice if at < spoken else silence)
        for turn in range(turns)
        for at in range(frames)
    )


def read_number(frame: bytes) -> tuple[int, int] | None:
    """Return (call, number) of a frame; None for a frame without a number."""
    bits = frame[:HEAD_BYTES].translate(_TO_BITS)
    if len(frame) != FRAME_BYTES or not bits.startswith(_MAGIC) or b"x" in bits:
        return None
    at = len(MAGIC) + CALL_BITS
    return int(bits[len(MAGIC) : at], 2), int(bits[at:], 2)


def _head(call: int, number: int) -> bytes:
    return f"{MAGIC}{call:0{CALL_BITS}b}{number:0{NUMBER_BITS}b}".encode().translate(_TO_BYTES)
