"""Random misfortunes on the virtual clock, against what a repetition may never do."""

import asyncio
import json
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from gateway.agents import Tool
from gateway.simulator.clock import run
from gateway.tools.catalogue import ToolKind, catalogue_tool
from gateway.tools.netguard import NetGuard
from gateway.tools.request import CallFacts, ToolOutcome, ToolRequest
from gateway.tools.webhook import WebhookInvoker

ANSWERS = {"good": 200, "no": 404, "busy": 429, "broken": 500, "away": 503, "junk": 200}
UNSENT = {"refuse"}
MAYBE = {"break", "hang", "broken", "away", "junk"}
"""After these nobody knows."""
SLOW_S = 0.7


class Business:
    """Does in turn what `fates` say, then answers well."""

    def __init__(self, fates: list[str]) -> None:
        self.fates = fates
        self.seen: list[str] = []
        self.keys: set[bytes] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        fate = self.fates[len(self.seen)] if len(self.seen) < len(self.fates) else "good"
        self.seen.append(fate)
        self.keys |= {value for name, value in scope["headers"] if name == b"idempotency-key"}
        if fate == "refuse":
            raise httpx2.ConnectError("refused")
        await asyncio.sleep(60 if fate == "hang" else SLOW_S)
        if fate == "break":
            raise httpx2.ReadError("broken")
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": ANSWERS[fate], "headers": headers})
        await send({"type": "http.response.body", "body": b"{" if fate == "junk" else b"{}"})


def carried_out(business: Business, policy: dict[str, Any], *, sent_before: bool = False) -> ToolOutcome:
    tool = Tool.model_validate({"name": "t", "description": "x", "url": "https://api.example.com/"} | policy)
    offered = catalogue_tool("t", ToolKind.WEBHOOK, "x", tool.parameters, tool, tool)
    request = ToolRequest(
        CallFacts("call-1", "support", "inbound", "", ""), offered, "call_abc", {}, sent_before=sent_before
    )

    async def main() -> ToolOutcome:
        transport = httpx2.ASGITransport(app=business)
        async with WebhookInvoker(NetGuard(), default_secret=SecretStr("secret"), transport=transport) as tools:
            return await tools.invoke(request)

    return run(main())


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([*ANSWERS, *UNSENT, "break", "hang"]), max_size=4),
    st.sampled_from([("read", False), ("write", False), ("write", True)]),
    st.floats(0.1, 8),
)
def test_nothing_is_done_twice_and_what_is_said_of_it_is_true(
    fates: list[str], kind: tuple[str, bool], timeout_s: float
) -> None:
    effect, idempotent = kind
    business = Business(fates)
    outcome = carried_out(business, {"effect": effect, "idempotent": idempotent, "timeout_s": timeout_s})
    seen, last = business.seen, business.seen[-1]
    sent = [fate for fate in seen if fate not in UNSENT]
    repeatable = effect == "read" or idempotent
    assert len(seen) <= (3 if repeatable else 2)
    assert repeatable or len(sent) <= 1
    assert len(business.keys) == 1
    assert outcome.elapsed_ms <= timeout_s * 1000 + 1
    late = outcome.detail.startswith("no answer within")  # whatever the business had in mind
    assert outcome.ok is (last == "good" and not late)
    settled = last in ("good", "no") and not late
    maybe = not settled and (late or any(fate in MAYBE for fate in seen))
    assert outcome.unknown is (effect == "write" and maybe)
    if not settled:
        message = json.loads(outcome.output)["error"]["message"]
        assert ("Nothing was done." in message) is not maybe
        assert ("Do not call this again." in message) is outcome.unknown


@pytest.mark.parametrize("fate", ["refuse", "busy", "broken"])
def test_what_a_dead_process_may_have_sent_is_not_said_to_be_undone_for_want_of_an_answer(fate: str) -> None:
    write = {"effect": "write", "idempotent": True, "timeout_s": 3}
    again = carried_out(Business([fate] * 9), write, sent_before=True)
    assert again.unknown and not again.ok
    assert carried_out(Business([fate] * 9), write).unknown is (fate == "broken")
    assert carried_out(Business(["good"]), write, sent_before=True).ok
    assert not carried_out(Business(["no"]), write, sent_before=True).unknown, "an answer is an answer"
