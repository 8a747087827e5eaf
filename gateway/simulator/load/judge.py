"""What a load run shows: every figure, and every promise that was not kept."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.simulator.carrier.report import RELIABLE_LATE_SHARE
from gateway.simulator.load.plan import LoadPlan
from gateway.simulator.load.probe import PROBE
from gateway.simulator.load.reports import CallerLog, ItemReport, ModelReport, SessionReport
from gateway.simulator.model.scripted import babble

__all__ = ["Evidence", "judge", "percentile"]

NORMAL_END = frozenset({"caller_hangup"})
MODEL_ENDS = frozenset({"model_lost", "model_unreachable", "model_silent", "response_failed"})
MOST_PROBLEMS = 20
NEXT_VERB_S = 3.0
"""A caller whose model is lost hears the next verb within this time."""
LATE_MS = 100.0
"""One frame of ours this late, or one in a hundred over 20 ms late, and latency figures are the simulator's too."""


@dataclass(slots=True)
class Evidence:
    """Everything that was seen."""

    plan: LoadPlan
    callers: Sequence[CallerLog]
    model: ModelReport | None
    """None when the model was killed."""
    end_reasons: Mapping[str, str]
    """By the carrier's call id, from the gateway's own store."""
    struck_s: float | None = None
    """When the model was killed."""
    gateway: dict[str, object] = field(default_factory=dict)
    """Memory, CPU, exit code."""
    machine: dict[str, object] = field(default_factory=dict)
    """How much of it there is, and how busy it was before."""
    probe: CallerLog = field(default_factory=lambda: CallerLog(PROBE))
    """What was sent past the gateway."""
    problems: list[str] = field(default_factory=list)
    """Found while it ran."""


@dataclass(slots=True)
class _Figures:
    frames_arrived: int = 0
    frames_lost: int = 0
    frames_disordered: int = 0
    spoken_bytes: int = 0
    heard_bytes: int = 0
    cut_bytes: int = 0
    all_up: tuple[float, float] = (0.0, 0.0)
    """From the last caller's first numbered frame to the first caller's last one."""
    caller_ms: list[float] = field(default_factory=list)
    caller_all_up_ms: list[float] = field(default_factory=list)
    agent_ms: list[float] = field(default_factory=list)
    probe_ms: list[float] = field(default_factory=list)


def judge(seen: Evidence) -> dict[str, object]:
    """Return the document that is printed; `ok` tells whether every promise was kept."""
    problems = [*seen.problems, *_ends(seen), *_silences(seen)]
    figures = _Figures(all_up=_all_up(seen.callers))
    if seen.model is not None:
        problems += _media(seen, seen.model, figures)
    sent = sum(len(log.sent_at) for log in seen.callers)
    return {
        "ok": not problems,
        "problems": problems[:MOST_PROBLEMS],
        "problems_in_all": len(problems),
        "fault": seen.plan.fault,
        "calls": seen.plan.calls,
        "at_once": _at_once(seen.callers),
        "seconds": round(max((log.ended_s - log.began_s for log in seen.callers), default=0.0), 1),
        "end_reasons": dict(Counter(seen.end_reasons.values())),
        "outcomes": dict(Counter(log.report.outcome for log in seen.callers if log.report is not None)),
        "caller_frames": None
        if seen.model is None
        else {
            "sent": sent,
            "arrived": figures.frames_arrived,
            "lost": figures.frames_lost,
            "out_of_order": figures.frames_disordered,
        },
        "agent_audio_bytes": None
        if seen.model is None
        else {"spoken": figures.spoken_bytes, "heard": figures.heard_bytes, "cut": figures.cut_bytes},
        "added_latency_ms": {
            "caller": _spread(figures.caller_ms),
            "caller_while_all_calls_are_up": _spread(figures.caller_all_up_ms),
            "agent": _spread(figures.agent_ms),
        },
        "latency_without_gateway_ms": _spread(figures.probe_ms),
        "ms_from_kill_to_next_verb": _spread(_silence_ms(seen)),
        "model_sessions_left_open": None if seen.model is None else seen.model.open_sessions,
        "gateway": seen.gateway,
        "simulator": _clock(seen.callers),
        "machine": seen.machine,
    }


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Return the nearest-rank percentile; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered), -int(-percent * len(ordered) // 100)) - 1)]


# --- how the calls ended --------------------------------------------------------------------------


def _ends(seen: Evidence) -> Iterator[str]:
    killed = seen.plan.fault == "kill-model"
    expected = MODEL_ENDS if killed else NORMAL_END
    for log in seen.callers:
        name, report = f"call {log.number}", log.report
        if report is None:
            yield f"{name} never ended"
            continue
        reason = seen.end_reasons.get(report.call_sid)
        if reason is None:
            yield f"{name} has no end record"
        elif reason not in expected:
            yield f"{name} ended with {reason}"
        if report.outcome != "completed":
            yield f"{name} was {report.outcome}, ended by {report.ended_by}"
        if report.script_error is not None:
            yield f"{name}: {report.script_error}"
        if report.media.frames_dropped:
            yield f"{name}: the simulator dropped {report.media.frames_dropped} frames that nobody read"
        if killed and not report.spoken:
            yield f"{name} heard no apology"
        yield from (f"{name}: {warning.name} {warning.detail}" for warning in report.warnings)


def _all_up(callers: Sequence[CallerLog]) -> tuple[float, float]:
    talking = [log.sent_at for log in callers if log.sent_at]
    return max((sent[0] for sent in talking), default=0.0), min((sent[-1] for sent in talking), default=0.0)


def _silences(seen: Evidence) -> Iterator[str]:
    # What our own clock was late by is not held against the gateway.
    worst_s = max((log.report.clock.worst_s for log in seen.callers if log.report is not None), default=0.0)
    late = [ms for ms in _silence_ms(seen) if ms > 1000 * (NEXT_VERB_S + worst_s)]
    if late:
        yield f"{len(late)} callers waited longer than {NEXT_VERB_S:g} s for the next verb, one {max(late):.0f} ms"


def _silence_ms(seen: Evidence) -> list[float]:
    if seen.struck_s is None:
        return []
    closed = [log.stream_closed_s for log in seen.callers if log.stream_closed_s is not None]
    return [1000 * (at_s - seen.struck_s) for at_s in closed]


def _at_once(callers: Sequence[CallerLog]) -> int:
    steps = [(log.began_s, 1) for log in callers] + [(log.ended_s, -1) for log in callers]
    live = most = 0
    for _, step in sorted(steps):
        live += step
        most = max(most, live)
    return most


# --- what became of the audio ---------------------------------------------------------------------


def _media(seen: Evidence, model: ModelReport, figures: _Figures) -> Iterator[str]:
    sessions = {session.call: session for session in model.sessions}
    aside = sessions.pop(PROBE, None)
    if aside is not None:
        figures.probe_ms += _late_ms(seen.probe, dict(zip(aside.numbers, aside.times, strict=True)))
    opened = len(model.sessions) - (aside is not None)
    if opened != seen.plan.calls:
        yield f"{opened} model sessions for {seen.plan.calls} calls"
    if model.open_sessions:
        yield f"{model.open_sessions} model sessions were left open"
    for log in seen.callers:
        session = sessions.get(log.number)
        if session is None:
            yield f"call {log.number} reached no model session"
        elif log.report is not None:
            yield from _caller_side(log, session, figures)
            yield from _agent_side(log, session, figures)
            if session.errors:
                yield f"call {log.number}: the model refused {session.errors} events"


def _caller_side(log: CallerLog, session: SessionReport, figures: _Figures) -> Iterator[str]:
    assert log.report is not None
    first = dict(zip(reversed(session.numbers), reversed(session.times), strict=True))
    lost = [number for number in range(len(log.sent_at)) if number not in first]
    disorder = sum(
        1 for number, place in zip(session.numbers, range(len(session.numbers)), strict=True) if number != place
    )
    figures.frames_arrived += len(first)
    figures.frames_lost += len(lost)
    figures.caller_ms += _late_ms(log, first)
    begin, end = figures.all_up
    figures.caller_all_up_ms += _late_ms(log, {number: at for number, at in first.items() if begin <= at <= end})
    if lost:
        yield f"call {log.number}: {len(lost)} caller frames did not reach the model, the first is {lost[0]}"
    elif disorder:
        figures.frames_disordered += disorder
        yield f"call {log.number}: {disorder} caller frames out of order or twice"
    sent_bytes = log.report.media.frames_sent * 160
    if session.audio_bytes != sent_bytes:
        yield f"call {log.number}: {sent_bytes} bytes were sent, {session.audio_bytes} reached the model"


def _late_ms(log: CallerLog, arrived: Mapping[int, float]) -> Iterator[float]:
    return (1000 * (at - log.sent_at[number]) for number, at in arrived.items() if number < len(log.sent_at))


def _agent_side(log: CallerLog, session: SessionReport, figures: _Figures) -> Iterator[str]:
    """The caller heard every item whole, or up to where it was cut, in order and nothing else."""
    assert log.report is not None
    heard, at, offset = log.report.media.played_bytes(), 0, 0
    pieces = {before: arrived for arrived, before in reversed(log.pieces)}
    cut_before = False
    for item in session.items:
        audio = babble(item.text)[: item.audio_bytes]
        if hashlib.sha256(audio).hexdigest() != item.sha256:
            yield f"call {log.number}: the model did not say what its script says"
            return
        if item.first_delta_at is not None and not cut_before and offset in pieces:
            figures.agent_ms.append(1000 * (pieces[offset] - item.first_delta_at))
        offset += item.audio_bytes
        whole = _heard_of(item, audio, heard[at : at + len(audio)])
        figures.spoken_bytes += len(audio)
        figures.heard_bytes += whole
        figures.cut_bytes += len(audio) - whole
        at += whole
        if item.cut_ms is not None:
            cut_before = True
        elif whole != len(audio):
            yield f"call {log.number}: {len(audio) - whole} of {len(audio)} bytes of an answer were not heard"
            return
    if at != len(heard):
        yield f"call {log.number}: {len(heard) - at} bytes were heard that the model did not say"


def _heard_of(item: ItemReport, audio: bytes, heard: bytes) -> int:
    if item.cut_ms is None and audio == heard:
        return len(audio)
    return next((at for at, (one, other) in enumerate(zip(audio, heard, strict=False)) if one != other), len(heard))


# --- figures --------------------------------------------------------------------------------------


def _spread(values: Sequence[float]) -> Mapping[str, float | None]:
    rounded = {name: percentile(values, percent) for name, percent in (("p50", 50), ("p99", 99), ("max", 100))}
    return {name: None if value is None else round(value, 2) for name, value in rounded.items()} | {"n": len(values)}


def _clock(callers: Sequence[CallerLog]) -> dict[str, object]:
    clocks = [log.report.clock for log in callers if log.report is not None]
    frames = sum(clock.frames for clock in clocks)
    late = sum(clock.late_frames for clock in clocks)
    worst_ms = round(1000 * max((clock.worst_s for clock in clocks), default=0.0), 1)
    return {
        "frames": frames,
        "frames_over_20_ms_late": late,
        "worst_lateness_ms": worst_ms,
        "measurement_is_reliable": worst_ms <= LATE_MS and late <= frames * RELIABLE_LATE_SHARE,
    }
