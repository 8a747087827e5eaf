"""The end of the demo: checks, figures and files, as a table or as one JSON document."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.agents import DEFAULT_MODEL
from gateway.demo.evidence import Evidence
from gateway.demo.judge import Check, passed, word_error_rate
from gateway.demo.options import Folder
from gateway.records.latency import percentile
from gateway.store.rows import JsonValue

__all__ = ["Outcome", "outcome", "print_outcome"]

MARKS = {True: ("✓", "bold green"), False: ("✗", "bold red"), None: ("–", "dim")}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is told at the end."""

    call_id: str
    checks: Sequence[Check]
    figures: Mapping[str, JsonValue]
    files: Mapping[str, Path]

    @property
    def ok(self) -> bool:
        return passed(self.checks)

    def to_json(self) -> dict[str, object]:
        return {
            "ok": self.ok,
            "call_id": self.call_id,
            "checks": [asdict(check) for check in self.checks],
            "figures": self.figures,
            "files": {name: str(path) for name, path in self.files.items()},
        }


def outcome(evidence: Evidence, checks: Sequence[Check], folder: Folder, setup_ms: Mapping[str, int]) -> Outcome:
    """Work out the figures."""
    call = evidence.call
    own = [data["ms"] for data in evidence.notes("turn_latency")]
    gateway_ms = [ms for ms in own if isinstance(ms, int)]
    recorded_ms = [turn.v2v_ms for turn in evidence.latency.turns] if evidence.latency is not None else []
    rate = word_error_rate(evidence)
    figures: dict[str, JsonValue] = {
        "duration_s": round(evidence.report.duration_s, 2),
        "setup_ms": {**setup_ms, **_call_setup(evidence)},
        "voice_to_voice_ms": {"from_recording": _spread(recorded_ms), "by_gateway": _spread(gateway_ms)},
        "word_error_rate": None if rate is None else round(rate, 4),
        "cost_usd": None if call is None or call.cost_usd is None else f"{call.cost_usd:f}",
        "cost_model": DEFAULT_MODEL,
        "agent_said": [{"text": one.text, "heard": one.heard} for one in evidence.utterances or ()],
        "caller_said": [str(data.get("text")) for data in evidence.notes("CallerSaid")],
        "measurement_is_reliable": evidence.report.measurement_is_reliable,
        "worst_lateness_ms": round(1000 * evidence.report.clock.worst_s, 1),
    }
    files = {
        "recording": folder.recording,
        "picture": folder.picture,
        "database": folder.database,
        "business": folder.shop,
        "log": folder.log,
    }
    known = {name: path for name, path in files.items() if path.exists()}
    return Outcome(call.call_id if call is not None else "", checks, figures, known)


def print_outcome(done: Outcome, console: Console, command: str) -> None:
    """Print the table. `command` is how the user called us, for the hint to see more."""
    table = Table(title="Did the call work?", title_justify="left", title_style="bold", expand=False)
    table.add_column("")
    table.add_column("check")
    table.add_column("figure", overflow="fold")
    for check in done.checks:
        mark, style = MARKS[check.ok]
        table.add_row(Text(mark, style), check.question, Text(check.figure, style="dim" if check.ok is None else ""))
    console.print(table)
    console.print(_figures(done.figures))
    for name, path in done.files.items():
        console.print(Text.assemble((f"{name:<10}", "bold"), str(path)), soft_wrap=True)
    database = done.files.get("database")
    if done.call_id and database is not None:
        show = f"GATEWAY_DATABASE_URL=sqlite:///{database} {command} calls show {done.call_id}"
        console.print(Text.assemble(("more      ", "bold"), show), soft_wrap=True)
    verdict = ("The call worked.", "bold green") if done.ok else ("The call did not work; see ✗ above.", "bold red")
    console.print(Text(*verdict))


def _figures(figures: Mapping[str, JsonValue]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in _lines(figures):
        table.add_row(Text(name, "bold"), value)
    return table


def _lines(figures: Mapping[str, JsonValue]) -> list[tuple[str, str]]:
    latency, setup = figures["voice_to_voice_ms"], figures["setup_ms"]
    assert isinstance(latency, Mapping) and isinstance(setup, Mapping)
    spreads = [
        f"{_told(latency[key])} {words}"
        for key, words in (("from_recording", "in the recording"), ("by_gateway", "by the gateway"))
    ]
    lines = [
        ("voice to voice", "; ".join(spreads)),
        ("set-up", ", ".join(f"{key.replace('_', ' ')} {ms} ms" for key, ms in setup.items())),
    ]
    cost = figures["cost_usd"]
    lines.append(
        (
            "cost",
            f"${float(str(cost)):.4f} at the prices of {figures['cost_model']}" if cost is not None else "no price",
        )
    )
    if not figures["measurement_is_reliable"]:
        lines.append(
            (
                "note",
                f"this machine was up to {figures['worst_lateness_ms']} ms late: latencies are worth no more than that",
            )
        )
    return lines


def _call_setup(evidence: Evidence) -> dict[str, int]:
    """Return how long parts of the call's set-up took, in ms."""
    first: dict[str, float] = {}
    for entry in evidence.journal:
        first.setdefault(entry.kind, entry.at_s)
    took = {}
    if "StreamStarted" in first:
        took["media_stream"] = round(1000 * first["StreamStarted"])
    if "SessionReady" in first and "OpenModel" in first:
        took["model_session"] = round(1000 * (first["SessionReady"] - first["OpenModel"]))
    if evidence.report.media.first_audio_s is not None:
        took["first_word"] = round(1000 * evidence.report.media.first_audio_s)
    return took


def _spread(values: Sequence[int]) -> dict[str, JsonValue]:
    return {"turns": list(values), "p50": percentile(values, 50), "max": max(values, default=None)}


def _told(spread: JsonValue) -> str:
    if not isinstance(spread, Mapping) or spread["p50"] is None:
        return "none"
    return f"p50 {spread['p50']} ms, max {spread['max']} ms"
