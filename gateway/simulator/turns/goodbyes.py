"""Calls that the agent ends: is the goodbye heard to its last sample, and is the line down soon after it?"""

import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from gateway.simulator.carrier import BargeIn, CallReport, LineModel, Pause, Say, Script, Wait
from gateway.simulator.carrier.script import Step
from gateway.simulator.clock import run
from gateway.simulator.model import ModelOptions, Scenario, SessionRecord
from gateway.simulator.model.scenario import Call, Turn
from gateway.simulator.turns.alignment import BYTES_PER_MS, align
from gateway.simulator.turns.interrupted import AGENT, CLIPS, MODEL_LINE, text_of
from gateway.simulator.turns.part import Check, Figure, Part, Plan, every, percentile
from gateway.simulator.turns.voice import MS_PER_CHARACTER, ExactVoice, exact_voice
from gateway.simulator.turns.workers import each
from gateway.simulator.world import World, world

__all__ = ["KINDS", "Goodbye", "Kind", "ending_call", "goodbye_part"]

Kind = Literal["hang_up with words", "farewell, hang_up alone", "caller speaks into it", "duration limit"]
KINDS: tuple[Kind, ...] = ("hang_up with words", "farewell, hang_up alone", "caller speaks into it", "duration limit")
REASONS: Mapping[Kind, str] = MappingProxyType({kind: "agent_hangup" for kind in KINDS} | {KINDS[3]: "duration_limit"})
LIMIT_S = 15
DOWN_S = 1.0
CALLS = 12
"""Of each kind and line, for 500 barge-ins."""
LIMITED_AGENT = AGENT.replace("{max_cost_usd: null}", f"{{max_cost_usd: null, max_duration_s: {LIMIT_S}}}")


@dataclass(slots=True, frozen=True)
class Goodbye:
    """How one call ended."""

    kind: Kind
    line_ms: float
    whole: int
    """How many goodbyes the caller heard to their last sample; one is right."""
    down_s: float
    """From the last sample of the first whole goodbye to the end of the call; the whole call when there was none."""
    reason: str
    errors: tuple[str, ...]
    """Refusals of the model's server, by code."""

    @property
    def as_meant(self) -> bool:
        return self.whole == 1 and self.reason == REASONS[self.kind]


def ending_call(kind: Kind, line_ms: float, seed: int) -> Goodbye:
    """Run one call to its end, without real time."""
    rng = random.Random(f"{seed} {kind} {line_ms}")
    words = text_of("B1", rng.randint(20, 60), rng)
    options = ModelOptions(seed=rng.getrandbits(32), audio_factor=rng.choice((1.3, 3.0, 8.0)), epoch=0)
    engine = ExactVoice(_scenario(kind, words, rng), goodbye=words)
    script = Script(list(_steps(kind, len(words) * MS_PER_CHARACTER, rng)), stay_s=60)
    return run(_call(kind, line_ms, engine, options, script, words, rng.getrandbits(32)))


async def _call(  # noqa: PLR0913, PLR0917 - what was drawn for one call
    kind: Kind, line_ms: float, engine: ExactVoice, options: ModelOptions, script: Script, words: str, seed: int
) -> Goodbye:
    agent = LIMITED_AGENT if kind == "duration limit" else AGENT
    line = LineModel(uplink_ms=line_ms, downlink_ms=line_ms)
    with tempfile.TemporaryDirectory() as folder:
        async with world(Path(folder), agent, engine, options, line=line, model_line=MODEL_LINE, seed=seed) as it:
            report = await it.call(script)
            await it.settled()
            return _judge(kind, line_ms, words, report, it)


def _judge(kind: Kind, line_ms: float, words: str, report: CallReport, it: World) -> Goodbye:
    session: SessionRecord = it.session
    ear = align(report.media.heard, session.spoken.values())
    whole_ms = len(exact_voice(words)) / BYTES_PER_MS
    whole = [item.ends_s for item in ear.items if item.heard_ms == whole_ms and item.ends_s and item.text == words]
    return Goodbye(
        kind,
        line_ms,
        len(whole),
        report.duration_s - (whole[0] if whole else 0.0),
        it.record.end_reason or "",
        tuple(str(error.get("code")) for error in session.errors),
    )


def _scenario(kind: Kind, words: str, rng: random.Random) -> Scenario:
    answer = text_of("A1", rng.randint(20, 60), rng)
    first = Turn(heard="C1 a question", say=answer, think_ms=rng.randint(0, 500))
    hang_up = Call(name="hang_up", arguments={})
    if kind == "duration limit":
        more = [
            Turn(
                heard=f"C{turn} another",
                say=text_of(f"A{turn}", rng.randint(20, 120), rng),
                think_ms=rng.randint(0, 900),
            )
            for turn in range(2, 9)
        ]
        return Scenario(turns=[first, *more])
    if kind == "farewell, hang_up alone":
        return Scenario(turns=[first, Turn(heard="C2 bye", calls=[hang_up], result=words)])
    # Spoken over before it is whole, the goodbye is a cancelled response, whose calls must not run: it is said again.
    again = Turn(heard="C bye", say=words, calls=[hang_up])
    return Scenario(turns=[first, again, again, again])


def _steps(kind: Kind, words_ms: int, rng: random.Random) -> Iterator[Step]:
    yield Wait("agent_done")
    if kind == "duration limit":
        for _ in range(7):
            yield Pause(rng.uniform(0.3, 4))
            yield Say(rng.choice(CLIPS[rng.choice(("order-status", "billing", "small-talk"))]).audio)
        return
    yield Say(rng.choice(CLIPS["order-status"]).audio)
    yield Wait("agent_done")
    yield Say(rng.choice(CLIPS["goodbye"]).audio)
    if kind == "caller speaks into it":
        yield BargeIn(rng.choice(CLIPS["goodbye"]).audio, rng.randint(0, words_ms - 200))


def goodbye_part(plan: Plan) -> Part:
    """Make the calls and tell how they ended."""
    tasks = [
        (kind, line_ms, 1000 * plan.seed + number)
        for kind in KINDS
        for line_ms in (0.0, 50.0)
        for number in range(plan.times(CALLS))
    ]
    groups: dict[str, list[Goodbye]] = {}
    for call in each(_task, tasks, plan.processes):
        groups.setdefault(f"{call.kind}, {call.line_ms:g} ms", []).append(call)
    every_call = [call for calls in groups.values() for call in calls]
    errors = sum(len(call.errors) for call in every_call)
    checks = [
        every("goodbye heard whole, once, for its reason", sum(c.as_meant for c in every_call), len(every_call)),
        every(f"line down <= {DOWN_S:g} s after it", sum(c.down_s <= DOWN_S for c in every_call), len(every_call)),
        Check("no API errors caused by us", errors == 0, str(errors)),
    ]
    rows = [_row(name, calls) for name, calls in groups.items()]
    codes = sorted({code for call in every_call for code in call.errors})
    return Part("goodbye", f"{len(every_call)} calls that the agent ends", rows, checks, codes)


def _task(task: tuple[Kind, float, int]) -> Goodbye:
    return ending_call(*task)


def _row(name: str, calls: Sequence[Goodbye]) -> dict[str, Figure]:
    down = [call.down_s * 1000 for call in calls if call.whole]
    return {
        "end": name,
        "calls": len(calls),
        "heard whole": sum(call.whole > 0 for call in calls),
        "once, as meant": sum(call.as_meant for call in calls),
        "line down p50 ms": percentile(down, 0.5),
        "max": percentile(down, 1.0),
        "API errors": sum(len(call.errors) for call in calls),
    }
