"""What `gateway check` and `gateway serve` say about doors that open and yet do not do what their owner may think.

Nothing here looks outside and nothing is a failure: calls are taken.
"""

from collections.abc import Iterator

from gateway.agents import AgentsFile
from gateway.carrierconfig import MIN_SECRET_CHARS
from gateway.config import Settings
from gateway.findings import CheckResult

__all__ = ["by_asterisk", "door_advice"]


def door_advice(settings: Settings, agents: AgentsFile | None) -> Iterator[CheckResult]:
    """Yield what there is to say; without `agents`, what can be said of the settings alone."""
    if settings.browser_phone and not settings.development and not settings.api_keys:
        detail = "nobody can sign in at /console: there is no API key"
        yield _warning("door browser", detail, "set GATEWAY_API_KEYS (`gateway key NAME` makes one)")
    for name in settings.short_secrets:
        detail = f"fewer than {MIN_SECRET_CHARS} characters, and whoever guesses it is let in"
        yield _warning(f"secret {name}", detail, "take a longer one, such as `openssl rand -hex 16` makes")
    if by_asterisk(settings) and settings.asterisk_ari_url is None:
        yield _without_ari(agents)


def by_asterisk(settings: Settings) -> bool:
    """Whether calls come from an Asterisk, which is asked by ARI."""
    return not {"asterisk", "audiosocket"}.isdisjoint(settings.doors)


def _without_ari(agents: AgentsFile | None) -> CheckResult:
    detail = "GATEWAY_ASTERISK_ARI_URL is not set: callers by Asterisk cannot be transferred, calls do not end tidily"
    promising = [agent.name for agent in agents.agents.values() if agent.transfer is not None] if agents else []
    if promising:
        detail += f"; every transfer by {', '.join(promising)} will fail"
    fix = "set it and GATEWAY_ASTERISK_ARI_PASSWORD, see gateway/carriers/asterisk/README.md"
    return _warning("asterisk ari", detail, fix)


def _warning(name: str, detail: str, fix: str) -> CheckResult:
    return CheckResult(name, True, detail, fix, True)
