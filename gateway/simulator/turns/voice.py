"""The scripted engine with a voice of which no two bytes in a row repeat themselves elsewhere."""

import hashlib

from gateway.core import CallPlan
from gateway.simulator.engine import Answer, Context, Speech, Vad
from gateway.simulator.model import Scenario, ScriptedEngine

__all__ = ["MS_PER_CHARACTER", "ExactVoice", "exact_voice"]

MS_PER_CHARACTER = 65
GOODBYE = CallPlan().goodbye
"""How the gateway asks for them."""


class ExactVoice:
    """An engine that says what the scenario says, in noise: so what was heard can be told to the sample."""

    def __init__(self, scenario: Scenario, goodbye: str = "") -> None:
        """`goodbye` is said where the gateway asks for last words."""
        self._scripted = ScriptedEngine(scenario)
        self._goodbye = goodbye

    def vad(self) -> Vad:
        return self._scripted.vad()

    async def transcribe(self, audio: bytes, prompt: str, turn: int) -> str:
        return await self._scripted.transcribe(audio, prompt, turn)

    async def respond(self, context: Context) -> Answer:
        if self._goodbye and GOODBYE in context.instructions:
            return Answer([Speech(self._goodbye)])
        return await self._scripted.respond(context)

    async def speak(self, text: str, voice: str) -> bytes:
        return exact_voice(text)


def exact_voice(text: str) -> bytes:
    """Return mu-law noise, 65 ms a character, that is different for every text from the first byte on."""
    return hashlib.shake_256(text.encode()).digest(len(text) * MS_PER_CHARACTER * 8)
