"""What a session leaves behind: enough to prove what the model was told, heard, said and refused."""

import asyncio
from typing import Any

from tests.clock import run
from tests.simulator.model.client import desk, silence, speech

CALLS = """
turns:
  - {heard: look, say: One moment please., calls: [{name: look, arguments: {a: 1}}]}
  - {heard: more, say: Yes.}
"""


def test_a_refused_event_is_kept_with_its_error_and_without_its_audio() -> None:
    async def call() -> None:
        async with desk() as server:
            client = await server.connect()
            await client.send("response.cancel", event_id="mine", response_id="resp_x")
            await client.send("input_audio_buffer.append", audio="***")
            await client.socket.send("not json")
            await client.error()
            await client.configure()
            cancelled, appended, broken = server.record.refused
            assert cancelled.code == "response_cancel_not_active"
            assert cancelled.event == {"type": "response.cancel", "event_id": "mine", "response_id": "resp_x"}
            assert cancelled.error["event_id"] == "mine"
            assert appended.event == {"type": "input_audio_buffer.append"}
            assert (broken.event, broken.code) == ({}, "invalid_event")

    run(call())


def test_errors_a_scenario_orders_are_no_refusals() -> None:
    async def call() -> None:
        async with desk("greeting_faults: [{kind: error}]") as server:
            client = await server.connect()
            await client.send("response.create")
            await client.until("response.done")
            assert len(server.record.errors) == 1
            assert not server.record.refused

    run(call())


def test_each_response_is_kept_with_its_times() -> None:
    async def call() -> None:
        async with desk(CALLS, ttfb_ms=400, ttfb_sigma=0, cancel_ms=50) as server:
            client = await server.connect()
            await client.telephone()
            await client.say("look")
            await client.until("response.output_audio.delta")
            await asyncio.sleep(0.01)
            await client.send("response.cancel")
            done = (await client.until("response.done"))["response"]
            (reply,) = server.record.replies.values()
            assert (reply.id, reply.turn, reply.status) == (done["id"], 1, "cancelled")
            assert reply.details == {"type": "cancelled", "reason": "client_cancelled"}
            assert reply.usage == done["usage"]
            assert reply.first_audio_at is not None and reply.cancel_asked_at is not None
            assert reply.ended_at is not None
            assert round(reply.first_audio_at - reply.created_at, 6) == 0.4
            assert round(reply.cancel_asked_at - reply.first_audio_at, 6) == 0.01
            assert round(reply.ended_at - reply.cancel_asked_at, 6) == 0.05
            assert list(reply.items) == [done["output"][0]["id"]]
            assert reply.dropped
            assert not reply.plan.metadata

    run(call())


def test_a_response_whose_items_were_all_deleted_is_dropped_and_its_call_not_waited_for() -> None:
    async def call() -> None:
        async with desk(CALLS) as server:
            client = await server.connect()
            await client.telephone()
            await client.say("look")
            message, made = (await client.until("response.done"))["response"]["output"]
            record = server.record
            reply = record.replies[next(iter(record.replies))]
            assert record.pending_calls == {made["call_id"]}
            await client.send("conversation.item.delete", item_id=made["id"])
            await client.until("conversation.item.deleted")
            assert not record.pending_calls
            assert not reply.dropped
            await client.send("conversation.item.delete", item_id=message["id"])
            await client.send("conversation.item.delete", item_id=message["id"])
            await client.error()
            assert reply.dropped
            assert [(each.kind, each.accepted) for each in record.deletions] == [
                ("function_call", True),
                ("assistant message", True),
                ("", False),
            ]
            assert record.deletions[1].length_ms == len(record.spoken[message["id"]].audio) // 8
            assert [(each.name, each.completed) for each in record.calls] == [("look", True)]
            await client.say("more")
            done = (await client.until("response.done"))["response"]
            assert done["output"][0]["content"][0]["transcript"] == "Yes."

    run(call())


def test_calls_of_a_cancelled_response_are_kept_and_not_waited_for() -> None:
    async def call() -> None:
        script = 'turns: [{calls: [{name: a}, {name: b, arguments: {text: "some long text to write"}}]}]'
        async with desk(script, text_delta_ms=100) as server:
            client = await server.connect()
            await client.say("go")
            await client.until("response.function_call_arguments.delta", output_index=1)
            await client.send("response.cancel")
            await client.until("response.done")
            assert [(each.name, each.completed) for each in server.record.calls] == [("a", True), ("b", False)]
            assert not server.record.pending_calls

    run(call())


def test_truncations_tell_the_true_length_and_why_one_was_refused() -> None:
    async def call() -> None:
        async with desk() as server:
            client = await server.connect()
            await client.telephone()
            await client.send("response.create")
            item_id = (await client.until("response.done"))["response"]["output"][0]["id"]
            length = len(client.audio(item_id)) // 8
            for name, end in ((item_id, length + 1), (item_id, 500), (item_id, 501), ("nobody", 0)):
                await client.send("conversation.item.truncate", item_id=name, content_index=0, audio_end_ms=end)
            await client.configure()
            assert [(cut.audio_end_ms, cut.length_ms, cut.accepted, cut.code) for cut in server.record.truncations] == [
                (length + 1, length, False, "invalid_value"),
                (500, length, True, None),
                (501, 500, False, "invalid_value"),
                (0, None, False, "item_truncate_invalid_item_id"),
            ]

    run(call())


def test_caller_audio_is_counted_by_whether_it_is_digital_silence() -> None:
    async def call() -> None:
        async with desk(keep_audio=True) as server:
            client = await server.connect()
            await client.telephone()
            await client.append(silence(300) + b"\x7f" * 800)
            assert server.record.caller.sounding_ms == 0
            await asyncio.sleep(1)
            for _ in range(5):
                await client.append(speech()[:160])
                await asyncio.sleep(0.02)
            await asyncio.sleep(1)
            await client.append(b"\xfe" + silence(20)[1:])
            await client.configure()
            caller = server.record.caller
            assert caller.ms == 300 + 100 + 100 + 20
            assert 90 < caller.sounding_ms <= 100 + 1 / 8
            spans = [(round(span.start_s, 3), round(span.end_s, 3)) for span in caller.spans]
            assert spans == [(1.0, 1.08), (2.1, 2.1)]
            assert caller.sounded(1.0, 1.01) and caller.sounded(1.05, 2.0)
            assert not caller.sounded(0.0, 0.99) and not caller.sounded(1.09, 2.09)
            assert bytes(caller.audio[:2400]) == silence(300)
            assert len(caller.audio) == caller.ms * 8

    run(call())


def test_caller_audio_is_only_kept_when_asked_for() -> None:
    async def call() -> None:
        async with desk() as server:
            client = await server.connect()
            await client.append(speech())
            await client.configure()
            assert server.record.caller.ms > 0
            assert not server.record.caller.audio

    run(call())


def test_every_text_that_reached_the_model_is_kept() -> None:
    tool = {"type": "function", "name": "look", "description": "D1", "parameters": {"description": "D2"}}

    def message(role: str, kind: str, text: str, **fields: str) -> dict[str, Any]:
        return {"type": "message", "role": role, "content": [{"type": kind, "text": text}], **fields}

    async def call() -> list[str]:
        async with desk(CALLS) as server:
            client = await server.connect()
            transcription = {"model": "gpt-transcribe", "prompt": "T1", "keywords": ["T2"]}
            await client.configure(instructions="I1", tools=[tool], audio={"input": {"transcription": transcription}})
            await client.send("conversation.item.create", item=message("system", "input_text", "S1", id="gone"))
            await client.send("conversation.item.delete", item_id="gone")
            await client.send("conversation.item.create", item=message("assistant", "output_text", "A1"))
            await client.say("look")
            made = (await client.until("response.done"))["response"]["output"][1]
            output = {"type": "function_call_output", "call_id": made["call_id"], "output": "O1"}
            await client.send("conversation.item.create", item=output)
            # A refused event's words reached the model's server all the same.
            await client.send("conversation.item.create", item=message("nobody", "input_text", "R1"))
            response = {"instructions": "P1", "metadata": {"k": "M1"}, "input": [message("user", "input_text", "U1")]}
            await client.send("response.create", response=response)
            await client.until("response.done")
            return server.record.texts()

    texts = run(call())
    first = ["I1", "look", "D1", "D2", "T1", "T2"]
    assert texts == [*first, "S1", "A1", "look", "O1", "R1", "P1", "M1", "U1"]
