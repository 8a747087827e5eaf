"""Runs the demo once: watched, bounded in time, cleaned up on every way out."""

import asyncio
import json
import logging
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from gateway.demo.evidence import gather
from gateway.demo.judge import judge
from gateway.demo.options import DemoOptions, Folder
from gateway.demo.outcome import Outcome, outcome, print_outcome
from gateway.demo.screen import show
from gateway.demo.stage import stage
from gateway.demo.watch import Watch
from gateway.errors import GatewayError
from gateway.log import configure

__all__ = ["run_demo"]

LONGEST_S = 120.0
"""The whole demo; it usually takes a minute."""
PIPE_WIDTH = 120
INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM


def run_demo(options: DemoOptions) -> int:
    """Run the demo and print its outcome; return the exit code: 0 only when the call really worked.

    Raises `ConfigError` when something that it needs cannot be had.
    """
    folder = Folder(options.out)
    console = Console(quiet=options.as_json)
    if not console.is_terminal:
        console = Console(quiet=options.as_json, width=PIPE_WIDTH)
    with _log_into(folder):
        try:
            done = asyncio.run(_bounded(options, folder, console))
        except BaseExceptionGroup as failed:
            raise _cause(failed) from None
        except (KeyboardInterrupt, asyncio.CancelledError) as ended:
            # The loop is gone by now: nobody is left to pass the cancellation on to.
            sys.stderr.write(f"gateway: interrupted: the call did not come to its end; log: {folder.log}\n")
            return INTERRUPTED if isinstance(ended, KeyboardInterrupt) else TERMINATED
        except TimeoutError:
            sys.stderr.write(f"gateway: the demo took longer than {LONGEST_S:.0f} s and was ended; see {folder.log}\n")
            return 1
    if options.as_json:
        sys.stdout.write(json.dumps(done.to_json(), indent=2, ensure_ascii=False) + "\n")
    else:
        print_outcome(done, console, typed_command(os.environ, sys.argv[0]))
    return 0 if done.ok else 1


def typed_command(environment: Mapping[str, str], program: str) -> str:
    """Return how the user called us: `uv run` sets UV, and may itself have been called as a module."""
    if "UV" in environment:
        return "uv run gateway" if shutil.which("uv", path=environment.get("PATH")) else "python3 -m uv run gateway"
    if Path(program).name == "__main__.py":
        return "python3 -m gateway"
    return "gateway" if shutil.which("gateway", path=environment.get("PATH")) else program


@contextmanager
def _log_into(folder: Folder) -> Iterator[None]:
    """Send log lines to the folder's file: on the terminal they would tear the view apart."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    with folder.log.open("w", encoding="utf-8") as log:
        configure("INFO", stream=log)
        try:
            yield
        finally:
            root.handlers[:], level = before
            root.setLevel(level)


async def _bounded(options: DemoOptions, folder: Folder, console: Console) -> Outcome:
    with _ended_by_sigterm():
        async with asyncio.timeout(LONGEST_S):
            return await _demo(options, folder, console)


async def _demo(options: DemoOptions, folder: Folder, console: Console) -> Outcome:
    watch = Watch()
    async with show(watch, console), stage(options, folder, watch) as parts:
        watch.enter("the caller calls")
        report = await parts.call(watch)
        watch.enter("listening to the recording")
        evidence = await gather(parts, report)
        return outcome(evidence, judge(evidence), folder, parts.setup_ms)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Cancel this task on SIGTERM, as `asyncio.run` does on Ctrl-C, so that everything is cleaned up."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def _cause(failed: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return our own sentence out of a group, if there is one; else the first failure."""
    ours = failed.subgroup(GatewayError)
    first: BaseException = ours if ours is not None else failed
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
