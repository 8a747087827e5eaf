"""`gateway simulate turns`: what the caller heard, proved on a virtual clock."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.errors import ConfigError
from gateway.simulator.turns.barge_in import barge_in_part, interrupt, order_part
from gateway.simulator.turns.early import early_part
from gateway.simulator.turns.goodbyes import goodbye_part
from gateway.simulator.turns.impostors import impostor_part
from gateway.simulator.turns.part import Check, Part, Plan
from gateway.simulator.turns.workers import quiet

__all__ = ["PARTS", "PIPE_WIDTH", "print_part", "run_turns"]

PARTS = ("barge-in", "order", "goodbye", "reversible", "early")
MANY = 100
"""From so many barge-ins on it pays to start a process for each core."""
PIPE_WIDTH = 200
"""Columns where the output is no terminal."""


def run_turns(plan: Plan, only: Sequence[str], *, as_json: bool = False) -> int:
    """Run the parts, all or those named; 1 when a bound was missed. Raises `ConfigError` for an unknown part."""
    unknown = sorted(set(only) - set(PARTS))
    if unknown:
        raise ConfigError(f"--only must be one of {', '.join(PARTS)}, not {unknown[0][:40]!r}")
    if plan.barge_ins >= MANY:
        plan = replace(plan, processes=os.cpu_count() or 1)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
    parts = []
    with quiet():
        for part in _parts(plan, set(only) or set(PARTS)):
            parts.append(part)
            if not as_json:
                print_part(console, part)
    ok = all(part.ok for part in parts)
    if as_json:
        document = {"ok": ok, "seed": plan.seed, "parts": {part.name: part.to_json() for part in parts}}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    return 0 if ok else 1


def _parts(plan: Plan, wanted: set[str]) -> Iterator[Part]:
    if wanted & {"barge-in", "order"}:
        interrupted = interrupt(plan)
        if "barge-in" in wanted:
            yield barge_in_part(interrupted)
        if "order" in wanted:
            yield order_part(interrupted)
    if "goodbye" in wanted:
        yield goodbye_part(plan)
    if "reversible" in wanted:
        yield impostor_part(plan)
    if "early" in wanted:
        yield early_part(plan)


def print_part(console: Console, part: Part) -> None:
    """Print a part's table, notes and bounds."""
    table = Table(title=part.title, title_justify="left", box=None, pad_edge=False)
    for number, name in enumerate(part.rows[0] if part.rows else ()):
        table.add_column(name.strip(), justify="right" if number else "left")
    for row in part.rows:
        table.add_row(*("" if value is None else Text(str(value)) for value in row.values()))
    console.print(table)
    for note in part.notes:
        console.print(Text(f"  {note}"))
    for check in part.checks:
        console.print(Text(f"  {_verdict(check):<6} {check.what}: {check.found}"))
    console.print()


def _verdict(check: Check) -> str:
    if check.untested:
        return "-"
    if check.ok:
        return "ok"
    return "AIM NOT REACHED" if check.aim else "MISSED"
