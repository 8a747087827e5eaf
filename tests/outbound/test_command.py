"""`gateway call`: a process that places a call through a gateway and follows it to its end."""

import asyncio
import json
import sys
from pathlib import Path

import httpx2
import pytest
from pydantic import SecretStr

from gateway.agents import AgentsFile
from gateway.app import create_app
from gateway.config import Settings
from gateway.simulator.asgi import connect_websocket
from gateway.simulator.carrier import Callee, HangUp, Script, TwilioNetwork, TwilioRest, Wait
from gateway.simulator.model import ModelServer, ScriptedEngine
from tests.gateway_process import clean_environment
from tests.outbound.test_placed_call import COUNTRIES, FROM, KEY, TOKEN, callee_where_it_is_day, listen, listening
from tests.outbound.twilio_api import ACCOUNT

pytestmark = pytest.mark.e2e
LIMIT_S = 60
TO, ZONE = callee_where_it_is_day()
LISTENS = Callee(ring_s=0.1, script=Script([Wait("agent_done", 30.0), HangUp()]))


async def place(
    folder: Path, callee: Callee, *arguments: str, key: str = KEY, to: str = TO, places_calls: bool = True
) -> tuple[int | None, str, str]:
    """Run the command against a gateway whose carrier is simulated; return exit code, stdout and stderr."""
    (ours, our_url), (theirs, their_url) = listen(), listen()
    agents = AgentsFile.model_validate(
        {"agents": {"sales": {"instructions": "Sell.", "numbers": [FROM], "greeting": "Hi."}}}
    )
    async with (
        asyncio.timeout(LIMIT_S),
        ModelServer(ScriptedEngine()) as model,
        httpx2.AsyncClient(trust_env=False) as http,
    ):
        settings = Settings(
            model_url=model.url,
            public_url=our_url,
            twilio_account_sid=ACCOUNT if places_calls else None,
            twilio_auth_token=SecretStr(TOKEN),
            twilio_api_url=their_url,
            api_keys=(SecretStr(KEY),),
            dial_countries=frozenset(COUNTRIES.split(",")),
            database_url=f"sqlite:///{folder}/gateway.db",
        )
        network = TwilioNetwork(ACCOUNT, TOKEN, http, connect_websocket, seed=1, allow_loopback_ws=True)
        simulated = TwilioRest(network, lambda number: callee).app
        async with listening(simulated, theirs), listening(create_app(settings, agents), ours):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gateway", "call", to, "--agent", "sales", "--url", our_url),
                *("--zone", ZONE, *arguments),
                cwd=folder,
                env=clean_environment(folder, GATEWAY_API_KEYS=key),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await process.communicate()
            return process.returncode, out.decode(), err.decode()


def test_a_call_is_followed_from_placed_to_completed(tmp_path: Path) -> None:
    code, out, err = asyncio.run(place(tmp_path, LISTENS))
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[-1].endswith(": completed") and len(lines) >= 2
    assert TO not in out


def test_with_json_the_last_state_is_the_only_document(tmp_path: Path) -> None:
    code, out, _ = asyncio.run(place(tmp_path, Callee(outcome="busy", ring_s=0.1), "--json"))
    attempt = json.loads(out)
    assert (code, attempt["state"], attempt["agent"]) == (1, "busy", "sales")


@pytest.mark.parametrize(
    ("to", "key", "places_calls", "words"),
    [
        ("+33142685300", KEY, True, ""),
        ("nobody", KEY, True, ""),
        (TO, "another-key-0123456789", True, "does not know the first key of GATEWAY_API_KEYS"),
        (TO, KEY, False, "places no calls"),
    ],
)
def test_a_refusal_is_one_line(tmp_path: Path, to: str, key: str, places_calls: bool, words: str) -> None:
    code, out, err = asyncio.run(place(tmp_path, LISTENS, key=key, to=to, places_calls=places_calls))
    assert (code, out) == (2, "")
    assert err.startswith("gateway: ") and words in err and err.count("\n") == 1
