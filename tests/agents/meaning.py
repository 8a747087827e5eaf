"""What an agent means for a call, where its tools are those of the agents file alone."""

from typing import Any

from gateway import plans
from gateway.agents import Agent
from gateway.core.plan import CallPlan
from gateway.tools.catalogue import Catalogue


def plan_of(agent: Agent) -> CallPlan:
    return plans.plan_of(agent, Catalogue(agent))


def session_of(agent: Agent) -> dict[str, Any]:
    return plans.session_of(agent, plan_of(agent), Catalogue(agent))
