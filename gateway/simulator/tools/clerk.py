"""The model that books a slot: careful, or one that calls again wherever it sees no result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.simulator.engine import Answer, Context, FunctionCall, Speech, Vad
from gateway.simulator.model import EnergyVad
from gateway.simulator.model.scripted import SAY_EXACTLY, babble

__all__ = ["ASKED", "Clerk"]

ASKED = "Please book the slot for me."
"""What makes it book."""
Item = Mapping[str, Any]


@dataclass(slots=True)
class Clerk:
    """One call's model; its sessions share what it is like and nothing else."""

    arguments: str
    """JSON text."""
    stubborn: bool
    """Whether it calls again as long as the conversation shows no output of its function."""
    speaks_first: bool
    """Whether it says something before it calls."""
    think_s: float

    def vad(self) -> Vad:
        return EnergyVad()

    async def transcribe(self, audio: bytes, prompt: str, turn: int) -> str:
        return ASKED if turn == 1 else "Hello? Are you there?"

    async def respond(self, context: Context) -> Answer:
        exactly = SAY_EXACTLY.search(context.instructions)
        if exactly is not None:
            return Answer([Speech(exactly[1])])
        if context.tool_choice == "none":
            return Answer([Speech("It takes a moment longer.")])
        made = [item for item in context.items if item.get("type") == "function_call"]
        outputs = [item for item in context.items if item.get("type") == "function_call_output"]
        told = _told(context.items)
        if told:
            return Answer([Speech(f"The result is {told[-1]}.")])
        if outputs:
            return Answer([Speech("The result is " + _short(str(outputs[-1]["output"])))])
        if (not made or self.stubborn) and _wanted(context.items):
            first = [Speech("I am booking it now.")] if self.speaks_first and not made else []
            return Answer([*first, FunctionCall("book", self.arguments)], think_s=self.think_s)
        return Answer([Speech("One moment please." if made else "What can I do for you?")])

    async def speak(self, text: str, voice: str) -> bytes:
        return babble(text)


def _wanted(items: Sequence[Item]) -> bool:
    """Whether the caller has asked for the booking, in this session or before it."""
    said = (part for item in items if item.get("role") == "user" for part in item.get("content", ()))
    return any(ASKED in (part.get("text") or part.get("transcript") or "") for part in said)


def _told(items: Sequence[Item]) -> list[str]:
    """Return the promised results that the model was told of."""
    texts = (
        str(part.get("text")) for item in items if item.get("role") == "system" for part in item.get("content", ())
    )
    return [_short(text) for text in texts if "still in progress" in text]


def _short(output: str) -> str:
    begin = output.find("REF-")
    return output[begin:].split('"', maxsplit=1)[0].rstrip("}\\") if begin >= 0 else "not certain"
