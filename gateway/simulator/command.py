"""`gateway simulate model` and `gateway simulate call`."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from gateway.config import Settings, load_settings
from gateway.errors import ConfigError
from gateway.simulator.asgi import connect_websocket
from gateway.simulator.carrier import CallPlan, CallReport, Script, TwilioNetwork
from gateway.simulator.engine import Engine
from gateway.simulator.model import ModelOptions, ModelServer, ScriptedEngine, load_scenario
from gateway.simulator.placing import carry_out, knock, read_script, went_well

__all__ = ["place_call", "serve_model"]

ENGINES = ("scripted", "local")
NO_ACCOUNT = "AC" + "0" * 32
CALLER = "+14155550123"


def serve_model(engine: str, scenario: Path | None, host: str, port: int, *, as_json: bool = False) -> None:
    """Serve the Realtime API until SIGINT or SIGTERM. Raises `ConfigError`."""
    asyncio.run(_serve_model(engine, scenario, host, port, as_json=as_json))


def place_call(
    voice_url: str | None,
    script: Path | None,
    clips: Path | None,
    to: str,
    out: Path | None,
    *,
    from_: str = CALLER,
    as_json: bool = False,
) -> int:
    """Call a running gateway; 0 when it went well (`went_well`), else 1.

    Raises `ConfigError`, also when nothing listens there.
    """
    settings = load_settings()
    what = read_script(script, clips)
    origin, plan = _plan(settings, voice_url or f"http://127.0.0.1:{settings.port}/twilio/voice", what, to, from_)
    knock(origin)
    report = carry_out(lambda: (asyncio.run(_call(settings, origin, plan)), {}), out, as_json=as_json)
    return 0 if went_well(report) else 1


# --- the model ------------------------------------------------------------------------------------


async def _serve_model(engine: str, scenario: Path | None, host: str, port: int, *, as_json: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with _engine(engine, scenario) as (chosen, options):
        try:
            async with ModelServer(chosen, options, host=host, port=port) as server:
                _announce(server.url, as_json=as_json)
                await stop.wait()
        except OSError as error:
            raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None


@asynccontextmanager
async def _engine(name: str, scenario: Path | None) -> AsyncIterator[tuple[Engine, ModelOptions]]:
    if name not in ENGINES:
        raise ConfigError(f"--engine must be one of {', '.join(ENGINES)}, not {name[:40]!r}")
    if name == "scripted":
        script = load_scenario(scenario) if scenario is not None else None
        yield ScriptedEngine(script), script.server if script is not None else ModelOptions()
        return
    if scenario is not None:
        raise ConfigError("--scenario is for the scripted engine; the local one thinks for itself")
    from gateway.simulator.local import LocalEngine

    async with await LocalEngine.load() as engine:
        yield engine, ModelOptions()


def _announce(url: str, *, as_json: bool) -> None:
    """Say where the server is, at once: whoever started us waits for this line."""
    if as_json:
        sys.stdout.write(json.dumps({"url": url}) + "\n")
    else:
        base = "http" + url.removeprefix("ws").removesuffix("/realtime")
        sys.stdout.write(
            f"Realtime server: {url}\n\n"
            f"  this gateway     GATEWAY_MODEL_URL={url} gateway serve\n"
            f"  OpenAI's clients OPENAI_BASE_URL={base} OPENAI_API_KEY=any\n"
            "  any WebSocket    connect to the address with ?model=gpt-realtime\n\n"
            "Ctrl-C stops it.\n"
        )
    sys.stdout.flush()


# --- the call -------------------------------------------------------------------------------------


def _plan(settings: Settings, voice_url: str, script: Script, to: str, from_: str) -> tuple[str, CallPlan]:
    """Return where the gateway really listens, and the call."""
    real = urlsplit(voice_url)
    if real.scheme not in ("http", "https") or not real.netloc:
        raise ConfigError("--voice-url must be a URL such as http://127.0.0.1:8080/twilio/voice")
    if settings.twilio_auth_token is None and not settings.allow_unsigned:
        raise ConfigError("TWILIO_AUTH_TOKEN is not set: the gateway would refuse the unsigned call")
    query = f"?{real.query}" if real.query else ""
    plan = CallPlan(
        to=to,
        from_=from_,
        # Signed for the public origin, sent to where the gateway really listens: as through a proxy.
        voice_url=f"{settings.public_url}{real.path}{query}",
        status_callback=f"{settings.public_url}/twilio/status",
        script=script,
    )
    return f"{real.scheme}://{real.netloc}", plan


async def _call(settings: Settings, origin: str, plan: CallPlan) -> CallReport:
    token = settings.twilio_auth_token.get_secret_value() if settings.twilio_auth_token is not None else "unsigned"
    async with httpx2.AsyncClient(trust_env=False) as http:
        network = TwilioNetwork(
            settings.twilio_account_sid or NO_ACCOUNT,
            token,
            http,
            connect_websocket,
            route={settings.public_url: origin},
            allow_loopback_ws=settings.development,
        )
        return await network.call(plan)
