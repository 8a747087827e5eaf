"""Brings what is known to a call before its first word, in parallel with the ringing."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from gateway.agents import Agent
from gateway.briefing.lookup import Found, look_up
from gateway.briefing.past import Past, PastStore, find_past
from gateway.core.events import Briefed
from gateway.tools.request import CallFacts
from gateway.tools.sender import Outgoing

__all__ = ["Briefer", "Briefing"]

logger = logging.getLogger(__name__)


@dataclass(slots=True, frozen=True)
class Briefing:
    """What is known of a call."""

    event: Briefed
    """For the core."""
    variables: Mapping[str, object] = field(default_factory=dict)
    """To be remembered for the call: `ToolDesk.remember`."""
    lookup: str = ""
    """What became of the look-up: a status, a failure, what was left out; "" when none was made. No content."""
    lookup_ms: int = 0


class Briefer:
    """One per process; both ends are owned by others."""

    def __init__(
        self,
        store: PastStore,
        outgoing: Outgoing,
        default_secret: SecretStr | None,
        remember: Callable[[str, Mapping[str, object]], None] | None = None,
    ) -> None:
        """`remember` takes the variables of a call (`ToolDesk.remember`)."""
        self._store = store
        self._outgoing = outgoing
        self._default_secret = default_secret
        self._remember = remember

    def for_call(
        self, facts: CallFacts, agent: Agent, goes_on: bool
    ) -> Callable[[], Coroutine[Any, Any, Briefed]] | None:
        """Return what finds out about a call (`CallMaker.brief`); None when nothing can be known."""
        if agent.lookup is None and not goes_on:
            return None

        async def find_out() -> Briefed:
            found = await self.brief(agent, facts, goes_on=goes_on)
            if found.variables and self._remember is not None:
                self._remember(facts.call_id, found.variables)
            return found.event

        return find_out

    async def brief(self, agent: Agent, facts: CallFacts, *, goes_on: bool = True) -> Briefing:
        """Return what is known, after the look-up's `timeout_s` and `PAST_S` at the latest; raises nothing but
        cancellation. `goes_on`: whether to look for what went before. A call that goes on is looked up again all the
        same: its context and variables died with the process."""
        begun = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(self._look_up(agent, facts))
            past = await find_past(self._store, facts) if goes_on else Past()
        found, took_s = looking.result()
        event = Briefed(found.context, found.greeting or None, past.words, past.calls, past.resumed)
        if past.resumed:
            words, calls = len(past.words), len(past.calls)
            logger.info("call %s goes on: %s turns, %s function calls before", facts.call_id, words, calls)
        return Briefing(event, found.variables, found.detail, round((took_s - begun) * 1000) if found.detail else 0)

    async def _look_up(self, agent: Agent, facts: CallFacts) -> tuple[Found, float]:
        loop = asyncio.get_running_loop()
        if agent.lookup is None:
            return Found(), loop.time()
        found = await look_up(self._outgoing, agent.lookup, facts, self._default_secret, agent.greeting or "")
        usable = found.context or found.greeting or found.variables
        logger.log(logging.DEBUG if usable else logging.WARNING, "call %s: look-up: %s", facts.call_id, found.detail)
        return found, loop.time()
