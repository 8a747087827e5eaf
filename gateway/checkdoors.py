"""Which carriers' doors open with these settings, and what the agents ask of carriers that they cannot do."""

from collections.abc import Mapping
from importlib import import_module

from gateway.agents import AgentsFile
from gateway.app import create_app
from gateway.config import Settings
from gateway.dooradvice import by_asterisk, door_advice
from gateway.doors import DoorShut
from gateway.errors import CarrierError, ConfigError
from gateway.findings import CheckResult, Finding, run_check
from gateway.store.memory import MemoryStore

__all__ = ["check_ari", "check_doors"]

NOBODY = AgentsFile.model_validate({"agents": {"nobody": {"instructions": "None.", "default": True}}})
"""Stands in for an agents file that cannot be read: the doors do not depend on it."""
LACKING = ("is not set", "needs", "needed", "set GATEWAY_")
"""Words of a message about a setting that is missing; any other is about one that is wrong."""


def check_doors(settings: Settings, agents: AgentsFile | None) -> list[CheckResult]:
    """Open every door as `serve` does, without serving; then look for wishes that a carrier cannot fulfil.

    `agents` is None where the file has errors.
    """
    said = list(door_advice(settings, agents))
    try:
        app = create_app(settings, agents or NOBODY, store=MemoryStore())
    except ConfigError as error:
        return [CheckResult("doors", False, str(error), _fix(error)), *said]
    names = [carrier.name for carrier in app.state.gateway.carriers if carrier.name != "twilio"]
    if settings.twilio_auth_token is not None:
        names.insert(0, "twilio")
    if settings.browser_phone:
        names.append("browser")
    opened = CheckResult("doors", True, f"open: {', '.join(names)}" if names else "none is open")
    warm = _warm_targets(agents) if agents is not None else []
    return [opened, *said, *(_warm(name, warm) for name in names if warm and _lacks_warm(name))]


async def check_ari(settings: Settings) -> list[CheckResult]:
    """Ask Asterisk's REST interface who it is; nothing where no call comes from an Asterisk, or there is no ARI."""
    if settings.asterisk_ari_url is None or not by_asterisk(settings):
        return []
    return [await run_check("asterisk ari", _ari(settings, settings.asterisk_ari_url))]


async def _ari(settings: Settings, url: str) -> str:
    from gateway.carriers.asterisk.rest import Ari

    password = settings.asterisk_ari_password
    ari = Ari(url, settings.asterisk_ari_username, password.get_secret_value() if password is not None else "")
    try:
        version = await ari.version()
    except CarrierError as error:
        if error.code in ("401", "403"):
            fix = "correct GATEWAY_ASTERISK_ARI_USERNAME and GATEWAY_ASTERISK_ARI_PASSWORD, as in ari.conf"
        else:
            fix = "see that http.conf and ari.conf of Asterisk have enabled = yes, and correct GATEWAY_ASTERISK_ARI_URL"
        raise Finding(str(error), fix) from None
    finally:
        await ari.close()
    return f"answers, Asterisk {version}"


def _fix(error: ConfigError) -> str:
    text = str(error)
    if "extra `browser`" in text:
        return "install it, or take away GATEWAY_BROWSER_PHONE"
    if any(words in text for words in LACKING):
        return "set it, or take away the setting that opens this door"
    return f"correct it; see gateway/carriers/{error.door}/README.md" if isinstance(error, DoorShut) else "correct it"


def _warm(name: str, targets: list[str]) -> CheckResult:
    detail = f"cannot transfer warm: callers who come by it are refused the targets {', '.join(targets)}"
    return CheckResult(
        f"door {name}", True, detail, "make them `mode: blind` if such callers shall be transferred", True
    )


def _lacks_warm(name: str) -> bool:
    """Tell whether it is to be said; of OpenAI's SIP endpoint `sip_advice` says it, agent by agent."""
    capabilities: Mapping[str, str] = vars(import_module(f"gateway.carriers.{name}")).get("CAPABILITIES", {})
    return name != "openai_sip" and capabilities.get("transfer_warm", "").startswith("no")


def _warm_targets(agents: AgentsFile) -> list[str]:
    sections = [agent.transfer for agent in agents.agents.values() if agent.transfer is not None]
    return sorted({name for section in sections for name, entry in section.targets.items() if entry.mode == "warm"})
