"""What an agent of the file means for a call: the core's plan, and the session that its model is given."""

from collections.abc import Mapping
from typing import Any

from gateway.agents import Agent, BargeIn, Transfer
from gateway.agents import EarlyReply as EarlyReplySection
from gateway.agents import Idle as IdleSection
from gateway.core.plan import (
    CallPlan,
    EarlyReply,
    Idle,
    ReversibleBargeIn,
    ToolRules,
    TransferMode,
    TransferTarget,
    TurnTaking,
)
from gateway.realtime.codec import turn_detection

__all__ = ["plan_of", "session_of"]

TOOL_GRACE_S = 1.0
"""The webhook client gives up by itself at the tool's time-out; the core's own deadline comes after it."""


def plan_of(agent: Agent) -> CallPlan:
    """Return what the core is told about an agent."""
    turns = agent.turn_detection.turn_taking()
    return CallPlan(
        instructions=agent.instructions,
        greeting=agent.greeting,
        greeting_interruptible=agent.greeting_interruptible,
        turns=turns,
        reversible=_reversible(agent.barge_in),
        early_reply=_early_reply(agent.early_reply, turns),
        idle=_idle(agent.idle),
        transcribes=agent.transcription is not None,
        keys_to_model=agent.keys_to_model,
        transfer_targets=_targets(agent.transfer),
        tools={tool.name: ToolRules(deadline_s=tool.timeout_s + TOOL_GRACE_S) for tool in agent.tools},
        built_in=frozenset(str(function["name"]) for function in agent.built_in()),
        max_duration_s=agent.limits.max_duration_s,
        max_cost_usd=agent.limits.max_cost_usd,
    )


def session_of(agent: Agent, plan: CallPlan) -> dict[str, Any]:
    """Return the Realtime `session` object of a call; its turn detection is made as that of a mid-call change is."""
    detection = turn_detection(plan.told(plan.turns), creates=plan.server_answers, interrupts=plan.server_answers)
    return agent.session_config(detection)


def _reversible(section: BargeIn) -> ReversibleBargeIn | None:
    return ReversibleBargeIn(section.confirm_ms, section.words) if section.reversible else None


def _early_reply(section: EarlyReplySection | None, turns: TurnTaking) -> EarlyReply | None:
    if section is None:
        return None
    return EarlyReply(section.server_silence_ms, section.confirm(turns.silence_ms))


def _idle(section: IdleSection | None) -> Idle | None:
    return Idle(section.after_s, section.prompts) if section is not None else None


def _targets(section: Transfer | None) -> Mapping[str, TransferTarget]:
    return {
        name: TransferTarget(
            number=entry.number,
            mode=TransferMode(entry.mode),
            description=entry.description,
            brief=entry.brief,
            accept_key=entry.accept_key,
            ring_s=entry.ring_s,
        )
        for name, entry in (section.targets if section is not None else {}).items()
    }
