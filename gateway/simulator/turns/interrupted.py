"""Calls in which every answer is interrupted: one cell of the grid, its agent, its callers, its run."""

import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gateway.records.timeline import Line, tell
from gateway.simulator.carrier import BargeIn, CallReport, HangUp, LineModel, Pause, Say, Script, Wait
from gateway.simulator.carrier.script import Step
from gateway.simulator.clips import Clip, load_clips
from gateway.simulator.clock import run
from gateway.simulator.model import ModelOptions, Scenario, SessionRecord
from gateway.simulator.model.scenario import Turn
from gateway.simulator.turns.voice import MS_PER_CHARACTER, ExactVoice
from gateway.simulator.world import NUMBER, world

__all__ = ["AGENT", "CLIPS", "MODEL_LINE", "Cell", "Run", "Shape", "cells", "interrupted_call", "text_of"]

Shape = Literal["generating", "done"]

AGENT = f"""
agents:
  desk:
    numbers: ["{NUMBER}"]
    instructions: You help the customers of Acme.
    greeting: "G0 welcome to Acme."
    limits: {{max_cost_usd: null}}
"""
MODEL_LINE = LineModel(uplink_ms=12, downlink_ms=12, jitter_ms=9)
"""Between gateway and model: what a region nearby takes. It also moves events off the carrier's 20 ms grid."""
TURNS = 8
"""Barge-ins of one call."""
WORDS = (
    "order parcel invoice account monday tuesday delivery number address morning evening office service refund "
    "street answer window system seven eleven forty branch letter ticket return payment"
).split()
ONSET_MS = 320
"""From the caller's first sound to the clear, at the most: what must be left of an answer to be cut in it."""
EARLY = 0.15
"""Share of the barge-ins in which the caller speaks about when the answer begins."""


def _clips() -> dict[str, list[Clip]]:
    groups: dict[str, list[Clip]] = {}
    for clip in load_clips().values():
        if len(clip.speech_ms) == 1:
            groups.setdefault(clip.group, []).append(clip)
    return groups


CLIPS = _clips()
"""Recorded callers without a pause inside, by group: each is one turn."""


@dataclass(slots=True, frozen=True)
class Cell:
    """One combination of what a barge-in may meet."""

    items: int
    """Audio items of each response."""
    line_ms: float
    """Delay of the caller's line, each way."""
    shape: Shape
    """Whether the response is still being generated when the caller interrupts, or long done."""

    @property
    def name(self) -> str:
        return f"{self.items} item{'s'[: self.items - 1]}, {self.line_ms:g} ms, {self.shape}"

    @property
    def factor(self) -> float:
        """How much faster than it plays the answer is generated."""
        return 1.3 if self.shape == "generating" else 8.0


@dataclass(slots=True, frozen=True)
class Run:
    """What one call left behind, on both sides."""

    cell: Cell
    report: CallReport
    session: SessionRecord
    lines: tuple[Line, ...]
    """The transcript, as `gateway calls show` tells it."""


def cells() -> Iterator[Cell]:
    for items in (1, 2):
        for line_ms in (0.0, 50.0):
            yield Cell(items, line_ms, "generating")
            yield Cell(items, line_ms, "done")


def interrupted_call(cell: Cell, seed: int) -> Run:
    """Run one call, without real time. Equal seeds give equal calls."""
    rng = random.Random(f"{seed} {cell.name}")
    answers = [_answer(turn, cell.items, rng) for turn in range(1, TURNS + 2)]
    turns = [
        Turn(heard=f"C{turn} what the caller said", say=[*answer], think_ms=rng.randint(0, 600))
        for turn, answer in enumerate(answers, 1)
    ]
    options = ModelOptions(
        seed=rng.getrandbits(32),
        audio_factor=cell.factor,
        transcription_delay_ms=rng.randint(50, 2500),
        late_deltas=rng.randint(0, 3),
        epoch=0,
    )
    script = Script(list(_steps(cell, answers, rng)))
    line = LineModel(uplink_ms=cell.line_ms, downlink_ms=cell.line_ms)
    return run(_call(cell, Scenario(turns=turns), options, script, line, rng.getrandbits(32)))


async def _call(
    cell: Cell, scenario: Scenario, options: ModelOptions, script: Script, line: LineModel, seed: int
) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        engine = ExactVoice(scenario)
        async with world(
            Path(folder), AGENT, engine, options, line=line, model_line=MODEL_LINE, seed=seed
        ) as everything:
            report = await everything.call(script)
            await everything.settled()
            return Run(cell, report, everything.session, tell(everything.record, everything.journal).lines)


def _answer(turn: int, items: int, rng: random.Random) -> list[str]:
    """Return texts of 3 to 7 s in all, each with a first word that no other has."""
    characters = rng.randint(48, 108) // items
    return [text_of(f"A{turn}{'ab'[item]}", characters, rng) for item in range(items)]


def text_of(first: str, characters: int, rng: random.Random) -> str:
    """Return a text of about that length, known by its first word."""
    text = first
    while len(text) < characters:
        text += " " + rng.choice(WORDS)
    return text


def _steps(cell: Cell, answers: list[list[str]], rng: random.Random) -> Iterator[Step]:
    yield Wait("agent_done")
    yield Say(rng.choice(CLIPS["order-status"]).audio)
    for answer in answers[:TURNS]:
        clip = rng.choice(CLIPS["barge-ins"])
        if rng.random() < EARLY:
            yield Pause(rng.uniform(0.35, 0.8))
            yield Say(clip.audio, clip.name)
        else:
            yield BargeIn(clip.audio, _instant_ms(cell, sum(map(len, answer)) * MS_PER_CHARACTER, rng), name=clip.name)
    yield Wait("agent_done")
    yield HangUp()


def _instant_ms(cell: Cell, length_ms: int, rng: random.Random) -> int:
    """Return how much of the answer the caller hears before they speak, so that the shape is met."""
    generated_ms = length_ms / cell.factor
    if cell.shape == "generating":
        return round(rng.uniform(0, max(0.0, generated_ms - 1.3 * ONSET_MS)))
    return round(rng.uniform(min(generated_ms, length_ms / 2), length_ms - ONSET_MS))
