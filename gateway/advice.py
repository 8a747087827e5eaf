"""What `gateway check` says about how agents behave: settings that each are sound and together do not work as meant.

Nothing here looks outside. What cannot work at all is a failure; what works otherwise than its writer may think is a
warning.
"""

from collections.abc import Iterator, Mapping

from gateway.agents import Agent, AgentsFile, Manual, ServerVad, Transfer
from gateway.agents.template import names
from gateway.config import Settings
from gateway.findings import CheckResult
from gateway.sipadvice import sip_advice

__all__ = ["CheckResult", "advice"]

ENGLISH = "en"
CONFIRMING_KEY = "1"
OF_THE_CALL = frozenset({"caller", "called"})
"""Variables that are known when a call is offered."""
MAX_LISTED = 5


def advice(settings: Settings, agents: AgentsFile) -> Iterator[CheckResult]:
    """Yield what there is to say, agent by agent; nothing about an agent in which all is plain."""
    owners = {number: agent.name for agent in agents.agents.values() for number in agent.numbers}
    for agent in agents.agents.values():
        if agent.transfer is not None:
            yield from _transfer(settings, agent.name, agent.transfer, owners)
        yield from _callbacks(settings, agent)
        yield from _digits(settings, agent)
        yield from _turns(settings, agent)
        yield from _barge_in(agent)
        yield from _languages(agent)
        yield from _writes(agent)
        yield from _confirmations(agent)
        yield from _claims(agent)
        yield from _variables(agent)
    yield from sip_advice(settings, agents)


def _warning(name: str, detail: str, fix: str) -> CheckResult:
    return CheckResult(name, True, detail, fix, True)


def _transfer(settings: Settings, agent: str, transfer: Transfer, owners: Mapping[str, str]) -> Iterator[CheckResult]:
    name = f"transfer of {agent}"
    if not _can_dial(settings) and not settings.can_transfer:
        # A failure, though calls are answered: the agent offers callers a human whom it can never reach. Nobody but
        # this machine calls a gateway in development.
        needed = "what REST needs (see gateway/carriers/NAME/README.md)"
        if not settings.doors:
            needed = "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN (or an API key)"
        fix = f"set {needed}, or take `transfer` out of the agents file"
        detail = "the carrier cannot be asked: every transfer will fail"
        yield CheckResult(name, settings.development, detail, fix, settings.development)
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


def _can_dial(settings: Settings) -> bool:
    """Whether the carrier can be asked for anything beside the stream of a call."""
    keys = (settings.twilio_auth_token, settings.twilio_api_key_secret)
    return settings.twilio_account_sid is not None and any(key is not None for key in keys)


def _callbacks(settings: Settings, agent: Agent) -> Iterator[CheckResult]:
    if agent.schedule_callback is None:
        return
    lacking = [] if _can_dial(settings) else ["TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN (or an API key)"]
    lacking += [] if settings.dial_countries else ["GATEWAY_DIAL_COUNTRIES"]
    if lacking:
        fix = f"set {' and '.join(lacking)}, or take `schedule_callback` out of the agents file"
        detail = "callers are promised calls that cannot be placed"
        yield CheckResult(f"callbacks of {agent.name}", settings.development, detail, fix, settings.development)


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


def _languages(agent: Agent) -> Iterator[CheckResult]:
    if agent.set_language is None:
        return
    name = f"languages of {agent.name}"
    if agent.transcription is None:
        fix = "remove set_language; the model speaks any language by itself, only the transcription must be told"
        yield _warning(name, "without transcription set_language changes nothing", fix)
    elif agent.language is not None and agent.language not in agent.set_language:
        fix = f"add {agent.language} to set_language"
        yield _warning(name, f"there is no way back to {agent.language}, in which calls begin", fix)


def _writes(agent: Agent) -> Iterator[CheckResult]:
    tools = [tool.name for tool in agent.tools if tool.effect == "write" and not tool.idempotent]
    if tools:
        yield _warning(
            f"writes of {agent.name}",
            f"of {_listed(tools)} a lost answer stays unknown: nobody asks again",
            "if your server honours the Idempotency-Key, say idempotent: true; if it changes nothing, effect: read",
        )


def _confirmations(agent: Agent) -> Iterator[CheckResult]:
    turns, name = agent.turn_detection, f"confirmations of {agent.name}"
    asked = [tool for tool in agent.tools if tool.requires_confirmation]
    by_key = [tool.name for tool in asked if tool.requires_confirmation == "key"]
    if by_key and isinstance(turns, Manual) and turns.key == CONFIRMING_KEY:
        detail = f"the key {CONFIRMING_KEY} ends the caller's turn and confirms {_listed(by_key)}"
        yield _warning(name, detail, 'set another key of turn_detection, such as "#"')
    reads = [tool.name for tool in asked if tool.effect == "read"]
    if reads:
        fix = "remove requires_confirmation, or say effect: write if something is changed"
        yield _warning(name, f"callers are asked before {_listed(reads)}, which changes nothing", fix)


def _claims(agent: Agent) -> Iterator[CheckResult]:
    imported = [said for document in agent.openapi for said in (document.defaults, *document.tools.values())]
    imported += [said for server in agent.mcp for said in (server.defaults, *server.overrides.values())]
    listed = any(tool.claims for tool in agent.tools) or any(said.claims for said in imported)
    if agent.correct_claims and not listed:
        fix = 'list phrases of the agent\'s language in `claims` of the tools, such as "I have booked"'
        yield _warning(f"claims of {agent.name}", "correct_claims has nothing to look for", fix)


def _variables(agent: Agent) -> Iterator[CheckResult]:
    place = f"variables of {agent.name}"
    told = [name for name in names(agent.greeting or "") if name not in OF_THE_CALL]
    if told and agent.lookup is None:
        fix = "set `lookup`, whose answer tells variables, or take them out of the greeting"
        yield _warning(place, f"nobody tells {_listed(told)} before the greeting; it is said without", fix)
    said = [tool.speak_while_waiting.say or "" for tool in agent.tools if tool.speak_while_waiting is not None]
    later = [name for text in said for name in names(text) if name not in OF_THE_CALL]
    if later:
        fix = "take them out of speak_while_waiting; what a look-up tells comes too late for it"
        yield _warning(place, f"{_listed(later)} cannot be said while a function runs; it is said without", fix)


def _listed(names_: list[str]) -> str:
    """Return the names, the first few of many."""
    shown = list(dict.fromkeys(names_))
    return ", ".join(shown[:MAX_LISTED]) + (f" and {len(shown) - MAX_LISTED} more" if len(shown) > MAX_LISTED else "")
