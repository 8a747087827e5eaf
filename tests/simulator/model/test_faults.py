"""Ordered failures, expiry, and who is let in."""

import asyncio

import pytest

from gateway.simulator.model import UpgradeRefused
from gateway.wire import WireClosed, pipe
from tests.clock import run
from tests.simulator.model.client import QUERY, Event, desk


def script(faults: str) -> str:
    return f"turns: [{{say: This is the answer in several words, faults: [{faults}]}}]"


@pytest.mark.parametrize(
    ("fault", "status", "details"),
    [
        ("{kind: rate_limited}", "failed", "inference_rate_limit_exceeded"),
        ("{kind: fail_response}", "failed", "server_error"),
        ("{kind: fail_response, after_ms: 300, code: insufficient_quota}", "failed", "insufficient_quota"),
        ("{kind: incomplete, reason: content_filter, after_ms: 300}", "incomplete", "content_filter"),
        ("{kind: incomplete, after_ms: 600000}", "incomplete", "max_output_tokens"),
        ("{kind: delay, ms: 5000}", "completed", ""),
        ("{kind: error, code: odd}", "completed", ""),
        ("{kind: garbage}", "completed", ""),
        ("{kind: unknown_item_delta, count: 2}", "completed", ""),
    ],
)
def test_a_faulty_response_still_ends_with_response_done(fault: str, status: str, details: str) -> None:
    async def call() -> Event:
        async with desk(script(fault)) as server:
            client = await server.connect()
            client.allow_garbage = True
            await client.telephone()
            await client.say("hello")
            done: Event = (await client.until("response.done"))["response"]
            if "after_ms: 300" in fault:
                assert len(client.audio(done["output"][0]["id"])) == 300 * 8
            return done

    done = run(call())
    assert done["status"] == status
    assert details in str(done["status_details"])


@pytest.mark.parametrize("fault", ["{kind: close, code: 1011}", "{kind: close, code: 1006, after_ms: 200}"])
def test_an_ordered_close_ends_the_session_with_its_code(fault: str) -> None:
    async def call() -> None:
        async with desk(script(fault)) as server:
            client = await server.connect()
            await client.say("hello")
            await client.drain()
            assert client.closed is not None
            assert str(client.closed.code) in fault
        assert not server.record.open

    run(call())


def test_a_stalled_response_can_be_cancelled() -> None:
    async def call() -> None:
        async with desk(script("{kind: stall}")) as server:
            client = await server.connect()
            await client.say("hello")
            await client.until("response.created")
            await client.send("response.cancel")
            assert (await client.until("response.done"))["response"]["status"] == "cancelled"

    run(call())


def test_a_deaf_session_never_says_anything_again() -> None:
    async def call() -> None:
        async with desk(script("{kind: stall, deaf: true}"), expires_s=100) as server:
            client = await server.connect()
            await client.say("hello")
            await client.until("response.created")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await client.receive()
            await client.send("response.cancel")
            await client.drain()
            assert client.kinds()[-1] == "response.created"

    run(call())


def test_a_fault_with_times_acts_that_often() -> None:
    async def call() -> None:
        async with desk(script("{kind: fail_response, times: 1}")) as server:
            for status in ("failed", "completed"):
                client = await server.connect()
                await client.say("hello")
                assert (await client.until("response.done"))["response"]["status"] == status

    run(call())


def test_a_session_expires_with_an_error_and_1001() -> None:
    async def call() -> None:
        async with desk(expires_s=30) as server:
            client = await server.connect()
            error = await client.error()
            assert error["code"] == "session_expired"
            await client.drain()
            assert client.closed is not None
            assert (client.closed.code, client.closed.reason) == (1001, error["message"])
        assert server.record.closed == (30.0, 1001, error["message"])

    run(call())


def test_updates_can_be_ordered_to_fail() -> None:
    async def call() -> None:
        async with desk("server: {refuse_updates: 1}") as server:
            client = await server.connect()
            await client.send("session.update", session={"type": "realtime"})
            assert (await client.error())["param"] == "session"
            await client.configure()

    run(call())


@pytest.mark.parametrize(
    ("query", "headers", "code", "reason"),
    [
        (QUERY, {"Authorization": "Bearer wrong"}, 3000, "invalid_api_key"),
        (QUERY, {}, 3000, "invalid_api_key"),
        ({}, {"Authorization": "Bearer right"}, 4000, "missing_model"),
        ({"model": "gpt-live-1"}, {"Authorization": "Bearer right"}, 4000, "invalid_model"),
        (QUERY, {"authorization": "Bearer right", "OpenAI-Beta": "realtime=v1"}, 4000, "beta_api_shape_disabled"),
    ],
)
def test_rejected_connections_get_an_error_and_a_close(
    query: dict[str, str], headers: dict[str, str], code: int, reason: str
) -> None:
    async def call() -> None:
        async with desk(api_key="right") as server:
            client = server.dial(query, headers)
            await client.drain()
            assert client.closed is not None
            assert (client.closed.code, client.closed.reason) == (code, f"invalid_request_error.{reason}")
            assert client.events[0]["error"]["code"] == reason

    run(call())


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/elsewhere", QUERY, 404),
        ("/v1/realtime", {"call_id": "rtc_1"}, 404),
        ("/openai/v1/realtime", QUERY, 401),
    ],
)
def test_some_upgrades_are_answered_with_an_http_error(path: str, query: dict[str, str], status: int) -> None:
    async def call() -> None:
        async with desk(api_key="right") as server:
            with pytest.raises(UpgradeRefused) as refused:
                await server.server.serve_socket(pipe()[1], query, {}, path)
            assert refused.value.status == status

    run(call())


def test_connection_failures_can_be_ordered() -> None:
    async def call() -> None:
        async with desk(refuse_first=(500, 1), max_sessions=1) as server:
            server.server.refuse_next(429)
            for status in (500, 429):
                with pytest.raises(UpgradeRefused) as refused:
                    await server.server.serve_socket(pipe()[1], QUERY, {})
                assert refused.value.status == status
            server.server.close_next(1013)
            client = server.dial()
            with pytest.raises(WireClosed):
                await client.receive()
            assert client.closed is not None
            assert client.closed.code == 1013
            await server.connect()
            with pytest.raises(UpgradeRefused) as refused:
                await server.server.serve_socket(pipe()[1], QUERY, {})
            assert refused.value.status == 503

    run(call())


def test_faults_can_stand_at_the_greeting_and_after_a_result() -> None:
    script = """
greeting_faults: [{kind: rate_limited, times: 1}]
turns: [{calls: [{name: look}], result: found, result_faults: [{kind: fail_response}]}]
"""

    async def call() -> list[str]:
        async with desk(script) as server:
            client = await server.connect()
            for _ in range(2):
                await client.send("response.create")
                await client.until("response.done")
            await client.say("look it up")
            done = await client.until("response.done")
            call_id = done["response"]["output"][0]["call_id"]
            assert server.record.pending_calls == {call_id}
            result = {"type": "function_call_output", "call_id": call_id, "output": "{}"}
            await client.send("conversation.item.create", item=result)
            await client.send("response.create")
            await client.until("response.done")
            assert not server.record.pending_calls
            return list(server.record.responses.values())

    assert run(call()) == ["failed", "completed", "completed", "failed"]


def test_late_deltas_can_be_ordered_for_one_response() -> None:
    async def call() -> None:
        async with desk(script("{kind: late_deltas, count: 3}")) as server:
            client = await server.connect()
            await client.say("hello")
            await client.until("response.output_audio.delta")
            await client.send("response.cancel")
            done = (await client.until("response.done"))["response"]
            for _ in range(3):
                assert (await client.until("response.output_audio.delta"))["response_id"] == done["id"]

    run(call())


NON_FATAL = [
    "missing_required_parameter",
    "unknown_parameter",
    "invalid_value",
    "invalid_event",
    "conversation_already_has_active_response",
    "response_cancel_not_active",
    "input_audio_buffer_commit_empty",
    "item_truncate_invalid_item_id",
    "unsupported_content_type",
    "item_retrieve_invalid_item_id",
    "item_create_duplicate_item_id",
    "invalid_tool_call_id",
    "cannot_update_voice",
    "bad_response_create",
]


@pytest.mark.parametrize("code", NON_FATAL)
def test_every_documented_error_can_come_out_of_the_blue_and_ends_nothing(code: str) -> None:
    async def call() -> None:
        async with desk(script(f"{{kind: error, code: {code}}}")) as server:
            client = await server.connect()
            await client.say("hello")
            error = await client.error()
            assert (error["code"], error["type"]) == (code, "invalid_request_error")
            assert error["message"]
            assert (await client.until("response.done"))["response"]["status"] == "completed"
            await client.configure()

    run(call())


def test_an_error_without_a_code_is_possible() -> None:
    async def call() -> None:
        async with desk(script("{kind: error, code: null, message: odd}")) as server:
            client = await server.connect()
            await client.say("hello")
            error = await client.error()
            assert (error["code"], error["type"], error["message"]) == (None, "server_error", "odd")

    run(call())


REFUSABLE: list[Event] = [
    {"type": "input_audio_buffer.append", "audio": "/w=="},
    {"type": "input_audio_buffer.clear"},
    {"type": "conversation.item.delete", "item_id": "known"},
    {"type": "conversation.item.truncate", "item_id": "known", "content_index": 0, "audio_end_ms": 0},
    {"type": "response.create"},
    {"type": "response.cancel"},
]


@pytest.mark.parametrize("event", REFUSABLE, ids=[event["type"] for event in REFUSABLE])
def test_a_client_event_can_be_ordered_to_be_refused_once(event: Event) -> None:
    order = f"refuse: [{{event: {event['type']}, code: bad_response_create, count: 1}}]"

    async def call() -> None:
        async with desk(f"server: {{{order}}}") as server:
            client = await server.connect()
            content = [{"type": "input_text", "text": "hi"}]
            item = {"id": "known", "type": "message", "role": "user", "content": content}
            await client.send("conversation.item.create", item=item)
            for _ in range(2):
                await client.send(**{"kind": event["type"], **{k: v for k, v in event.items() if k != "type"}})
            await client.send("no.such.event")
            codes = [(await client.error())["code"]]
            while codes[-1] != "invalid_value":
                codes.append((await client.error())["code"])
            assert codes.count("bad_response_create") == 1
            assert server.record.refused[0].event["type"] == event["type"]

    run(call())


def test_a_turn_can_order_the_refusal_of_what_follows_it() -> None:
    fault = "{kind: refuse, event: conversation.item.truncate, code: invalid_value, count: 2}"

    async def call() -> None:
        async with desk(script(fault)) as server:
            client = await server.connect()
            await client.telephone()
            await client.say("hello")
            item_id = (await client.until("response.done"))["response"]["output"][0]["id"]
            for _ in range(3):
                await client.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=100)
            await client.until("conversation.item.truncated")
            assert [cut.accepted for cut in server.record.truncations] == [False, False, True]

    run(call())


@pytest.mark.parametrize("field", ["code", "type"])
def test_a_fatal_error_is_told_and_closes_the_socket(field: str) -> None:
    async def call() -> None:
        async with desk(script(f"{{kind: fatal, code: account_deactivated, field: {field}, after_ms: 100}}")) as server:
            client = await server.connect()
            await client.say("hello")
            error = await client.error()
            assert error[field] == "account_deactivated"
            await client.drain()
            assert client.closed is not None
            assert client.closed.code == 4000
            assert client.closed.reason.endswith("account_deactivated")

    run(call())
