"""What we say on its way to Genesys: joined, and at a rate that Genesys takes. Pure."""

from gateway.carriers.stream import Frame

__all__ = ["TICK_S", "Speech"]

TICK_S = 0.1
BATCH, LEAST = 1600, 800
"""Bytes that leave at once, and those that leave at the next tick although more may follow. The play-out keeps 400 ms
at Genesys and sends on each 180 ms: to wait longer for more would let it run dry."""
MOST_BATCH = 16_000
RATE_PER_S, BURST = 5.0, 10.0


class Speech:
    """One session's. `take` and `tick` return the messages that may leave now."""

    def __init__(self, silence: bytes = b"\xff") -> None:
        """`silence` is one sample of it."""
        self._silence = silence
        self._audio = bytearray()
        self._fresh = False
        """Something came since the last tick: more may follow."""
        self._may_send = BURST
        self._held_s = 0.0

    @property
    def waits(self) -> bool:
        return bool(self._audio)

    def take(self, audio: bytes) -> list[Frame]:
        # The end of an answer is filled up with silence by the pacer, just before it is due: it does not wait.
        ends = not self._audio and audio.endswith(self._silence)
        self._audio += audio
        self._fresh = True
        return self._leave(1 if ends else BATCH)

    def tick(self) -> list[Frame]:
        self._held_s = max(0.0, self._held_s - TICK_S)
        self._may_send = min(BURST, self._may_send + RATE_PER_S * TICK_S)
        fresh, self._fresh = self._fresh, False
        return self._leave(LEAST if fresh else 1)

    def hold(self, seconds: float) -> None:
        self._held_s = seconds

    def drop(self) -> None:
        self._audio.clear()

    def _leave(self, least: int) -> list[Frame]:
        frames: list[Frame] = []
        while len(self._audio) >= least and self._may_send >= 1 and self._held_s <= 0:
            self._may_send -= 1
            frames.append(bytes(self._audio[:MOST_BATCH]))
            del self._audio[:MOST_BATCH]
        return frames
