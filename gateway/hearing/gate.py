"""When hops of sound make a voice, and when it is over."""

from collections import deque
from enum import Enum

from gateway.hearing.options import EarOptions

__all__ = ["Sound", "VoiceGate"]

HOP_MS = 20
HOP_S = HOP_MS / 1000


class Sound(Enum):
    """What a hop is."""

    QUIET = 0
    LOUD = 1
    """Louder than noise and echo, without a pitch."""
    VOICED = 2
    """Louder than noise and echo, with one."""
    TONE = 3
    """A telephone key or a beep: quiet, and takes back what its own beginning seemed to prove."""


class VoiceGate:
    """Takes hops in order, tells changes."""

    def __init__(self, options: EarOptions) -> None:
        self.voice = False
        self._needed = max(1, options.start_ms // HOP_MS)
        self._recent: deque[Sound] = deque(maxlen=max(self._needed, options.start_within_ms // HOP_MS))
        self._hang_s = options.hang_ms / 1000
        self._unvoiced_s = options.unvoiced_ms / 1000
        self._began_s = 0.0
        self._loud_s = 0.0
        self._voiced_s = 0.0

    def hear(self, sound: Sound, end_s: float) -> tuple[bool, float] | None:
        """Return True and when a voice began, False and when it ended, or nothing."""
        if self.voice:
            return self._end(sound, end_s)
        if sound is Sound.TONE:
            self._recent.clear()
            return None
        if sound is not Sound.QUIET and end_s - self._loud_s > self._hang_s:
            self._began_s = end_s - HOP_S
        self._recent.append(sound)
        if sound is not Sound.QUIET:
            self._loud_s = end_s
        if sound is not Sound.VOICED or self._recent.count(Sound.VOICED) < self._needed:
            return None
        self.voice = True
        self._voiced_s = end_s
        self._recent.clear()
        return True, max(self._began_s, end_s - self._unvoiced_s)

    def _end(self, sound: Sound, end_s: float) -> tuple[bool, float] | None:
        if sound is Sound.VOICED:
            self._voiced_s = end_s
        if sound is Sound.VOICED or (sound is Sound.LOUD and end_s - self._voiced_s <= self._unvoiced_s):
            self._loud_s = end_s
        if end_s - self._loud_s < self._hang_s - HOP_S / 2:
            return None
        self.voice = False
        return False, self._loud_s
