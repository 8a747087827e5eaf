"""The command line as people use it: processes, exit codes, what is printed where."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import httpx2
import jsonschema_rs
import pytest
import yaml

from gateway.simulator.asgi import connect_websocket
from gateway.simulator.carrier import CallPlan, CallReport, HangUp, Pause, Say, Script, TwilioNetwork, Wait, tone
from gateway.simulator.model import ModelServer, ScriptedEngine, parse_scenario
from tests.gateway_process import AGENTS, NUMBER, Served, clean_environment, free_port, serving

LIMIT_S = 60
ROOT = Path(__file__).parent.parent
ACCOUNT, TOKEN, KEY = "AC" + "1" * 32, "a-twilio-token", "sk-a-model-key"
API_KEY = "an-api-key-of-our-own"
PUBLIC, CALLER = "https://gw.example.com", "+14155550101"
HEAVY = (
    "aiohttp alembic fastapi httpx2 jsonschema_rs openai phonenumbers pydantic rich sqlalchemy structlog twilio "
    "uvicorn websockets yaml"
).split()

pytestmark = pytest.mark.e2e
COMMANDS = [
    "serve",
    "demo",
    "talk",
    "call",
    "operate",
    "key",
    "calls",
    "calls show",
    "v2v",
    "check",
    "migrate",
    "agents",
    "agents schema",
    "simulate",
    "simulate model",
    "simulate call",
    "simulate load",
]


def gateway(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        cwd=folder,
        env=clean_environment(folder, **settings),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command that could not do its work said: a sentence, no traceback, nothing on stdout."""
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


# --- help and mistakes ----------------------------------------------------------------------------


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom gateway.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        f"sys.stderr.write(' '.join(name for name in {HEAVY!r} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT_S, check=True)
    assert done.stdout.startswith("Usage:")
    assert done.stderr == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    from gateway.cli import app

    with pytest.raises(SystemExit) as done:
        app([*command.split(), "--help"])
    assert done.value.code == 0
    assert f"{command} [OPTIONS]" in capsys.readouterr().out


def test_the_version_is_told(tmp_path: Path) -> None:
    done = gateway(tmp_path, "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"gateway {version('voice-agent-gateway')}\n", "")


def test_an_unknown_option_is_exit_code_2(tmp_path: Path) -> None:
    assert "No such option: --colour" in refused(gateway(tmp_path, "serve", "--colour"))


def test_a_bad_agents_file_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "agents.yaml").write_text("agents:\n  one:\n    instructons: Help.\n")
    said = refused(gateway(tmp_path, "serve", OPENAI_API_KEY=KEY, TWILIO_AUTH_TOKEN=TOKEN))
    assert "agents.yaml:3:5: unknown key 'instructons'; did you mean 'instructions'?" in said


def test_missing_secrets_stop_the_start_with_a_sentence_each(tmp_path: Path) -> None:
    (tmp_path / "agents.yaml").write_text(AGENTS)
    first, second = refused(gateway(tmp_path, "serve")).splitlines()
    assert first.startswith("gateway: OPENAI_API_KEY is not set")
    assert second.startswith("TWILIO_AUTH_TOKEN is not set")


def test_a_recording_agent_whose_folder_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "agents.yaml").write_text(AGENTS + "    recording: true\n")
    settings = {"OPENAI_API_KEY": KEY, "TWILIO_AUTH_TOKEN": TOKEN, "GATEWAY_RECORDINGS_DIR": "/proc/x"}
    assert refused(gateway(tmp_path, "serve", "--port", str(free_port()), **settings)) == (
        "gateway: GATEWAY_RECORDINGS_DIR: /proc/x cannot be written: No such file or directory, "
        "and agent 'support' records its calls\n"
    )


def test_a_port_in_use_is_one_line_and_leaves_the_store_alone(tmp_path: Path) -> None:
    (tmp_path / "agents.yaml").write_text(AGENTS)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = gateway(tmp_path, "serve", "--port", str(port), OPENAI_API_KEY=KEY, TWILIO_AUTH_TOKEN=TOKEN)
    assert (
        refused(done) == f"gateway: port {port} of 127.0.0.1 is in use; stop what listens there or set GATEWAY_PORT\n"
    )
    assert not (tmp_path / "gateway.db").exists()


def test_an_audiosocket_port_in_use_is_a_sentence_too(tmp_path: Path) -> None:
    (tmp_path / "agents.yaml").write_text(AGENTS)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        more = {"GATEWAY_AUDIOSOCKET_LISTEN": f"127.0.0.1:{port}", "GATEWAY_ASTERISK_PASSWORD": "p" * 16}
        done = gateway(tmp_path, "serve", "--port", str(free_port()), OPENAI_API_KEY=KEY, **more)
    *_, last = refused(done).splitlines()
    words = "is in use; stop what listens there or set another port"
    assert last == f"gateway: GATEWAY_AUDIOSOCKET_LISTEN: 127.0.0.1 port {port} {words}"
    assert "ExceptionGroup" not in done.stderr


def test_a_database_whose_folder_is_missing_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "agents.yaml").write_text(AGENTS)
    settings = {"TWILIO_AUTH_TOKEN": TOKEN, "GATEWAY_DATABASE_URL": f"sqlite:///{tmp_path}/data/x.db"}
    done = gateway(tmp_path, "serve", "--port", str(free_port()), OPENAI_API_KEY=KEY, **settings)
    said = f"gateway: the folder {tmp_path}/data of the database is missing: create it, or mount it\n"
    assert refused(done) == said
    assert not (tmp_path / "data").exists()


MCP = "    mcp: [{{name: shop, command: {command}, args: ['-c', {code}]}}]\n"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("/nowhere/shop-mcp", "the command or its folder is not there"),
        (sys.executable, "it ended, or closed the connection, before it told its tools"),
    ],
)
def test_an_mcp_server_that_cannot_start_stops_the_start_with_a_sentence(
    command: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / "agents.yaml").write_text(AGENTS + MCP.format(command=command, code="pass"))
    done = gateway(tmp_path, "serve", "--port", str(free_port()), OPENAI_API_KEY=KEY, TWILIO_AUTH_TOKEN=TOKEN)
    *_, last = refused(done).splitlines()
    assert last.startswith(f"gateway: MCP server shop does not start: {words}")
    assert "ExceptionGroup" not in done.stderr


def test_a_gateway_of_our_own_making_does_not_look_at_the_folders_settings(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("GATEWAY_API_KEYS=short\nGATEWAY_PORT=none\n")
    done = gateway(tmp_path, "simulate", "tools", "--calls", "2", GATEWAY_MAX_CALLS="0", GATEWAY_API_KEYS="short")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_database_that_is_away_stops_the_start_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "agents.yaml").write_text(AGENTS)
    url = "postgresql://user:hidden@127.0.0.1:1/none"
    settings = {"OPENAI_API_KEY": KEY, "TWILIO_AUTH_TOKEN": TOKEN, "GATEWAY_DATABASE_URL": url}
    said = refused(gateway(tmp_path, "serve", "--port", str(free_port()), **settings))
    assert said.startswith("gateway: the database at postgresql://user:***@127.0.0.1:1/none cannot be used: ")
    assert said.count("\n") == 1
    assert "hidden" not in said


def test_a_database_file_that_cannot_be_made_is_one_plain_sentence(tmp_path: Path) -> None:
    said = refused(gateway(tmp_path, "migrate", GATEWAY_DATABASE_URL="sqlite:////proc/g.db"))
    assert said == "gateway: the database file /proc/g.db cannot be opened: No such file or directory: '/proc/g.db'\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["calls"], "there is no database"),
        (["v2v", "absent.wav"], "absent.wav cannot be read: No such file or directory"),
        (["call", "+14155550123", "--agent", "one"], "GATEWAY_API_KEYS is not set"),
        (["simulate", "model", "--engine", "magic"], "--engine must be one of scripted, local"),
        (["simulate", "model", "--scenario", "absent.yaml"], "absent.yaml: cannot be read"),
        (["simulate", "call"], "TWILIO_AUTH_TOKEN is not set"),
        (["simulate", "load", "--fault", "fire"], "--fault must be one of none, drain, kill-model"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(tmp_path: Path, arguments: list[str], words: str) -> None:
    said = refused(gateway(tmp_path, *arguments))
    assert said.startswith("gateway: ") and words in said and said.count("\n") == 1


def test_the_schema_accepts_the_agents_file_we_deploy_and_refuses_a_wrong_one(tmp_path: Path) -> None:
    done = gateway(tmp_path, "agents", "schema")
    validator = jsonschema_rs.validator_for(json.loads(done.stdout))
    deployed = yaml.safe_load((ROOT / "deploy" / "agents.yaml").read_text())
    validator.validate(deployed)
    assert not validator.is_valid({"agents": {"one": {"instructons": "Help."}}})


def test_migrate_creates_the_database_and_calls_are_then_listed(tmp_path: Path) -> None:
    assert gateway(tmp_path, "migrate").returncode == 0
    listed = gateway(tmp_path, "calls", "--json")
    assert (listed.returncode, json.loads(listed.stdout)) == (0, {"calls": []})


# --- serve ----------------------------------------------------------------------------------------

SCENARIO = parse_scenario("turns: [{heard: my secret name is Rumpelstiltskin, say: It was sent on Monday.}]\n")
TALK = Script([Wait("agent_done", 30.0), Say(tone(300, 800)), Wait("agent_done", 30.0), HangUp()])
STAY = Script([Wait("agent_speaking", 30.0), Pause(60.0)])


@asynccontextmanager
async def running(folder: Path, **more: str) -> AsyncIterator[tuple[Served, httpx2.AsyncClient]]:
    """A gateway with a model and an HTTP client."""
    async with asyncio.timeout(LIMIT_S), ModelServer(ScriptedEngine(SCENARIO)) as model:
        settings = {
            "GATEWAY_MODEL_URL": model.url,
            "GATEWAY_PUBLIC_URL": PUBLIC,
            "GATEWAY_API_KEYS": API_KEY,
            "OPENAI_API_KEY": KEY,
            "TWILIO_AUTH_TOKEN": TOKEN,
        }
        async with serving(folder, settings | more) as served, httpx2.AsyncClient(trust_env=False) as http:
            yield served, http


async def dial(served: Served, http: httpx2.AsyncClient, script: Script) -> CallReport:
    network = TwilioNetwork(ACCOUNT, TOKEN, http, connect_websocket, route={PUBLIC: served.origin})
    plan = CallPlan(
        to=NUMBER,
        from_=CALLER,
        voice_url=f"{PUBLIC}/twilio/voice",
        status_callback=f"{PUBLIC}/twilio/status",
        script=script,
    )
    return await network.call(plan)


async def live(served: Served, http: httpx2.AsyncClient, count: int) -> None:
    """Wait until so many calls live."""
    while (await http.get(f"{served.origin}/readyz")).json()["live"] != count:  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.05)


async def draining(served: Served, http: httpx2.AsyncClient) -> None:
    """Wait until readiness is red."""
    while (await http.get(f"{served.origin}/readyz")).status_code != 503:  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.02)


def test_serve_answers_for_its_health_and_ends_at_once_without_calls(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as (served, http):
            assert (await http.get(f"{served.origin}/livez")).text == "ok"
            ready = await http.get(f"{served.origin}/readyz")
            assert (ready.status_code, ready.json()["live"]) == (200, 0)
            assert "gateway_" in (await http.get(f"{served.origin}/metrics")).text
            proxied = await http.get(f"{served.origin}/metrics", headers={"x-forwarded-for": "203.0.113.9"})
            assert proxied.status_code == 403
            served.process.send_signal(signal.SIGTERM)
            assert await served.exit_code() == 0

    asyncio.run(main())


def test_a_developers_gateway_is_called_at_the_port_of_its_option(tmp_path: Path) -> None:
    (tmp_path / "agents.yaml").write_text(AGENTS)
    port = free_port()
    settings = {"GATEWAY_MODEL_URL": "ws://127.0.0.1:9/v1/realtime", "GATEWAY_ALLOW_UNSIGNED": "true"}
    form = {"CallSid": "CA" + "1" * 32, "AccountSid": ACCOUNT, "From": CALLER, "To": NUMBER}
    serve = subprocess.Popen(
        [sys.executable, "-m", "gateway", "serve", "--port", str(port)],
        cwd=tmp_path,
        env=clean_environment(tmp_path, **settings),
        stderr=subprocess.PIPE,
    )
    try:
        assert serve.stderr is not None
        assert b"serving 1 agent on " in serve.stderr.readline()  # it listens before it says so
        answer = httpx2.post(f"http://127.0.0.1:{port}/twilio/voice", data=form, timeout=LIMIT_S, trust_env=False)
    finally:
        serve.kill()  # a drain would wait for the stream of the call
        serve.communicate(timeout=LIMIT_S)
    assert f"ws://127.0.0.1:{port}/twilio/media" in answer.text


def test_what_is_seldom_meant_is_warned_of_at_the_start(tmp_path: Path) -> None:
    tool = '{name: look_up, description: x, url: "https://localhost:9/orders"}'
    agents = AGENTS + f"  idle:\n    instructions: Help.\n    tools: [{tool}]\n"
    settings = {
        "OPENAI_API_KEY": KEY,
        "TWILIO_AUTH_TOKEN": TOKEN,
        "GATEWAY_PUBLIC_URL": PUBLIC,
        "GATEWAY_WEBHOOK_SECRET": "a-webhook-secret",
    }

    async def main(**more: str) -> list[str]:
        async with serving(tmp_path, settings | more, agents) as served:
            assert any("serving 2 agents on " in line["event"] for line in served.log_lines())
            return [line["event"] for line in served.log_lines() if line["level"] == "warning"]

    idle, local = asyncio.run(main())
    assert idle == "agent idle has no number and is not the default: no incoming call reaches it"
    assert local.startswith("idle/look_up: its url is on this machine and will be refused; ")
    assert asyncio.run(main(GATEWAY_WEBHOOK_ALLOW_CIDRS="127.0.0.0/8")) == [idle]


def test_the_log_of_a_call_holds_no_number_no_secret_and_no_word_of_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path, GATEWAY_LOG_LEVEL="DEBUG") as (served, http):
            report = await dial(served, http, TALK)
            assert (report.outcome, report.warnings, report.script_error) == ("completed", [], None)
            served.process.send_signal(signal.SIGTERM)
            assert await served.exit_code() == 0
            assert any("caller_hangup" in line["event"] for line in served.log_lines())
            (record,) = await served.calls()
            assert record.end_reason == "caller_hangup"
            log = served.log()
        for word in (CALLER, NUMBER, CALLER[1:], NUMBER[1:], TOKEN, KEY, API_KEY):
            assert word not in log
        for word in ("Rumpelstiltskin", "Monday", "this is Acme", "payload", "Traceback"):
            assert word not in log

    asyncio.run(main())


def test_the_first_sigterm_lets_a_call_finish_and_turns_readiness_red(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as (served, http), asyncio.TaskGroup() as group:
            call = group.create_task(dial(served, http, TALK))
            await live(served, http, 1)
            served.process.send_signal(signal.SIGTERM)
            await draining(served, http)
            report = await call
            assert (report.ended_by, report.script_error) == ("caller", None)
            assert await served.exit_code() == 0
            (record,) = await served.calls()
            assert record.end_reason == "caller_hangup"
            assert any("draining" in line["event"] for line in served.log_lines())

    asyncio.run(main())


def test_the_second_sigterm_stops_a_call_and_its_record_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as (served, http), asyncio.TaskGroup() as group:
            call = group.create_task(dial(served, http, STAY))
            await live(served, http, 1)
            served.process.send_signal(signal.SIGTERM)
            await draining(served, http)
            served.process.send_signal(signal.SIGTERM)
            assert await served.exit_code() == 0
            await call
            (record,) = await served.calls()
            assert record.end_reason == "stopped"
            assert "Traceback" not in served.log()

    asyncio.run(main())
