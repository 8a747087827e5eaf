"""The `call.incoming` webhook: asks the business about a caller while it rings.

It answers 200 with {"context"?: text or object, "greeting"?: text, "variables"?: {"name": any JSON}}, or with nothing.
A part that is wrong is left out; whatever else goes wrong, the call goes on without an answer.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pydantic import SecretStr

from gateway.agents.around import Lookup
from gateway.agents.template import fill
from gateway.deliveries.events import dumps
from gateway.errors import ConfigError
from gateway.tools.envelope import event_call, head
from gateway.tools.replies import json_body, json_text, read_reply
from gateway.tools.request import CallFacts
from gateway.tools.sender import Answer, Outgoing, SendError
from gateway.tools.signing import keys_of, sign

__all__ = ["Found", "look_up"]

TYPE = "call.incoming"
MAX_ANSWER_BYTES = 64 * 1024
MAX_CONTEXT_CHARS = 8 * 1024
MAX_GREETING_CHARS = 2_000


@dataclass(slots=True, frozen=True)
class Found:
    """What the business said; all empty when it said nothing."""

    context: str = ""
    greeting: str = ""
    """With its variables filled in."""
    variables: Mapping[str, object] = field(default_factory=dict)
    detail: str = ""
    """What happened, for the log: a status, a failure, what was left out; no content."""


async def look_up(
    outgoing: Outgoing, section: Lookup, facts: CallFacts, default_secret: SecretStr | None, greeting: str
) -> Found:
    """Ask, within the section's `timeout_s`. Raises nothing but cancellation.

    `greeting` is the agent's own, which may name variables too.
    """
    deadline = asyncio.get_running_loop().time() + section.timeout_s
    try:
        keys = keys_of(section.secret, default_secret)
        message, body = _request(facts)
        headers = {
            **section.headers,
            **sign(keys, message, body),
            "content-type": "application/json",
            "accept": "application/json",
        }
        answer = await outgoing.send(
            "POST", section.url, headers, body.encode(), deadline=deadline, max_bytes=MAX_ANSWER_BYTES
        )
        return _found(answer, facts, greeting)
    except (SendError, ConfigError) as error:
        return Found(detail=str(error))
    except ValueError as wrong:
        return Found(detail=f"unusable answer: {wrong}")


def _request(facts: CallFacts) -> tuple[str, str]:
    message = f"{facts.call_id.replace('.', '_')}:call_incoming"
    call = event_call(facts, facts.metadata)
    return message, dumps({**head(TYPE, message, datetime.now(UTC)), "data": {"call": call}})


def _found(answer: Answer, facts: CallFacts, greeting: str) -> Found:
    """Read an answer. Raises `ValueError` when nothing of it is usable."""
    detail = f"HTTP {answer.status}"
    if not 200 <= answer.status < 300:
        return Found(detail=detail)
    document = json_body(answer)
    if document is None:
        return Found(detail=detail)
    if not isinstance(document, dict):
        raise ValueError("not an object")
    left_out: list[str] = []
    reply = read_reply({"result": None, "variables": document.get("variables")})
    left_out += reply.notes
    context = _context(document.get("context"), left_out)
    wanted = _greeting(document.get("greeting"), left_out) or (greeting if "{{" in greeting else "")
    known = {**reply.variables, "caller": facts.from_number, "called": facts.to_number}
    said = fill(wanted, known).strip()[:MAX_GREETING_CHARS]
    if left_out:
        detail = f"{detail}; left out: {', '.join(left_out)}"
    return Found(context, said, reply.variables, detail)


def _context(value: object, left_out: list[str]) -> str:
    """Return what the model is told: text as it is, anything else as JSON."""
    if value is None:
        return ""
    if not isinstance(value, str | dict | list):
        left_out.append("context (not a text or an object)")
        return ""
    text = value.encode(errors="replace").decode().strip() if isinstance(value, str) else json_text(value)
    if len(text) > MAX_CONTEXT_CHARS:
        left_out.append(f"the end of context (over {MAX_CONTEXT_CHARS} characters)")
    return text[:MAX_CONTEXT_CHARS]


def _greeting(value: object, left_out: list[str]) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MAX_GREETING_CHARS:
        left_out.append(f"greeting (not a text of at most {MAX_GREETING_CHARS} characters)")
        return ""
    return value.encode(errors="replace").decode()
