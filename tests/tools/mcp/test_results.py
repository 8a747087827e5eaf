"""What a server answers, as the model is told it, and which failures are tried again."""

import asyncio
import json
from typing import Any

import pytest

from gateway.tools.mcp.results import Read, read_result
from gateway.tools.request import ToolOutcome
from tests.tools.server import Business, Reply, answer, business, in_turn

from .stage import section, stage, told


def text(*texts: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": part} for part in texts]


@pytest.mark.parametrize(
    ("result", "output"),
    [
        ({"content": text("hello")}, '"hello"'),
        ({"content": text("a", "b")}, '"a\\nb"'),
        ({"content": text('{"a": [1]}')}, '{"a":[1]}'),
        ({"content": text("{not json")}, '"{not json"'),
        ({"content": text("ignored"), "structuredContent": {"a": None, "b": "ü"}}, '{"a":null,"b":"ü"}'),
        ({"content": []}, '""'),
        ({"content": text("\ud800")}, '"\\ud800"'),
        ({"content": [{"type": "resource", "resource": {"uri": "x", "text": "said"}}]}, '"said"'),
        (
            {"content": [{"type": "resource", "resource": {"uri": "x", "blob": "aGk="}}]},
            '"(a document, which cannot be read out on a phone call)"',
        ),
        (
            {"content": [{"type": "resource_link", "uri": "x"}]},
            '"(a link to a document, which cannot be opened on a phone call)"',
        ),
        ({"content": [{"type": "hologram"}, 7]}, '"(something that cannot be said on a phone call)"'),
    ],
)
def test_an_answer_is_told_in_a_form_that_can_be_said(result: dict[str, Any], output: str) -> None:
    assert read_result(result, write=False) == Read(True, output)


def test_an_error_of_the_tool_is_told_cut() -> None:
    read = read_result({"content": text("x" * 5000), "isError": True}, write=True)
    assert not read.ok
    assert len(json.loads(read.output)["error"]["message"]) == 1000
    assert "could not do it" in read_result({"content": [], "isError": True}, write=True).output


def test_an_answer_too_long_is_an_error_of_a_read_and_a_write_that_was_done() -> None:
    long = {"content": text("x" * 300_000)}
    assert not read_result(long, write=False).ok
    done = read_result(long, write=True)
    assert done.ok
    assert "it is done" in done.output


def reply(number: int, result: dict[str, Any]) -> Reply:
    return answer(200, {"jsonrpc": "2.0", "id": number, "result": result})


INFO = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "x", "version": "1"}}
TOOL = {"name": "go", "inputSchema": {"type": "object", "properties": {}}}
GREETED = (answer(404, b""), reply(2, INFO), answer(202, b""), reply(3, {"tools": [TOOL]}))
"""An older server: it knows no server/discover."""


def outcome(*calls: Reply, **policy: Any) -> tuple[ToolOutcome, int]:
    """Make one call to a server that answers its tries so; return how many there were, too."""

    async def main() -> tuple[ToolOutcome, int]:
        async with business(in_turn(*GREETED, *calls)) as server:
            async with stage(section(url=server.url, overrides={"go": {"timeout_s": 5} | policy})) as on:
                result = await on.call("go")
            return result, sum("tools/call" in received.body for received in server.received)

    return asyncio.run(main())


DONE = {"content": text("done")}


@pytest.mark.parametrize("policy", [{"effect": "read"}, {"idempotent": True}])
@pytest.mark.parametrize("passing", [answer(503, b""), answer(429, b"", "retry-after: 0"), answer(502, b"")])
def test_a_passing_failure_is_tried_again_where_that_is_safe(passing: Reply, policy: dict[str, Any]) -> None:
    result, tries = outcome(passing, passing, reply(6, DONE), **policy)
    assert result.output == '"done"'
    assert tries == 3


def test_a_write_is_never_sent_twice() -> None:
    unavailable, tries = outcome(answer(503, b""), reply(5, DONE))
    assert (unavailable.unknown, tries) == (True, 1)
    busy, tries = outcome(answer(429, b""), reply(5, DONE))
    assert (busy.unknown, tries) == (False, 1)
    assert told(busy).startswith("The system is too busy just now. Nothing was done.")


def test_an_idempotent_write_that_stays_lost_is_not_known_to_be_done() -> None:
    result, tries = outcome(*[answer(503, b"")] * 3, idempotent=True)
    assert (result.unknown, tries) == (True, 3)


def test_a_wish_to_wait_that_is_longer_than_the_deadline_is_an_answer() -> None:
    result, tries = outcome(answer(429, b"", "retry-after: 60"), effect="read")
    assert tries == 1
    assert "too busy" in told(result)


def test_a_session_that_the_server_forgot_is_opened_anew_and_the_call_made_once_more() -> None:
    with_session = answer(200, {"jsonrpc": "2.0", "id": 2, "result": INFO}, "mcp-session-id: 1")
    greeted = (GREETED[0], with_session, *GREETED[2:])
    posts = in_turn(*greeted, answer(404, b""), *GREETED, reply(4, DONE))
    running: list[Business] = []

    async def by_method(writer: asyncio.StreamWriter) -> None:
        is_post = running[0].received[-1].line.startswith("POST")  # beside the event stream and the session's end
        await (posts if is_post else answer(405, b""))(writer)

    async def main() -> ToolOutcome:
        async with business(by_method) as server:
            running.append(server)
            async with stage(section(url=server.url, overrides={"go": {"timeout_s": 5}})) as on:
                return await on.call("go")

    assert asyncio.run(main()).output == '"done"'
