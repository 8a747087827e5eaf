"""Servers written for other platforms: they get what they expect, and what they answer is understood."""

import asyncio
import hashlib
import hmac
import json
import re
from typing import Any

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook

from gateway.agents import Tool
from gateway.tools.catalogue import ToolKind, catalogue_tool
from gateway.tools.netguard import NetGuard
from gateway.tools.request import CallFacts, ToolOutcome, ToolRequest
from gateway.tools.webhook import WebhookInvoker

from .server import Received, Reply, answer, business

KEY = "key_0123456789abcdef"
CALL = CallFacts("call-1", "support", "inbound", "+14155550123", "+14155550199", {"tier": "gold"})
ARGUMENTS: dict[str, object] = {"order_id": "A1 ü", "count": 2.0, "price": 1.5, "lines": [{"n": 3.0}]}


def exchange(
    form: str, reply: Reply, call: CallFacts = CALL, arguments: dict[str, object] = ARGUMENTS
) -> tuple[ToolOutcome, Received]:
    """Make one call of a tool of this format to a server that answers so."""

    async def main() -> tuple[ToolOutcome, Received]:
        async with (
            business(reply) as server,
            WebhookInvoker(NetGuard(allow_loopback=True), default_secret=SecretStr(KEY)) as tools,
        ):
            fields = {"name": "lookup_order", "description": "Looks up.", "url": server.url, "format": form}
            tool = Tool.model_validate(fields)
            offered = catalogue_tool(tool.name, ToolKind.WEBHOOK, tool.description, tool.parameters, tool, tool)
            result = await tools.invoke(ToolRequest(call, offered, "call_abc", arguments, {"customer": 7}))
            (received,) = server.received
            return result, received

    return asyncio.run(main())


def message_of(result: ToolOutcome) -> Any:
    return json.loads(result.output)["error"]["message"]


@pytest.mark.parametrize("form", ["gateway", "vapi", "retell", "raw"])
def test_our_own_headers_go_along_in_every_form(form: str) -> None:
    _, received = exchange(form, answer(200, {"results": []}))
    Webhook(KEY.encode()).verify(received.body, received.headers)
    assert received.headers["idempotency-key"] == "call-1:call_abc"
    assert received.headers["traceparent"].startswith("00-")
    assert received.headers["content-type"] == "application/json"


@pytest.mark.parametrize("form", ["gateway", "vapi", "retell", "raw"])
def test_an_error_status_is_told_in_every_form(form: str) -> None:
    result, _ = exchange(form, answer(404, {"error": {"message": "no such order"}}))
    assert (result.ok, message_of(result), result.unknown) == (False, "no such order", False)


# --- vapi -----------------------------------------------------------------------------------------


def vapi(*results: object) -> Reply:
    return answer(200, {"results": list(results)})


def test_vapi_servers_find_the_call_where_their_examples_look() -> None:
    _, received = exchange("vapi", vapi())
    message = json.loads(received.body)["message"]
    assert message["type"] == "tool-calls"
    for listed in (message["toolCallList"], message["toolCalls"]):
        (call,) = listed
        assert (call["id"], call["name"], call["type"]) == ("call_abc", "lookup_order", "function")
        for place in (call["arguments"], call["parameters"], call["function"]["arguments"]):
            assert place == ARGUMENTS
    (tool,) = message["toolWithToolCallList"]
    assert (tool["name"], tool["description"]) == ("lookup_order", "Looks up.")
    assert tool["toolCall"]["function"]["parameters"] == ARGUMENTS
    assert message["call"]["id"] == "call-1" and message["call"]["type"] == "inboundPhoneCall"
    assert message["customer"] == {"number": "+14155550123"} and message["phoneNumber"] == {"number": "+14155550199"}


def test_the_customer_of_an_outbound_call_is_who_was_called() -> None:
    call = CallFacts("call-1", "support", "outbound", "+14155550199", "+14155550123")
    _, received = exchange("vapi", vapi(), call)
    message = json.loads(received.body)["message"]
    assert message["call"]["type"] == "outboundPhoneCall"
    assert message["call"]["customer"] == {"number": "+14155550123"}


@pytest.mark.parametrize(
    ("result", "output"),
    [("It is shipped.", '"It is shipped."'), ({"a": [1]}, '{"a":[1]}'), ("", '""'), (0, "0"), (None, "null")],
)
def test_the_result_of_our_call_is_taken_text_or_json(result: object, output: str) -> None:
    other = {"toolCallId": "call_other", "result": "not ours"}
    outcome, _ = exchange("vapi", vapi("junk", other, {"toolCallId": "call_abc", "result": result}))
    assert (outcome.ok, outcome.output, outcome.say, outcome.variables) == (True, output, "", {})


@pytest.mark.parametrize("error", ["no such order", {"message": "no such order"}])
def test_the_error_of_our_call_is_told_to_the_model(error: object) -> None:
    outcome, _ = exchange("vapi", vapi({"toolCallId": "call_abc", "error": error}))
    assert (outcome.ok, message_of(outcome), outcome.unknown) == (False, "no such order", False)


def test_an_error_of_the_whole_is_told_to_the_model() -> None:
    outcome, _ = exchange("vapi", answer(200, {"error": "no credit"}))
    assert (outcome.ok, message_of(outcome)) == (False, "no credit")


@pytest.mark.parametrize(
    "document",
    [{}, [], {"results": {}}, {"results": []}, {"results": [{"toolCallId": "x", "result": 1}]}, {"result": "ok"}],
)
def test_an_answer_without_our_call_is_no_use(document: object) -> None:
    outcome, _ = exchange("vapi", answer(200, document))
    assert outcome.unknown
    assert outcome.detail == "HTTP 200: there is no entry of results with the toolCallId that was sent"


def test_an_entry_that_says_nothing_is_no_use() -> None:
    outcome, _ = exchange("vapi", vapi({"toolCallId": "call_abc"}))
    assert outcome.detail == "HTTP 200: the entry of results has neither result nor error"


# --- retell ---------------------------------------------------------------------------------------


def sdk_verifies(body: str, api_key: str, signature: str) -> bool:
    """As RetellAI/retell-python-sdk does: the pattern, then HMAC-SHA256 over body and milliseconds."""
    found = re.search(r"v=(\d+),d=(.*)", signature)
    assert found is not None
    digest = hmac.new(api_key.encode(), (body + found[1]).encode(), hashlib.sha256).hexdigest()
    return digest == found[2]


def test_retell_servers_get_name_call_and_arguments_with_their_signature() -> None:
    _, received = exchange("retell", answer(200, {}))
    body = json.loads(received.body)
    assert list(body) == ["name", "call", "args"]
    assert (body["name"], body["args"]) == ("lookup_order", ARGUMENTS)
    call = body["call"]
    assert (call["call_id"], call["call_type"], call["direction"]) == ("call-1", "phone_call", "inbound")
    assert (call["from_number"], call["to_number"]) == ("+14155550123", "+14155550199")
    assert call["metadata"] == {"tier": "gold"} and call["retell_llm_dynamic_variables"] == {"customer": 7}
    assert sdk_verifies(received.body, KEY, received.headers["x-retell-signature"])
    assert not sdk_verifies(received.body + " ", KEY, received.headers["x-retell-signature"])


def test_the_body_is_what_javascript_would_write() -> None:
    """Their TypeScript examples check the signature of `JSON.stringify(req.body)`, not of what came."""
    _, received = exchange("retell", answer(200, {}))
    assert '"args":{"order_id":"A1 ü","count":2,"price":1.5,"lines":[{"n":3}]}' in received.body


@pytest.mark.parametrize(
    ("reply", "output"),
    [
        (answer(200, {"a": 1}), '{"a":1}'),
        (answer(201, b"It is shipped.", kind="text/plain"), '"It is shipped."'),
        (answer(200, b"<p>gr\xc3\xbcn", kind="text/html"), '"<p>grün"'),
        (answer(204, b"", kind=""), "null"),
        (answer(200, b'{"half":', kind="application/json"), '"{\\"half\\":"'),
        (answer(200, b"x" * 20_000, kind="text/plain"), '"' + "x" * 15_000 + '"'),
        (answer(200, {"say": "x", "result": 1}), '{"say":"x","result":1}'),
        (answer(202, {"queued": True}), '{"queued":true}'),
    ],
)
def test_any_body_is_the_result_cut_at_15000_characters(reply: Reply, output: str) -> None:
    outcome, _ = exchange("retell", reply)
    assert (outcome.ok, outcome.output, outcome.say, outcome.pending) == (True, output, "", False)


# --- raw ------------------------------------------------------------------------------------------


def test_raw_is_the_arguments_and_nothing_else() -> None:
    _, received = exchange("raw", answer(200, {}))
    assert json.loads(received.body) == ARGUMENTS


@pytest.mark.parametrize(
    ("reply", "output"),
    [
        (answer(200, {"result": 1, "say": "x"}), '{"result":1,"say":"x"}'),
        (answer(201, [1]), "[1]"),
        (answer(204, b""), "null"),
        (answer(202, {"queued": True}), '{"queued":true}'),
    ],
)
def test_any_json_is_the_result_of_a_raw_tool(reply: Reply, output: str) -> None:
    outcome, _ = exchange("raw", reply)
    assert (outcome.ok, outcome.output, outcome.pending) == (True, output, False)


def test_what_is_not_json_is_no_use_to_a_raw_tool() -> None:
    outcome, _ = exchange("raw", answer(200, b"ok", kind="text/plain"))
    assert outcome.unknown and outcome.detail == "HTTP 200: the answer is not application/json"
