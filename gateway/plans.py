"""What an agent of the file means for a call: the core's plan, and the session that its model is given."""

from collections.abc import Mapping
from typing import Any

from gateway.agents import Agent, BargeIn, Lookup, ToolPolicy, Transfer, Waiting
from gateway.agents import EarlyReply as EarlyReplySection
from gateway.agents import Idle as IdleSection
from gateway.agents.functions import LOCAL
from gateway.agents.template import fill
from gateway.core.audio import AudioFormat
from gateway.core.plan import (
    CallPlan,
    Confirmation,
    EarlyReply,
    Filler,
    Idle,
    OnInterrupt,
    ReversibleBargeIn,
    ToolRules,
    TransferMode,
    TransferTarget,
    TurnTaking,
)
from gateway.realtime.codec import audio_format, turn_detection
from gateway.tools.catalogue import Catalogue, ToolKind

__all__ = ["plan_of", "session_of"]

TOOL_GRACE_S = 1.0
"""Whoever carries a function out gives up by itself at its time-out; the core's own deadline comes after it."""
LOOKUP_GRACE_S = 0.2
"""The same for the look-up before the first word, which a caller listens to."""


def plan_of(
    agent: Agent,
    catalogue: Catalogue,
    *,
    variables: Mapping[str, object] | None = None,
    briefing_s_min: float = 0.0,
    audio: AudioFormat = AudioFormat.PCMU,
) -> CallPlan:
    """Return what the core is told about an agent whose tools are those of `catalogue`.

    `variables` are what is known of the call when it is offered; a look-up's come later, with `Briefed`. The first
    word waits for `Briefed` at least `briefing_s_min`: where a call goes on, for its past.
    """
    turns = agent.turn_detection.turn_taking()
    return CallPlan(
        instructions=agent.instructions,
        greeting=_text(agent.greeting, variables),
        greeting_interruptible=agent.greeting_interruptible,
        turns=turns,
        reversible=_reversible(agent.barge_in),
        early_reply=_early_reply(agent.early_reply, turns),
        idle=_idle(agent.idle),
        transcribes=agent.transcription is not None,
        transcription=agent.transcription_config or {},
        keys_to_model=agent.keys_to_model,
        languages=frozenset(agent.set_language or ()),
        transfer_targets=_targets(agent.transfer),
        tools=_tools(catalogue, variables),
        corrects_claims=agent.correct_claims,
        briefing_s=max(_briefing_s(agent.lookup), briefing_s_min),
        built_in=frozenset(str(function["name"]) for function in agent.built_in()) - LOCAL,
        max_duration_s=agent.limits.max_duration_s,
        max_cost_usd=agent.limits.max_cost_usd,
        audio=audio,
    )


def session_of(agent: Agent, plan: CallPlan, catalogue: Catalogue) -> dict[str, Any]:
    """Return the Realtime `session` object of a call; its turn detection is made as that of a mid-call change is."""
    detection = turn_detection(plan.told(plan.turns), creates=plan.server_answers, interrupts=plan.server_answers)
    return agent.session_config(detection, catalogue.functions(), audio_format(plan.audio))


def _text(template: str | None, variables: Mapping[str, object] | None) -> str | None:
    """Return the text filled, None where nothing is left to say."""
    return (fill(template, variables or {}).strip() or None) if template is not None else None


def _tools(catalogue: Catalogue, variables: Mapping[str, object] | None) -> Mapping[str, ToolRules]:
    return {tool.name: _rules(tool.policy, variables) for tool in catalogue if tool.kind is not ToolKind.BUILTIN}


def _rules(policy: ToolPolicy, variables: Mapping[str, object] | None) -> ToolRules:
    return ToolRules(
        deadline_s=policy.timeout_s + TOOL_GRACE_S,
        pending_s=policy.pending_s,
        filler=_filler(policy.speak_while_waiting, variables),
        on_interrupt=OnInterrupt(policy.on_interrupt),
        confirmation=Confirmation(policy.requires_confirmation or "none"),
        claims=policy.claims,
    )


def _filler(section: Waiting | None, variables: Mapping[str, object] | None) -> Filler | None:
    if section is None:
        return None
    return Filler(section.after_s, _text(section.say, variables), section.sound)


def _briefing_s(section: Lookup | None) -> float:
    return section.timeout_s + LOOKUP_GRACE_S if section is not None else 0.0


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
