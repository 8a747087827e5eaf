"""Third-party Realtime clients hold a spoken turn with a function call against the simulated server.

Each client runs in an environment of its own, made by uv: `openai[realtime]` pins a websockets release.
"""

import asyncio
import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.simulator.model import ModelServer, ScriptedEngine, SessionRecord, parse_scenario
from gateway.simulator.model.scripted import babble

CLIENTS = Path(__file__).parent / "clients"
LIMIT_S = 300
"""The first run downloads the client and what it needs."""

SCENARIO = """
turns:
  - heard: "where is my order A17"
    match: "order (?P<id>\\\\w+)"
    say: "Let me see."
    calls:
      - {name: order_status, arguments: {order_id: "{id}"}}
    result: "Your order is {status}."
"""
SOUND_BYTES = len(babble("Let me see.") + babble("Your order is shipped."))


def uv_command() -> list[str]:
    found = shutil.which("uv")
    if found:
        return [found]
    if importlib.util.find_spec("uv") is None:
        pytest.skip("uv is neither on PATH nor installed for this Python: cannot build the client's environment")
    return [sys.executable, "-m", "uv"]


async def converse(package: str, script: str, speech: Path, *, websocket: bool) -> tuple[dict[str, Any], SessionRecord]:
    """Let a client talk to a fresh server; returns what it printed and the server's record of the session."""
    options = ["--no-project", "--isolated", "--quiet", "--python", sys.executable, "--with", package]
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    async with asyncio.timeout(LIMIT_S), ModelServer(ScriptedEngine(parse_scenario(SCENARIO))) as server:
        url = server.url if websocket else f"http://127.0.0.1:{server.port}/v1"
        arguments = [*uv_command(), "run", *options, "python", str(CLIENTS / script), url, str(speech)]
        process = await asyncio.create_subprocess_exec(
            *arguments, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        try:
            out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, err.decode()[-2000:]
        return json.loads(out), server.sessions[0]


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    path = tmp_path / "caller.ulaw"
    path.write_bytes(b"\xff" * 4000 + babble("where is my order A seventeen") + b"\xff" * 8000)
    return path


@pytest.mark.e2e
def test_the_official_sdk_holds_a_spoken_turn_with_a_function_call(speech: Path) -> None:
    package = "openai[realtime]==3.54.0"
    answer, record = asyncio.run(converse(package, "openai_sdk.py", speech, websocket=False))
    assert answer["said"] == ["Let me see.", "Your order is shipped."]
    assert answer["called"] == [["order_status", {"order_id": "A17"}]]
    assert answer["audio_bytes"] == SOUND_BYTES
    assert "conversation.item.input_audio_transcription.completed" in answer["kinds"]
    assert not record.errors


@pytest.mark.e2e
def test_openai_agents_holds_a_spoken_turn_with_a_function_call(speech: Path) -> None:
    answer, record = asyncio.run(converse("openai-agents==0.24.0", "openai_agents.py", speech, websocket=True))
    assert answer["asked"] == ["A17"]
    assert answer["audio_bytes"] == SOUND_BYTES
    assert {"tool_start", "tool_end", "audio_end"} <= set(answer["kinds"])
    assert [output.expected for output in record.outputs] == [True]
    assert not record.errors
