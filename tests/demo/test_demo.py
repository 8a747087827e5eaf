"""The demo itself, as a newcomer starts it: processes, sockets and speech models are real. Takes a minute."""

import importlib.util
import json
import os
import signal
import sqlite3
import subprocess
import sys
import wave
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gateway.demo import DemoOptions, run_demo
from gateway.demo.run import typed_command
from gateway.errors import ConfigError
from gateway.simulator.local.engine import PACKAGES

pytestmark = pytest.mark.e2e

LONGEST_S = 150
NO_SPEECH = [name for name in (*PACKAGES, "espeakng_loader") if importlib.util.find_spec(name) is None]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "gateway", *arguments]


@pytest.mark.skipif(bool(NO_SPEECH), reason="the speech packages are not installed: run `uv sync --group speech`")
def test_the_demo_works_and_proves_it(tmp_path: Path) -> None:
    demo = subprocess.run(
        command("demo", "--fast", "--json", "--out", "out"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    told = json.loads(demo.stdout)
    assert told["ok"]
    names = (
        "status_heard webhook_once write_once known_caller events claims barge_in end_record audio_untouched "
        "recording carrier model sessions_closed"
    )
    assert {check["name"]: check["ok"] for check in told["checks"]} == dict.fromkeys(names.split(), True)
    assert told["figures"]["word_error_rate"] < 0.25
    assert len(told["figures"]["voice_to_voice_ms"]["by_gateway"]["turns"]) == 5
    assert float(told["figures"]["cost_usd"]) > 0
    with wave.open(str(tmp_path / told["files"]["recording"])) as recording:
        assert (recording.getnchannels(), recording.getframerate()) == (2, 8000)
    assert ElementTree.parse(tmp_path / told["files"]["picture"]).getroot().tag.endswith("svg")
    assert demo.stderr == ""


@pytest.mark.skipif(bool(NO_SPEECH), reason="the speech packages are not installed: run `uv sync --group speech`")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_the_middle_ends_everything_soon_and_without_a_traceback(
    tmp_path: Path, number: int, code: int
) -> None:
    demo = subprocess.Popen(
        command("demo", "--fast", "--out", "out"),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert demo.stdout is not None
    try:
        while "agent" not in demo.stdout.readline():
            assert demo.poll() is None
        demo.send_signal(number)
        _, errors = demo.communicate(timeout=20)
    finally:
        demo.kill()
        demo.communicate()
    assert demo.returncode == code
    assert errors == "gateway: interrupted: the call did not come to its end; log: out/demo.log\n"
    with closing(sqlite3.connect(tmp_path / "out" / "gateway.db")) as database:
        assert database.execute("SELECT end_reason FROM calls").fetchall() == [("stopped",)]


@pytest.mark.parametrize(
    ("programs", "uv", "program", "typed"),
    [
        (["uv"], True, "gateway", "uv run gateway"),
        ([], True, "gateway", "python3 -m uv run gateway"),
        ([], False, "/usr/lib/gateway/__main__.py", "python3 -m gateway"),
        (["gateway"], False, "/usr/bin/gateway", "gateway"),
        ([], False, ".venv/bin/gateway", ".venv/bin/gateway"),
    ],
)
def test_the_hint_repeats_the_command_that_was_typed(
    tmp_path: Path, programs: list[str], uv: bool, program: str, typed: str
) -> None:
    for name in programs:
        (tmp_path / name).touch(mode=0o755)
    environment = {"PATH": str(tmp_path)} | ({"UV": "/somewhere/uv"} if uv else {})
    assert typed_command(environment, program) == typed


@pytest.mark.skipif(bool(NO_SPEECH), reason="the speech packages are not installed: run `uv sync --group speech`")
def test_a_demo_that_takes_too_long_is_ended_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gateway.demo.run.LONGEST_S", 4.0)
    assert run_demo(DemoOptions(out=tmp_path / "out", as_json=True)) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("gateway: the demo took longer than 4 s and was ended; see ")


def test_missing_speech_packages_are_named_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.simulator.local.engine.PACKAGES", ("no_such_package",))
    with pytest.raises(ConfigError, match=r"no_such_package not found\): run `uv sync --group speech`"):
        run_demo(DemoOptions(out=tmp_path / "out", as_json=True))


def test_live_without_a_key_is_refused_in_a_sentence(tmp_path: Path) -> None:
    bare = {
        name: value for name, value in os.environ.items() if "OPENAI" not in name and not name.startswith("GATEWAY")
    }
    demo = subprocess.run(
        command("demo", "--live", "--out", "out"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        env=bare,
        check=False,
    )
    assert demo.returncode == 2
    assert demo.stderr == "gateway: --live talks to the real model: set OPENAI_API_KEY\n"


def test_a_folder_that_cannot_be_written_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    demo = subprocess.run(
        command("demo", "--out", "out"), cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert demo.returncode == 2
    assert demo.stderr.startswith("gateway: the folder out cannot be written:")
    assert "Traceback" not in demo.stderr
