"""Documents, the servers of the two businesses on loopback, and calls of imported functions."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from gateway.agents.imports import OpenApi
from gateway.tools.catalogue import CatalogueTool, parse_arguments
from gateway.tools.netguard import NetGuard
from gateway.tools.openapi import OperationInvoker, load_operations
from gateway.tools.request import CallFacts, ToolOutcome, ToolRequest
from gateway.tools.sender import Outgoing

DOCUMENTS = Path(__file__).parent / "documents"
HOTEL, CLINIC = "hotel/hotel.yaml", "clinic.json"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CALL = CallFacts("call-1", "support", "inbound", "+14155550123", "+14155550199", carrier_call_id="CA1")


@dataclass
class Seen:
    """What a business's server received, in order."""

    calls: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def add(self, operation: str, **values: object) -> None:
        self.calls.append((operation, values))


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    """Serve on loopback until the block ends; gives the address."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with asyncio.TaskGroup() as group:
            group.create_task(server.serve([listener]))
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            server.should_exit = True


def section(document: str, **more: object) -> OpenApi:
    return OpenApi.model_validate({"document": document, **more})


def tools(document: str, **more: object) -> dict[str, CatalogueTool]:
    return {tool.name: tool for tool in load_operations(section(document, **more), DOCUMENTS)}


async def invoke(
    tool: CatalogueTool, arguments: Mapping[str, object], *, secret: str | None = SECRET, call: str = "call_abc"
) -> ToolOutcome:
    """Call a function with what a model wrote, as the gateway does."""
    checked = parse_arguments(tool, json.dumps(arguments))
    async with Outgoing(NetGuard(allow_loopback=True)) as outgoing:
        invoker = OperationInvoker(outgoing, default_secret=SecretStr(secret) if secret else None)
        return await invoker.invoke(ToolRequest(CALL, tool, call, checked))
