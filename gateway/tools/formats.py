"""The four forms of a webhook tool's request and answer: ours, and those of servers written for other platforms.

* `gateway`: the envelope described in `README.md`; the reply forms of `replies.py`.
* `vapi`: a `tool-calls` server message with one call; its entry of `results` is the answer. VapiAI/docs,
  fern/tools/custom-tools.mdx and fern/server-url/events.mdx (docs.vapi.ai/tools/custom-tools). The pages disagree on
  where the arguments are (`arguments`, `parameters`, or inside `function`), and so do servers: they are in each place.
* `retell`: name, call and arguments; any body is the answer.
  docs.retellai.com/build/single-multi-prompt/custom-function, and the signature of RetellAI/retell-python-sdk,
  src/retell/lib/webhook_auth.py.
* `raw`: the arguments alone; any JSON is the answer.

Our own signature, Idempotency-Key and traceparent go along in each.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

from pydantic import SecretStr

from gateway.agents import Tool
from gateway.tools.catalogue import parse_json
from gateway.tools.envelope import head, tool_call
from gateway.tools.replies import (
    Reply,
    business_error,
    error_text,
    json_body,
    json_text,
    plain_reply,
    read_promise,
    read_reply,
)
from gateway.tools.request import ToolRequest, message_id
from gateway.tools.sender import Answer
from gateway.tools.signing import retell_signature

__all__ = ["FORMATS", "Format"]

MAX_RETELL_CHARS = 15_000
"""docs.retellai.com, custom function, response: longer ones are cut."""


@dataclass(slots=True, frozen=True)
class Format:
    """One form."""

    body: Callable[[ToolRequest, int, float], object]
    """The request, its attempt (from 1) and the seconds that are left to the request's JSON."""
    read: Callable[[ToolRequest, Answer], Reply]
    """The request and a 2xx answer to the reply. Raises `ValueError` with a short reason for one that is no use."""
    headers: Callable[[SecretStr, str], Mapping[str, str]] = lambda secret, body: {}
    """Further headers for the tool's secret and the body."""


def _envelope(request: ToolRequest, attempt: int, left_s: float) -> object:
    call, message = request.call, message_id(request.key)
    return {
        **head("tool.call", message, datetime.now(UTC)),
        "data": {
            "call": tool_call(call, call.metadata),
            "tool": {"name": request.tool.name, "call_id": request.tool_call_id},
            "arguments": dict(request.arguments),
            "variables": dict(request.variables),
            "attempt": attempt,
            "deadline_ms": round(left_s * 1000),
            "result_id": message,
        },
    }


def _read_gateway(request: ToolRequest, answer: Answer) -> Reply:
    if answer.status == 202:
        return read_promise(answer)
    return read_reply(json_body(answer))


def _vapi(request: ToolRequest, attempt: int, left_s: float) -> object:
    call, name, arguments = request.call, request.tool.name, dict(request.arguments)
    function = {"name": name, "arguments": arguments, "parameters": arguments}
    tool_call = {"id": request.tool_call_id, "type": "function", **function, "function": function}
    caller, called = _ends(request)
    phone = {"number": called}
    customer = {"number": caller}
    tool = request.tool.target
    return {
        "message": {
            "type": "tool-calls",
            "timestamp": _now_ms(),
            "call": {
                "id": call.call_id,
                "type": "outboundPhoneCall" if call.direction == "outbound" else "inboundPhoneCall",
                "customer": customer,
                "phoneNumber": phone,
                "metadata": dict(call.metadata),
            },
            "customer": customer,
            "phoneNumber": phone,
            "assistant": {"name": call.agent},
            "toolCalls": [tool_call],
            "toolCallList": [tool_call],
            "toolWithToolCallList": [
                {
                    "type": "function",
                    "name": name,
                    "description": request.tool.description,
                    "parameters": dict(request.tool.parameters),
                    "server": {"url": tool.url if isinstance(tool, Tool) else ""},
                    "messages": [],
                    "toolCall": tool_call,
                }
            ],
        }
    }


def _read_vapi(request: ToolRequest, answer: Answer) -> Reply:
    document = json_body(answer)
    results = document.get("results") if isinstance(document, dict) else None
    if isinstance(results, list):
        for entry in results:
            if isinstance(entry, dict) and entry.get("toolCallId") == request.tool_call_id:
                return _vapi_entry(entry)
    if isinstance(document, dict) and (message := business_error(document)):
        return Reply(False, error_text(message))
    raise ValueError("there is no entry of results with the toolCallId that was sent")


def _vapi_entry(entry: Mapping[str, object]) -> Reply:
    if entry.get("result") is None and entry.get("error") is not None:
        return Reply(False, error_text(business_error(entry) or "the system could not do it"))
    if "result" not in entry:
        raise ValueError("the entry of results has neither result nor error")
    return plain_reply(entry["result"])


def _retell(request: ToolRequest, attempt: int, left_s: float) -> object:
    call = request.call
    document = {
        "name": request.tool.name,
        "call": {
            "call_id": call.call_id,
            "call_type": "phone_call",
            "call_status": "ongoing",
            "agent_id": call.agent,
            "agent_name": call.agent,
            "direction": call.direction,
            "from_number": call.from_number,
            "to_number": call.to_number,
            "metadata": dict(call.metadata),
            "retell_llm_dynamic_variables": dict(request.variables),
        },
        "args": dict(request.arguments),
    }
    return _as_javascript(document)


def _read_retell(request: ToolRequest, answer: Answer) -> Reply:
    text = answer.body.decode(errors="replace")
    if len(text) <= MAX_RETELL_CHARS:
        try:
            return Reply(True, json_text(parse_json(text)) if text else "null")
        except ValueError:
            pass  # any text will do
    return Reply(True, json_text(text[:MAX_RETELL_CHARS]))


def _raw(request: ToolRequest, attempt: int, left_s: float) -> object:
    return dict(request.arguments)


def _read_raw(request: ToolRequest, answer: Answer) -> Reply:
    return plain_reply(json_body(answer))


def _ends(request: ToolRequest) -> tuple[str, str]:
    """Return the other party's number and ours."""
    call = request.call
    return (call.to_number, call.from_number) if call.direction == "outbound" else (call.from_number, call.to_number)


def _as_javascript(value: object) -> object:
    """Return JSON that JavaScript parses and writes again to the same bytes: servers check the signature of that."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return int(value)
    if isinstance(value, dict):
        return {name: _as_javascript(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_as_javascript(part) for part in value]
    return value


def _now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "gateway": Format(_envelope, _read_gateway),
        "vapi": Format(_vapi, _read_vapi),
        "retell": Format(
            _retell, _read_retell, headers=lambda secret, body: {"x-retell-signature": retell_signature(secret, body)}
        ),
        "raw": Format(_raw, _read_raw),
    }
)
