"""`gateway simulate carrier NAME`: calls a running gateway as that carrier would, signed with the secrets it has."""

import asyncio
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from gateway.config import Settings, is_loopback, load_settings
from gateway.errors import ConfigError
from gateway.simulator.carrier import CallReport, Script, parties
from gateway.simulator.carriers.advice import ELSEWHERE_PORT, SIDES, port_of
from gateway.simulator.carriers.live import Plan
from gateway.simulator.carriers.network import Carrier, CarrierNetwork
from gateway.simulator.carriers.report import CarrierReport
from gateway.simulator.command import place_call
from gateway.simulator.openai_sip.run import SipOptions, serving
from gateway.simulator.openai_sip.run import run as run_sip
from gateway.simulator.placing import carry_out, knock, read_script, went_well

__all__ = ["NAMES", "Wish", "call_as"]

FRAMED = ("telnyx", "signalwire", "plivo", "vonage", "jambonz", "genesys", "asterisk", "audiosocket")
NAMES = ("twilio", *FRAMED, "openai-sip")
LOCAL = "127.0.0.1"
INTERRUPTED = 128 + signal.SIGINT
HUMAN_TALKS_S = 10.0
"""Whoever the caller is transferred to answers, and talks so long."""
ACCEPT_KEY = "1"
"""They press it, in case they are asked whether they take the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for on the command line; None is the default."""

    url: str | None
    script: Path | None
    clips: Path | None
    to: str
    from_: str
    agent: str
    rest_port: int | None
    out: Path | None
    as_json: bool


def call_as(name: str, wish: Wish) -> int:
    """Call a running gateway; 0 when it went well, 130 when interrupted, else 1.

    Raises `ConfigError` for what the user can mend.
    """
    try:
        return _call_as(name, wish)
    except KeyboardInterrupt:
        (sys.stdout if wish.as_json else sys.stderr).write(
            '{"error": "interrupted"}\n' if wish.as_json else "interrupted\n"
        )
        return INTERRUPTED


def _call_as(name: str, wish: Wish) -> int:
    if name not in NAMES:
        near = get_close_matches(name, NAMES, 1)
        known = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(NAMES)}"
        raise ConfigError(f"no carrier {name[:40]!r} is simulated; {known}")
    if name == "twilio":
        voice = f"{wish.url.rstrip('/')}/twilio/voice" if wish.url else None
        return place_call(voice, wish.script, wish.clips, wish.to, wish.out, from_=wish.from_, as_json=wish.as_json)
    settings = load_settings()
    origin = _origin(settings, wish.url)
    what = read_script(wish.script, wish.clips)
    if name == "openai-sip":
        return _as_openai(settings, origin, what, wish)
    carrier: Carrier = import_module(f"gateway.simulator.carriers.{name}").CARRIER
    return _as_carrier(carrier, settings, origin, what, wish)


def _origin(settings: Settings, url: str | None) -> str:
    """Return where the gateway really listens."""
    real = (url or f"http://{LOCAL}:{settings.port}").rstrip("/")
    parts = urlsplit(real)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path or parts.query:
        raise ConfigError("--url must be an origin such as http://127.0.0.1:8080")
    return real


# --- carriers in the frame ------------------------------------------------------------------------


def _as_carrier(carrier: Carrier, settings: Settings, origin: str, what: Script, wish: Wish) -> int:
    keys = carrier.keys(settings)
    port = _rest_port(carrier, settings, wish.rest_port)
    plan = Plan(to=wish.to, from_=wish.from_, agent=wish.agent, script=what)
    knock(origin, "--url")

    def place() -> tuple[CallReport, Mapping[str, object]]:
        report = asyncio.run(_call(carrier, keys, settings.public_url, origin, port, plan))
        return report.call, {**report.figures(), **_advice(carrier, report, port)}

    report = carry_out(place, wish.out, as_json=wish.as_json)
    return 0 if went_well(report) else 1


async def _call(
    carrier: Carrier, keys: Mapping[str, str], public_url: str, origin: str, port: int | None, plan: Plan
) -> CarrierReport:
    async with httpx2.AsyncClient(trust_env=False) as http:
        network = CarrierNetwork(
            carrier,
            keys,
            http,
            public_url=public_url,
            real_url=origin,
            everybody=parties.accepts(ACCEPT_KEY, talk_s=HUMAN_TALKS_S),
            seed=secrets.randbits(64),  # the gateway takes no call twice, so each needs an id of its own
        )
        async with _rest(network, port):
            return await network.call(plan)


@asynccontextmanager
async def _rest(network: CarrierNetwork, port: int | None) -> AsyncIterator[None]:
    if network.rest is None or port is None:
        yield
        return
    async with serving(network.rest, LOCAL, port):
        yield


def _rest_port(carrier: Carrier, settings: Settings, asked: int | None) -> int | None:
    """Return where the carrier's REST API is served; None: the gateway would not ask there, or there is none.

    It is for the gateway's own settings to send its requests here. Raises `ConfigError` when they do not and the
    carrier cannot even be answered without.
    """
    if not carrier.rest_setting:
        return None
    configured = str(settings.model_dump(include={carrier.rest_setting})[carrier.rest_setting] or "")
    parts = urlsplit(configured)
    ours = parts.port if configured and is_loopback(parts.hostname or "") else None
    if asked is not None and ours != asked:
        return asked
    if ours is None and carrier.needs_rest:
        raise ConfigError(
            f"the gateway answers calls by REST, which it would ask of {parts.netloc or 'nobody'}: "
            f"start it, and this, with {_variable(carrier)}=http://{LOCAL}:{asked or port_of(carrier.name)}"
        )
    return ours


def _advice(carrier: Carrier, report: CarrierReport, port: int | None) -> Mapping[str, object]:
    """Say what is wrong where the gateway has asked for nothing by REST."""
    heard = any(event.detail.startswith("2") for event in report.call.webhooks)
    if not carrier.rest_setting or report.requests or not heard:
        return {}
    setting = f"{_variable(carrier)}=http://{LOCAL}:{port or port_of(carrier.name)}"
    if port is None:
        needs = " and ".join([setting, *(SIDES[carrier.name].rest_needs if carrier.name in SIDES else ())])
        return {"note": f"transfers and the like were not simulated: they need {needs} in the gateway's settings"}
    if carrier.needs_rest:
        return {"note": f"the gateway has asked nothing of the simulated API: start it with {setting}"}
    return {}


def _variable(carrier: Carrier) -> str:
    return f"GATEWAY_{carrier.rest_setting.upper()}"


# --- OpenAI's SIP endpoint ------------------------------------------------------------------------


def _as_openai(settings: Settings, origin: str, what: Script, wish: Wish) -> int:
    if settings.openai_webhook_secret is None:
        raise ConfigError("OPENAI_WEBHOOK_SECRET is not set: the gateway takes no SIP call")
    model = urlsplit(settings.model_url)
    if not is_loopback(model.hostname or "") or (wish.rest_port is not None and model.port != wish.rest_port):
        port = wish.rest_port or ELSEWHERE_PORT
        raise ConfigError(
            "the gateway would look for the call at its model's address: start it, and this, with "
            f"GATEWAY_MODEL_URL=ws://{LOCAL}:{port}/v1/realtime"
        )
    options = SipOptions(
        script=what,
        secret=settings.openai_webhook_secret.get_secret_value(),
        to=wish.to,
        from_=wish.from_,
        port=model.port or 80,
    )
    knock(origin, "--url")

    def place() -> tuple[CallReport, Mapping[str, object]]:
        report = asyncio.run(run_sip(f"{origin}/openai/incoming", options))
        return report.call, {"carrier": "openai-sip", **report.figures()}

    report = carry_out(place, wish.out, as_json=wish.as_json)
    return 0 if went_well(report) else 1
