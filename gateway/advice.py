"""What `gateway check` says about how agents behave: settings that each are sound and together do not work as meant.

Nothing here looks outside. What cannot work at all is a failure; what works otherwise than its writer may think is a
warning.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gateway.agents import Agent, AgentsFile, Manual, ServerVad, Transfer
from gateway.config import Settings

__all__ = ["CheckResult", "advice"]

ENGLISH = "en"


@dataclass(slots=True, frozen=True)
class CheckResult:
    """What one check found."""

    name: str
    ok: bool
    detail: str
    fix: str = ""
    """What to do about it; empty when nothing is."""
    warning: bool = False
    """Calls will work, but something is not as it should be; `ok` is true."""


def advice(settings: Settings, agents: AgentsFile) -> Iterator[CheckResult]:
    """Yield what there is to say, agent by agent; nothing about an agent in which all is plain."""
    owners = {number: agent.name for agent in agents.agents.values() for number in agent.numbers}
    for agent in agents.agents.values():
        if agent.transfer is not None:
            yield from _transfer(settings, agent.name, agent.transfer, owners)
        yield from _digits(settings, agent)
        yield from _turns(settings, agent)
        yield from _barge_in(agent)


def _warning(name: str, detail: str, fix: str) -> CheckResult:
    return CheckResult(name, True, detail, fix, True)


def _transfer(settings: Settings, agent: str, transfer: Transfer, owners: Mapping[str, str]) -> Iterator[CheckResult]:
    name = f"transfer of {agent}"
    if settings.twilio_account_sid is None or (
        settings.twilio_auth_token is None and settings.twilio_api_key_secret is None
    ):
        # A failure, though calls are answered: the agent offers callers a human whom it can never reach. Nobody but
        # this machine calls a gateway in development.
        yield CheckResult(
            name,
            settings.development,
            "the carrier cannot be asked: every transfer will fail",
            "set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN (or an API key), or take `transfer` out of the agents file",
            settings.development,
        )
    else:
        yield CheckResult(name, True, f"targets: {len(transfer.targets)}")
    for target, entry in transfer.targets.items():
        place = f"target {agent}/{target}"
        if entry.number in owners:
            fix = "a call of its own is made from this gateway to itself; name the number of a person, or of a queue"
            yield _warning(place, f"its number is that of agent {owners[entry.number]}", fix)
        if entry.mode == "warm" and entry.accept_key == "":
            fix = 'set accept_key: "1"; without one a voicemail takes the caller'
            yield _warning(place, "whoever answers has accepted, machines too", fix)


def _digits(settings: Settings, agent: Agent) -> Iterator[CheckResult]:
    if agent.collect_digits and not settings.api_keys:
        yield _warning(
            f"digits of {agent.name}",
            "digits keyed in secretly become a token, and nobody can redeem it: there is no API key",
            "set GATEWAY_API_KEYS (`gateway key NAME` makes one) for the system that redeems tokens",
        )


def _turns(settings: Settings, agent: Agent) -> Iterator[CheckResult]:
    turns, name = agent.turn_detection, f"turn-taking of {agent.name}"
    if isinstance(turns, Manual) and turns.key is None and not turns.own_ear:
        fix = 'set key: "#" (in quotes: a bare # begins a comment) or own_ear: true, if callers should end turns'
        if settings.api_keys:
            yield _warning(name, "only commands of the API end the caller's turns", fix)
        else:
            detail = "nothing ends the caller's turns: there is neither a key nor own_ear, and the API has no key"
            yield CheckResult(name, False, detail, fix)
    if isinstance(turns, ServerVad) and turns.idle_timeout_ms is not None and agent.idle is not None:
        fix = "remove idle_timeout_ms; `idle` prompts by the clock, noise or not, and ends the call"
        yield _warning(name, "both idle and idle_timeout_ms make the agent speak up in a silence", fix)


def _barge_in(agent: Agent) -> Iterator[CheckResult]:
    if not agent.barge_in.reversible:
        return
    name = f"barge-in of {agent.name}"
    if agent.transcription is None:
        fix = "set transcription: {} if words should decide; without it a long cough is an interruption"
        yield _warning(name, "without transcription only the length of the caller's speech is judged", fix)
    elif agent.barge_in.backchannels is None and agent.language not in (None, ENGLISH):
        fix = "set backchannels to the words with which listeners of that language say that they listen"
        yield _warning(name, f"the words that do not interrupt are English, and the language is {agent.language}", fix)
