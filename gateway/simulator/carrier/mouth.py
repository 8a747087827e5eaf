"""What goes into the caller's telephone: the voice, and with it noise, echo and key tones.

Twenty milliseconds at a time. As long as there is only the voice its bytes are not touched.
"""

import random
from collections.abc import Iterable

from gateway.simulator.carrier.loudness import added, level_dbfs, scaled, speech_level_dbfs, to_pcm, to_ulaw
from gateway.simulator.carrier.plan import Surroundings
from gateway.simulator.carrier.tones import FRAME_BYTES, RATE_BYTES, SILENCE

__all__ = ["Mouth"]

_SILENT = bytes([SILENCE]) * FRAME_BYTES


class Mouth:
    """One telephone's microphone: `speak()` and `add()`, then `frame()` each tick."""

    def __init__(self, surroundings: Surroundings, clips: Iterable[bytes], rng: random.Random) -> None:
        """`clips` are what the caller is going to say; the distance of the noise to the speech is measured on them."""
        self._voice = bytearray()
        self._beside: list[tuple[bytearray, bool]] = []
        self._noise = _noise(surroundings, clips, rng)
        self._noise_at = 0
        self._echo_db = surroundings.echo_db
        self._echo = bytearray(_SILENT[:1] * (surroundings.echo_delay_ms * RATE_BYTES // 1000))
        """Agent audio on its way back; its first byte returns next."""

    @property
    def speaking(self) -> bool:
        """Whether the voice has something left to say."""
        return bool(self._voice)

    def speak(self, audio: bytes) -> None:
        """Say something after what is being said."""
        self._voice += audio

    def add(self, audio: bytes, *, spoken: bool) -> None:
        """Sound at once, whatever else does; `spoken` tells a voice from a key tone."""
        self._beside.append((bytearray(audio), spoken))

    def hears(self, frame: bytes) -> None:
        """Take the agent's frame of each tick, perhaps empty: it may come back as echo."""
        if self._echo_db is not None:
            self._echo += frame + _SILENT[len(frame) :]

    def frame(self) -> tuple[bytes, bytes]:
        """Return what is said in the next 20 ms and what the telephone sends; empty is silence."""
        said = bytes(self._voice[:FRAME_BYTES])
        del self._voice[:FRAME_BYTES]
        if self._beside:
            said, sent = self._with_others(said)
        else:
            sent = said
        if not self._noise and self._echo_db is None:
            return said, sent
        around = self._around()
        return said, _mixed([sent, *around] if sent else around)

    def _with_others(self, voice: bytes) -> tuple[bytes, bytes]:
        spoken, all_ = [voice] if voice else [], [voice] if voice else []
        for audio, is_voice in self._beside:
            piece = bytes(audio[:FRAME_BYTES])
            del audio[:FRAME_BYTES]
            all_.append(piece)
            if is_voice:
                spoken.append(piece)
        self._beside = [entry for entry in self._beside if entry[0]]
        return _mixed(spoken), _mixed(all_)

    def _around(self) -> list[bytes]:
        """Return 20 ms of noise and of echo, as far as there are."""
        pieces = []
        if self._noise:
            piece = self._noise[self._noise_at : self._noise_at + FRAME_BYTES]
            pieces.append(piece + self._noise[: FRAME_BYTES - len(piece)])
            self._noise_at = (self._noise_at + FRAME_BYTES) % len(self._noise)
        if self._echo_db is not None and len(self._echo) >= FRAME_BYTES:
            back = bytes(self._echo[:FRAME_BYTES])
            del self._echo[:FRAME_BYTES]
            if back != _SILENT:
                pieces.append(to_ulaw(scaled(to_pcm(back), self._echo_db)))
        return pieces


def _mixed(pieces: list[bytes]) -> bytes:
    if len(pieces) <= 1:
        return pieces[0] if pieces else b""
    pcm = [to_pcm(piece.ljust(FRAME_BYTES, _SILENT[:1])) for piece in pieces]
    total = pcm[0]
    for other in pcm[1:]:
        total = added(total, other)
    return to_ulaw(total)


def _noise(surroundings: Surroundings, clips: Iterable[bytes], rng: random.Random) -> bytes:
    """Return the noise at its level, at least a frame long, beginning at a seeded place."""
    noise = surroundings.noise
    if not noise:
        return b""
    noise *= -(-FRAME_BYTES // len(noise))
    target = surroundings.noise_dbfs
    if surroundings.noise_snr_db is not None:
        target = speech_level_dbfs(list(clips)) - surroundings.noise_snr_db
    level = level_dbfs(noise)
    if target is not None and level > float("-inf"):
        noise = to_ulaw(scaled(to_pcm(noise), target - level))
    start = rng.randrange(len(noise))
    return noise[start:] + noise[:start]
