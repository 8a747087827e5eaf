"""How soon the agent answered each utterance, in the caller's ear, and what was thrown away for it."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.simulator.carrier import CallReport
from gateway.simulator.model import SessionRecord
from gateway.simulator.turns.spending import Spending
from gateway.simulator.turns.stage import Said
from gateway.simulator.turns.tracing import Traced

__all__ = ["Replies", "Reply", "audible_ms", "judge_replies"]

AUDIBLE = 0x1D
"""Magnitude of a mu-law sample above -40 dBFS: what comes before is no voice yet."""
CROSSING_S = 0.05
"""A sound that begins with the caller's last word has not cut them off."""


@dataclass(slots=True, frozen=True)
class Reply:
    """One utterance of the caller."""

    pause: bool
    """It has a pause inside, which is not its end."""
    ms: float | None
    """From the end of its last word to the agent's first audible sample; None when nothing came."""
    cut_off: bool
    """The agent was heard before the caller had said everything."""


@dataclass(slots=True, frozen=True)
class Replies:
    """Of one call, or of many added up."""

    replies: tuple[Reply, ...] = ()
    responses: int = 0
    dropped: int = 0
    """Responses of which the caller heard nothing."""
    dropped_input_tokens: int = 0
    dropped_output_tokens: int = 0
    errors: int = 0

    def __add__(self, other: "Replies") -> "Replies":
        return Replies(
            self.replies + other.replies,
            self.responses + other.responses,
            self.dropped + other.dropped,
            self.dropped_input_tokens + other.dropped_input_tokens,
            self.dropped_output_tokens + other.dropped_output_tokens,
            self.errors + other.errors,
        )


def judge_replies(
    answers: Sequence[Traced], said: Sequence[Said], report: CallReport, spending: Spending, session: SessionRecord
) -> Replies:
    """Judge one call."""
    # Answers begin with their tag, and are audible at once after it.
    starts = sorted(answer.begins_s for answer in answers if answer.runs)
    limits = [one.begins_s for one in said[1:]] + [report.duration_s]
    replies = [_reply(one, limit, starts, answers) for one, limit in zip(said, limits, strict=True)]
    heard = {answer.item.response_id for answer in answers if answer.runs}
    dropped = [spending.tokens.get(name, (0, 0)) for name in session.responses if name not in heard]
    return Replies(
        tuple(replies),
        len(session.responses),
        len(dropped),
        sum(tokens for tokens, _ in dropped),
        sum(tokens for _, tokens in dropped),
        len(session.errors),
    )


def audible_ms(audio: bytes | bytearray) -> float:
    """Return how long a recording is too soft to be heard at its beginning."""
    return next((at for at, byte in enumerate(audio) if ~byte & 0x7F >= AUDIBLE), len(audio)) / 8


def _reply(one: Said, limit_s: float, starts: Sequence[float], answers: Sequence[Traced]) -> Reply:
    first = next((at for at in starts if one.ends_s - CROSSING_S <= at < limit_s), None)
    cut_off = any(_while_speaking(run.begins_s, run.ends_s, one) for answer in answers for run in answer.runs)
    return Reply(one.utterance.has_pause, None if first is None else (first - one.ends_s) * 1000, cut_off)


def _while_speaking(begins_s: float, ends_s: float, one: Said) -> bool:
    return one.onset_s < begins_s < one.ends_s - CROSSING_S and ends_s - begins_s > CROSSING_S
