"""Words that the caller cannot interrupt: a greeting, a disclosure, an operator's announcement.

While they are asked for, generated and played, the model hears nothing, so it cannot take a cough for a turn. What the
caller says meanwhile is kept and handed over afterwards, in one piece: it is answered then, not lost. If our own ear
heard no voice in it, only its end is handed over: the rest may be nothing but the echo of what was played.
"""

import base64
from collections.abc import Callable

from gateway.core.audio import AudioFormat
from gateway.core.commands import AppendAudio
from gateway.core.early import EarlyAudio

__all__ = ["Shield"]

KEPT_MS = 60_000.0
"""Caller audio that is kept; of a longer announcement the newest."""
ECHO_KEPT_MS = 400.0
"""What is kept of audio in which our ear heard no voice: the beginning of a word, if there is one."""


JOINED_BYTES = 9600
"""Kept frames are handed over in pieces of 1.2 s of G.711: one by one they would fill the queue towards the model."""


class Shield:
    """Down, or up for one wish and the response that fulfils it."""

    def __init__(self, *, ear: bool) -> None:
        self._ear = ear
        self._wishes: set[str] = set()
        """Wishes that must not be interrupted and are not heard yet."""
        self._responses: dict[str, str | None] = {}
        """Responses that fulfil them, and how they were asked for."""
        self._voice = False
        self._kept = EarlyAudio(KEPT_MS)

    @property
    def up(self) -> bool:
        return bool(self._wishes or self._responses)

    def protect(self, wish_id: str) -> None:
        """A response that is asked for by this wish must not be interrupted."""
        self._wishes.add(wish_id)

    def created(self, wish_id: str, response_id: str, instructions: str | None) -> None:
        if wish_id in self._wishes:
            self._wishes.discard(wish_id)
            self._responses[response_id] = instructions

    def cut_off(self, response_id: str) -> str | None:
        """The server cancelled it in spite of us: return how it was asked for; None if it was not protected."""
        return self._responses.pop(response_id, None)

    def still(self, wish_id: str) -> None:
        """Only this wish is asked now; one that was refused is protected again once it is asked again."""
        self._wishes &= {wish_id}

    def heard(self, sounds: Callable[[str], bool]) -> None:
        """Protect no response any more that does not sound; wishes that are still to come stay protected."""
        if self._responses:
            self._responses = {name: asked for name, asked in self._responses.items() if sounds(name)}

    def voice(self) -> None:
        """Our own ear hears the caller."""
        self._voice = True

    def keep(self, payload: str, audio: AudioFormat = AudioFormat.PCMU) -> None:
        self._kept.keep(payload, audio)

    def release(self, audio: AudioFormat = AudioFormat.PCMU) -> list[AppendAudio]:
        """Hand over what the caller said meanwhile, once; call when it is down, for whatever reason."""
        newest_ms = None if self._voice or not self._ear else ECHO_KEPT_MS
        self._voice = False
        return _joined(self._kept.release(audio, newest_ms))

    def reset(self) -> None:
        """The model is gone, and with it what it was to say."""
        self._wishes.clear()
        self._responses.clear()


def _joined(frames: list[AppendAudio]) -> list[AppendAudio]:
    audio = b"".join(base64.b64decode(frame.payload) for frame in frames)
    pieces = (audio[at : at + JOINED_BYTES] for at in range(0, len(audio), JOINED_BYTES))
    return [AppendAudio(base64.b64encode(piece).decode()) for piece in pieces]
