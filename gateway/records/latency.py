"""What a call felt like, from its recording: voice-to-voice latency, barge-ins, talk-over, dead air.

Voice-to-voice is the time from the caller's last sound to the agent's first one after it. It is measured at the
agent's first word of an answer, backwards: so a caller who pauses and goes on before the agent speaks has had one turn,
however long the pause. Speech is found by level (`gateway/records/speech.py`), and the figures hold for the edge
thresholds that are reported with them.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.records.speech import Channels, Segment, find_speech
from gateway.store import JsonValue

__all__ = ["BargeIn", "CallLatency", "Turn", "measure", "percentile"]

SAME_REPLY_S = 0.7
"""A pause of the agent up to this, in which the caller is silent, is a pause between sentences."""
REAL_SPEECH_S = 0.15
"""Shorter caller sounds over the agent are coughs and lip noise, not barge-ins."""
DEAD_AIR_S = 2.0
"""Silence of both sides beyond this counts as dead air, whole."""
REACTION_S = 1.5
"""The agent yielded when it stopped before the caller did or up to this after the caller began."""


@dataclass(slots=True, frozen=True)
class Turn:
    """One answer of the agent to the caller."""

    caller_end_s: float
    agent_begin_s: float

    @property
    def v2v_ms(self) -> int:
        return round(1000 * (self.agent_begin_s - self.caller_end_s))


@dataclass(slots=True, frozen=True)
class BargeIn:
    """The caller began to speak while the agent spoke."""

    at_s: float
    stop_ms: int
    """Until the agent fell silent."""
    yielded: bool
    """False when the agent talked on: a backchannel, or a barge-in that was missed."""


@dataclass(slots=True, frozen=True)
class CallLatency:
    """The figures of one call."""

    speech: Channels
    turns: tuple[Turn, ...]
    barge_ins: tuple[BargeIn, ...]
    talk_over_ms: int
    """Time in which both sides speak."""
    dead_air_ms: int
    """Time in silences of both sides longer than `DEAD_AIR_S`, between the first and the last speech."""

    @property
    def p50_ms(self) -> int | None:
        return percentile([turn.v2v_ms for turn in self.turns], 50)

    @property
    def p95_ms(self) -> int | None:
        return percentile([turn.v2v_ms for turn in self.turns], 95)

    def to_json(self) -> Mapping[str, JsonValue]:
        """Return the figures for `--json` and the call record."""
        return {
            "p50_ms": self.p50_ms,
            "p95_ms": self.p95_ms,
            "turns": [{"at_s": round(turn.agent_begin_s, 2), "v2v_ms": turn.v2v_ms} for turn in self.turns],
            "barge_ins": [
                {"at_s": round(one.at_s, 2), "stop_ms": one.stop_ms, "yielded": one.yielded} for one in self.barge_ins
            ],
            "talk_over_ms": self.talk_over_ms,
            "dead_air_ms": self.dead_air_ms,
            "duration_s": round(self.speech.duration_s, 2),
            "edge_threshold": {
                "caller": round(self.speech.caller_edge, 4),
                "agent": round(self.speech.agent_edge, 4),
            },
        }


def measure(path: Path) -> CallLatency:
    """Measure a two-channel recording, caller left. Raises `RecordingError`. About 1 s of CPU for an hour of call."""
    speech = find_speech(path)
    replies = _replies(speech)
    return CallLatency(
        speech,
        tuple(_turns(speech.caller, replies)),
        tuple(_barge_ins(speech.caller, replies)),
        round(1000 * _talk_over_s(speech)),
        round(1000 * _dead_air_s(speech)),
    )


def percentile(values: Sequence[int], percent: int) -> int | None:
    """Return the nearest-rank percentile; None of nothing."""
    if not values:
        return None
    rank = -(-percent * len(values) // 100)
    return sorted(values)[max(0, rank - 1)]


def _replies(speech: Channels) -> list[Segment]:
    """Join the agent's sentences where the caller left the pause between them alone."""
    replies: list[Segment] = []
    for segment in speech.agent:
        last = replies[-1] if replies else None
        if last is not None and segment.begin_s - last.end_s <= SAME_REPLY_S:
            caller = _last_begun(speech.caller, segment.begin_s)
            if caller is None or caller.end_s <= last.end_s:
                replies[-1] = Segment(last.begin_s, segment.end_s)
                continue
        replies.append(segment)
    return replies


def _turns(caller: Sequence[Segment], replies: Sequence[Segment]) -> list[Turn]:
    turns = []
    silent_since = 0.0
    for reply in replies:
        said = _last_begun(caller, reply.begin_s)
        # What ended while the agent still spoke was talked over, not answered; what has not ended was cut short.
        if said is not None and silent_since < said.end_s <= reply.begin_s:
            turns.append(Turn(said.end_s, reply.begin_s))
        silent_since = reply.end_s
    return turns


def _barge_ins(caller: Sequence[Segment], replies: Sequence[Segment]) -> list[BargeIn]:
    found = []
    for one in caller:
        reply = _last_begun(replies, one.begin_s)
        if reply is not None and one.begin_s < reply.end_s and one.end_s - one.begin_s >= REAL_SPEECH_S:
            stop_s = reply.end_s - one.begin_s
            yielded = stop_s <= REACTION_S or reply.end_s <= one.end_s
            found.append(BargeIn(one.begin_s, round(1000 * stop_s), yielded))
    return found


def _last_begun(segments: Sequence[Segment], before_s: float) -> Segment | None:
    index = bisect_left(segments, before_s, key=lambda segment: segment.begin_s)
    return segments[index - 1] if index else None


def _talk_over_s(speech: Channels) -> float:
    total, mine, theirs = 0.0, 0, 0
    while mine < len(speech.caller) and theirs < len(speech.agent):
        one, other = speech.caller[mine], speech.agent[theirs]
        total += max(0.0, min(one.end_s, other.end_s) - max(one.begin_s, other.begin_s))
        if one.end_s < other.end_s:
            mine += 1
        else:
            theirs += 1
    return total


def _dead_air_s(speech: Channels) -> float:
    total = 0.0
    heard_until = None
    for segment in sorted((*speech.caller, *speech.agent), key=lambda one: one.begin_s):
        if heard_until is not None and segment.begin_s - heard_until > DEAD_AIR_S:
            total += segment.begin_s - heard_until
        heard_until = max(heard_until or 0.0, segment.end_s)
    return total
