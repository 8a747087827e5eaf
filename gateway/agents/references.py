"""Every secret and every address that an agent names: asked for before serving, callers would find out otherwise."""

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.agents.agent import Agent
from gateway.agents.imports import Mcp, OpenApi
from gateway.agents.outside import Auth

__all__ = ["Reference", "addresses", "references"]


@dataclass(slots=True, frozen=True)
class Reference:
    """One secret that must be there."""

    place: str
    """Who names it: the agent and what of it, such as support/lookup_order or the events of support."""
    ref: str | None
    """env:NAME or file:/path; None: the gateway's own, GATEWAY_WEBHOOK_SECRET."""
    signs: bool
    """Whether it signs our requests; else it is another system's key, sent as it is."""
    is_login: bool = False
    """Whether it is user:password."""
    may_lack: bool = False
    """Whether requests go out unsigned when the gateway has no secret of its own: something else shows who calls."""


def references(agent: Agent) -> Iterator[Reference]:
    """Yield the secrets of an agent in the order of the file's keys."""
    for tool in agent.tools:
        yield Reference(f"{agent.name}/{tool.name}", tool.secret, True)
    for index, document in enumerate(agent.openapi):
        yield from _of_document(f"{agent.name}/openapi[{index}]", document)
    for server in agent.mcp:
        yield from _of_server(f"{agent.name}/{server.name}", server)
    if agent.lookup is not None:
        yield Reference(f"the lookup of {agent.name}", agent.lookup.secret, True)
    if agent.events is not None:
        yield Reference(f"the events of {agent.name}", agent.events.secret, True)


def addresses(agent: Agent) -> Iterator[tuple[str, str]]:
    """Yield the URLs of an agent, each behind who names it; documents may name further ones."""
    for tool in agent.tools:
        yield f"{agent.name}/{tool.name}", tool.url
    for index, document in enumerate(agent.openapi):
        if document.server is not None:
            yield f"{agent.name}/openapi[{index}]", document.server
    for server in agent.mcp:
        if server.url is not None:
            yield f"{agent.name}/{server.name}", server.url
    if agent.lookup is not None:
        yield f"the lookup of {agent.name}", agent.lookup.url
    if agent.events is not None:
        yield f"the events of {agent.name}", agent.events.url


def _of_auth(place: str, auth: Auth) -> Reference:
    return Reference(f"{place} auth", auth.secret, False, auth.kind == "basic")


def _of_document(place: str, section: OpenApi) -> Iterator[Reference]:
    if section.sign:
        yield Reference(place, section.secret, True, may_lack=section.secret is None and section.auth is not None)
    if section.auth is not None:
        yield _of_auth(place, section.auth)


def _of_server(place: str, section: Mcp) -> Iterator[Reference]:
    if section.auth is not None:
        yield _of_auth(place, section.auth)
    for name, ref in section.env_secrets.items():
        yield Reference(f"{place} {name}", ref, False)
