"""What is no interruption: echo, noise, "mm-hm". Plain against reversible barge-in, on the same calls."""

import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from gateway.simulator.carrier import Backchannel, BargeIn, CallPlan, HangUp, LineModel, Say, Script, Surroundings, Wait
from gateway.simulator.carrier.script import Step
from gateway.simulator.clips.labelled import Utterance, load_noise, load_utterances
from gateway.simulator.clock import run
from gateway.simulator.model import ModelOptions
from gateway.simulator.turns.fates import CallFates, judge_fates
from gateway.simulator.turns.interrupted import AGENT, MODEL_LINE
from gateway.simulator.turns.part import Check, Figure, Part, Plan, percentile
from gateway.simulator.turns.stage import Stage, StagedEngine, realistic_vad
from gateway.simulator.turns.tracing import trace
from gateway.simulator.turns.workers import each
from gateway.simulator.world import CALLER, NUMBER, PUBLIC, world

__all__ = ["CONDITIONS", "MODES", "Call", "Condition", "Mode", "impostor_part", "listening_call"]

Mode = Literal["plain", "reversible"]
MODES: Mapping[Mode, str] = MappingProxyType({"plain": "barge_in: immediate", "reversible": "barge_in: reversible"})
"""All by which the agents differ."""
GREETING = "G0 hello, this is the order desk."
ANSWERS = 8
"""Agent turns of one call, if nothing goes wrong."""
CALLS = 4
"""Of each condition and mode, for 500 barge-ins."""
LINE_MS = 30.0
TRANSCRIPT_MS = 300
QUIET_MS = 1800
"""A caller takes an agent that has been silent so long to be done; a pause of reversible barge-in is shorter."""
WITHIN_S = 15.0
LONGEST_S = 180.0


@dataclass(slots=True, frozen=True)
class Condition:
    """Where the caller is."""

    name: str
    echo: bool = False
    noise: str = ""
    snr_db: float | None = None
    """How much louder than the noise the caller's speech is."""

    def surroundings(self) -> Surroundings:
        noise = load_noise(self.noise) if self.noise else b""
        return Surroundings(echo_db=-20.0 if self.echo else None, noise=noise, noise_snr_db=self.snr_db)


@dataclass(slots=True, frozen=True)
class Call:
    """What one call is made from."""

    condition: Condition
    mode: Mode
    seed: int
    ttfb_ms: float


CONDITIONS = (
    Condition("quiet line"),
    Condition("echo -20 dB, 120 ms", echo=True),
    Condition("babble, 28 dB below", noise="babble", snr_db=28),
    Condition("babble, 20 dB below", noise="babble", snr_db=20),
    Condition("street, 15 dB below", noise="street", snr_db=15),
    Condition("pink noise, 15 dB below", noise="pink", snr_db=15),
    Condition("hold music, 20 dB below", noise="hold-music", snr_db=20),
    Condition("echo and babble, 28 dB below", echo=True, noise="babble", snr_db=28),
)


def impostor_part(plan: Plan) -> Part:
    """Make the calls, each once for either agent, and tell what was cut for nothing and what was not noticed."""
    vad, _ = realistic_vad()
    calls = [
        Call(condition, mode, 1000 * plan.seed + number, plan.ttfb_ms)
        for condition in CONDITIONS
        for mode in MODES
        for number in range(plan.times(CALLS))
    ]
    found: dict[tuple[str, Mode], list[CallFates]] = {}
    for call, fates in zip(calls, each(listening_call, calls, plan.processes), strict=True):
        found.setdefault((call.condition.name, call.mode), []).append(fates)
    rows = [_row(name, mode, fates) for (name, mode), fates in found.items()]
    total = {mode: [one for (_, of), fates in found.items() if of == mode for one in fates] for mode in MODES}
    rows += [_row("all", mode, fates) for mode, fates in total.items()]
    return Part(
        "reversible",
        f"False interruptions by echo, noise and backchannels, real ones missed (server's turn detection: {vad})",
        rows,
        _checks(total),
    )


def listening_call(call: Call) -> CallFates:
    """Run one call, without real time. Equal seeds give the same caller to either agent."""
    rng = random.Random(f"{call.seed} {call.condition.name}")
    by_group: dict[str, list[Utterance]] = {}
    for utterance in load_utterances():
        by_group.setdefault(utterance.group, []).append(utterance)
    steps, utterances = [], []
    for step, said in _steps(by_group, rng):
        steps.append(step)
        utterances += [said] if said is not None else []
    voices = [_spoken(prompt) for prompt in by_group["prompts"]]
    rng.shuffle(voices)
    stage = Stage(utterances, LINE_MS / 1000, echo=call.condition.echo)
    engine = StagedEngine(stage, voices, realistic_vad()[1], GREETING)
    options = ModelOptions(
        seed=rng.getrandbits(32),
        audio_factor=rng.choice((1.5, 4.0, 8.0)),
        transcription_delay_ms=TRANSCRIPT_MS,
        ttfb_ms=call.ttfb_ms,
        epoch=0,
    )
    script = Script(steps, hang_up_at_s=LONGEST_S)
    return run(_call(call, stage, engine, options, script, rng.getrandbits(32)))


async def _call(
    call: Call, stage: Stage, engine: StagedEngine, options: ModelOptions, script: Script, seed: int
) -> CallFates:
    line = LineModel(uplink_ms=LINE_MS, downlink_ms=LINE_MS)
    agent = f"{AGENT.replace('G0 welcome to Acme.', GREETING)}    {MODES[call.mode]}\n"
    with tempfile.TemporaryDirectory() as folder:
        async with world(Path(folder), agent, engine, options, line=line, model_line=MODEL_LINE, seed=seed) as it:
            plan = CallPlan(
                to=NUMBER,
                from_=CALLER,
                voice_url=f"{PUBLIC}/twilio/voice",
                script=script,
                surroundings=call.condition.surroundings(),
            )
            report = await stage.watch(it.network, plan)
            await it.settled()
            answers = [traced for traced in trace(report.media.heard, it.session.spoken.values()) if traced.runs]
            return judge_fates(answers, stage.look(), report)


def _spoken(prompt: Utterance) -> bytes:
    """Return a prompt without the silence around it."""
    return prompt.audio[prompt.speech[0].start_ms * 8 : prompt.ends_ms * 8]


def _steps(by_group: Mapping[str, Sequence[Utterance]], rng: random.Random) -> Iterator[tuple[Step, Utterance | None]]:
    questions = [
        one for name in ("order-status", "billing", "small-talk") for one in by_group[name] if not one.has_pause
    ]
    done = Wait("agent_done", within_s=WITHIN_S, quiet_ms=QUIET_MS)
    yield done, None
    yield _say(rng.choice(questions))
    for _ in range(ANSWERS):
        match rng.choices(("listens", "backchannel", "interrupts"), (0.35, 0.35, 0.3))[0]:
            case "interrupts":
                clip = rng.choice(by_group["barge-ins"])
                yield BargeIn(clip.audio, 400, WITHIN_S, clip.name, 3500), clip
                continue
            case "backchannel":
                clip = rng.choice(by_group["backchannels"])
                yield Backchannel(clip.audio, rng.randint(400, 3500), clip.name), clip
        yield done, None
        yield _say(rng.choice(questions))
    yield done, None
    yield HangUp(), None


def _say(utterance: Utterance) -> tuple[Step, Utterance]:
    return Say(utterance.audio, utterance.name), utterance


def _row(caller: str, mode: str, calls: Sequence[CallFates]) -> dict[str, Figure]:
    turns = sum(call.turns for call in calls)
    reactions = [ms for call in calls for ms in call.reactions_ms]
    pauses = [ms for call in calls for ms in call.pauses_ms]
    return {
        "caller": caller,
        "barge-in": mode,
        "agent turns": turns,
        "false": sum(call.false_interruptions for call in calls),
        "per 100": _per_100(sum(call.false_interruptions for call in calls), turns),
        "by backchannel": sum(call.by_backchannel for call in calls),
        "uncalled": sum(call.uncalled for call in calls),
        "backchannels": sum(call.backchannels for call in calls),
        "real": sum(call.real for call in calls),
        "missed": sum(call.missed for call in calls),
        "reaction p50 ms": percentile(reactions, 0.5),
        "p95": percentile(reactions, 0.95),
        "pauses per 100": _per_100(len(pauses), turns),
        "p50 ms": percentile(pauses, 0.5),
        "stuck": sum(call.stuck for call in calls),
    }


def _per_100(count: int, turns: int) -> float | None:
    return round(100 * count / turns, 1) if turns else None


def _checks(found: Mapping[Mode, Sequence[CallFates]]) -> list[Check]:
    false = {mode: sum(call.false_interruptions for call in calls) for mode, calls in found.items()}
    turns = {mode: sum(call.turns for call in calls) for mode, calls in found.items()}
    missed = {mode: sum(call.missed for call in calls) for mode, calls in found.items()}
    fewer = false["reversible"] * turns["plain"] < false["plain"] * turns["reversible"] or not any(false.values())
    return [
        Check("fewer false interruptions than plain", fewer, f"{false['reversible']} against {false['plain']}"),
        Check(
            "no more real ones missed",
            missed["reversible"] <= missed["plain"],
            f"{missed['reversible']} against {missed['plain']}",
        ),
    ]
