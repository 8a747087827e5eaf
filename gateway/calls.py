"""Makes the session of a call: which agent takes it, and what that agent's tools, model and book are."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Protocol

from gateway.agents import Agent, AgentsFile
from gateway.carriers.base import CallOffer, Control
from gateway.carriers.front import Fallback
from gateway.carriers.openai_sip.control import CARRIER, SipCalls, sideband_url
from gateway.config import Settings
from gateway.core import CallPlan
from gateway.core.commands import EndReason
from gateway.core.elsewhere import elsewhere
from gateway.core.events import Briefed, Event
from gateway.errors import ConfigError
from gateway.hearing import Ear
from gateway.metrics import Metrics
from gateway.plans import plan_of, session_of
from gateway.realtime import ModelTarget, RealtimeConnection, sideband
from gateway.realtime.connection import Dial, dial
from gateway.records.book import CallBook, CallLog, Pricing, Summary
from gateway.records.recording import Recording
from gateway.session import CallSession, Model, Ports
from gateway.store.rows import CallRow
from gateway.tools.catalogue import Catalogue, CatalogueTool
from gateway.tools.desk import ToolDesk
from gateway.tools.request import CallFacts
from gateway.vault import asked_by

__all__ = ["CallMaker", "NewBriefing", "NewCallLog", "plan_of"]

logger = logging.getLogger(__name__)

EXPECTED_ENDS = frozenset(
    {
        EndReason.CALLER_HANGUP,
        EndReason.AGENT_HANGUP,
        EndReason.OPERATOR_HANGUP,
        EndReason.DURATION_LIMIT,
        EndReason.COST_LIMIT,
        EndReason.TRANSFERRED,
        EndReason.IDLE,
        EndReason.HANDED_OVER,
        EndReason.STOPPED,
    }
)
"""Ends that need nobody's attention; the others are logged as warnings."""


NewBriefing = Callable[[CallFacts, Agent, bool], Callable[[], Awaitable[Briefed]] | None]
"""Makes what finds out, in parallel with the ringing, what is known before the first word; None for a call of which
nothing can be known. The last tells whether the telephone call may have begun in another call of ours."""

PAST_S = 2.0
"""How long the first word waits at most for what was said and done before, where a telephone call may go on."""


class NewCallLog(CallLog, Protocol):
    """A call log that takes new calls."""

    def call_offered(self, row: CallRow) -> None: ...


@dataclass(slots=True)
class CallMaker:
    """The parts that all calls of a process share. `make` is the registry's session factory."""

    settings: Settings
    agents: AgentsFile
    log: NewCallLog
    desk: ToolDesk
    metrics: Metrics
    open_socket: Dial = dial
    rng: random.Random = field(default_factory=random.Random)
    controls: Mapping[str, Control] = field(default_factory=dict)
    """What the carriers, by name, do with a call beside its stream. Set once, before calls are made."""
    keep_secret: Callable[[str, str], Awaitable[str]] | None = None
    """Puts digits into the vault, under a further name if one is given, and returns their token. Set once, before calls
    are made."""
    brief: NewBriefing | None = None
    """Set once, before calls are made."""
    imported: InitVar[Mapping[str, Sequence[CatalogueTool]]] = MappingProxyType({})
    """What `take_tools` takes, for tools that are known from the beginning."""
    catalogues: dict[str, Catalogue] = field(init=False, repr=False)
    """By agent."""

    def __post_init__(self, imported: Mapping[str, Sequence[CatalogueTool]]) -> None:
        self.take_tools(imported)

    def take_tools(self, imported: Mapping[str, Sequence[CatalogueTool]]) -> None:
        """Give the agents, by name, what OpenAPI documents and MCP servers offer beside their own tools.

        Calls that run keep theirs. Raises `ConfigError` when two tools of an agent have one name.
        """
        self.catalogues = {name: Catalogue(agent, imported.get(name, ())) for name, agent in self.agents.agents.items()}

    def agent_for(self, name: str, number: str) -> Agent | None:
        """Return the agent asked for by name, else the one that the dialled number reaches."""
        return self.agents.agents.get(name) if name else self.agents.for_number(number)

    def fallback(self, name: str, number: str) -> Fallback:
        """Return what a caller hears when the agent cannot go on."""
        agent = self.agent_for(name, number)
        return Fallback(agent.fallback.say, agent.fallback.dial) if agent is not None else Fallback()

    def make(self, call_id: str, offer: CallOffer, goes_on: bool = False) -> CallSession:
        """Return a new call's session, its record begun. Raises `ConfigError` when no agent takes the call.

        `goes_on` tells that the telephone call may have begun in another call of ours, here or on another node.
        """
        agent = self.agent_for(offer.agent, offer.to_number)
        if agent is None:
            raise ConfigError("no agent of the agents file takes this number, and none is the default")
        direction: Literal["inbound", "outbound"] = "outbound" if offer.direction == "outbound" else "inbound"
        row = CallRow(
            call_id=call_id,
            carrier=offer.carrier,
            carrier_call_id=offer.carrier_call_id,
            direction=direction,
            agent=agent.name,
            from_number=offer.from_number,
            to_number=offer.to_number,
            offered_at=datetime.now(UTC),
            agents_hash=self.agents.content_hash,
        )
        self.log.call_offered(row)
        facts = CallFacts(
            call_id,
            agent.name,
            direction,
            offer.from_number,
            offer.to_number,
            carrier=offer.carrier,
            carrier_call_id=offer.carrier_call_id,
        )
        catalogue, control = self.catalogues[agent.name], self.controls.get(offer.carrier)
        brief = self.brief(facts, agent, goes_on) if self.brief is not None else None
        plan = plan_of(
            agent, catalogue, briefing_s_min=PAST_S if goes_on and brief is not None else 0.0, audio=offer.audio
        )
        if offer.carrier == CARRIER:
            plan = elsewhere(plan)
        ports = Ports(
            open_model=lambda feed: self._open_model(agent, plan, catalogue, feed, offer),
            invoke=lambda command: self.desk.invoke(facts, catalogue, command),
            book=self._book(call_id, agent, plan, direction),
            control=(lambda command: control.carry_out(offer, command)) if control is not None else None,
            keep_secret=self._keeper(call_id),
            ear=Ear() if plan.needs_ear else None,
            brief=brief,
        )
        session = CallSession(call_id, offer, plan, ports)
        self.desk.open_call(facts, session.feed)
        return session

    def _keeper(self, call_id: str) -> Callable[[str, str], Awaitable[str]] | None:
        keep = self.keep_secret
        if keep is None:
            return None
        return lambda digits, command_id: keep(digits, asked_by(call_id, command_id) if command_id else "")

    def _open_model(
        self, agent: Agent, plan: CallPlan, catalogue: Catalogue, feed: Callable[[Event], None], offer: CallOffer
    ) -> Model:
        target = ModelTarget(self.settings.model_endpoint(agent.model), self.settings.model_headers())
        session = session_of(agent, plan, catalogue)
        sip = self.controls.get(CARRIER)
        if plan.media_elsewhere and isinstance(sip, SipCalls):  # it accepts the call, and joins it
            call_id = offer.carrier_call_id
            accepted_with = sideband.accept_session(session, plan, agent.model)
            return RealtimeConnection(
                ModelTarget(sideband_url(self.settings.model_url, call_id), target.headers),
                sideband.HANDSHAKE_SESSION,
                sip.listener(call_id, feed),
                open_socket=sip.sideband(call_id, accepted_with, self.open_socket),
                rng=self.rng,
                decode=sideband.events,
            )
        return RealtimeConnection(target, session, feed, open_socket=self.open_socket, rng=self.rng)

    def _book(self, call_id: str, agent: Agent, plan: CallPlan, direction: str) -> CallBook:
        path = self.settings.recordings_dir / f"{call_id}.wav"
        records = agent.recording and not plan.media_elsewhere
        speech = agent.transcription.model if agent.transcription is not None else ""
        return CallBook(
            call_id,
            self.log,
            Pricing(agent.model, agent.price_as, speech),
            asyncio.get_running_loop().time(),
            turns=plan.turns,
            open_recording=(lambda at_s, rate: _recording(path, at_s, rate)) if records else None,
            on_end=lambda summary: self._ended(call_id, direction, summary),
        )

    def _ended(self, call_id: str, direction: str, summary: Summary) -> None:
        self.desk.close_call(call_id)
        self.metrics.call_ended(direction, summary)
        logger.log(
            logging.INFO if summary.reason in EXPECTED_ENDS else logging.WARNING,
            "call %s ended: %s after %.1f s, %s turns, %s barge-ins",
            call_id,
            summary.reason,
            summary.duration_s,
            len(summary.turns_ms),
            summary.barge_ins,
        )


def _recording(path: Path, at_s: float, rate: int) -> Recording:
    return Recording(path, rate, origin_s=at_s)
