"""`gateway simulate business` as a process, and the agents file that it prints."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from dotenv import dotenv_values
from pydantic import SecretStr

from gateway.agents import load_agents
from gateway.business import agents_section
from gateway.business.functions import FUNCTIONS
from gateway.config import Settings
from gateway.core.claims import ClaimRules
from tests.business.shop import TUESDAY, in_loop, talking
from tests.gateway_process import clean_environment


def test_the_agents_file_knows_the_functions_of_the_business_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "agents.yaml"
    path.write_text(agents_section("http://127.0.0.1:1234"), encoding="utf-8")
    agent = load_agents(path).agents["shop"]
    assert {tool.name for tool in agent.tools} == set(FUNCTIONS)
    assert {tool.url for tool in agent.tools} == {"http://127.0.0.1:1234/tools"}
    assert agent.lookup is not None
    assert agent.events is not None
    assert (agent.lookup.url, agent.events.url) == ("http://127.0.0.1:1234/lookup", "http://127.0.0.1:1234/events")
    for tool in agent.tools:
        assert (tool.effect == "write") == bool(tool.claims)
        assert tool.idempotent == (tool.effect == "write")


@in_loop
async def test_what_the_business_has_the_agent_say_is_a_claim_of_that_function(tmp_path: Path) -> None:
    path = tmp_path / "agents.yaml"
    path.write_text(agents_section("http://127.0.0.1:1234"), encoding="utf-8")
    rules = ClaimRules({tool.name: tool.claims for tool in load_agents(path).agents["shop"].tools})
    async with talking(tmp_path) as talk:
        for number, name in enumerate(("book_appointment", "move_appointment")):
            said = (await talk.call(name, date=TUESDAY, time=f"1{number}:30", key=name)).json()["say"]
            assert [claim.tool for claim in rules.find(said)] == [name]


@pytest.mark.e2e
def test_it_serves_until_it_is_stopped(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gateway", "simulate", "business", "--port", "0", "--json"]
    environment = clean_environment(tmp_path)
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            assert told["webhook_secret"].startswith("whsec_")
            assert f"{told['url']}/tools" in told["agents"]
            assert len(httpx2.get(f"{told['url']}/log", trust_env=False).json()["orders"]) == 4
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=20)
        finally:
            process.kill()
    assert errors == ""
    assert process.returncode in (0, -signal.SIGTERM)
    assert (tmp_path / "shop.db").exists()


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("arguments", "settings", "told"),
    [
        (["--database", "."], {}, "the database . cannot be used"),
        ([], {"GATEWAY_WEBHOOK_SECRET": "whsec_%"}, "GATEWAY_WEBHOOK_SECRET is no signing secret"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(
    tmp_path: Path, arguments: list[str], settings: dict[str, str], told: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "simulate", "business", "--port", "0", *arguments],
        cwd=tmp_path,
        env=clean_environment(tmp_path, **settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"gateway: {told}")
    assert "Traceback" not in done.stderr


@pytest.mark.e2e
def test_what_it_prints_lets_the_gateway_serve_and_is_read_again_from_env(tmp_path: Path) -> None:
    printed = announced(tmp_path)
    settings = [line.removeprefix("#").strip() for line in printed.splitlines() if re.match(r"# +[A-Z_]+=", line)]
    (tmp_path / ".env").write_text("\n".join(settings), encoding="utf-8")
    environment = dotenv_values(tmp_path / ".env")
    built = Settings(
        twilio_auth_token=SecretStr(environment["TWILIO_AUTH_TOKEN"] or ""),
        model_url=environment["GATEWAY_MODEL_URL"] or "",
    )
    assert built.serving_problems() == []
    assert environment["GATEWAY_WEBHOOK_SECRET"] and environment["GATEWAY_WEBHOOK_ALLOW_CIDRS"] == "127.0.0.0/8"
    again = announced(tmp_path)
    assert "(all is set)" in again and "whsec_" not in again


def announced(folder: Path) -> str:
    """Return all that the command prints for people."""
    with subprocess.Popen(
        [sys.executable, "-m", "gateway", "simulate", "business", "--port", "0"],
        cwd=folder,
        env=clean_environment(folder),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            lines: list[str] = []
            while not lines or "Ctrl-C" not in lines[-1]:
                lines.append(process.stdout.readline())
                assert lines[-1], "it ended"
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=20)
        finally:
            process.kill()
    return "".join(lines)
