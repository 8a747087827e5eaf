"""Judges the barge-ins of a call: what the model was told that the caller heard, against what they heard.

The truth is the caller's ear. A `clear` that the gateway sends takes effect where the caller is, a line's delay later,
and the 20 ms frame being played then is played to its end. What was heard of an item by then is all that will ever be
heard of it, so that is what the model must be told: *heard* is the item's played prefix, to the sample. The gateway
decides earlier, by the line's delay each way blind; for comparison the ear's place at that instant is kept as well.

What the model believes is read from its own conversation: a truncated item's length, 0 for a deleted one, all of any
other.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gateway.simulator.carrier.report import Segment
from gateway.simulator.model import SessionRecord
from gateway.simulator.turns.alignment import Ear, Heard, align
from gateway.simulator.turns.interrupted import Cell, Run

__all__ = ["FRAME_MS", "CallCuts", "Cut", "judge_call", "onset_s"]

FRAME_MS = 20.0
"""What a network plays at a time: nothing that is heard begins or ends on a finer grid."""
MISSED_S = 1.0
"""An agent still audible this long after the caller began to speak did not notice, or did not care."""
LATE_S = 0.001


@dataclass(slots=True, frozen=True)
class Cut:
    """One barge-in that cut an answer."""

    cell: Cell
    error_ms: float
    """What the model believes was heard of the item that was playing, minus what was heard."""
    early_error_ms: float
    """The same against the ear at the instant at which the gateway decided."""
    right_items: bool
    """Every item of the answer is kept, cut or deleted as it was heard, to a frame."""
    generating: bool
    """The response was still being generated."""
    clear_to_silence_ms: float
    """From the gateway's clear to the last sample of the answer."""
    speech_to_silence_ms: float
    """From the caller's first sound to the last sample of the answer."""


@dataclass(slots=True, frozen=True)
class CallCuts:
    """One call, judged."""

    cuts: tuple[Cut, ...]
    foreign_ms: float
    """Heard, but of no item or in the wrong place: late audio, old audio."""
    old_ms: float
    """Audio of an answer heard later than a frame after the clear that cut it."""
    errors: int
    """Refusals of the model's server: each is ours."""
    beyond: int
    """Truncations beyond what the model had sent of the item."""
    missed: int
    """Times that the caller spoke and the agent talked on."""


def judge_call(run: Run) -> CallCuts:
    """Judge one call."""
    ear = align(run.report.media.heard, run.session.spoken.values())
    beliefs = {item.item_id: _belief(item, run.session) for item in ear.items}
    cuts, old_ms = [], 0.0
    clears = [clear.at_s for clear in run.report.media.clears]
    for at_s, playing, answer in _cut_answers(clears, ear):
        silent_s = playing.ends_s or at_s
        old_ms = max(old_ms, (silent_s - at_s) * 1000 - FRAME_MS)
        cuts.append(
            Cut(
                run.cell,
                beliefs[playing.item_id] - playing.heard_ms,
                beliefs[playing.item_id] - _heard_by(playing, at_s - run.cell.line_ms / 1000),
                all(_right(item, beliefs[item.item_id]) for item in answer),
                run.session.responses.get(playing.response_id) == "cancelled",
                max(0.0, (silent_s - at_s) * 1000) + run.cell.line_ms,
                (silent_s - _began_to_speak(run.report.media.said, at_s)) * 1000,
            )
        )
    return CallCuts(
        tuple(cuts),
        ear.foreign_ms,
        max(old_ms, 0.0),
        len(run.session.errors),
        sum(not cut.accepted for cut in run.session.truncations),
        _missed(run.report.media.said, ear),
    )


def _cut_answers(clears: Sequence[float], ear: Ear) -> Iterator[tuple[float, Heard, list[Heard]]]:
    """Yield each clear's time, the item that the caller heard then, and all items of the same response."""
    for at_s in clears:
        begun = [item for item in ear.items if item.begins_s is not None and item.begins_s < at_s - LATE_S]
        if begun:
            playing = begun[-1]
            yield at_s, playing, [item for item in ear.items if item.response_id == playing.response_id]


def _belief(item: Heard, session: SessionRecord) -> float:
    kept = session.conversation.get(item.item_id)
    return len(kept.audio) / 8 if kept is not None else 0.0


def _right(item: Heard, belief_ms: float) -> bool:
    """An item's fate is right: kept whole, cut or deleted, as it was heard. A frame more or less is no matter."""
    if abs(belief_ms - item.heard_ms) <= FRAME_MS:
        return True
    whole = item.heard_ms > item.spoken_ms - FRAME_MS
    nothing = item.heard_ms <= 0
    return not whole and not nothing and 0 < belief_ms < item.spoken_ms


def _heard_by(item: Heard, at_s: float) -> float:
    if item.begins_s is None:
        return 0.0
    return min(max((at_s - item.begins_s) * 1000, 0.0), item.heard_ms)


def _began_to_speak(said: Iterable[Segment], before_s: float) -> float:
    """Return when the utterance began in which, or after which, the agent fell silent."""
    return max((onset_s(part) for part in said if part.start_s < before_s), default=before_s)


def onset_s(part: Segment) -> float:
    """Return where an utterance's first sound is: recordings begin with digital silence."""
    return part.start_s + (len(part.audio) - len(part.audio.lstrip(b"\xff"))) / 8000


def _missed(said: Iterable[Segment], ear: Ear) -> int:
    deadlines = [onset_s(part) + MISSED_S for part in said]
    spans = [
        (item.begins_s, item.ends_s) for item in ear.items if item.begins_s is not None and item.ends_s is not None
    ]
    return sum(any(begins_s < at_s - MISSED_S and ends_s > at_s for begins_s, ends_s in spans) for at_s in deadlines)
