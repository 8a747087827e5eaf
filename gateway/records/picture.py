"""A call on one picture: both waveforms, who spoke when, tool waits, barge-ins, and the latency of each turn.

The result is one SVG file that needs nothing else. Spans and latencies come from the recording, tools and barge-ins
from the timeline.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from gateway.records.latency import CallLatency, measure
from gateway.records.pcm import peaks
from gateway.records.speech import RecordingError, WavReader
from gateway.records.timeline import Line, Timeline, ToolWait

__all__ = ["draw"]

LEFT, RIGHT, TOP = 78, 24, 78
"""Margins, in px; as all lengths here."""
WIDTH = (1040, 6000)
SECOND = 36
"""Preferred length of a second."""
LANE, GAP, TOOLS, AXIS = 104, 66, 46, 34
CALLER_TOP = TOP
AGENT_TOP = TOP + LANE + GAP
TOOLS_TOP = AGENT_TOP + LANE + 30
AXIS_TOP = TOOLS_TOP + TOOLS + 8
HEIGHT = AXIS_TOP + AXIS
LETTER = 6.4
"""Mean width of a letter of the 11 px text."""
TICKS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)

STYLE = """
svg { background: #ffffff; font: 11px system-ui, "Segoe UI", "DejaVu Sans", Arial, sans-serif; fill: #24292f }
.title { font-size: 15px; font-weight: 600 } .sub { fill: #57606a } .lane { fill: #f6f8fa } .axis { stroke: #8c959f }
.grid { stroke: #d8dee4; stroke-width: .6 } .name { font-weight: 600; font-size: 12px }
.caller { fill: #0969da } .agent { fill: #1a7f37 } .callerspan { fill: #0969da; opacity: .10 }
.agentspan { fill: #1a7f37; opacity: .10 } .wait { fill: #bf8700; opacity: .35 } .failed { fill: #cf222e; opacity: .35 }
.promised { fill: #bf8700; fill-opacity: .10; stroke: #bf8700; stroke-opacity: .6; stroke-dasharray: 3 3 }
.broken { fill: #cf222e; fill-opacity: .08; stroke: #cf222e; stroke-opacity: .6; stroke-dasharray: 3 3 }
.gap { fill: #8250df; opacity: .16 } .gapline { stroke: #8250df; stroke-width: 1.4; fill: none }
.gaptext { fill: #6639ba; font-weight: 600 } .barge { stroke: #cf222e; stroke-width: 1.4; stroke-dasharray: 4 3 }
.bargetext { fill: #a40e26; font-weight: 600 } .words { fill: #57606a }
"""


@dataclass(slots=True, frozen=True)
class _Scale:
    """Seconds of the recording to px."""

    duration_s: float
    width: int
    offset_s: float

    def x(self, at_s: float) -> float:
        """Return the place of a time of the recording."""
        share = min(max(at_s, 0.0), self.duration_s) / self.duration_s
        return round(LEFT + share * self.width, 1)

    def of_call(self, at_s: float) -> float:
        """Return the place of a time of the call."""
        return self.x(at_s - self.offset_s)


def draw(recording_path: Path, timeline: Timeline, out_path: Path) -> CallLatency:
    """Draw a recorded call and return what was measured for it. Raises `RecordingError`."""
    figures = measure(recording_path)
    duration_s = max(figures.speech.duration_s, 0.1)
    width = round(min(max(duration_s * SECOND, WIDTH[0]), WIDTH[1]))
    scale = _Scale(duration_s, width, timeline.recorded_from_s)
    body = "\n".join(
        [
            *_heading(timeline, figures, scale),
            *_time_axis(scale),
            *_spans(figures, scale),
            *_waveforms(recording_path, scale),
            *_latencies(figures, scale),
            *_words(timeline, scale),
            *_tools(timeline, scale),
            *_barge_ins(timeline, scale),
        ]
    )
    total = LEFT + width + RIGHT
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total}" height="{HEIGHT}" viewBox="0 0 {total} {HEIGHT}" '
        f'role="img">\n<title>{_escaped(f"Call {timeline.call_id}", 100)}</title>\n<style>{STYLE}</style>\n'
        f'<rect width="{total}" height="{HEIGHT}" fill="#ffffff"/>\n{body}\n</svg>\n'
    )
    try:
        out_path.write_text(svg, encoding="utf-8")
    except OSError as error:
        raise RecordingError(f"the picture {out_path} cannot be written: {error.strerror}") from error
    return figures


def _heading(timeline: Timeline, figures: CallLatency, scale: _Scale) -> Iterator[str]:
    yield _write(LEFT, 26, f"Call {timeline.call_id}", "title")
    facts = [f"{scale.duration_s:.1f} s", _count(len(figures.turns), "turn")]
    if figures.p50_ms is not None:
        facts.append(f"voice-to-voice p50 {figures.p50_ms} ms, p95 {figures.p95_ms} ms")
    facts.append(_count(len(timeline.barge_ins), "barge-in"))
    facts.append(_count(len(timeline.tools), "tool call"))
    facts.append(f"talk-over {figures.talk_over_ms} ms")
    yield _write(LEFT, 46, " · ".join(facts), "sub")
    for top, name in ((CALLER_TOP, "caller"), (AGENT_TOP, "agent")):
        yield f'<rect class="lane" x="{LEFT}" y="{top}" width="{scale.width}" height="{LANE}" rx="3"/>'
        yield _write(12, top + LANE / 2 + 4, name, f"name {name}")
    yield _write(12, TOOLS_TOP + 15, "tools", "name")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _time_axis(scale: _Scale) -> Iterator[str]:
    wanted = 60 * scale.duration_s / scale.width
    step = next((tick for tick in TICKS_S if tick >= wanted), TICKS_S[-1])
    yield f'<line class="axis" x1="{LEFT}" x2="{LEFT + scale.width}" y1="{AXIS_TOP}" y2="{AXIS_TOP}"/>'
    for tick in range(0, int(scale.duration_s) + 1, step):
        x = scale.x(tick)
        yield f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP}" y2="{AXIS_TOP + 5}"/>'
        label = f"{tick // 60}:{tick % 60:02d}" if scale.duration_s >= 60 else f"{tick} s"
        yield _write(x, AXIS_TOP + 19, label, "sub", anchor="middle")


def _spans(figures: CallLatency, scale: _Scale) -> Iterator[str]:
    speech = figures.speech
    for segments, top, name in ((speech.caller, CALLER_TOP, "caller"), (speech.agent, AGENT_TOP, "agent")):
        for one in segments:
            yield _box(scale.x(one.begin_s), scale.x(one.end_s), top, LANE, f"{name}span")


def _waveforms(path: Path, scale: _Scale) -> Iterator[str]:
    with WavReader(path) as reader:
        frames = max(1, round(scale.duration_s * reader.rate / scale.width))
        lows: tuple[list[str], list[str]] = ([], [])
        highs: tuple[list[str], list[str]] = ([], [])
        for number, piece in enumerate(reader.pieces(frames)):
            x = scale.x(number * frames / reader.rate)
            for channel, top in enumerate((CALLER_TOP, AGENT_TOP)):
                low, high = peaks(piece[channel])
                middle, half = top + LANE / 2, LANE / 2 - 2
                highs[channel].append(f"{x:.1f},{middle - half * high / 32768 - 0.3:.1f}")
                lows[channel].append(f"{x:.1f},{middle - half * low / 32768 + 0.3:.1f}")
    for channel, name in enumerate(("caller", "agent")):
        yield f'<polygon class="{name}" points="{" ".join(highs[channel] + lows[channel][::-1])}"/>'


def _latencies(figures: CallLatency, scale: _Scale) -> Iterator[str]:
    free = _Free()
    top = CALLER_TOP + LANE
    for turn in figures.turns:
        begin, end = scale.x(turn.caller_end_s), scale.x(turn.agent_begin_s)
        yield _box(begin, end, CALLER_TOP, 2 * LANE + GAP, "gap")
        yield f'<path class="gapline" d="M{begin} {top + 6}v8H{end}v-8"/>'
        label = f"{turn.v2v_ms} ms"
        if free.take((begin + end) / 2 - len(label) * LETTER / 2, len(label)):
            yield _write((begin + end) / 2, top + 28, label, "gaptext", anchor="middle")


def _words(timeline: Timeline, scale: _Scale) -> Iterator[str]:
    """Write what was said above each lane, as much as there is room for before the next line."""
    for who, y in (("caller", CALLER_TOP - 6), ("agent", AGENT_TOP - 6)):
        lines = [line for line in timeline.lines if line.who == who and line.kind == "said" and line.what]
        for number, line in enumerate(lines):
            x = scale.of_call(line.at_s)
            limit = scale.of_call(lines[number + 1].at_s) if number + 1 < len(lines) else LEFT + scale.width
            room = int((limit - x - 8) / LETTER)
            if room >= 4:
                yield _said(line, x, y, room)


def _said(line: Line, x: float, y: float, room: int) -> str:
    text = line.what if len(line.what) <= room else line.what[: room - 1].rstrip() + "…"
    return f"<g><title>{_escaped(line.what, 2000)}</title>{_write(x, y, text, 'words')}</g>"


def _tools(timeline: Timeline, scale: _Scale) -> Iterator[str]:
    """Draw each wait; from a promised result on, where the agent went on, it is only outlined."""
    free = _Free()
    for wait in timeline.tools:
        last_s = wait.end_s if wait.end_s is not None else scale.duration_s + scale.offset_s
        promised_s = wait.pending_s
        begin, end = scale.of_call(wait.begin_s), scale.of_call(last_s if promised_s is None else promised_s)
        yield _box(begin, end, TOOLS_TOP, 20, "wait" if wait.ok or promised_s is not None else "failed")
        if promised_s is not None:
            yield _box(end, scale.of_call(last_s), TOOLS_TOP, 20, "promised" if wait.ok else "broken")
        label = _wait_label(wait)
        if free.take(begin, len(label)):
            yield _write(begin, TOOLS_TOP + 36, label)


def _wait_label(wait: ToolWait) -> str:
    """Return how long a wait was, and what came of it: `refund 120 ms, result after 42.1 s`."""
    name, failed = wait.name[:40], "" if wait.ok else ", failed"
    took_s = wait.end_s - wait.begin_s if wait.end_s is not None else None
    if wait.pending_s is not None:
        head = f"{name} {1000 * (wait.pending_s - wait.begin_s):.0f} ms"
        return f"{head}, no result" if took_s is None or wait.ended else f"{head}, result after {took_s:.1f} s{failed}"
    if took_s is None:
        return f"{name} no answer"
    ended = {"timed_out": ", no answer in time", "given_up": ", given up"}.get(wait.ended, failed)
    return f"{name} {1000 * took_s:.0f} ms{ended}"


def _barge_ins(timeline: Timeline, scale: _Scale) -> Iterator[str]:
    free = _Free()
    y = AGENT_TOP + LANE + 16
    for one in timeline.barge_ins:
        x = scale.of_call(one.at_s)
        yield f'<line class="barge" x1="{x}" x2="{x}" y1="{CALLER_TOP}" y2="{y - 10}"/>'
        label = "barge-in" if one.heard_ms is None else f"barge-in, heard {one.heard_ms} ms"
        start = min(x, LEFT + scale.width - len(label) * LETTER)
        if free.take(start, len(label)):
            yield _write(start, y, label, "bargetext")


class _Free:
    """Keeps the labels of one row from lying over each other: whoever finds no room goes without."""

    def __init__(self) -> None:
        self._until = 0.0

    def take(self, x: float, letters: int) -> bool:
        if x < self._until:
            return False
        self._until = x + letters * LETTER + 6
        return True


def _box(begin: float, end: float, top: float, height: float, kind: str) -> str:
    width = max(1.0, end - begin)
    return f'<rect class="{kind}" x="{begin}" y="{top}" width="{width:.1f}" height="{height}"/>'


def _write(x: float, y: float, text: str, kind: str = "", *, anchor: str = "start") -> str:
    classes = f' class="{kind}"' if kind else ""
    place = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}"{classes}{place}>{_escaped(text, 400)}</text>'


def _escaped(text: str, limit: int) -> str:
    """Escape for XML, which has no place at all for control characters and half characters."""
    allowed = "".join(letter if letter.isprintable() else " " for letter in text[:limit])
    return escape(allowed.encode("utf-8", "replace").decode("utf-8"))
