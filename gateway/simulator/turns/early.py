"""Early reply against plain turn-taking, on callers who pause inside their sentences."""

import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from gateway.simulator.carrier import CallPlan, HangUp, LineModel, Say, Script, Wait
from gateway.simulator.carrier.script import Step
from gateway.simulator.clips.labelled import load_utterances
from gateway.simulator.clock import run
from gateway.simulator.model import ModelOptions, ModelServer
from gateway.simulator.turns.interrupted import AGENT, MODEL_LINE
from gateway.simulator.turns.part import Check, Figure, Part, Plan, at_most, percentile
from gateway.simulator.turns.replies import Replies, Reply, audible_ms, judge_replies
from gateway.simulator.turns.spending import Spending
from gateway.simulator.turns.stage import Stage, StagedEngine, realistic_vad
from gateway.simulator.turns.tracing import trace
from gateway.simulator.turns.workers import each
from gateway.simulator.world import CALLER, NUMBER, PUBLIC, world

__all__ = ["MODES", "Call", "Mode", "asking_call", "early_part"]

Mode = Literal["plain", "early", "sooner"]
MODES: Mapping[Mode, str] = MappingProxyType(
    {"plain": "early_reply: false", "early": "early_reply: true", "sooner": "early_reply: {confirm_ms: 500}"}
)
"""All by which the agents differ. Plain takes 500 ms of silence for the end of a turn; early is the default."""
NO_CALLER = frozenset({"backchannels", "barge-ins", "prompts"})
EACH_CALL = 5
"""Utterances of one call."""
ROUNDS = 2
"""How often every utterance is said, for 500 barge-ins."""
GREETING = "G0 hello, this is the order desk."
ANSWER_BYTES = 3 * 8000
LINE_MS = 30.0
FASTER = 0.25
MEDIAN_MS = 800.0
MEDIAN_TTFB_MS = 500.0
"""The model's median for which the median voice to voice is asked for."""


@dataclass(slots=True, frozen=True)
class Call:
    """What one call is made from."""

    mode: Mode
    utterances: tuple[str, ...]
    """Names of clips, in order."""
    seed: int
    ttfb_ms: float


def early_part(plan: Plan) -> Part:
    """Make the calls, each once for either agent, and tell how soon it answered and what that cost."""
    vad, _ = realistic_vad()
    calls = [call for mode in MODES for call in _calls(mode, plan)]
    found = dict.fromkeys(MODES, Replies())
    for call, replies in zip(calls, each(asking_call, calls, plan.processes), strict=True):
        found[call.mode] += replies
    rows = [_row(mode, kind, replies) for mode, replies in found.items() for kind in ("all", "pause inside", "none")]
    return Part(
        "early",
        f"Early reply against plain turn-taking: model's first audio after {plan.ttfb_ms:g} ms (median, log-normal); "
        f"line {LINE_MS:g} ms, way to the model 12 to 21 ms, each way; server's turn detection: {vad}",
        rows,
        _checks(found, plan.ttfb_ms),
    )


def asking_call(call: Call) -> Replies:
    """Run one call, without real time. Equal seeds give equal delays of the model, turn by turn."""
    rng = random.Random(call.seed)
    every = {utterance.name: utterance for utterance in load_utterances()}
    utterances = [every[name] for name in call.utterances]
    prompts = [one for one in every.values() if one.group == "prompts"]
    voices = [one.audio[round(audible_ms(one.audio) * 8) :][:ANSWER_BYTES] for one in prompts]
    stage = Stage(utterances, LINE_MS / 1000)
    engine = StagedEngine(stage, voices, realistic_vad()[1], GREETING)
    options = ModelOptions(
        seed=rng.getrandbits(32),
        transcription_delay_ms=300,
        ttfb_ms=call.ttfb_ms,
        epoch=0,
    )
    done = Wait("agent_done", within_s=20, quiet_ms=1200)
    steps: list[Step] = [done]
    for utterance in utterances:
        steps += [Say(utterance.audio, utterance.name), done]
    script = Script([*steps, HangUp()])
    return run(_call(call.mode, stage, engine, options, script, rng.getrandbits(32)))


async def _call(
    mode: Mode, stage: Stage, engine: StagedEngine, options: ModelOptions, script: Script, seed: int
) -> Replies:
    agent = f"{AGENT.replace('G0 welcome to Acme.', GREETING)}    {MODES[mode]}\n"
    line = LineModel(uplink_ms=LINE_MS, downlink_ms=LINE_MS)
    spending = Spending()
    server = ModelServer(engine, options, on_event=spending.watch)
    with tempfile.TemporaryDirectory() as folder:
        async with world(Path(folder), agent, model=server, line=line, model_line=MODEL_LINE, seed=seed) as it:
            plan = CallPlan(to=NUMBER, from_=CALLER, voice_url=f"{PUBLIC}/twilio/voice", script=script)
            report = await stage.watch(it.network, plan)
            await it.settled()
            answers = trace(report.media.heard, it.session.spoken.values())
            return judge_replies(answers, stage.look(), report, spending, it.session)


def _calls(mode: Mode, plan: Plan) -> list[Call]:
    """Return the calls in which everybody says everything; the same ones for each mode."""
    rng = random.Random(plan.seed)
    found = []
    for _ in range(max(ROUNDS, plan.times(ROUNDS))):
        names = [one.name for one in load_utterances() if one.group not in NO_CALLER]
        rng.shuffle(names)
        for at in range(0, len(names), EACH_CALL):
            found.append(Call(mode, tuple(names[at : at + EACH_CALL]), rng.getrandbits(32), plan.ttfb_ms))
    return found[: plan.times(ROUNDS * -(-len(names) // EACH_CALL))]


def _row(mode: Mode, kind: str, found: Replies) -> dict[str, Figure]:
    replies = [reply for reply in found.replies if kind == "all" or reply.pause == (kind == "pause inside")]
    ms = _ms(replies)
    whole = kind == "all"
    return {
        "turns": mode,
        "callers": kind,
        "utterances": len(replies),
        "v2v p50 ms": percentile(ms, 0.5),
        "p95": percentile(ms, 0.95),
        "cut off": sum(reply.cut_off for reply in replies),
        "unanswered": sum(reply.ms is None for reply in replies),
        "responses": found.responses if whole else None,
        "dropped": found.dropped if whole else None,
        "dropped output tokens": found.dropped_output_tokens if whole else None,
        "dropped input tokens": found.dropped_input_tokens if whole else None,
        "API errors": found.errors if whole else None,
    }


def _checks(found: Mapping[Mode, Replies], ttfb_ms: float) -> list[Check]:
    plain, early = found["plain"].replies, found["early"].replies
    before, after = percentile(_ms(plain), 0.5), percentile(_ms(early), 0.5)
    cut = {mode: sum(reply.cut_off for reply in replies.replies) for mode, replies in found.items()}
    faster = before is not None and after is not None and after <= (1 - FASTER) * before
    share = f"{1 - after / before:.0%} lower" if before and after is not None else "nothing"
    checks = [
        Check(f"voice to voice p50 at least {FASTER:.0%} lower", faster, share),
        Check("no more callers cut off", cut["early"] <= cut["plain"], f"{cut['early']} against {cut['plain']}"),
        Check(
            "every utterance answered",
            all(reply.ms is not None for reply in early),
            f"{len(_ms(early))} of {len(early)}",
        ),
    ]
    if ttfb_ms <= MEDIAN_TTFB_MS:
        median = at_most("voice to voice p50 in ms, early, line included", after, MEDIAN_MS)
        checks.append(replace(median, aim=True))
    return checks


def _ms(replies: Sequence[Reply]) -> list[float]:
    return [reply.ms for reply in replies if reply.ms is not None]
