"""Spoken turns: detection, commits, responses, interruptions, transcripts."""

import asyncio
import base64

import pytest

from gateway.errors import ConfigError, ModelError
from gateway.simulator.engine import Answer, Context
from gateway.simulator.model import ModelServer, ScriptedEngine
from gateway.simulator.model.formats import Encoding
from gateway.simulator.model.scripted import babble
from gateway.wire import pipe
from tests.clock import run
from tests.simulator.model.client import QUERY, Client, Event, desk, silence, speech

ORDER = """
turns:
  - heard: "where is my order A17"
    match: "order (?P<id>\\\\w+)"
    say: "Let me see."
    calls:
      - {name: order_status, arguments: {order_id: "{id}"}}
    result: "Your order is {status}."
  - heard: "thank you"
    say: "You are welcome."
"""


def test_a_spoken_turn_with_a_function_call_runs_in_the_documented_order() -> None:
    async def call() -> list[str]:
        async with desk(ORDER) as server:
            client = await server.connect()
            await client.telephone()
            await client.append(silence(500) + speech() + silence(600))
            done = await client.until("response.done")
            output = done["response"]["output"]
            assert [item["type"] for item in output] == ["message", "function_call"]
            assert output[1]["arguments"] == '{"order_id": "A17"}'
            result = {
                "type": "function_call_output",
                "call_id": output[1]["call_id"],
                "output": '{"status": "shipped"}',
            }
            await client.send("conversation.item.create", item=result)
            await client.send("response.create")
            done = await client.until("response.done")
            assert done["response"]["output"][0]["content"][0]["transcript"] == "Your order is shipped."
            item_id = done["response"]["output"][0]["id"]
            assert client.audio(item_id) == babble("Your order is shipped.")
            record = server.record
            assert record.outputs[0].expected
            assert bytes(record.spoken[item_id].audio) == babble("Your order is shipped.")
            assert list(record.heard.values()) == ["where is my order A17"]
            return client.kinds()

    kinds = run(call())
    first = [kind for kind in dict.fromkeys(kinds) if not kind.endswith(".delta")]
    assert first[2:] == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.function_call_arguments.done",
        "response.done",
        "rate_limits.updated",
    ]


def test_speech_times_count_all_session_audio_with_padding_and_silence() -> None:
    async def call() -> tuple[Event, Event, int]:
        async with desk() as server:
            client = await server.connect()
            await client.telephone(prefix_padding_ms=200, silence_duration_ms=400, create_response=False)
            await client.append(silence(1000))
            await client.append(speech("hello there my friend") + silence(1000))
            started = await client.until("input_audio_buffer.speech_started")
            stopped = await client.until("input_audio_buffer.speech_stopped")
            committed = await client.until("input_audio_buffer.committed")
            assert started["item_id"] == stopped["item_id"] == committed["item_id"]
            item = server.record.conversation.get(committed["item_id"])
            assert item is not None
            assert item.audio_ms == stopped["audio_end_ms"] - started["audio_start_ms"]
            return started, stopped, len(speech("hello there my friend")) // 8

    started, stopped, length = run(call())
    assert 800 <= started["audio_start_ms"] <= 820
    assert abs(stopped["audio_end_ms"] - (1000 + length + 400)) <= 40


def test_speech_over_a_running_response_cancels_it() -> None:
    async def call() -> None:
        async with desk('turns: [{heard: hi, say: "A long answer that nobody will hear to its very end."}]') as server:
            client = await server.connect()
            await client.telephone()
            await client.append(speech() + silence(600))
            delta = await client.until("response.output_audio.delta")
            await client.append(speech("stop"))
            await client.until("input_audio_buffer.speech_started")
            done = (await client.until("response.done"))["response"]
            assert done["status"] == "cancelled"
            assert done["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
            assert done["output"][0]["status"] == "incomplete"
            received = len(client.audio(delta["item_id"])) // 8
            await client.send(
                "conversation.item.truncate", item_id=delta["item_id"], content_index=0, audio_end_ms=received + 1
            )
            assert f"already shorter than {received + 1}ms" in (await client.error())["message"]
            await client.send(
                "conversation.item.truncate", item_id=delta["item_id"], content_index=0, audio_end_ms=received
            )
            await client.until("conversation.item.truncated")
            assert [entry.accepted for entry in server.record.truncations] == [False, True]

    run(call())


def test_speech_after_the_response_is_done_only_announces_itself() -> None:
    async def call() -> None:
        async with desk() as server:
            client = await server.connect()
            await client.telephone()
            await client.send("response.create")
            await client.until("rate_limits.updated")
            await client.append(speech())
            assert (await client.receive())["type"] == "input_audio_buffer.speech_started"

    run(call())


def test_late_deltas_of_a_cancelled_response_arrive_after_its_end() -> None:
    async def call() -> list[str]:
        async with desk(late_deltas=2) as server:
            client = await server.connect()
            await client.telephone()
            await client.send("response.create")
            await client.until("response.output_audio.delta")
            await client.send("response.cancel")
            done = await client.until("response.done")
            assert done["response"]["status_details"]["reason"] == "client_cancelled"
            for _ in range(2):
                late = await client.until("response.output_audio.delta")
                assert late["response_id"] == done["response"]["id"]
            return client.kinds()

    run(call())


def test_without_interruption_the_running_response_goes_on_and_no_second_one_starts() -> None:
    async def call() -> None:
        async with desk() as server:
            client = await server.connect()
            await client.telephone(interrupt_response=False)
            await client.send("response.create")
            await client.until("response.output_audio.delta")
            await client.append(speech() + silence(600))
            await client.until("input_audio_buffer.committed")
            done = await client.until("response.done")
            assert done["response"]["status"] == "completed"
            assert list(server.record.responses.values()) == ["completed"]

    run(call())


def test_transcription_arrives_asynchronously_when_it_is_switched_on() -> None:
    async def call() -> None:
        async with desk(ORDER) as server:
            client = await server.connect()
            await client.configure(audio={"input": {"transcription": {"model": "gpt-transcribe"}}})
            await client.telephone()
            await client.append(speech() + silence(600))
            name = "conversation.item.input_audio_transcription"
            completed = await client.until(f"{name}.completed")
            assert completed["transcript"] == "where is my order A17"
            assert "".join(event["delta"] for event in client.of(f"{name}.delta")) == completed["transcript"]
            assert completed["usage"]["type"] == "tokens"
            assert completed["item_id"] == client.of("input_audio_buffer.committed")[0]["item_id"]
            await client.send("conversation.item.retrieve", item_id=completed["item_id"])
            item = (await client.until("conversation.item.retrieved"))["item"]
            assert item["content"][0]["transcript"] == completed["transcript"]
            assert len(item["content"][0]["audio"]) > 1000

    run(call())


def test_manual_turns_need_a_commit_of_100_ms_and_start_no_response() -> None:
    async def call() -> None:
        async with desk() as server:
            client = await server.connect()
            await client.configure(audio={"input": {"format": {"type": "audio/pcmu"}, "turn_detection": None}})
            await client.append(speech() + silence(2000))
            await client.send("input_audio_buffer.clear")
            await client.until("input_audio_buffer.cleared")
            await client.append(silence(99))
            await client.send("input_audio_buffer.commit")
            error = await client.error()
            assert error["code"] == "input_audio_buffer_commit_empty"
            assert "only has 99.00ms" in error["message"]
            await client.append(silence(1))
            await client.send("input_audio_buffer.commit")
            await client.until("input_audio_buffer.committed")
            await client.until("conversation.item.done")
            assert not server.record.responses
            assert "input_audio_buffer.speech_started" not in client.kinds()

    run(call())


def test_a_silent_caller_triggers_the_idle_timeout_after_playback_would_have_ended() -> None:
    async def call() -> None:
        async with desk("greeting: Hello there caller") as server:
            client = await server.connect()
            await client.telephone(idle_timeout_ms=5000)
            await client.send("response.create")
            await client.until("response.done")
            await client.append(silence(3000))
            event = await client.until("input_audio_buffer.timeout_triggered")
            assert event["audio_end_ms"] == 3000
            committed = await client.until("input_audio_buffer.committed")
            assert committed["item_id"] == event["item_id"]
            done = (await client.until("response.done"))["response"]
            assert done["output"][0]["content"][0]["transcript"] == "Are you still there?"

    run(call())


def test_semantic_detection_waits_for_unfinished_words_and_not_for_finished_ones() -> None:
    script = 'turns: [{heard: "my order number is", say: ok}, {heard: "where is my order", say: ok}]'

    async def call() -> list[int]:
        async with desk(script) as server:
            client = await server.connect()
            detection = {"type": "semantic_vad", "eagerness": "high"}
            await client.configure(audio={"input": {"format": {"type": "audio/pcmu"}, "turn_detection": detection}})
            lengths = []
            for _ in range(2):
                await client.append(speech() + silence(500))
                started = await client.until("input_audio_buffer.speech_started")
                # The judgement of the words runs beside the reader, so the silence comes in two parts.
                await client.send("no.such.event")
                await client.until("error")
                await client.append(silence(2500))
                await client.until("response.done")
                stopped = client.of("input_audio_buffer.speech_stopped")[-1]
                lengths.append(stopped["audio_end_ms"] - started["audio_start_ms"])
            return lengths

    unfinished, finished = run(call())
    # 2 s against 0.5 s of silence; only the second turn has room for 300 ms of padding before it.
    assert unfinished - finished == 1500 - 300


class Mumbler(ScriptedEngine):
    """Understands nothing and says so, as an engine whose recognizer failed does."""

    async def transcribe(self, audio: bytes, prompt: str, turn: int) -> str:
        raise ModelError("the recognizer gave up", code="audio_unintelligible")


def test_a_failed_transcription_is_told_and_the_response_still_comes() -> None:
    async def call() -> None:
        async with desk(Mumbler()) as server:
            client = await server.connect()
            await client.configure(audio={"input": {"transcription": {"model": "whisper-1"}}})
            await client.telephone()
            await client.append(speech() + silence(600))
            failed = await client.until("conversation.item.input_audio_transcription.failed")
            assert failed["error"]["code"] == "audio_unintelligible"
            assert (await client.until("response.done"))["response"]["status"] == "completed"

    run(call())


class Speechless(ScriptedEngine):
    """Has words and no voice."""

    async def speak(self, text: str, voice: str) -> bytes:
        raise ConfigError("no speaker is installed")


def test_an_engine_that_fails_as_expected_fails_the_response_only() -> None:
    async def call() -> None:
        async with desk(Speechless()) as server:
            client = await server.connect()
            for _ in range(2):
                await client.send("response.create")
                done = (await client.until("response.done"))["response"]
                assert done["status_details"]["error"]["code"] == "server_error"

    run(call())


def test_a_cancelled_server_tells_its_clients() -> None:
    async def call() -> None:
        server, (ours, theirs) = ModelServer(ScriptedEngine()), pipe()
        client = Client(ours)
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(server.serve_socket(theirs, QUERY, {}))
            await client.until("session.created")
            serving.cancel()
            await client.drain()
        assert client.closed is not None
        assert client.closed.code == 1001
        assert not server.sessions[0].open

    run(call())


class Broken(ScriptedEngine):
    """Breaks in a way nobody foresaw."""

    async def respond(self, context: Context) -> Answer:
        raise RuntimeError("no such luck")


def test_a_broken_engine_closes_its_session_with_1011_and_a_logged_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def call() -> None:
        async with desk(Broken()) as server:
            client, other = await server.connect(), await server.connect()
            await client.send("response.create")
            await client.drain()
            assert client.closed is not None
            assert client.closed.code == 1011
            await other.configure()

    run(call())
    assert "no such luck" in caplog.text


def test_deltas_may_carry_fields_clients_do_not_know() -> None:
    async def call() -> None:
        async with desk(obfuscation=True) as server:
            client = await server.connect()
            await client.send("response.create")
            assert (await client.until("response.output_audio.delta"))["obfuscation"]

    run(call())


@pytest.mark.parametrize("encoding", [Encoding.PCMA, Encoding.PCM])
def test_speech_is_found_in_every_input_format(encoding: Encoding) -> None:
    caller = silence(500) + speech() + silence(800)

    async def call() -> None:
        async with desk(ORDER) as server:
            client = await server.connect()
            await client.configure(audio={"input": {"format": {"type": encoding}}})
            encoded = encoding.from_mulaw(caller)
            for at in range(0, len(encoded), 962):
                await client.append(encoded[at : at + 962])
            started = await client.until("input_audio_buffer.speech_started")
            assert 200 <= started["audio_start_ms"] <= 240
            await client.until("response.done")

    run(call())


def test_an_out_of_band_response_over_given_audio_hears_it() -> None:
    async def call() -> None:
        async with desk(ORDER) as server:
            client = await server.connect()
            await client.telephone()
            await client.append(speech() + silence(600))
            await client.until("response.done")
            content = [{"type": "input_audio", "audio": base64.b64encode(speech()).decode()}]
            item = {"type": "message", "role": "user", "content": content}
            await client.send("response.create", response={"conversation": "none", "input": [item]})
            done = (await client.until("response.done"))["response"]
            assert done["output"][0]["content"][0]["transcript"] == "Let me see."

    run(call())


def test_an_item_can_be_truncated_or_deleted_while_it_is_spoken() -> None:
    async def call() -> None:
        async with desk("greeting: several words that take their time") as server:
            client = await server.connect()
            await client.telephone()
            for kind, extra in (
                ("conversation.item.truncate", {"content_index": 0, "audio_end_ms": 50}),
                ("conversation.item.delete", {}),
            ):
                await client.send("response.create")
                item_id = (await client.until("response.output_audio.delta"))["item_id"]
                await client.send(kind, item_id=item_id, **extra)
                done = (await client.until("response.done"))["response"]
                assert done["status"] == "completed"
                kept = server.record.conversation.get(item_id)
                assert kept is None or (kept.audio_ms, kept.wire["content"]) == (50, [{"type": "output_audio"}])
            finished = [event["item"]["id"] for event in client.of("conversation.item.done")]
            assert item_id not in finished

    run(call())
