"""`gateway simulate model` and `gateway simulate call`, as processes that meet a real gateway."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.records.latency import measure
from gateway.simulator.asgi import connect_websocket
from tests.gateway_process import AGENTS, clean_environment, free_port, serving

pytestmark = pytest.mark.e2e
LIMIT_S = 120
TOKEN, PUBLIC = "a-twilio-token", "https://gw.example.com"
SCENARIO = "turns: [{heard: where is it, say: It was sent on Monday.}, {heard: bye, say: Goodbye.}]\n"


async def command(folder: Path, *arguments: str, **settings: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", *arguments),
        cwd=folder,
        env=clean_environment(folder, **settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def model(folder: Path, *arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, bytes]]:
    """Start `simulate model`; yield it with its first line."""
    process = await command(folder, "simulate", "model", "--port", "0", *arguments)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(LIMIT_S):
            yield process, await process.stdout.readline()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def called(folder: Path, *arguments: str, token: str = TOKEN) -> tuple[int | None, bytes, bytes]:
    """Serve a gateway in front of `simulate model` and run `simulate call` against it."""
    (folder / "scenario.yaml").write_text(SCENARIO)
    async with model(folder, "--scenario", "scenario.yaml", "--json") as (_, line):
        settings = {"GATEWAY_PUBLIC_URL": PUBLIC, "TWILIO_AUTH_TOKEN": TOKEN}
        async with serving(folder, settings | {"GATEWAY_MODEL_URL": json.loads(line)["url"]}, AGENTS) as served:
            url = f"{served.origin}/twilio/voice"
            caller = await command(
                folder,
                *("simulate", "call", "--voice-url", url, *arguments),
                GATEWAY_PUBLIC_URL=PUBLIC,
                TWILIO_AUTH_TOKEN=token,
            )
            out, err = await caller.communicate()
            return caller.returncode, out, err


def test_the_model_says_where_it_is_and_stops_when_told(tmp_path: Path) -> None:
    async def main(number: signal.Signals) -> None:
        async with model(tmp_path, "--json") as (process, line):
            socket = await connect_websocket(json.loads(line)["url"] + "?model=gpt-realtime", {})
            assert json.loads(await socket.receive())["type"] == "session.created"
            await socket.close()
            process.send_signal(number)
            out, err = await process.communicate()
            assert (process.returncode, out, err) == (0, b"", b"")

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.run(main(number))


def test_people_are_told_how_to_point_a_client_at_the_model(tmp_path: Path) -> None:
    async def main() -> None:
        async with model(tmp_path) as (process, first):
            process.send_signal(signal.SIGTERM)
            out, _ = await process.communicate()
            said = (first + out).decode()
            assert "GATEWAY_MODEL_URL=ws://127.0.0.1:" in said
            assert "OPENAI_BASE_URL=http://127.0.0.1:" in said and said.count("/v1 OPENAI_API_KEY") == 1

    asyncio.run(main())


def test_a_model_whose_port_is_taken_says_so_in_one_line(tmp_path: Path) -> None:
    async def main() -> None:
        async with model(tmp_path, "--json") as (_, line):
            port = json.loads(line)["url"].split(":")[2].split("/")[0]
            second = await command(tmp_path, "simulate", "model", "--port", port)
            out, err = await second.communicate()
            assert (second.returncode, out) == (2, b"")
            assert err.startswith(f"gateway: cannot listen on 127.0.0.1:{port}".encode()) and err.count(b"\n") == 1

    asyncio.run(main())


def test_a_simulated_call_reports_what_was_heard_and_writes_it(tmp_path: Path) -> None:
    code, out, err = asyncio.run(called(tmp_path, "--out", "call.wav", "--json"))
    assert (code, err) == (0, b"")
    figures: dict[str, Any] = json.loads(out)
    assert (figures["outcome"], figures["ended_by"], figures["script_error"]) == ("completed", "caller", None)
    assert figures["warnings"] == []
    assert [verb for _, verb in figures["verbs"]] == ["Connect"]
    assert len(figures["latency"]["turns"]) >= 1
    assert measure(tmp_path / "call.wav").to_json() == figures["latency"]


def test_a_simulated_call_tells_its_story_to_people(tmp_path: Path) -> None:
    (tmp_path / "short.yaml").write_text("steps: [{wait: agent_done, within_s: 30}, {say: 'tone:300:400'}, hangup]\n")
    code, out, err = asyncio.run(called(tmp_path, "--script", "short.yaml"))
    assert (code, err) == (0, b"")
    said = out.decode()
    assert all(word in said for word in ("verb", "Connect", "heard for", "speaks for 0.40 s", "completed"))


def test_a_call_signed_with_another_token_fails(tmp_path: Path) -> None:
    code, out, _ = asyncio.run(called(tmp_path, "--json", token="another-token"))
    assert code == 1
    assert {warning[1] for warning in json.loads(out)["warnings"]} == {"11200"}


@pytest.mark.parametrize("place", ["nope/x.wav", "."])
def test_a_call_whose_sound_cannot_be_kept_is_not_placed(tmp_path: Path, place: str) -> None:
    code, out, err = asyncio.run(called(tmp_path, "--out", place))
    assert (code, out) == (2, b"")
    assert err.startswith(f"gateway: {place} cannot be written: ".encode()) and err.count(b"\n") == 1
    assert not list(tmp_path.rglob("*.wav"))


def test_a_call_to_nobody_is_one_line_and_goes_to_the_configured_port(tmp_path: Path) -> None:
    async def main() -> None:
        port = free_port()
        for more, where in ((["--voice-url", f"http://localhost:{port}/v"], "localhost"), ([], "127.0.0.1")):
            settings = {"TWILIO_AUTH_TOKEN": TOKEN, "GATEWAY_PORT": str(port)}
            caller = await command(tmp_path, "simulate", "call", *more, "--json", **settings)
            out, err = await caller.communicate()
            assert (caller.returncode, out) == (2, b"")
            assert err.decode() == (
                f"gateway: no gateway answers at http://{where}:{port}; start `gateway serve`, or give --voice-url\n"
            )

    asyncio.run(main())
