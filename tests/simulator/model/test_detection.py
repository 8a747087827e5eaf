"""Turn detection in every combination, and changed at any moment of a call."""

import asyncio

import pytest

from tests.clock import run
from tests.simulator.model.client import PCMU, Client, Event, desk, silence, speech

SLOW = {"audio_factor": 1.0}
SCRIPT = """
greeting: "A long greeting that the caller may well speak into before it is over, as callers do."
repeat: true
turns: [{heard: "where is my order", say: "It is on its way."}]
"""
STARTED, STOPPED = "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped"
COMMITTED = "input_audio_buffer.committed"


async def detect(client: Client, detection: Event | None) -> Event | None:
    """Change nothing but turn detection and return what it is now."""
    now: Event | None = (await client.configure(audio={"input": {"turn_detection": detection}}))["audio"]["input"][
        "turn_detection"
    ]
    return now


@pytest.mark.parametrize("kind", ["server_vad", "semantic_vad"])
@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("interrupt", [True, False])
def test_interrupting_and_answering_are_switched_on_their_own(kind: str, create: bool, interrupt: bool) -> None:
    async def call() -> None:
        async with desk(SCRIPT, **SLOW) as server:
            client = await server.connect()
            await client.telephone()
            await detect(client, {"type": kind, "create_response": create, "interrupt_response": interrupt})
            await client.send("response.create")
            await client.until("response.output_audio.delta")
            await client.append(speech("stop it") + silence(500))
            await client.until(STARTED)
            # Judging the words runs beside the reader, so the silence comes in two parts.
            await asyncio.sleep(0.1)
            await client.append(silence(100))
            committed = await client.until(COMMITTED)
            assert client.of(STOPPED)[0]["item_id"] == committed["item_id"]
            await asyncio.sleep(20)
            await client.configure()
            # Without interruption the automatic response fails silently: one is still active.
            expected = ["cancelled" if interrupt else "completed"] + ["completed"] * (interrupt and create)
            assert list(server.record.responses.values()) == expected
            assert not server.record.errors
            if not create or not interrupt:
                await client.send("response.create")
                await client.until("response.done")

    run(call())


@pytest.mark.parametrize("wanted_ms", [200, 210, 333, 500, 1000])
def test_the_closing_silence_is_as_long_as_asked_for(wanted_ms: int) -> None:
    async def call(ms: int) -> tuple[int, int]:
        async with desk() as server:
            client = await server.connect()
            await client.telephone(silence_duration_ms=ms, create_response=False)
            await client.append(silence(200) + speech() + silence(ms - 40))
            await client.configure()
            assert STOPPED not in client.kinds()
            await client.append(silence(100))
            started, stopped = client.of(STARTED)[0], await client.until(STOPPED)
            item = server.record.conversation.get(stopped["item_id"])
            assert item is not None
            assert item.audio_ms == stopped["audio_end_ms"] - started["audio_start_ms"]
            return stopped["audio_end_ms"], item.audio_ms

    end_ms, length_ms = run(call(wanted_ms))
    shortest_end_ms, shortest_ms = run(call(200))
    assert end_ms - shortest_end_ms == length_ms - shortest_ms == wanted_ms - 200


def test_a_partial_change_merges_and_changes_nothing_else() -> None:
    async def call() -> None:
        async with desk() as server:
            client = await server.connect()
            before = await client.telephone(threshold=0.6, silence_duration_ms=700, idle_timeout_ms=6000)
            after = await client.configure(audio={"input": {"turn_detection": {"create_response": False}}})
            before["audio"]["input"]["turn_detection"]["create_response"] = False
            assert after == before
            await detect(client, None)
            error = {"type": "realtime", "audio": {"input": {"turn_detection": {"create_response": True}}}}
            await client.send("session.update", session=error)
            assert (await client.error())["param"] == "session.audio.input.turn_detection.type"

    run(call())


def test_detection_switched_off_in_mid_speech_leaves_the_turn_to_the_client() -> None:
    async def call() -> None:
        async with desk(SCRIPT) as server:
            client = await server.connect()
            await client.telephone(prefix_padding_ms=100)
            await client.append(silence(500) + speech())
            started = await client.until(STARTED)
            assert await detect(client, None) is None
            await client.append(silence(3000))
            await client.send("input_audio_buffer.commit")
            committed = await client.until(COMMITTED)
            assert committed["item_id"] == started["item_id"]
            item = server.record.conversation.get(committed["item_id"])
            assert item is not None
            assert item.audio_ms == 500 + len(speech()) // 8 + 3000 - started["audio_start_ms"]
            await client.append(speech() + silence(1000))
            await client.configure()
            assert client.kinds().count(STARTED) == 1
            assert STOPPED not in client.kinds()
            assert not server.record.replies

    run(call())


def test_with_detection_on_there_is_nothing_to_commit_until_the_caller_speaks() -> None:
    async def call() -> None:
        async with desk(SCRIPT) as server:
            client = await server.connect()
            await client.telephone(create_response=False)
            await client.append(silence(2000))
            await client.send("input_audio_buffer.commit")
            error = await client.error()
            assert error["code"] == "input_audio_buffer_commit_empty"
            assert "only has 0.00ms" in error["message"]
            await client.append(speech())
            started = await client.until(STARTED)
            await client.send("input_audio_buffer.commit")
            assert (await client.until(COMMITTED))["item_id"] == started["item_id"]

    run(call())


def test_detection_switched_on_starts_with_the_audio_to_come() -> None:
    async def call() -> None:
        async with desk(SCRIPT) as server:
            client = await server.connect()
            await client.telephone()
            await detect(client, None)
            await client.append(speech() + silence(2000))
            await detect(client, {"type": "server_vad", "prefix_padding_ms": 200})
            await client.append(silence(1000))
            await client.configure()
            assert STARTED not in client.kinds()
            await client.append(speech() + silence(600))
            started = await client.until(STARTED)
            assert started["audio_start_ms"] == len(speech()) // 8 + 3000 - 200
            await client.until("response.done")
            assert len(client.of(COMMITTED)) == 1

    run(call())


def test_a_shorter_silence_asked_for_while_the_caller_pauses_counts_at_once() -> None:
    async def call() -> None:
        async with desk(SCRIPT) as server:
            client = await server.connect()
            await client.telephone(silence_duration_ms=3000)
            await client.append(speech() + silence(800))
            await client.until(STARTED)
            await detect(client, {"silence_duration_ms": 500})
            assert STOPPED not in client.kinds()
            await client.append(silence(20))
            await client.until(STOPPED)

    run(call())


def test_a_longer_silence_asked_for_while_the_caller_speaks_is_waited_for() -> None:
    async def call() -> None:
        async with desk(SCRIPT) as server:
            client = await server.connect()
            await client.telephone(silence_duration_ms=200)
            await client.append(speech() + silence(100))
            await client.until(STARTED)
            await detect(client, {"silence_duration_ms": 1000})
            await client.append(silence(880) + speech("and more") + silence(1020))
            stopped = await client.until(STOPPED)
            assert len(client.of(STARTED)) == 1
            ends_ms = (len(speech()) + len(speech("and more"))) // 8 + 980 + 1000
            assert abs(stopped["audio_end_ms"] - ends_ms) <= 40

    run(call())


def test_words_are_judged_when_semantic_detection_comes_in_the_middle_of_a_pause() -> None:
    async def call() -> None:
        async with desk(SCRIPT) as server:
            client = await server.connect()
            await client.telephone(silence_duration_ms=9000)
            await client.append(speech() + silence(1500))
            await client.until(STARTED)
            await detect(client, {"type": "semantic_vad", "eagerness": "low"})
            await client.append(silence(20))
            stopped = await client.until(STOPPED)
            assert abs(stopped["audio_end_ms"] - len(speech()) // 8 - 1520) <= 20
            assert (await client.until("response.done"))["response"]["status"] == "completed"

    run(call())


def test_a_running_response_outlives_a_change_and_obeys_it() -> None:
    async def call() -> None:
        async with desk(SCRIPT, **SLOW) as server:
            client = await server.connect()
            await client.telephone()
            await client.send("response.create")
            await client.until("response.output_audio.delta")
            await detect(client, {"interrupt_response": False})
            await client.append(speech("yes"))
            await client.until(STARTED)
            await detect(client, {"type": "semantic_vad"})
            await detect(client, None)
            await detect(client, {"type": "server_vad"})
            assert list(server.record.responses.values()) == ["in_progress"]
            await client.append(silence(500) + speech("stop"))
            assert (await client.until("response.done"))["response"]["status"] == "cancelled"

    run(call())


def test_the_idle_timeout_follows_changes() -> None:
    async def call() -> list[float]:
        async with desk("greeting: Hello there caller") as server:
            client = await server.connect()
            clock = asyncio.get_running_loop().time
            await client.telephone(idle_timeout_ms=5000)
            await client.send("response.create")
            await client.until("response.done")
            await detect(client, {"idle_timeout_ms": None})
            await asyncio.sleep(60)
            await client.configure()
            assert "input_audio_buffer.timeout_triggered" not in client.kinds()
            times = [clock()]
            await detect(client, {"idle_timeout_ms": 7000})
            await client.configure(instructions="An update of something else does not wind it up again.")
            await client.until("input_audio_buffer.timeout_triggered")
            times.append(clock())
            done = (await client.until("response.done"))["response"]
            times.append(clock())
            await detect(client, None)
            await asyncio.sleep(60)
            await client.configure()
            assert len(client.of("input_audio_buffer.timeout_triggered")) == 1
            assert len(server.record.replies) == 2
            assert done["output"][0]["content"][0]["transcript"] == "Are you still there?"
            return times

    asked, fired, _ = run(call())
    assert round(fired - asked, 3) == 7.0


def test_the_idle_timeout_waits_for_a_caller_who_spoke_until_the_next_answer() -> None:
    async def call() -> None:
        async with desk(SCRIPT) as server:
            client = await server.connect()
            await client.telephone(idle_timeout_ms=5000, create_response=False)
            await client.send("response.create")
            await client.until("response.done")
            await client.append(speech("hm") + silence(600))
            await client.until(COMMITTED)
            await asyncio.sleep(30)
            await client.configure()
            assert "input_audio_buffer.timeout_triggered" not in client.kinds()
            await client.send("response.create")
            await client.until("input_audio_buffer.timeout_triggered")

    run(call())


def test_a_full_conversation_costs_turns_and_not_the_session() -> None:
    async def call() -> None:
        async with desk(max_items=1) as server:
            client = await server.connect()
            await client.configure(audio={"input": {"format": PCMU, "turn_detection": {"type": "semantic_vad"}}})
            item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
            await client.send("conversation.item.create", item=item)
            for _ in range(3):
                await client.append(speech() + silence(400))
                await asyncio.sleep(1)
            assert (await client.error())["param"] == "item"
            await client.configure()
            assert not server.record.refused

    run(call())
