"""What `gateway check` and `gateway serve` say about agents that are reached by OpenAI's SIP endpoint.

The media of such a call never passes here, so a part of what an agents file can ask for is not there. What is left out
of a call's plan (`core/elsewhere.py`), of its session (`realtime/sideband.py`), or refused when it is asked for, is
said here before anybody calls.
"""

from collections.abc import Iterator

from gateway.agents import Agent, AgentsFile, Manual
from gateway.config import Settings
from gateway.findings import CheckResult

__all__ = ["sip_advice"]

FIX = "what is and is not there is in gateway/carriers/openai_sip/README.md; give numbers that need it another carrier"


def sip_advice(settings: Settings, agents: AgentsFile) -> Iterator[CheckResult]:
    """Yield what there is to say; nothing where no SIP call is taken. Whether the door opens, the door itself tells."""
    if settings.openai_webhook_secret is None:
        return
    reached = [agent for agent in agents.agents.values() if agent.numbers or agent.default]
    if reached and not any(agent.default for agent in reached):
        detail = "a trunk whose To header names the OpenAI project, and no number, reaches no agent"
        fix = "give one agent default: true, or see to it that the trunk keeps the dialled number in To"
        yield CheckResult("openai sip", True, detail, fix, True)
    for agent in reached:
        lost = list(_lost(agent))
        if lost:
            detail = f"on calls by OpenAI SIP: {'; '.join(lost)}"
            yield CheckResult(f"openai sip of {agent.name}", True, detail, FIX, True)


def _lost(agent: Agent) -> Iterator[str]:
    if agent.recording:
        yield "nothing is recorded"
    if agent.collect_digits:
        yield "digits are collected in the open only, secure entry is refused"
    if agent.send_digits:
        yield "send_digits is not offered"
    if agent.transfer is not None:
        warm = [name for name, target in agent.transfer.targets.items() if target.mode == "warm"]
        if warm:
            yield f"transfers are blind, so {', '.join(warm)} cannot be reached"
    if agent.barge_in.reversible:
        yield "every start of speech interrupts, as with barge_in: immediate"
    if agent.early_reply is not None:
        yield "early_reply is off"
    if isinstance(agent.turn_detection, Manual):
        yield "turns are taken by server_vad instead of by hand"
    if not agent.greeting_interruptible:
        yield "the greeting can be interrupted"
    if any(tool.speak_while_waiting is not None and tool.speak_while_waiting.sound for tool in agent.tools):
        yield "words take the place of the waiting tone"
    if "fallback" in agent.model_fields_set:
        yield "the fallback is not heard: when the model fails, the call is hung up"
