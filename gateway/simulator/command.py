"""`gateway simulate model` and `gateway simulate call`."""

import asyncio
import io
import json
import signal
import socket
import sys
import tempfile
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import httpx2
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.config import Settings, load_settings
from gateway.errors import ConfigError
from gateway.records.latency import measure
from gateway.records.pcm import to_pcm
from gateway.simulator import clips as default_clips
from gateway.simulator.asgi import connect_websocket
from gateway.simulator.carrier import CallPlan, CallReport, Script, TwilioNetwork, load_script, parse_script
from gateway.simulator.engine import Engine
from gateway.simulator.model import ModelOptions, ModelServer, ScriptedEngine, load_scenario

__all__ = ["DEFAULT_SCRIPT", "place_call", "serve_model", "went_well"]

ENGINES = ("scripted", "local")
NO_ACCOUNT = "AC" + "0" * 32
CALLER = "+14155550123"
KNOCK_S = 5.0
BROKEN_ENDS = ("application_error", "redirect_limit")
"""The gateway's instructions could not be had, or never ended."""
PIPE_WIDTH = 160
"""Columns where the output is no terminal."""
DEFAULT_SCRIPT = """
name: listens to the greeting, asks once, listens to the answer, says goodbye
steps:
  - {wait: agent_done, within_s: 20}
  - say: order-01-am_michael
  - {wait: agent_done, within_s: 20, quiet_ms: 900}
  - say: bye-02-am_michael
  - silence: 1
  - hangup
"""


def serve_model(engine: str, scenario: Path | None, host: str, port: int, *, as_json: bool = False) -> None:
    """Serve the Realtime API until SIGINT or SIGTERM. Raises `ConfigError`."""
    asyncio.run(_serve_model(engine, scenario, host, port, as_json=as_json))


def place_call(
    voice_url: str | None, script: Path | None, clips: Path | None, to: str, out: Path | None, *, as_json: bool = False
) -> int:
    """Call a running gateway; 0 when it went well (`went_well`), else 1.

    Raises `ConfigError`, also when nothing listens there.
    """
    settings = load_settings()
    folder = clips or Path(str(default_clips.__file__)).parent
    what = load_script(script, folder) if script is not None else parse_script(DEFAULT_SCRIPT, folder)
    origin, plan = _plan(settings, voice_url or f"http://127.0.0.1:{settings.port}/twilio/voice", what, to)
    _knock(origin)
    with _opened(out) as file:
        report = asyncio.run(_call(settings, origin, plan))
        wav = _wav(report)
        figures = {**report.figures(), "latency": _latency(wav) if report.duration_s else None}
        if out is not None:
            figures["recording"] = str(out)
        if as_json:
            sys.stdout.write(json.dumps(figures, indent=2) + "\n")
        else:
            _print_report(report, figures)
        _keep(wav, file, out)
    return 0 if went_well(report) else 1


def went_well(report: CallReport) -> bool:
    """Whether the agent was heard, the script could be done and no error of ours ended the call.

    Twilio's status of a call is "completed" although all that the caller heard in the end was "an application error".
    """
    fine = report.outcome == "completed" and report.ended_by not in BROKEN_ENDS and report.script_error is None
    return fine and bool(report.media.heard)


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


def _plan(settings: Settings, voice_url: str, script: Script, to: str) -> tuple[str, CallPlan]:
    """Return where the gateway really listens, and the call."""
    real = urlsplit(voice_url)
    if real.scheme not in ("http", "https") or not real.netloc:
        raise ConfigError("--voice-url must be a URL such as http://127.0.0.1:8080/twilio/voice")
    if settings.twilio_auth_token is None and not settings.allow_unsigned:
        raise ConfigError("TWILIO_AUTH_TOKEN is not set: the gateway would refuse the unsigned call")
    query = f"?{real.query}" if real.query else ""
    plan = CallPlan(
        to=to,
        from_=CALLER,
        # Signed for the public origin, sent to where the gateway really listens: as through a proxy.
        voice_url=f"{settings.public_url}{real.path}{query}",
        status_callback=f"{settings.public_url}/twilio/status",
        script=script,
    )
    return f"{real.scheme}://{real.netloc}", plan


def _knock(origin: str) -> None:
    """Raise `ConfigError` when nothing listens: a network would only report that its webhook failed."""
    parts = urlsplit(origin)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), KNOCK_S).close()
    except (OSError, ValueError, UnicodeError):
        raise ConfigError(f"no gateway answers at {origin}; start `gateway serve`, or give --voice-url") from None


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


def _opened(out: Path | None) -> IO[bytes]:
    """Open the file of a call before the call: where it cannot be written nobody need wait to hear so."""
    try:
        return out.open("wb", buffering=0) if out is not None else io.BytesIO()
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror}") from None


def _keep(wav: bytes, file: IO[bytes], out: Path | None) -> None:
    try:
        whole = file.write(wav) == len(wav)
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror}") from None
    if not whole:
        raise ConfigError(f"{out} could be written in part only: the disk is full")


def _wav(report: CallReport) -> bytes:
    """Return both sides as a WAV of 16 bit, which `gateway v2v` reads."""
    memory = io.BytesIO()
    with wave.open(memory, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(to_pcm(report.two_channels()))
    return memory.getvalue()


def _latency(wav: bytes) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "call.wav"
        path.write_bytes(wav)
        return dict(measure(path).to_json())


def _print_report(report: CallReport, figures: dict[str, object]) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
    story = Table("at", "who", "what", box=None)
    for at_s, who, what in sorted(_story(report)):
        story.add_row(f"{at_s:7.2f}", who, Text(what))
    console.print(story)
    facts = Table(box=None, show_header=False)
    for name in ("outcome", "ended_by", "duration_s", "script_error", "underruns", "measurement_is_reliable"):
        if figures[name] is not None:
            facts.add_row(name.replace("_", " "), Text(str(figures[name])))
    latency = figures["latency"]
    if isinstance(latency, dict) and latency["p50_ms"] is not None:
        facts.add_row("voice to voice, p50", f"{latency['p50_ms']} ms")
    if "recording" in figures:
        facts.add_row("recording", Text(str(figures["recording"])))
    console.print(facts)


def _story(report: CallReport) -> list[tuple[float, str, str]]:
    """Return what happened, as the caller's telephone saw it."""
    return [
        *((part.start_s, "agent", f"heard for {part.end_s - part.start_s:.2f} s") for part in report.media.heard),
        *((part.start_s, "caller", f"speaks for {part.end_s - part.start_s:.2f} s") for part in report.media.said),
        *((clear.at_s, "gateway", f"clears {clear.detail} ms") for clear in report.media.clears),
        *((verb.at_s, "verb", verb.name) for verb in report.verbs),
        *((spoken.start_s, "network", f"says: {spoken.text}") for spoken in report.spoken),
        *((warning.at_s, "warning", f"{warning.name} {warning.detail}") for warning in report.warnings),
    ]
