"""`gateway simulate tools`: function calls in trouble, on a virtual clock."""

import json
import os
import sys

from rich.console import Console

from gateway.simulator.tools.run import ToolsPlan, simulate
from gateway.simulator.turns.command import PIPE_WIDTH, print_part
from gateway.simulator.turns.workers import quiet

__all__ = ["run_tools"]

MANY = 40
"""From so many calls on it pays to start a process for each core."""


def run_tools(calls: int, seed: int, *, as_json: bool = False) -> int:
    """Run the calls and print what they prove; 1 when a bound was missed."""
    processes = (os.cpu_count() or 1) if calls >= MANY else 1
    with quiet():
        part = simulate(ToolsPlan(calls, seed, processes))
    if as_json:
        document = {"ok": part.ok, "seed": seed, "calls": calls, **part.to_json()}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        print_part(Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH), part)
    return 0 if part.ok else 1
