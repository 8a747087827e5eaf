"""The whole of it over real sockets: webhook, calls endpoints and sideband on loopback ports, in real time."""

import asyncio
import socket
from pathlib import Path

from gateway.agents import load_agents
from gateway.app import Gateway, create_app
from gateway.config import Settings
from gateway.core.commands import EndReason
from gateway.simulator.carrier.script import HangUp, Script, Wait
from gateway.simulator.model import Scenario, ScriptedEngine
from gateway.simulator.openai_sip.run import SipOptions, run, serving
from gateway.simulator.world import world_settings
from gateway.store.memory import MemoryStore
from tests.openai_sip.stage import SIP_SECRET
from tests.world import NUMBER

AGENTS = f"""
agents:
  support: {{numbers: ["{NUMBER}"], instructions: You help., greeting: Hello.}}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def test_a_call_over_real_sockets(tmp_path: Path) -> None:
    path = tmp_path / "agents.yaml"
    path.write_text(AGENTS, encoding="utf-8")
    port = free_port()
    settings = Settings.alone(
        world_settings(tmp_path, path)
        | {
            "model_url": f"ws://127.0.0.1:{port}/v1/realtime",
            "openai_api_key": "sk-test",
            "openai_webhook_secret": SIP_SECRET,
        }
    )
    store = MemoryStore()

    async def main() -> None:
        app = create_app(settings, load_agents(path), store=store)
        gateway: Gateway = app.state.gateway
        options = SipOptions(
            script=Script([Wait("agent_done", quiet_ms=300), HangUp()]),
            secret=SIP_SECRET,
            to=NUMBER,
            port=port,
            api_key="sk-test",
            engine=ScriptedEngine(Scenario()),
        )
        async with serving(app, "127.0.0.1", 0) as gateway_port:
            report = await run(f"http://127.0.0.1:{gateway_port}/openai/incoming", options)
            await gateway.registry.empty()
        assert (report.outcome, report.call.script_error, report.deliveries) == ("completed", None, [200])
        assert report.sidebands == 1
        assert [event.name for event in report.requests] == ["accept"] or report.requests[-1].name == "hangup"

    asyncio.run(main())
    (call,) = store.calls.values()
    assert call.end_reason == EndReason.CALLER_HANGUP
