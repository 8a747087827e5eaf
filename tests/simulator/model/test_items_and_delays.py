"""Several items in one response, and how long the first byte takes."""

import asyncio
import statistics

import pytest

from gateway.simulator.model.scripted import babble
from tests.clock import run
from tests.simulator.model.client import Client, desk, silence, speech

SEVERAL = """
turns:
  - say: ["Let me look that up.", "One moment."]
    calls: [{name: look, arguments: {a: 1}}, {name: see, arguments: {b: 2}}]
"""


@pytest.mark.parametrize("done_events", ["each", "batched"])
def test_messages_and_calls_of_one_response_come_in_playback_order(done_events: str) -> None:
    async def call() -> list[str]:
        async with desk(SEVERAL, done_events=done_events) as server:
            client = await server.connect()
            await client.telephone()
            await client.say("look")
            output = (await client.until("response.done"))["response"]["output"]
            assert [item["type"] for item in output] == ["message", "message", "function_call", "function_call"]
            assert {item["status"] for item in output} == {"completed"}
            assert [client.audio(item["id"]) for item in output[:2]] == [
                babble("Let me look that up."),
                babble("One moment."),
            ]
            played = [event["output_index"] for event in client.of("response.output_audio.delta")]
            assert played == sorted(played)
            assert [event["output_index"] for event in client.of("response.output_item.done")] == [0, 1, 2, 3]
            assert server.record.pending_calls == {item["call_id"] for item in output[2:]}
            return client.kinds()

    kinds = run(call())
    first_done = kinds.index("response.output_item.done")
    last_added = len(kinds) - 1 - kinds[::-1].index("response.output_item.added")
    assert (last_added < first_done) == (done_events == "batched")


def test_of_an_interrupted_response_with_batched_ends_the_whole_items_are_complete() -> None:
    async def call() -> None:
        async with desk(SEVERAL, done_events="batched") as server:
            client = await server.connect()
            await client.telephone()
            await client.say("look")
            await client.until("response.output_audio.delta", output_index=1)
            await client.send("response.cancel")
            done = (await client.until("response.done"))["response"]
            assert [item["status"] for item in done["output"]] == ["completed", "incomplete"]

    run(call())


def test_an_item_may_have_words_and_no_audio() -> None:
    async def call() -> None:
        async with desk('turns: [{say: [{text: "(hums)", silent: true}, Yes.]}]') as server:
            client = await server.connect()
            await client.telephone()
            await client.say("hm")
            output = (await client.until("response.done"))["response"]["output"]
            assert [len(client.audio(item["id"])) > 0 for item in output] == [False, True]
            assert output[0]["content"][0]["transcript"] == "(hums)"
            await client.send("conversation.item.truncate", item_id=output[0]["id"], content_index=0, audio_end_ms=0)
            assert (await client.error())["code"] == "unsupported_content_type"

    run(call())


async def first_bytes(client: Client, turns: int) -> list[float]:
    """Speak turns and return how long each answer's first audio took, in seconds."""
    delays = []
    clock = asyncio.get_running_loop().time
    for _ in range(turns):
        await client.append(speech("hello you") + silence(700))
        await client.until("response.created")
        asked = clock()
        await client.until("response.output_audio.delta")
        delays.append(round(clock() - asked, 6))
        await client.until("response.done")
    return delays


def test_the_first_byte_takes_a_drawn_time_that_only_seed_session_and_turn_decide() -> None:
    async def call(seed: int, aside: bool = False) -> list[float]:
        async with desk("repeat: true\nturns: [{heard: a, say: b}]", ttfb_ms=500, ttfb_sigma=0.4, seed=seed) as server:
            client = await server.connect()
            await client.telephone()
            if aside:
                await client.send("response.create", response={"conversation": "none"})
                await client.until("response.done")
            return await first_bytes(client, 40)

    delays = run(call(1))
    assert delays == run(call(1)) == run(call(1, aside=True))
    assert delays != run(call(2))
    assert len(set(delays)) == 40
    assert 0.4 < statistics.median(delays) < 0.6


def test_a_delay_without_spread_is_exact() -> None:
    async def call() -> list[float]:
        async with desk("repeat: true\nturns: [{heard: a, say: b}]", ttfb_ms=300, ttfb_sigma=0) as server:
            client = await server.connect()
            await client.telephone()
            return await first_bytes(client, 2)

    assert run(call()) == [0.3, 0.3]
