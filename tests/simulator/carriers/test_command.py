"""`gateway simulate carrier NAME`, as a process that meets a real gateway."""

import asyncio
import contextlib
import json
import random
import signal
import socket
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from gateway.simulator.carriers.frame import Carrier
from gateway.simulator.model import ModelServer, ScriptedEngine
from tests.carriers.scenario import NAMES
from tests.gateway_process import AGENTS, clean_environment, serving

pytestmark = pytest.mark.e2e
PUBLIC = "https://gw.example.com"
SHORT = "steps: [{wait: agent_done, within_s: 30}, {say: 'tone:300:400'}, {wait: agent_done, within_s: 30}, hangup]\n"
FRAMED = [name for name in NAMES if name not in ("twilio", "openai-sip")]
AT_ONCE = 3
LIMIT_S = 90
INTERRUPTED = '{"error": "interrupted"}\n'
SIP_SECRET = "whsec_c2lwLXdlYmhvb2stc2VjcmV0LW9mLXRlc3Rz"


def lasting_port() -> int:
    """Return a free port that no outgoing connection takes before it is used: those begin at 32768."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            port = random.randrange(20_000, 32_000)
            probe.bind(("127.0.0.1", port))
            return port


async def simulate(folder: Path, settings: Mapping[str, str], *arguments: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "simulate", "carrier", *arguments),
        cwd=folder,
        env=clean_environment(folder, **settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, out.decode(), err.decode()


def everything() -> dict[str, str]:
    """Return the settings of a gateway that every simulator can call."""
    settings = {"GATEWAY_PUBLIC_URL": PUBLIC, "TWILIO_AUTH_TOKEN": "a-twilio-token"}
    for name in FRAMED:
        carrier: Carrier = import_module(f"gateway.simulator.carriers.{name}").CARRIER
        settings |= {f"GATEWAY_{field.upper()}": str(value) for field, value in carrier.settings.items()}
        # Two doors may share one setting, as Asterisk's do: each call is made alone on its port.
        if carrier.rest_setting:
            settings.setdefault(f"GATEWAY_{carrier.rest_setting.upper()}", f"http://127.0.0.1:{lasting_port()}")
    if "audiosocket" in FRAMED:
        settings["GATEWAY_AUDIOSOCKET_LISTEN"] = f"127.0.0.1:{lasting_port()}"
    return settings


def test_every_carrier_calls_one_running_gateway(tmp_path: Path) -> None:
    async def main() -> tuple[str, dict[str, tuple[int | None, str, str]]]:
        (tmp_path / "short.yaml").write_text(SHORT)
        settings = everything()
        async with ModelServer(ScriptedEngine()) as model:
            async with serving(tmp_path, settings | {"GATEWAY_MODEL_URL": model.url}, AGENTS) as served:
                places = asyncio.Semaphore(AT_ONCE)
                alone = asyncio.Lock()

                async def call(name: str) -> tuple[int | None, str, str]:
                    given = (name, "--url", served.origin, "--script", "short.yaml", "--json")
                    async with alone if name in ("asterisk", "audiosocket") else places:
                        return await simulate(tmp_path, settings, *given)

                names = [name for name in NAMES if name != "openai-sip"]
                async with asyncio.TaskGroup() as group:
                    calls = {name: group.create_task(call(name)) for name in names}
                return served.log(), {name: task.result() for name, task in calls.items()}

    log, calls = asyncio.run(main())
    assert '"level": "error"' not in log
    for name, (code, out, err) in calls.items():
        assert (name, code, err) == (name, 0, ""), log
        figures: dict[str, Any] = json.loads(out)
        assert (name, figures["outcome"], figures["script_error"]) == (name, "completed", None)
        assert (name, figures["warnings"]) == (name, []), log
        assert figures["heard_s"] > 1


SILENT = "stay_s: 2\nsteps: []\n"
WRONG = {"GATEWAY_ASTERISK_PASSWORD": "another", "OPENAI_WEBHOOK_SECRET": "whsec_YW5vdGhlciBzZWNyZXQgb2YgYSB3ZWJob29r"}
REFUSALS: dict[str, tuple[str, tuple[str, ...], dict[str, str], str]] = {
    "another password for the socket": ("asterisk", (), WRONG, "HTTP 403: is this command's secret the gateway's?"),
    "another password for the offer": ("audiosocket", (), WRONG, "offer: HTTP 401: is this command's secret the gat"),
    "another secret of the webhook": ("openai-sip", (), WRONG, "HTTP 403: is OPENAI_WEBHOOK_SECRET of this command"),
    "no such agent, by socket": ("asterisk", ("--agent", "nobody"), {}, "with 1008: refused; the gateway's log says"),
    "no such agent, by offer": ("audiosocket", ("--agent", "nobody"), {}, "answered with an apology: refused; the ga"),
}


def test_a_call_that_is_refused_says_so_and_is_no_completed_one(tmp_path: Path) -> None:
    async def main() -> tuple[str, dict[str, tuple[int | None, str, str]]]:
        (tmp_path / "silent.yaml").write_text(SILENT)
        url = f"ws://127.0.0.1:{lasting_port()}/v1/realtime"
        settings = everything() | {"OPENAI_WEBHOOK_SECRET": SIP_SECRET, "OPENAI_API_KEY": "sk-test"}
        settings |= {"GATEWAY_MODEL_URL": url, "GATEWAY_ASTERISK_ARI_URL": ""}
        async with serving(tmp_path, settings, AGENTS) as served:

            async def call(why: str) -> tuple[int | None, str, str]:
                name, more, other, _ = REFUSALS[why]
                given = (name, "--url", served.origin, "--script", "silent.yaml", "--json", *more)
                return await simulate(tmp_path, settings | other, *given)

            async with asyncio.TaskGroup() as group:
                calls = {why: group.create_task(call(why)) for why in REFUSALS}
            return served.log(), {why: task.result() for why, task in calls.items()}

    log, calls = asyncio.run(main())
    for why, (code, out, err) in calls.items():
        assert (why, code, err) == (why, 1, ""), log
        figures: dict[str, Any] = json.loads(out)
        assert (why, figures["outcome"]) in ((why, "failed"), (why, "no-answer"))
        assert any(REFUSALS[why][3] in detail for _, _, detail in figures["warnings"]), (why, figures)


@pytest.mark.parametrize(("more", "out", "err"), [((), "", "interrupted\n"), (("--json",), INTERRUPTED, "")])
def test_an_interrupted_call_says_so(tmp_path: Path, more: tuple[str, ...], out: str, err: str) -> None:
    async def main() -> tuple[int | None, str, str]:
        connected = asyncio.Event()
        taken: set[asyncio.StreamWriter] = set()

        def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if taken:
                connected.set()  # the first has only knocked
            taken.add(writer)

        server = await asyncio.start_server(take, "127.0.0.1", 0)
        origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "simulate", "carrier", "asterisk", "--url", origin, *more),
            cwd=tmp_path,
            env=clean_environment(tmp_path, GATEWAY_PUBLIC_URL=PUBLIC, GATEWAY_ASTERISK_PASSWORD="x"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with server, asyncio.timeout(LIMIT_S):
            await connected.wait()
            process.send_signal(signal.SIGINT)
            said, complained = await process.communicate()
            for writer in taken:
                writer.close()
        return process.returncode, said.decode(), complained.decode()

    assert asyncio.run(main()) == (130, out, err)


def test_openais_endpoint_calls_a_gateway_whose_model_it_is(tmp_path: Path) -> None:
    async def main() -> tuple[int | None, str, str]:
        (tmp_path / "short.yaml").write_text(SHORT)
        url = f"ws://127.0.0.1:{lasting_port()}/v1/realtime"
        settings = {"GATEWAY_PUBLIC_URL": PUBLIC, "OPENAI_WEBHOOK_SECRET": SIP_SECRET, "GATEWAY_MODEL_URL": url}
        settings["OPENAI_API_KEY"] = "sk-test"
        async with serving(tmp_path, settings, AGENTS) as served:
            given = ("openai-sip", "--url", served.origin, "--script", "short.yaml", "--json")
            return await simulate(tmp_path, settings, *given)

    code, out, err = asyncio.run(main())
    assert (code, err) == (0, ""), out
    assert json.loads(out)["outcome"] == "completed"


@pytest.mark.parametrize(
    ("arguments", "settings", "said"),
    [
        (["plivoo"], {}, "no carrier 'plivoo' is simulated; did you mean 'plivo'?"),
        (["carrierpigeon"], {}, "no carrier 'carrierpigeon' is simulated; known are twilio, telnyx, signalwire, "),
        (["vonage"], {}, "GATEWAY_VONAGE_SIGNATURE_SECRET"),
        (["asterisk", "--url", "http://127.0.0.1:1"], {"GATEWAY_ASTERISK_PASSWORD": "x"}, "no gateway answers at http"),
        (["openai-sip"], {}, "OPENAI_WEBHOOK_SECRET is not set"),
        (["openai-sip"], {"OPENAI_WEBHOOK_SECRET": SIP_SECRET, "OPENAI_API_KEY": "k"}, "GATEWAY_MODEL_URL=ws://127.0"),
        (["asterisk", "--url", "gw.example.com"], {}, "--url must be an origin such as http://127.0.0.1:8080"),
        (["twilio", "--url", "http://127.0.0.1:1"], {"TWILIO_AUTH_TOKEN": "t"}, "no gateway answers at http"),
    ],
)
def test_what_the_user_can_mend_is_one_line(
    tmp_path: Path, arguments: list[str], settings: dict[str, str], said: str
) -> None:
    code, out, err = asyncio.run(simulate(tmp_path, {"GATEWAY_PUBLIC_URL": PUBLIC} | settings, *arguments))
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert said in err


def test_a_carrier_that_is_answered_by_rest_says_where_the_gateway_must_ask(tmp_path: Path) -> None:
    carrier: Carrier = import_module("gateway.simulator.carriers.telnyx").CARRIER
    settings = {f"GATEWAY_{field.upper()}": str(value) for field, value in carrier.settings.items()}
    code, _, err = asyncio.run(simulate(tmp_path, {"GATEWAY_PUBLIC_URL": PUBLIC} | settings, "telnyx"))
    assert code == 2
    assert "api.telnyx.com" in err and "GATEWAY_TELNYX_API_URL=http://127.0.0.1:8082" in err
