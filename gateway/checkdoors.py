"""Which carriers' doors open with these settings, and what the agents ask of carriers that they cannot do."""

from importlib import import_module

from gateway.agents import AgentsFile
from gateway.app import create_app
from gateway.config import Settings
from gateway.errors import ConfigError
from gateway.findings import CheckResult
from gateway.store.memory import MemoryStore

__all__ = ["check_doors"]


def check_doors(settings: Settings, agents: AgentsFile) -> list[CheckResult]:
    """Open every door as `serve` does, without serving; then look for wishes that a carrier cannot fulfil."""
    try:
        app = create_app(settings, agents, store=MemoryStore())
    except ConfigError as error:
        return [CheckResult("doors", False, str(error), "set it, or take away the setting that opens this door")]
    names = [carrier.name for carrier in app.state.gateway.carriers if carrier.name != "twilio"]
    if settings.twilio_auth_token is not None:
        names.insert(0, "twilio")
    opened = CheckResult("doors", True, f"open: {', '.join(names)}" if names else "none is open")
    return [opened, *(_warm(name, agents) for name in names if _lacks_warm(name) and _warm_targets(agents))]


def _warm(name: str, agents: AgentsFile) -> CheckResult:
    targets = ", ".join(_warm_targets(agents))
    detail = f"cannot transfer warm: callers who come by it are refused the targets {targets}"
    return CheckResult(
        f"door {name}", True, detail, "make them `mode: blind` if such callers shall be transferred", True
    )


def _lacks_warm(name: str) -> bool:
    capabilities: dict[str, str] = import_module(f"gateway.carriers.{name}").CAPABILITIES if name != "twilio" else {}
    return capabilities.get("transfer_warm", "").startswith("no")


def _warm_targets(agents: AgentsFile) -> list[str]:
    sections = [agent.transfer for agent in agents.agents.values() if agent.transfer is not None]
    return sorted({name for section in sections for name, entry in section.targets.items() if entry.mode == "warm"})
