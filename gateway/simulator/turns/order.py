"""The transcript of a call against what was really said and heard, in order of time.

The order is the caller's: by the first sound of each utterance. The gateway sits in the middle of the line, so sounds
that meet on the way have another order there, and it knows the beginning of a voice by detection: what begins within
the 60 ms of voice that a detection takes, and the line's delays, of each other may stand in either.
"""

from dataclasses import dataclass

from gateway.simulator.turns.alignment import align
from gateway.simulator.turns.cuts import onset_s
from gateway.simulator.turns.interrupted import Run

__all__ = ["Order", "judge_order"]

DETECTION_MS = 60.0
"""Voice that the server's detection needs; it tells the beginning no more exactly."""
SHORT_MS = 500.0
"""An item of which less was heard may be missing in the transcript: not one word of it may have been heard."""


@dataclass(slots=True, frozen=True)
class Order:
    """How the transcript of one call compares."""

    right: bool
    """It tells everything that was said and heard, in that order."""
    unheard: int
    """Agent lines of which the caller heard nothing."""
    detail: str = ""
    """The first difference."""


def judge_order(run: Run) -> Order:
    """Compare. Each text begins with a word of its own, by which it is known however much of it is told."""
    ear = align(run.report.media.heard, run.session.spoken.values())
    began = {f"caller C{turn}": onset_s(part) for turn, part in enumerate(run.report.media.said, 1)}
    began |= {f"agent {_first(item.text)}": item.begins_s for item in ear.items if item.begins_s is not None}
    short = {f"agent {_first(item.text)}" for item in ear.items if item.heard_ms < SHORT_MS}
    told = [f"{line.who} {_first(line.what)}" for line in run.lines if line.kind == "said"]
    unheard = sum(name not in began for name in told)
    told = [name for name in told if name in began]
    missing = began.keys() - set(told) - short
    if missing or len(told) != len(set(told)):
        return Order(False, unheard, f"missing {sorted(missing)}" if missing else "told twice")
    tie_s = (DETECTION_MS + 2 * run.cell.line_ms) / 1000
    for at, name in enumerate(told):
        late = [other for other in told[at + 1 :] if began[other] < began[name] - tie_s]
        if late:
            ms = round((began[name] - began[late[0]]) * 1000)
            return Order(False, unheard, f"{name} is told before {late[0]}, which began {ms} ms earlier")
    return Order(True, unheard)


def _first(text: str) -> str:
    return text.split(" ", 1)[0]
