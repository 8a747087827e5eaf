"""What the commands that place one call have in common: the knock before; the file, figures and verdict after."""

import io
import json
import socket
import sys
import tempfile
import wave
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.errors import ConfigError
from gateway.records.latency import measure
from gateway.records.pcm import to_pcm
from gateway.simulator import clips as default_clips
from gateway.simulator.carrier import CallReport, Script, load_script, parse_script
from gateway.simulator.carrier.report import Bridge, Sound

__all__ = ["DEFAULT_SCRIPT", "carry_out", "knock", "read_script", "went_well"]

KNOCK_S = 5.0
BROKEN_ENDS = ("application_error", "redirect_limit")
"""The gateway's instructions could not be had, or never ended."""
PIPE_WIDTH = 160
"""Columns where the output is no terminal."""
ROWS = ("outcome", "ended_by", "duration_s", "script_error", "underruns", "measurement_is_reliable")
DEFAULT_SCRIPT = """
name: listens to the greeting, asks once, listens to the answer, says goodbye
steps:
  - {wait: agent_done, within_s: 20}
  - say: order-01-am_michael
  - {wait: agent_done, within_s: 20, quiet_ms: 900}
  - say: bye-02-am_michael
  - silence: 1
  - hangup
"""


def read_script(script: Path | None, clips: Path | None) -> Script:
    """Read what the caller does; without a file it is `DEFAULT_SCRIPT`. Raises `ConfigError`."""
    folder = clips or Path(str(default_clips.__file__)).parent
    return load_script(script, folder) if script is not None else parse_script(DEFAULT_SCRIPT, folder)


def carry_out(
    place: Callable[[], tuple[CallReport, Mapping[str, object]]], out: Path | None, *, as_json: bool
) -> CallReport:
    """Open the file, place the call, print its figures, keep what was heard. Raises `ConfigError`.

    `place` returns the report, and figures that stand in the JSON beside its own; plain ones are printed too.
    """
    with _opened(out) as file:
        report, more = place()
        wav = _wav(report)
        figures = {**report.figures(), **more, "latency": _latency(wav) if report.duration_s else None}
        if out is not None:
            figures["recording"] = str(out)
        if as_json:
            sys.stdout.write(json.dumps(figures, indent=2) + "\n")
        else:
            own = report.figures()
            plain = [name for name, value in more.items() if _is_plain(value) and name not in own]
            _print_report(report, figures, plain)
        _keep(wav, file, out)
    return report


def went_well(report: CallReport) -> bool:
    """Whether the agent was heard, the script could be done and no error of ours ended the call.

    Twilio's status of a call is "completed" although all that the caller heard in the end was "an application error".
    """
    fine = report.outcome == "completed" and report.ended_by not in BROKEN_ENDS and report.script_error is None
    return fine and bool(report.media.heard)


def knock(origin: str, option: str = "--voice-url") -> None:
    """Raise `ConfigError` when nothing listens: a network would only report that its webhook failed."""
    parts = urlsplit(origin)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), KNOCK_S).close()
    except (OSError, ValueError, UnicodeError):
        raise ConfigError(f"no gateway answers at {origin}; start `gateway serve`, or give {option}") from None


def _opened(out: Path | None) -> IO[bytes]:
    """Open the file of a call before the call: where it cannot be written nobody need wait to hear so."""
    try:
        return out.open("wb", buffering=0) if out is not None else io.BytesIO()
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror}") from None


def _keep(wav: bytes, file: IO[bytes], out: Path | None) -> None:
    try:
        whole = file.write(wav) == len(wav)
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror}") from None
    if not whole:
        raise ConfigError(f"{out} could be written in part only: the disk is full")


def _wav(report: CallReport) -> bytes:
    """Return both sides as a WAV of 16 bit, which `gateway v2v` reads."""
    memory = io.BytesIO()
    with wave.open(memory, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(to_pcm(report.two_channels()))
    return memory.getvalue()


def _latency(wav: bytes) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "call.wav"
        path.write_bytes(wav)
        return dict(measure(path).to_json())


def _print_report(report: CallReport, figures: dict[str, object], more: list[str]) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
    story = Table("at", "who", "what", box=None)
    for at_s, who, what in sorted(_story(report)):
        story.add_row(f"{at_s:7.2f}", who, Text(what))
    console.print(story)
    facts = Table(box=None, show_header=False)
    for name in (*ROWS, *more):
        if figures[name] is not None:
            facts.add_row(name.replace("_", " "), Text(_shown(figures[name])))
    latency = figures["latency"]
    if isinstance(latency, dict) and latency["p50_ms"] is not None:
        facts.add_row("voice to voice, p50", f"{latency['p50_ms']} ms")
    if "recording" in figures:
        facts.add_row("recording", Text(str(figures["recording"])))
    console.print(facts)


def _story(report: CallReport) -> list[tuple[float, str, str]]:
    """Return what happened, as the caller's telephone saw it."""
    counted: dict[tuple[str, str], tuple[float, int]] = {}
    for warning in sorted(report.warnings, key=lambda warning: warning.at_s):
        first_s, times = counted.get((warning.name, warning.detail), (warning.at_s, 0))
        counted[warning.name, warning.detail] = first_s, times + 1
    return [
        *((part.start_s, "agent", f"heard for {part.end_s - part.start_s:.2f} s") for part in report.media.heard),
        *((part.start_s, "caller", f"speaks for {part.end_s - part.start_s:.2f} s") for part in report.media.said),
        *((clear.at_s, "gateway", f"clears {clear.detail} ms") for clear in report.media.clears),
        *((verb.at_s, "verb", verb.name) for verb in report.verbs),
        *((spoken.start_s, "network", f"says: {spoken.text}") for spoken in report.spoken),
        *((at.start_s, "network", f"rings{_lasting(report, at)}") for at in report.sounds if at.kind == "ring"),
        *((at.start_s, "network", f"bridged with {at.other_sid}{_lasting(report, at)}") for at in report.bridges),
        *(
            (at_s, "warning", f"{code} {text}{f' ({times} times)' if times > 1 else ''}")
            for (code, text), (at_s, times) in counted.items()
        ),
    ]


def _lasting(report: CallReport, what: Bridge | Sound) -> str:
    return f" for {(report.duration_s if what.end_s is None else what.end_s) - what.start_s:.2f} s"


def _is_plain(value: object) -> bool:
    """Whether it is worth a line of the text report: a figure, or a few named ones."""
    return isinstance(value, str | int | float) or (isinstance(value, Mapping) and len(value) > 0)


def _shown(value: object) -> str:
    return ", ".join(f"{name}={one}" for name, one in value.items()) if isinstance(value, Mapping) else str(value)
