"""One call's ear: frames in, voices out."""

import binascii
from typing import Any

from gateway.core.audio import AudioFormat
from gateway.core.events import Event, VoiceStarted, VoiceStopped
from gateway.hearing.echo import EchoGuard
from gateway.hearing.floor import NoiseFloor
from gateway.hearing.gate import Sound, VoiceGate
from gateway.hearing.options import EarOptions
from gateway.hearing.pcm import SILENT_DB, level_db, to_mu_law, to_pcm
from gateway.hearing.pitch import PAST_BYTES, is_voiced
from gateway.hearing.tones import KEY_BYTES, is_tone

__all__ = ["Ear"]

HOP_BYTES = 160
HOP_S = 0.02
RATE = 8000
STEADY_DB = 1.0
CLOCK_PULL = 0.05
MOST_JITTER_S = 0.1
"""Frames come in bunches; a larger step is a gap."""
MOST_MS = 8000
"""A longer frame is cut to its last 8 s; carriers send 20 ms."""


class Ear:
    """Hears when the caller speaks; takes copies, changes nothing. One per call, not shared between threads."""

    def __init__(self, options: EarOptions | None = None) -> None:
        self._options = options or EarOptions()
        self._floor = NoiseFloor(self._options)
        self._echo = EchoGuard(self._options)
        self._gate = VoiceGate(self._options)
        self._in = _Line(AudioFormat.PCMU)
        self._out = _Line(AudioFormat.PCMU)
        self._rest = b""
        self._past = bytes(PAST_BYTES)
        self._heard_s = 0.0
        self._level_db = SILENT_DB

    @property
    def voice(self) -> bool:
        """A voice is being heard now, proven."""
        return self._gate.voice

    def tune(self, audio: AudioFormat) -> None:
        """Both ways are in this format from now on; mu-law before it is told."""
        self._in, self._out = _Line(audio), _Line(audio)

    def caller(self, payload: str, now: float) -> list[Event]:
        """Take one frame of the caller, any length; `now` is when its last sample was heard, in seconds.

        Base64 that cannot be read is passed over.
        """
        try:
            audio = self._rest + self._in.read(payload)
        except (binascii.Error, ValueError):
            return []
        whole = len(audio) // HOP_BYTES * HOP_BYTES
        self._rest = audio[whole:]
        pcm = to_pcm(audio[:whole])
        events: list[Event] = []
        end_s = self._begin(now, len(audio) / RATE)
        if end_s - self._heard_s > self._options.hang_ms / 1000:
            self._tell(self._gate.hear(Sound.QUIET, end_s), events)
        self._heard_s = end_s + whole / RATE
        for at in range(0, 2 * whole, 2 * HOP_BYTES):
            end_s += HOP_S
            self._tell(self._gate.hear(self._judge(pcm[at : at + 2 * HOP_BYTES], end_s), end_s), events)
        return events

    def played(self, payload: str, now: float) -> None:
        """A piece of our audio went to the caller; it plays behind what was sent before."""
        try:
            self._echo.played(self._out.read(payload), now)
        except (binascii.Error, ValueError):
            return

    def cleared(self, now: float) -> None:
        """What has not played by now was dropped."""
        self._echo.cleared(now)

    def _begin(self, now: float, seconds: float) -> float:
        """Return when the audio in hand begins: behind what was heard, drawn slowly to where the frames' times say."""
        late_s = now - seconds - self._heard_s
        return self._heard_s + late_s * (CLOCK_PULL if abs(late_s) < MOST_JITTER_S else 1.0)

    def _judge(self, pcm: bytes, end_s: float) -> Sound:
        past = self._past + pcm
        self._past = past[-PAST_BYTES:]
        level = level_db(pcm)
        echo = self._echo.hear(level, end_s)
        sound = self._name(level, echo, past)
        self._level_db = level
        self._floor.hear(level, voice=self._gate.voice)
        return sound

    def _name(self, level: float, echo: float, past: bytes) -> Sound:
        options = self._options
        enter = max(self._floor.threshold_db, echo + options.echo_margin_db, options.least_db)
        voice = self._gate.voice
        if level < (enter - options.leave_db if voice else enter):
            return Sound.QUIET
        # Asked within a voice only of what is as steady as a tone, for it costs as much as all the rest.
        if (not voice or abs(level - self._level_db) < STEADY_DB) and is_tone(past[-KEY_BYTES:]):
            return Sound.TONE
        return Sound.VOICED if is_voiced(past, options.voicing) else Sound.LOUD

    @staticmethod
    def _tell(change: tuple[bool, float] | None, events: list[Event]) -> None:
        if change is not None:
            began, at_s = change
            events.append(VoiceStarted(at_s) if began else VoiceStopped(at_s))


class _Line:
    """One direction of the call, as mu-law whatever it is."""

    def __init__(self, audio: AudioFormat) -> None:
        self._audio = audio
        self._state: Any = None
        """The resampler's, whose shape is its own."""

    def read(self, payload: str) -> bytes:
        """Return base64 as mu-law; raises `ValueError` for what cannot be read."""
        audio = binascii.a2b_base64(payload)[-MOST_MS * self._audio.bytes_per_ms :]
        ulaw, self._state = to_mu_law(audio, self._audio, self._state)
        return ulaw
