"""The agents file as a whole: reading it, and what concerns several places of it."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from gateway import agentfile
from gateway.agentfile import Problem
from gateway.agents.agent import Agent
from gateway.agents.section import Section

__all__ = ["AgentsFile", "load_agents", "schema"]

AgentName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class AgentsFile(Section):
    """All agents of a deployment."""

    agents: dict[AgentName, Agent] = Field(min_length=1, max_length=1000)
    """Agents by name: lower-case letters, digits, - and _."""

    _folder: Path = PrivateAttr(default_factory=Path)

    @model_validator(mode="after")
    def _whole(self) -> "AgentsFile":
        for problem in cross_check(self.model_dump()):
            raise PydanticCustomError("cross_check", "{message}", {"message": problem.message})
        for name, agent in self.agents.items():
            agent._name = name
        return self

    def for_number(self, e164: str) -> Agent | None:
        """Return the agent that answers this dialled number; else the default one; else None."""
        default = None
        for agent in self.agents.values():
            if e164 in agent.numbers:
                return agent
            default = agent if agent.default else default
        return default

    @property
    def folder(self) -> Path:
        """Where relative paths of the file begin: its own folder; the working folder for one built in code."""
        return self._folder

    @property
    def content_hash(self) -> str:
        """SHA-256 of what the file means; comments and order of keys do not change it. Kept in each call's record."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def load_agents(path: Path) -> AgentsFile:
    """Read and check the agents file. Raises `ConfigError`, one `file:line:column: sentence` per line."""
    agents = agentfile.load(path, AgentsFile, cross_check)
    agents._folder = path.resolve().parent
    return agents


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the agents file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **AgentsFile.model_json_schema()}


def cross_check(data: object) -> Iterator[Problem]:
    """Name what concerns several places of the file. `data` may be wrong in any way; what is unsound is skipped."""
    agents = data.get("agents") if isinstance(data, dict) else None
    if not isinstance(agents, dict):
        return
    owners: dict[str, str] = {}
    default = ""
    for name, agent in agents.items():
        if not isinstance(agent, dict):
            continue
        yield from _shared_numbers(str(name), agent, owners)
        if agent.get("default") is True:
            if default:
                yield Problem(("agents", name, "default"), f"agent {default!r} is the default already; only one can be")
            default = default or str(name)
        yield from _doubled_tools(str(name), agent)
        yield from _doubled_servers(str(name), agent)
        yield from _strange_caller(str(name), agent, agents)


def _shared_numbers(name: str, agent: Mapping[str, object], owners: dict[str, str]) -> Iterator[Problem]:
    numbers = agent.get("numbers")
    for index, number in enumerate(numbers if isinstance(numbers, list | tuple) else ()):
        owner = owners.setdefault(number, name) if isinstance(number, str) else name
        if owner != name:
            yield Problem(("agents", name, "numbers", index), f"this number belongs to agent {owner!r} already")


def _doubled_tools(name: str, agent: Mapping[str, object]) -> Iterator[Problem]:
    tools = agent.get("tools")
    seen: Counter[object] = Counter()
    for index, tool in enumerate(tools if isinstance(tools, list | tuple) else ()):
        tool_name = tool.get("name") if isinstance(tool, dict) else None
        if not isinstance(tool_name, str):
            continue
        seen[tool_name] += 1
        if seen[tool_name] == 2:
            yield Problem(("agents", name, "tools", index, "name"), f"this agent has a tool {tool_name!r} already")


def _doubled_servers(name: str, agent: Mapping[str, object]) -> Iterator[Problem]:
    servers = agent.get("mcp")
    seen: set[str] = set()
    for index, server in enumerate(servers if isinstance(servers, list | tuple) else ()):
        server_name = server.get("name") if isinstance(server, dict) else None
        if isinstance(server_name, str) and server_name in seen:
            yield Problem(("agents", name, "mcp", index, "name"), f"this agent has a server {server_name!r} already")
        if isinstance(server_name, str):
            seen.add(server_name)


def _strange_caller(name: str, agent: Mapping[str, object], agents: Mapping[str, object]) -> Iterator[Problem]:
    section = agent.get("schedule_callback")
    caller = section.get("agent") if isinstance(section, dict) else None
    if isinstance(caller, str) and caller not in agents:
        yield Problem(("agents", name, "schedule_callback", "agent"), f"there is no agent {caller[:64]!r} in this file")
