"""What became of each answer of a call: heard to its end, cut by the caller, or cut for nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from gateway.simulator.carrier import CallReport
from gateway.simulator.turns.stage import Said
from gateway.simulator.turns.tracing import Traced

__all__ = ["CallFates", "judge_fates"]

WHOLE_MS = 250.0
"""An answer of which less is missing was heard to its end: the last words end before the sound does."""
LATE_S = 1.5
"""An agent that speaks on later than this after an interruption's last word has missed it."""
BLAME_S = 3.0
"""A backchannel may have cut an answer by so much later: it is judged by its words, which come late."""
CROSSING_S = 0.4
"""An interruption may begin by so much before the answer is heard: both were on their way."""


@dataclass(slots=True, frozen=True)
class CallFates:
    """One call."""

    turns: int
    """Answers of which the caller heard anything."""
    false_interruptions: int
    """Answers cut though the caller had said nothing, or nothing but a backchannel."""
    uncalled: int
    """Answers to nothing: since the answer before, the caller had said no word that asks for one."""
    by_backchannel: int
    backchannels: int
    """Said while the agent was speaking."""
    real: int
    """Interruptions while the agent was speaking."""
    missed: int
    """Of those, how often the agent spoke on."""
    reactions_ms: tuple[float, ...]
    """From an interruption's first sound to the last sound of the answer."""
    pauses_ms: tuple[float, ...]
    """Silences inside of answers that the model did not speak."""
    stuck: bool
    """The caller gave up waiting for the agent."""


def judge_fates(answers: Sequence[Traced], said: Sequence[Said], report: CallReport) -> CallFates:
    """Judge a call by what was heard of its `answers` and what was `said`."""
    meant = [one for one in said if one.kind != "backchannel"]
    murmured = [one for one in said if one.kind == "backchannel"]
    cut = [answer for answer in answers if _cut(answer, report)]
    false = [answer for answer in cut if not any(_overlaps(one, answer) for one in meant)]
    real = [(one, answer) for one in meant if one.kind == "barge_in" for answer in answers if _into(one, answer)]
    missed = [answer for one, answer in real if answer.ends_s > one.ends_s + LATE_S]
    return CallFates(
        turns=len(answers),
        false_interruptions=len(false),
        uncalled=_uncalled(answers, meant),
        by_backchannel=sum(any(0 < a.ends_s - one.onset_s < BLAME_S for one in murmured) for a in false),
        backchannels=sum(any(_into(one, answer) for answer in answers) for one in murmured),
        real=len(real),
        missed=len(missed),
        reactions_ms=tuple((a.ends_s - one.onset_s) * 1000 for one, a in real if a.ends_s <= one.ends_s + LATE_S),
        pauses_ms=tuple(gap * 1000 for answer in answers for gap in answer.pauses()),
        stuck=report.script_error is not None,
    )


def _uncalled(answers: Sequence[Traced], meant: Sequence[Said]) -> int:
    """The first answer is the greeting, which nobody calls for."""
    return sum(
        not any(before.begins_s < one.ends_s and one.onset_s < after.begins_s for one in meant)
        for before, after in pairwise(answers)
    )


def _cut(answer: Traced, report: CallReport) -> bool:
    unfinished = answer.heard_ms < answer.spoken_ms - WHOLE_MS
    return unfinished and answer.ends_s < report.duration_s - CROSSING_S


def _into(one: Said, answer: Traced) -> bool:
    return answer.begins_s < one.onset_s < answer.ends_s


def _overlaps(one: Said, answer: Traced) -> bool:
    """Whether the caller's words can be why the answer was cut."""
    return one.onset_s < answer.ends_s and one.ends_s > answer.begins_s - CROSSING_S
