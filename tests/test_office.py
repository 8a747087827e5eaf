"""What works for the business beside the calls, in whole calls on the virtual clock."""

import asyncio
import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from gateway.simulator import world as simulated
from gateway.simulator.carrier import HangUp, Pause, Say, Script, Wait, tone
from gateway.simulator.model import Scenario, ScriptedEngine
from gateway.store.rows import StoredInvocation
from tests.clock import run
from tests.world import AGENTS, CALLER

EVENTS = """
    opt_out: true
    events: {url: "https://orders.example.com/events", types: [tool.unknown, caller.opted_out, call.ended]}
    openapi:
      - {document: invoices.json, tools: {findInvoice: {effect: read}}}
    fallback:"""
DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "Invoices", "version": "1"},
    "servers": [{"url": "https://orders.example.com/v1"}],
    "paths": {
        "/invoices/{number}": {
            "get": {
                "operationId": "findInvoice",
                "summary": "Find an invoice.",
                "parameters": [{"name": "number", "in": "path", "required": True, "schema": {"type": "string"}}],
                "responses": {"200": {"description": "The invoice."}},
            }
        }
    },
}
SCRIPT = Script([Wait("agent_done"), Say(tone(440, 900)), Wait("agent_done"), Pause(3), HangUp()])


class Business:
    """A business with a broken function, an API of its own and an ear for events."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.asked: list[str] = []

    def app(self) -> FastAPI:
        app = FastAPI(openapi_url=None)

        @app.post("/events")
        async def event(request: Request) -> Response:
            self.events.append(await request.json())
            return Response(status_code=204)

        @app.post("/lookup")
        async def lookup() -> Response:
            return JSONResponse({"error": "broken"}, 500)

        @app.get("/v1/invoices/{number}")
        async def invoice(number: str) -> Response:
            self.asked.append(number)
            return JSONResponse({"number": number, "total": 12.5})

        return app

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event["data"] for event in self.events if event["type"] == kind]


def call_that(folder: Path, name: str, **arguments: object) -> tuple[Business, simulated.World]:
    """Have the model call one function in one call, and return what the business saw of it."""
    (folder / "invoices.json").write_text(json.dumps(DOCUMENT))
    turn = {"heard": "please", "calls": [{"name": name, "arguments": arguments}]}
    scenario = Scenario.model_validate({"turns": [turn]})
    agents = AGENTS.replace("\n    fallback:", EVENTS)

    async def main() -> tuple[Business, simulated.World]:
        business = Business()
        async with simulated.world(
            folder, agents, ScriptedEngine(scenario), scenario.server, business=business.app()
        ) as w:
            await w.call(SCRIPT)
            await w.settled()
            await asyncio.sleep(2)
        return business, w

    return run(main())


def test_the_business_is_told_of_a_write_that_nobody_can_vouch_for(tmp_path: Path) -> None:
    business, w = call_that(tmp_path, "lookup_order", order_id="427")
    (row,) = rows(w)
    assert row.state == "unknown"
    (told,) = business.of("tool.unknown")
    assert told["tool"] == {"name": "lookup_order", "call_id": row.tool_call_id} and told["id"] == row.message_id
    assert len(business.of("call.ended")) == 1


def test_a_caller_who_wants_no_more_calls_is_noted_and_the_business_told(tmp_path: Path) -> None:
    business, w = call_that(tmp_path, "opt_out")
    assert list(w.store.opt_outs) == [CALLER]
    (row,) = rows(w)
    assert (row.tool, row.state) == ("opt_out", "done")
    (told,) = business.of("caller.opted_out")
    assert told["call"]["from"] == CALLER


def test_an_operation_of_a_document_is_a_function_of_the_model(tmp_path: Path) -> None:
    business, w = call_that(tmp_path, "findInvoice", number="R-7")
    assert business.asked == ["R-7"] and rows(w) == []
    (output,) = w.session.outputs
    assert json.loads(output.output)["total"] == 12.5


def rows(w: simulated.World) -> list[StoredInvocation]:
    return list(w.store.invocations.values())
