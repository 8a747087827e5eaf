"""The whole way on loopback: our API, the official client, the simulated Twilio network, its signed callbacks."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx2
import pytest
import uvicorn
from pydantic import SecretStr
from starlette.types import ASGIApp

from gateway.agents import AgentsFile
from gateway.app import create_app
from gateway.config import Settings
from gateway.simulator.asgi import connect_websocket
from gateway.simulator.carrier import CallbackFaults, Callee, HangUp, Script, TwilioNetwork, Wait
from gateway.simulator.carrier.rest import TwilioRest
from gateway.simulator.model import ModelServer, ScriptedEngine
from gateway.store import StoredCall
from gateway.store.store import Store
from tests.outbound.twilio_api import ACCOUNT

pytestmark = pytest.mark.e2e

TOKEN = "0123456789abcdef0123456789abcdef"
KEY = "key-0123456789abcdef"
FROM = "+14155550100"


CALLEES = {
    "Europe/London": "+442071838750",
    "Asia/Kolkata": "+912266778899",
    "Asia/Tokyo": "+81332103456",
    "Pacific/Auckland": "+6493018000",
    "Pacific/Honolulu": "+18089234567",
    "America/New_York": "+12127365000",
}
COUNTRIES = "GB,IN,JP,NZ,US"


def callee_where_it_is_day() -> tuple[str, str]:
    """Return a number and its zone: the gateway keeps calling hours by the real clock."""
    return next((CALLEES[zone], zone) for zone in CALLEES if 10 <= datetime.now(ZoneInfo(zone)).hour < 18)


@asynccontextmanager
async def listening(app: ASGIApp, listener: socket.socket) -> AsyncIterator[None]:
    server = uvicorn.Server(uvicorn.Config(app, log_config=None))
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve([listener]))
        try:
            yield
        finally:
            server.should_exit = True


def listen() -> tuple[socket.socket, str]:
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


async def state_after(
    callee: Callee, faults: CallbackFaults, folder: Path, model_url: str = "ws://127.0.0.1:9/v1/realtime"
) -> list[str]:
    """Place one call; return the states that were seen, from the answer to the network's last word."""
    (ours, our_url), (theirs, their_url) = listen(), listen()
    settings = Settings(
        model_url=model_url,
        public_url=our_url,
        twilio_account_sid=ACCOUNT,
        twilio_auth_token=SecretStr(TOKEN),
        twilio_api_url=their_url,
        api_keys=(SecretStr(KEY),),
        dial_countries=frozenset(COUNTRIES.split(",")),
        database_url=f"sqlite+aiosqlite:///{folder}/gateway.db",
    )
    agents = AgentsFile.model_validate(
        {"agents": {"sales": {"instructions": "Sell.", "numbers": [FROM], "greeting": "Hi."}}}
    )
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx2.AsyncClient(trust_env=False) as http:
        network = TwilioNetwork(ACCOUNT, TOKEN, http, connect_websocket, faults=faults, seed=1, allow_loopback_ws=True)
        simulated = TwilioRest(network, lambda number: callee).app
        async with listening(simulated, theirs), listening(create_app(settings, agents), ours):
            to, zone = callee_where_it_is_day()
            body = {"to": to, "agent": "sales", "zone": zone}
            placed = await http.post(f"{our_url}/v1/calls", json=body, headers=headers)
            assert placed.status_code == 202, placed.text
            (call,) = network.calls.values()
            assert (call.facts.to, call.facts.from_, call.facts.call_sid) == (to, FROM, placed.json()["call_sid"])
            states = [placed.json()["state"]]
            async with asyncio.timeout(10):
                while states[-1] in ("placed", "initiated", "ringing", "in-progress"):
                    shown = await http.get(f"{our_url}/v1/calls/{placed.json()['attempt_id']}", headers=headers)
                    states.append(shown.json()["state"])
            return states


@pytest.mark.parametrize("faults", [CallbackFaults(), CallbackFaults(duplicate=True, swap=True)])
@pytest.mark.parametrize("outcome", ["busy", "failed"])
def test_a_call_that_nobody_takes_ends_in_the_networks_word(
    tmp_path: Path, outcome: str, faults: CallbackFaults
) -> None:
    callee = Callee(outcome="busy" if outcome == "busy" else "failed", ring_s=0.2)
    states = asyncio.run(state_after(callee, faults, tmp_path))
    assert (states[0], states[-1]) == ("placed", outcome)


async def answered_call(folder: Path) -> tuple[list[str], StoredCall, bool]:
    """Place a call that is answered; return its states, its record, and whether the callee heard the agent."""
    callee = Callee(ring_s=0.1, script=Script([Wait("agent_done"), HangUp()]))
    async with ModelServer(ScriptedEngine()) as model:
        states = await state_after(callee, CallbackFaults(), folder, model.url)
        (session,) = model.sessions
        heard = any(spoken.audio for spoken in session.spoken.values())
    async with Store.open(f"sqlite+aiosqlite:///{folder}/gateway.db") as store:
        (record,) = await store.list_calls()
    return states, record, heard


def test_an_answered_call_goes_the_same_way_as_one_that_comes_in(tmp_path: Path) -> None:
    states, record, heard = asyncio.run(answered_call(tmp_path))
    assert states[-1] == "completed"
    assert heard
    assert (record.direction, record.agent, record.end_reason) == ("outbound", "sales", "caller_hangup")
