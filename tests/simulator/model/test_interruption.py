"""What a cancelled response still does: late audio, slow ends, ends nobody expects."""

import asyncio
import json

import pytest

from gateway.simulator.model.scripted import babble
from tests.clock import run
from tests.simulator.model.client import Client, Event, desk, silence, speech

ANSWER = "A long answer that nobody will hear to its very end, whatever they try."
LONG = f'greeting: "{ANSWER}"'


async def greeted(client: Client) -> str:
    """Ask for the greeting and return its item's id once audio flows."""
    await client.telephone()
    await client.send("response.create")
    return str((await client.until("response.output_audio.delta"))["item_id"])


def test_late_deltas_carry_the_audio_that_would_have_come_next() -> None:
    async def call() -> None:
        async with desk(LONG, late_deltas=3) as server:
            client = await server.connect()
            item_id = await greeted(client)
            await client.send("response.cancel")
            await client.until("response.done")
            streamed = len(client.audio(item_id))
            for _ in range(3):
                await client.until("response.output_audio.delta")
            assert client.audio(item_id) == babble(ANSWER)[: streamed + 3 * 800]
            spoken = server.record.spoken[item_id]
            assert (len(spoken.audio), len(spoken.late)) == (streamed, 2400)

    run(call())


def test_late_deltas_are_no_more_than_the_interrupted_item_had_left() -> None:
    async def call() -> None:
        async with desk("greeting: Some words", late_deltas=100) as server:
            client = await server.connect()
            item_id = await greeted(client)
            await client.send("response.cancel")
            await client.until("response.done")
            await asyncio.sleep(1)
            await client.configure()
            assert client.audio(item_id) == babble("Some words")

    run(call())


def test_a_response_may_go_on_for_a_while_after_the_caller_spoke() -> None:
    async def call() -> list[Event]:
        async with desk(LONG, cancel_ms=150) as server:
            client = await server.connect()
            item_id = await greeted(client)
            await client.append(speech("stop"))
            await client.until("input_audio_buffer.speech_started")
            started = len(client.events)
            before = len(client.audio(item_id))
            done = (await client.until("response.done"))["response"]
            assert done["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
            received = len(client.audio(item_id)) // 8
            assert received > before // 8
            # What came meanwhile belongs to the item: all of it can be truncated to.
            await client.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=received)
            await client.until("conversation.item.truncated")
            return client.events[started:]

    kinds = [event["type"] for event in run(call())]
    assert "response.output_audio.delta" in kinds[: kinds.index("response.output_audio.done")]


def test_while_a_cancellation_is_under_way_a_second_one_is_welcome_and_a_new_response_is_not() -> None:
    async def call() -> None:
        async with desk(LONG, cancel_ms=100) as server:
            client = await server.connect()
            await greeted(client)
            await client.send("response.cancel")
            await client.send("response.cancel")
            await client.send("response.create")
            assert (await client.error())["code"] == "conversation_already_has_active_response"
            await client.until(
                "response.done",
            )
            await client.send("response.cancel")
            assert (await client.error())["code"] == "response_cancel_not_active"
            assert list(server.record.responses.values()) == ["cancelled"]

    run(call())


def test_a_response_that_completes_before_its_cancellation_takes_effect_is_completed() -> None:
    async def call() -> None:
        async with desk("greeting: Hi", cancel_ms=5000) as server:
            client = await server.connect()
            await greeted(client)
            await client.send("response.cancel")
            assert (await client.until("response.done"))["response"]["status"] == "completed"
            await asyncio.sleep(6)
            assert list(server.record.responses.values()) == ["completed"]

    run(call())


def test_the_next_turn_is_answered_although_the_cancellation_is_slow() -> None:
    async def call() -> None:
        async with desk(f"{LONG}\nturns: [{{heard: stop, say: Stopped.}}]", cancel_ms=5000, audio_factor=1) as server:
            client = await server.connect()
            await greeted(client)
            await client.append(speech("stop it") + silence(600))
            assert (await client.until("response.done"))["response"]["status"] == "cancelled"
            done = (await client.until("response.done"))["response"]
            assert done["output"][0]["content"][0]["transcript"] == "Stopped."

    run(call())


def test_the_done_events_of_an_interrupted_item_hold_what_was_streamed() -> None:
    async def call() -> None:
        async with desk(LONG) as server:
            client = await server.connect()
            item_id = await greeted(client)
            await client.append(speech("stop"))
            done = (await client.until("response.done"))["response"]
            kinds = client.kinds()
            names = ["response.output_audio", "response.output_audio_transcript", "response.content_part"]
            ends = [*(f"{name}.done" for name in names), "response.output_item.done", "conversation.item.done"]
            assert kinds[-6:] == [*ends, "response.done"]
            part = client.of("response.output_item.done")[-1]["item"]
            assert (part["id"], part["status"]) == (item_id, "incomplete")
            transcript = part["content"][0]["transcript"]
            assert ANSWER.startswith(transcript)
            assert transcript != ANSWER
            assert done["output"] == [part]

    run(call())


def test_a_response_may_be_cancelled_before_it_said_anything() -> None:
    async def call() -> None:
        async with desk(LONG, ttfb_ms=800, late_deltas=2) as server:
            client = await server.connect()
            await client.telephone()
            await client.send("response.create")
            await client.until("response.created")
            await client.append(speech("stop"))
            done = (await client.until("response.done"))["response"]
            assert (done["status"], done["output"]) == ("cancelled", [])
            assert done["usage"]["output_tokens"] == 0
            await asyncio.sleep(2)
            await client.configure()
            assert "response.output_item.added" not in client.kinds()

    run(call())


@pytest.mark.parametrize("how", ["option", "fault"])
def test_a_response_done_may_come_for_a_response_nobody_announced(how: str) -> None:
    script = f"{LONG}\ngreeting_faults: [{{kind: unannounced_done}}]" if how == "fault" else LONG

    async def call() -> None:
        async with desk(script, unannounced_done=how == "option") as server:
            client = await server.connect()
            await greeted(client)
            await client.send("response.cancel")
            while len(client.of("response.done")) < 2:
                await client.receive()
            ids = {event["response"]["id"] for event in client.of("response.created")}
            strays = [event["response"] for event in client.of("response.done") if event["response"]["id"] not in ids]
            assert [stray["status"] for stray in strays] == ["cancelled"]
            assert len(server.record.responses) == 1

    run(call())


def test_a_call_interrupted_in_its_arguments_is_told_as_incomplete() -> None:
    script = 'turns: [{calls: [{name: look, arguments: {order: "a long enough order number"}}]}]'

    async def call() -> None:
        async with desk(script, text_delta_ms=50) as server:
            client = await server.connect()
            await client.say("look")
            await client.until("response.function_call_arguments.delta")
            await client.send("response.cancel")
            done = (await client.until("response.done"))["response"]
            arguments = client.of("response.function_call_arguments.done")[0]["arguments"]
            with pytest.raises(ValueError, match="Unterminated"):
                json.loads(arguments)
            assert done["output"][0]["status"] == "incomplete"
            assert not server.record.pending_calls

    run(call())
