"""`gateway simulate load`: many calls at once, over real sockets, through a gateway process of its own."""

import asyncio
import gc
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import httpx2
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.simulator.asgi import connect_websocket
from gateway.simulator.carrier import TwilioNetwork
from gateway.simulator.load.callers import Callers
from gateway.simulator.load.judge import Evidence, judge
from gateway.simulator.load.plan import ACCOUNT, CALLED, PUBLIC_URL, LoadPlan
from gateway.simulator.load.probe import probe
from gateway.simulator.load.processes import (
    GatewayProcess,
    LoadFailed,
    ModelProcess,
    start_gateway,
    start_model,
    usage_of,
)
from gateway.simulator.load.reports import CallerLog, ModelReport, from_line
from gateway.store.store import Store

__all__ = ["run_load"]

HANG_S = 90.0
"""Beyond the length of the calls: who is on the line then hangs."""
TALKING_S = 60.0
PIPE_WIDTH = 160


def run_load(calls: int, seconds: float, fault: str, *, as_json: bool = False) -> int:
    """Run it and print what it showed; 1 when a promise was not kept. Raises `ConfigError`, `LoadFailed`."""
    try:
        document = asyncio.run(_run(LoadPlan(calls, seconds, fault)))
    except asyncio.CancelledError:
        raise LoadFailed("stopped by a signal") from None
    if as_json:
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        _print(document)
    return 0 if document["ok"] else 1


async def _run(plan: LoadPlan) -> dict[str, object]:
    task = asyncio.current_task()
    assert task is not None
    # Unhandled, the signal would end this process and leave the other two behind.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with tempfile.TemporaryDirectory(prefix="gateway-load-") as name:
        folder = Path(name)
        limits = httpx2.Limits(max_connections=100)
        async with (
            httpx2.AsyncClient(trust_env=False, timeout=30, limits=limits) as http,
            start_model(folder) as model,
            start_gateway(folder, plan, model.url, http) as gateway,
        ):
            return judge(await _calls(plan, gateway, model, http))


async def _calls(plan: LoadPlan, gateway: GatewayProcess, model: ModelProcess, http: httpx2.AsyncClient) -> Evidence:
    logs = [CallerLog(number) for number in range(plan.calls)]
    seen = Evidence(plan, logs, None, {})
    seen.machine = {"cores": os.cpu_count(), "load_before": [round(one, 2) for one in os.getloadavg()]}
    gc.collect()
    gc.freeze()  # a collection that walks over all modules makes every caller late
    before = gateway.usage()
    callers = Callers(plan, gateway.origin, gateway.auth_token, http, logs)
    try:
        async with asyncio.timeout(plan.ramp_s + plan.turns * plan.turn_s + HANG_S), asyncio.TaskGroup() as group:
            group.create_task(_fault(plan, gateway, model, http, seen), name="fault")
            group.create_task(callers.run(), name="callers")
            group.create_task(probe(model.url, seen.probe, plan.ramp_s + plan.turns * plan.turn_s), name="probe")
    except TimeoutError:
        seen.problems.append("calls were left hanging")
    after = gateway.usage()
    seen.machine |= {"simulator_cpu_s": round(time.process_time(), 1), "model_cpu_s": usage_of(model.process.pid).cpu_s}
    seen.model = await _model_side(plan, model, seen.problems)
    gateway.drain()
    exit_code = await gateway.exit_code()
    if exit_code != 0:
        seen.problems.append(f"the gateway ended with {exit_code}")
    log = gateway.log()
    if "Traceback" in log:
        seen.problems.append("the gateway logged a traceback")
    seen.end_reasons = await _end_reasons(gateway.database_url, plan.calls + 100)
    seen.gateway = {
        "exit_code": exit_code,
        "rss_mb_before": before.rss_mb,
        "rss_mb_after": after.rss_mb,
        "rss_mb_peak": after.peak_mb,
        "cpu_s": after.cpu_s,
        "log_lines": len(log.splitlines()),
    }
    return seen


async def _fault(
    plan: LoadPlan, gateway: GatewayProcess, model: ModelProcess, http: httpx2.AsyncClient, seen: Evidence
) -> None:
    """Strike when everybody talks."""
    if plan.fault == "none":
        return
    loop = asyncio.get_running_loop()
    deadline = loop.time() + plan.ramp_s + TALKING_S
    while not all(log.sent_at for log in seen.callers) and loop.time() < deadline:  # noqa: ASYNC110 - one flag of many callers
        await asyncio.sleep(0.05)
    if not all(log.sent_at for log in seen.callers):
        seen.problems.append("the fault struck before all calls were up")
    if plan.fault == "kill-model":
        model.kill()
        seen.struck_s = loop.time()
        return
    gateway.drain()
    seen.problems += await _refuses_new_calls(gateway, http)


async def _refuses_new_calls(gateway: GatewayProcess, http: httpx2.AsyncClient) -> list[str]:
    """Look at a gateway that has been told to go: not ready, and a new caller is asked to try again."""
    await asyncio.sleep(0.3)
    network = TwilioNetwork(ACCOUNT, gateway.auth_token, http, connect_websocket)
    url = f"{PUBLIC_URL}/twilio/voice"
    form = {"CallSid": "CA" + "9" * 32, "AccountSid": ACCOUNT, "From": "+14155550000", "To": CALLED}
    headers = {"x-twilio-signature": network.sign(url, form)}
    problems = []
    try:
        ready = await http.get(f"{gateway.origin}/readyz")
        voice = await http.post(f"{gateway.origin}/twilio/voice", data=form, headers=headers)
    except httpx2.HTTPError as error:
        return [f"the draining gateway does not answer ({type(error).__name__})"]
    if ready.status_code != 503:
        problems.append(f"/readyz answered {ready.status_code} while draining")
    if "<Redirect" not in voice.text or "<Stream" in voice.text:
        problems.append("a new call was not sent elsewhere while draining")
    return problems


async def _model_side(plan: LoadPlan, model: ModelProcess, problems: list[str]) -> ModelReport | None:
    """Asked while the gateway still lives (unless it drained): sessions must be closed by it, not by its death."""
    if plan.fault == "kill-model":
        return None
    try:
        return from_line(await model.report())
    except (TimeoutError, ValueError, KeyError, TypeError) as error:
        problems.append(f"the model gave no report ({type(error).__name__})")
        return None


async def _end_reasons(database_url: str, limit: int) -> Mapping[str, str]:
    async with Store.open(database_url) as store:
        calls = await store.list_calls(limit)
    return {call.carrier_call_id: call.end_reason for call in calls if call.end_reason is not None}


def _print(document: Mapping[str, object]) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
    table = Table(box=None, show_header=False)
    for name, value in document.items():
        if name not in ("ok", "problems", "problems_in_all") and value is not None:
            table.add_row(Text(name.replace("_", " "), "bold"), Text(_shown(value)))
    console.print(table)
    problems = document["problems"]
    for problem in problems if isinstance(problems, list) else ():
        console.print(Text(f"missed: {problem}", "red"))
    console.print("every bound was kept" if document["ok"] else f"{document['problems_in_all']} bounds were missed")


def _shown(value: object) -> str:
    if not isinstance(value, dict):
        return str(value)
    parts = [(name, f"({_shown(one)})" if isinstance(one, dict) else one) for name, one in value.items()]
    return ", ".join(f"{name} {one}" for name, one in parts if one is not None)
