"""Commands that look: calls that were taken, a recording's latency, the set-up. Each returns its exit code.

Everything is printed as tables, or with `as_json` as one JSON document and nothing else. Telephone numbers are masked
everywhere. What callers and models said is shown as text, never as terminal markup.
"""

import asyncio
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.check import CheckResult, run_checks
from gateway.config import Settings, load_settings
from gateway.errors import ConfigError
from gateway.log import mask_number
from gateway.looking import ask_store
from gateway.records.latency import CallLatency, measure
from gateway.records.picture import draw
from gateway.records.speech import RecordingError
from gateway.records.timeline import Line, Timeline, tell
from gateway.store.rows import JournalEntry, StoredCall, StoreError
from gateway.store.store import Store

__all__ = ["check", "list_calls", "show_call", "voice_to_voice"]

WHO_STYLES: Mapping[str, str] = {
    "caller": "blue",
    "agent": "green",
    "tool": "yellow",
    "model": "magenta",
    "gateway": "dim",
}
NO_TRANSCRIPT = "(no transcript)"
AMOUNT = re.compile(r"\d{1,12}(\.\d{1,30})?")
PIPE_WIDTH = 160
"""Columns used where the output is no terminal, so that a file or a pipe gets whole lines."""


def list_calls(limit: int, *, as_json: bool = False) -> int:
    """Print the newest calls. Raises `ConfigError`, `StoreError`."""
    calls = ask_store(lambda store: store.list_calls(limit))
    if as_json:
        _json({"calls": [_call_facts(call) for call in calls]})
        return 0
    if not calls:
        _console().print("no calls yet")
        return 0
    _console().print(_call_table(calls))
    return 0


def show_call(call_id: str, picture: Path | None = None, *, as_json: bool = False) -> int:
    """Print one call as a timeline and draw its picture. Raises `ConfigError`, `StoreError`, `RecordingError`."""

    async def find(store: Store) -> tuple[StoredCall, Sequence[JournalEntry]]:
        call = await store.get_call(call_id)
        if call is None:
            raise StoreError(f"no call has the id {call_id[:64]!r}; `gateway calls` lists them")
        return call, await store.journal_of(call.call_id)

    call, journal = ask_store(find)
    timeline = tell(call, journal)
    figures = _draw(call, timeline, picture) if picture is not None else None
    if as_json:
        measured = {"picture": str(picture), "recording": figures.to_json()} if figures is not None else {}
        told = {name: [_plain(one) for one in part] for name, part in _parts(timeline)}
        _json({**_call_facts(call), **told, **measured})
        return 0
    console = _console()
    console.print(_facts_table(call))
    console.print(_lines_table(tell(call, _readable(journal)).lines))
    if figures is not None:
        console.print(Text(f"picture: {picture}"))
    return 0


def voice_to_voice(recording: Path, *, as_json: bool = False) -> int:
    """Print what a recording tells about a call. Raises `RecordingError`."""
    _must_open(recording)
    figures = measure(recording)
    if as_json:
        _json(figures.to_json())
        return 0
    console = _console()
    if figures.turns:
        table = Table("answer at", "voice to voice", title="Turns")
        for turn in figures.turns:
            table.add_row(f"{turn.agent_begin_s:.2f} s", f"{turn.v2v_ms} ms")
        console.print(table)
    console.print(_latency_table(figures))
    return 0


def check(*, network: bool = True, as_json: bool = False) -> int:
    """Test the set-up; 1 when something keeps calls from being answered."""
    settings, path = _settings_or_problem()
    results = asyncio.run(run_checks(settings, path, network=network))
    failed = sum(not result.ok for result in results)
    if as_json:
        _json({"ok": not failed, "checks": [_plain(result) for result in results]})
    else:
        _console().print(_check_table(results))
        warned = sum(result.warning for result in results)
        _console().print(f"{len(results)} checks: {failed} failed, {warned} with a warning")
    return 1 if failed else 0


def _settings_or_problem() -> tuple[Settings | ConfigError, Path]:
    try:
        settings = load_settings()
    except ConfigError as problem:
        # The agents file is checked all the same, where it would be looked for.
        return problem, Path(os.environ.get("GATEWAY_AGENTS_FILE") or "agents.yaml")
    return settings, settings.agents_file


def _must_open(recording: Path) -> None:
    """Say plainly that a file is not there; whoever reads it would speak of its format."""
    try:
        recording.open("rb").close()
    except OSError as error:
        raise RecordingError(f"{recording} cannot be read: {error.strerror}") from None


def _draw(call: StoredCall, timeline: Timeline, picture: Path) -> CallLatency:
    if call.recording_path is None:
        raise RecordingError(f"{call.call_id} was not recorded; set `recording: true` for its agent")
    _must_open(Path(call.recording_path))
    try:
        return draw(Path(call.recording_path), timeline, picture)
    except OSError as error:
        raise RecordingError(f"{picture} cannot be written: {error.strerror}") from None


def _parts(timeline: Timeline) -> tuple[tuple[str, Sequence[object]], ...]:
    return ("timeline", timeline.lines), ("tools", timeline.tools)


def _call_facts(call: StoredCall) -> dict[str, object]:
    facts = {name: _plain(value) for name, value in asdict(call).items()}
    return {**facts, "from_number": mask_number(call.from_number), "to_number": mask_number(call.to_number)}


def _call_table(calls: Sequence[StoredCall]) -> Table:
    table = Table("call", "offered", "way", "agent", "from", "to", "length", "ended", "v2v p50", "cost", box=None)
    for call in calls:
        table.add_row(
            call.call_id,
            call.offered_at.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
            "in" if call.direction == "inbound" else "out",
            Text(call.agent),
            mask_number(call.from_number),
            mask_number(call.to_number),
            "" if call.duration_ms is None else f"{call.duration_ms / 1000:.1f} s",
            Text(call.end_reason or "live"),
            _p50(call),
            "" if call.cost_usd is None else f"${call.cost_usd:.4f}",
        )
    return table


def _p50(call: StoredCall) -> str:
    value = (call.latency or {}).get("p50_ms")
    return f"{value} ms" if isinstance(value, int) else ""


def _facts_table(call: StoredCall) -> Table:
    table = Table(box=None, show_header=False)
    facts = _call_facts(call)
    usage, latency = _object(facts.pop("usage")), _object(facts.pop("latency"))
    facts |= {
        "tokens": _tokens(_object(usage.get("usage"))),
        "cost parts": _cost_parts(usage),
        "no cost because": usage.get("reason"),
        "latency": _turns(latency),
        "barge-ins": _barge_ins(latency),
        "dropped answers": _dropped(usage),
        "functions": _functions(_object(latency.get("functions"))),
        "claims": _claims(_object(latency.get("functions"))),
    }
    for name, value in facts.items():
        if value not in (None, "", 0):
            table.add_row(Text(name.replace("_", " "), "bold"), Text(str(value)))
    return table


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _tokens(usage: Mapping[str, object]) -> str:
    """Return the tokens by kind: `audio 1200 in (200 cached), 900 out; text 300 in`."""
    kinds = []
    for kind in ("audio", "text", "image"):
        came, cached, went = (usage.get(f"{kind}_{way}") for way in ("in", "in_cached", "out"))
        ways = [f"{came} in" + (f" ({cached} cached)" if cached else "")] if came else []
        ways += [f"{went} out"] if went else []
        kinds += [f"{kind} {', '.join(ways)}"] if ways else []
    return "; ".join(kinds)


def _cost_parts(usage: Mapping[str, object]) -> str:
    parts = [
        f"{name.replace('_', ' ')} ${float(usd):.4f}"
        for name, usd in _object(usage.get("parts")).items()
        if isinstance(usd, str) and AMOUNT.fullmatch(usd) and float(usd)
    ]
    return f"{', '.join(parts)}; prices of {usage.get('priced_as')}, {usage.get('as_of')}" if parts else ""


def _barge_ins(latency: Mapping[str, object]) -> str:
    """Return how often the caller interrupted, and how often a sound of theirs only seemed to."""
    real, false = latency.get("barge_ins"), latency.get("false_barge_ins")
    seemed = f"; {false} that proved to be none" if false else ""
    return f"{real or 0}{seemed}" if real or false else ""


def _functions(counts: Mapping[str, object]) -> str:
    """Return how function calls went: `3 ok, 1 failed; 2 silences filled`."""
    words = {
        "ok": "ok",
        "error": "failed",
        "pending": "still promised",
        "cancelled": "given up",
        "unanswered": "unanswered",
        "repeated": "repeated",
    }
    calls = ", ".join(f"{counts[name]} {word}" for name, word in words.items() if counts.get(name))
    fillers = counts.get("fillers")
    filled = f"{fillers} silence{'' if fillers == 1 else 's'} filled" if fillers else ""
    return "; ".join(part for part in (calls, filled) if part)


def _claims(counts: Mapping[str, object]) -> str:
    unbacked, corrected = counts.get("claims_unbacked"), counts.get("claims_corrected")
    return f"{unbacked} not backed by a function, corrections asked for: {corrected or 0}" if unbacked else ""


def _dropped(usage: Mapping[str, object]) -> str:
    """Return what early answers cost that nobody heard."""
    answers, tokens, usd = (usage.get(f"dropped_{name}") for name in ("answers", "output_tokens", "cost_usd"))
    if not answers:
        return ""
    price = f", ${float(usd):.4f}" if isinstance(usd, str) and AMOUNT.fullmatch(usd) else ""
    return f"{answers} ({tokens} output tokens{price})"


def _turns(latency: Mapping[str, object]) -> str:
    turns = latency.get("turns_ms")
    each = f"; each {', '.join(str(ms) for ms in turns)}" if isinstance(turns, list) and len(turns) > 1 else ""
    spread = [f"{name} {latency[f'{name}_ms']} ms" for name in ("p50", "p95") if latency.get(f"{name}_ms") is not None]
    return ", ".join(spread) + each if spread else ""


def _readable(journal: Sequence[JournalEntry]) -> Iterator[JournalEntry]:
    """Yield the journal with what a reader would miss: turns without a transcript."""
    written = {str(entry.data.get("item_id")) for entry in journal if entry.kind == "CallerSaid"}
    for entry in journal:
        item_id, text = str(entry.data.get("item_id")), str(entry.data.get("text") or "")
        match entry.kind:
            case "CallerSaid" if not text.strip():
                yield replace(entry, data={**entry.data, "text": NO_TRANSCRIPT})
            case "SpeechStarted" if item_id not in written:
                written.add(item_id)
                yield entry
                yield replace(entry, kind="CallerSaid", data={"item_id": item_id, "text": NO_TRANSCRIPT})
            case _:
                yield entry


def _lines_table(lines: Sequence[Line]) -> Table:
    table = Table("at", "who", "", "what", "ms", box=None)
    for line in lines:
        style = WHO_STYLES.get(line.who, "")
        ms = "" if line.ms is None else str(line.ms)
        table.add_row(f"{line.at_s:8.2f}", Text(line.who, style), Text(line.kind, "dim"), Text(line.what), ms)
    return table


def _latency_table(figures: CallLatency) -> Table:
    table = Table(box=None, show_header=False)
    yielded = sum(one.yielded for one in figures.barge_ins)
    rows = {
        "voice to voice, p50": _ms(figures.p50_ms),
        "voice to voice, p95": _ms(figures.p95_ms),
        "barge-ins": f"{len(figures.barge_ins)}, the agent fell silent at {yielded}",
        "both speak": _ms(figures.talk_over_ms),
        "dead air": _ms(figures.dead_air_ms),
        "length": f"{figures.speech.duration_s:.1f} s",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _check_table(results: Sequence[CheckResult]) -> Table:
    table = Table("", "check", "found", "what to do", box=None)
    for result in results:
        word, style = ("warn", "yellow") if result.warning else ("ok", "green") if result.ok else ("FAIL", "bold red")
        table.add_row(Text(word, style), Text(result.name), Text(result.detail), Text(result.fix))
    return table


def _ms(value: int | None) -> str:
    return "none" if value is None else f"{value} ms"


def _plain(value: object) -> object:
    """Return a value as JSON knows it."""
    match value:
        case Decimal():
            return f"{value.normalize():f}"
        case datetime():
            return value.isoformat()
        case Mapping():
            return dict(value)
        case _ if is_dataclass(value) and not isinstance(value, type):
            return asdict(value)
        case _:
            return value


def _json(document: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(document, indent=2, default=str) + "\n")


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console
