"""The business, a gateway and a model as real processes: a promise made in a call is kept in the same call."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.business import agents_section
from gateway.store.store import Store
from tests.business.shop import SECRET, in_loop
from tests.gateway_process import clean_environment, free_port, serving

pytestmark = pytest.mark.e2e
LIMIT_S = 120
TOKEN, PUBLIC = "a-twilio-token", "https://gw.example.com"
REFUND = "{name: refund_order, arguments: {order_id: '7184'}}"
SCENARIO = f"""
turns:
  - {{heard: Please refund order 7184, calls: [{REFUND}], result: "Do you really want that?"}}
  - {{heard: "Yes, please", calls: [{REFUND}], result: The bank is working on it.}}
"""
SCRIPT = """
steps:
  - {wait: agent_done, within_s: 20}
  - say: order-01-am_michael
  - {wait: agent_done, within_s: 20, quiet_ms: 900}
  - say: yes-02-am_michael
  - {wait: agent_done, within_s: 20, quiet_ms: 900}
  - silence: 8
  - hangup
"""


@asynccontextmanager
async def started(folder: Path, *arguments: str, port: int = 0, **settings: str) -> AsyncIterator[Mapping[str, Any]]:
    """Start a command that says in a line of JSON that it is ready; yield that."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "simulate", *arguments, "--port", str(port), "--json"),
        cwd=folder,
        env=clean_environment(folder, **settings),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(LIMIT_S):
            yield json.loads(await process.stdout.readline())
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@in_loop
async def test_a_refund_is_asked_for_twice_done_once_and_told_in_the_same_call(tmp_path: Path) -> None:
    (tmp_path / "scenario.yaml").write_text(SCENARIO)
    (tmp_path / "script.yaml").write_text(SCRIPT)
    secret = {"GATEWAY_WEBHOOK_SECRET": SECRET}
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(started(tmp_path, "model", "--scenario", "scenario.yaml"))
        settings = {
            **secret,
            "GATEWAY_PUBLIC_URL": PUBLIC,
            "TWILIO_AUTH_TOKEN": TOKEN,
            "GATEWAY_MODEL_URL": model["url"],
            "GATEWAY_WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8",
        }
        port = free_port()
        agents = agents_section(f"http://127.0.0.1:{port}")
        served = await stack.enter_async_context(serving(tmp_path, settings, agents))
        to = ("--gateway", served.origin)
        business = await stack.enter_async_context(started(tmp_path, "business", *to, port=port, **secret))
        caller = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "simulate", "call", "--script", "script.yaml", "--json"),
            *("--voice-url", f"{served.origin}/twilio/voice"),
            cwd=tmp_path,
            env=clean_environment(tmp_path, GATEWAY_PUBLIC_URL=PUBLIC, TWILIO_AUTH_TOKEN=TOKEN),
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(LIMIT_S):
            await caller.communicate()
        async with httpx2.AsyncClient(trust_env=False) as http:
            seen = (await http.get(f"{business['url']}/log")).json()
        async with Store.open(f"sqlite:///{tmp_path / 'gateway.db'}") as store:
            (call,) = await store.list_calls()
            ledger = await store.invocations_of(call.carrier_call_id)
    assert caller.returncode == 0
    assert [row["outcome"] for row in seen["promises"]] == ["delivered"]
    assert [row["what"] for row in seen["log"] if row["what"] in ("refund_order", "late result")] == [
        "refund_order",
        "late result",
    ]
    assert [(row.tool, row.state) for row in ledger] == [("refund_order", "done")]
    assert json.loads(ledger[0].output or "")["status"] == "refunded"
