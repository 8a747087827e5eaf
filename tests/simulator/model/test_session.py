"""Configuration, items and errors: what is accepted, what is refused whole, and in which words."""

import json

import pytest

from gateway.simulator.model.scripted import babble
from tests.clock import run
from tests.simulator.model.client import Event, desk, silence, speech

CONFIG_REFUSALS: list[tuple[Event, str, str]] = [
    ({"instructions": "x"}, "missing_required_parameter", "session.type"),
    ({"type": "realtime", "foo": 1}, "unknown_parameter", "session.foo"),
    ({"type": "realtime", "modalities": ["audio"]}, "unknown_parameter", "session.modalities"),
    (
        {"type": "realtime", "audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 1.5}}}},
        "invalid_value",
        "session.audio.input.turn_detection.threshold",
    ),
    (
        {"type": "realtime", "audio": {"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 100}}}},
        "invalid_value",
        "session.audio.input.turn_detection.idle_timeout_ms",
    ),
    (
        {"type": "realtime", "audio": {"input": {"format": {"type": "g711_ulaw"}}}},
        "invalid_value",
        "session.audio.input.format",
    ),
    ({"type": "realtime", "audio": {"output": {"voice": "onyx"}}}, "invalid_value", "session.audio.output.voice"),
    ({"type": "realtime", "output_modalities": ["audio", "text"]}, "invalid_value", "session.output_modalities"),
    ({"type": "realtime", "max_output_tokens": 0}, "invalid_value", "session.max_output_tokens"),
    ({"type": "transcription"}, "invalid_value", "session.type"),
    (
        {"type": "realtime", "tools": [{"type": "function", "name": "a", "strict": True}]},
        "unknown_parameter",
        "session.tools[0].strict",
    ),
    ({"type": "realtime", "tools": [{"type": "function"}]}, "missing_required_parameter", "session.tools[0].name"),
]


def test_the_first_event_is_the_full_default_session() -> None:
    async def call() -> Event:
        async with desk() as server:
            client = server.dial()
            event = await client.receive()
            assert event["type"] == "session.created"
            session: Event = event["session"]
            return session

    session = run(call())
    assert session["type"] == "realtime"
    assert session["object"] == "realtime.session"
    assert session["expires_at"] == 1_800_003_600
    assert session["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24000}
    assert session["audio"]["input"]["turn_detection"]["type"] == "server_vad"
    assert session["model"] == "gpt-realtime-2.1"


def test_updates_merge_deeply_and_echo_everything() -> None:
    async def call() -> None:
        async with desk() as server:
            client = await server.connect()
            await client.telephone(threshold=0.7)
            session = await client.configure(
                instructions="Be brief.", audio={"input": {"turn_detection": {"silence_duration_ms": 900}}}
            )
            detection = session["audio"]["input"]["turn_detection"]
            assert (detection["threshold"], detection["silence_duration_ms"]) == (0.7, 900)
            assert session["audio"]["output"]["format"] == {"type": "audio/pcmu"}
            assert session["instructions"] == "Be brief."
            session = await client.configure(audio={"input": {"turn_detection": {"type": "semantic_vad"}}})
            assert session["audio"]["input"]["turn_detection"]["eagerness"] == "auto"
            assert "threshold" not in session["audio"]["input"]["turn_detection"]
            session = await client.configure(audio={"input": {"turn_detection": None, "noise_reduction": None}})
            assert session["audio"]["input"]["turn_detection"] is None

    run(call())


@pytest.mark.parametrize(("session", "code", "param"), CONFIG_REFUSALS)
def test_a_bad_update_is_refused_whole(session: Event, code: str, param: str) -> None:
    async def call() -> None:
        async with desk() as server:
            client = await server.connect()
            await client.send("session.update", session={**session, "instructions": "new"}, event_id="mine")
            error = await client.error()
            assert (error["code"], error["param"], error["event_id"]) == (code, param, "mine")
            assert (await client.configure())["instructions"] != "new"
            assert server.record.errors[0]["code"] == code

    run(call())


def test_reasoning_settings_are_refused_by_models_without_reasoning() -> None:
    async def call() -> None:
        async with desk() as server:
            plain = server.dial({"model": "gpt-realtime"})
            await plain.send("session.update", session={"type": "realtime", "reasoning": {"effort": "low"}})
            assert (await plain.error())["code"] == "invalid_value"
            client = await server.connect()
            assert (await client.configure(reasoning={"effort": "low"}))["reasoning"] == {"effort": "low"}

    run(call())


def test_the_voice_is_locked_once_the_assistant_has_spoken() -> None:
    async def call() -> None:
        async with desk() as server:
            client = await server.connect()
            await client.configure(audio={"output": {"voice": "ash"}})
            await client.send("response.create")
            await client.until("response.done")
            await client.send("session.update", session={"type": "realtime", "audio": {"output": {"voice": "cedar"}}})
            assert (await client.error())["code"] == "cannot_update_voice"
            assert (await client.configure(audio={"output": {"voice": "ash"}}))["audio"]["output"]["voice"] == "ash"

    run(call())


def test_items_chain_and_the_chain_is_repaired_on_delete() -> None:
    async def call() -> None:
        async with desk() as server:
            client = await server.connect()
            for item_id, after in (("a", None), ("b", None), ("c", "root"), ("d", "a")):
                content = [{"type": "input_text", "text": item_id}]
                fields = {} if after is None else {"previous_item_id": after}
                item = {"id": item_id, "type": "message", "role": "user", "content": content}
                await client.send("conversation.item.create", item=item, **fields)
                await client.until("conversation.item.done")
            previous = [event["previous_item_id"] for event in client.of("conversation.item.added")]
            assert previous == [None, "a", None, "a"]
            assert [item.id for item in server.record.conversation] == ["c", "a", "d", "b"]
            await client.send("conversation.item.delete", item_id="b")
            await client.until("conversation.item.deleted")
            item = {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "x"}]}
            await client.send("conversation.item.create", item=item)
            assert (await client.until("conversation.item.added"))["previous_item_id"] == "d"

    run(call())


ITEM = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
ASSISTANT_AUDIO = {"type": "message", "role": "assistant", "content": [{"type": "output_audio", "audio": "AAAA"}]}
TRUNCATE = {"type": "conversation.item.truncate", "content_index": 0, "audio_end_ms": 0}
EVENT_REFUSALS: list[tuple[Event, str]] = [
    ({"type": "no.such.event"}, "invalid_value"),
    ({"type": "output_audio_buffer.clear"}, "invalid_value"),
    ({"type": 3}, "invalid_value"),
    ({}, "invalid_event"),
    ({"type": "response.cancel"}, "response_cancel_not_active"),
    ({"type": "response.create", "response": {"temperature": 1}}, "unknown_parameter"),
    (
        {"type": "response.create", "response": {"input": [{"type": "item_reference", "id": "x"}]}},
        "bad_response_create",
    ),
    ({"type": "input_audio_buffer.commit"}, "input_audio_buffer_commit_empty"),
    ({"type": "input_audio_buffer.append"}, "missing_required_parameter"),
    ({"type": "input_audio_buffer.append", "audio": "***"}, "invalid_value"),
    ({"type": "input_audio_buffer.append", "audio": "", "more": 1}, "unknown_parameter"),
    ({"type": "conversation.item.delete", "item_id": "x"}, "item_delete_invalid_item_id"),
    ({"type": "conversation.item.retrieve", "item_id": "x"}, "item_retrieve_invalid_item_id"),
    ({**TRUNCATE, "item_id": "x"}, "item_truncate_invalid_item_id"),
    ({**TRUNCATE, "item_id": "known"}, "unsupported_content_type"),
    ({**TRUNCATE, "item_id": "known", "audio_end_ms": -1}, "invalid_value"),
    ({"type": "conversation.item.create", "item": {**ITEM, "id": "known"}}, "item_create_duplicate_item_id"),
    ({"type": "conversation.item.create", "item": {**ITEM, "id": "x" * 33}}, "invalid_value"),
    ({"type": "conversation.item.create", "item": ASSISTANT_AUDIO}, "invalid_value"),
    ({"type": "conversation.item.create", "item": {}}, "missing_required_parameter"),
    (
        {"type": "conversation.item.create", "item": ITEM, "previous_item_id": "x"},
        "item_create_invalid_previous_item_id",
    ),
]


@pytest.mark.parametrize(("event", "code"), EVENT_REFUSALS)
def test_a_bad_event_is_refused_and_the_session_goes_on(event: Event, code: str) -> None:
    async def call() -> None:
        async with desk() as server:
            client = await server.connect()
            await client.send("conversation.item.create", item={**ITEM, "id": "known"})
            await client.until("conversation.item.done")
            await client.socket.send(json.dumps(event))
            assert (await client.error())["code"] == code
            await client.configure()

    run(call())


@pytest.mark.parametrize(
    "frame",
    [b"\x00\x01", "not json", "[]", '"text"', "[" * 5000, '{"type":NaN}', '{"a":1e999}', '{"type":"\\ud800"}']
    + ['{"a":' * 100 + "1" + "}" * 100],
)
def test_frames_that_are_no_events_draw_an_error(frame: str | bytes) -> None:
    async def call() -> None:
        async with desk() as server:
            client = await server.connect()
            await client.socket.send(frame)
            assert (await client.error())["code"] == "invalid_event"
            await client.configure()

    run(call())


def test_only_one_response_at_a_time_in_the_conversation_and_others_beside_it() -> None:
    async def call() -> None:
        async with desk() as server:
            client = await server.connect()
            await client.send("response.create", response={"metadata": {"why": "greeting"}})
            created = (await client.until("response.created"))["response"]
            assert created["metadata"] == {"why": "greeting"}
            await client.send("response.create", event_id="second")
            error = await client.error()
            assert error["code"] == "conversation_already_has_active_response"
            assert created["id"] in error["message"]
            assert error["event_id"] == "second"
            await client.send("response.create", response={"conversation": "none", "output_modalities": ["text"]})
            done = (await client.until("response.done"))["response"]
            assert done["conversation_id"] is None
            assert done["output"][0]["content"][0]["type"] == "output_text"
            assert done["output"][0]["id"] not in server.record.conversation
            done = (await client.until("response.done"))["response"]
            assert done["id"] == created["id"]
            assert done["conversation_id"].startswith("conv_")

    run(call())


def test_truncation_drops_the_transcript_and_shortens_the_audio() -> None:
    async def call() -> None:
        async with desk() as server:
            client = await server.connect()
            await client.telephone()
            await client.send("response.create")
            item_id = (await client.until("response.done"))["response"]["output"][0]["id"]
            await client.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=100)
            await client.until("conversation.item.truncated")
            await client.send("conversation.item.retrieve", item_id=item_id)
            part = (await client.until("conversation.item.retrieved"))["item"]["content"][0]
            assert "transcript" not in part
            assert len(part["audio"]) == -(-800 // 3) * 4
            assert len(server.record.spoken[item_id].audio) > 800

    run(call())


def test_usage_grows_and_the_unchanged_prefix_is_cached() -> None:
    async def call() -> list[Event]:
        async with desk("turns: [{heard: a, say: one}, {heard: b, say: two}, {heard: c, say: three}]") as server:
            client = await server.connect()
            await client.telephone()
            for _ in range(3):
                await client.append(speech() + silence(700))
                await client.until("response.done")
            return [event["response"]["usage"] for event in client.of("response.done")]

    usages = run(call())
    inputs = [usage["input_tokens"] for usage in usages]
    assert inputs == sorted(inputs)
    cached = [usage["input_token_details"]["cached_tokens"] for usage in usages]
    assert cached[0] == 0
    # The second prompt caches the first one whole; what the assistant said since is new.
    assert cached[1] == inputs[0]
    for usage in usages:
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
        assert usage["output_token_details"]["audio_tokens"] > 0


@pytest.mark.parametrize(("name", "per_ms"), [("audio/pcmu", 8), ("audio/pcma", 8), ("audio/pcm", 48)])
def test_every_format_plays_the_same_length(name: str, per_ms: int) -> None:
    async def call() -> None:
        async with desk("greeting: some words") as server:
            client = await server.connect()
            await client.configure(audio={"output": {"format": {"type": name}}})
            await client.send("response.create")
            item_id = (await client.until("response.done"))["response"]["output"][0]["id"]
            assert len(client.audio(item_id)) == len(babble("some words")) // 8 * per_ms
            assert client.audio(item_id) == server.record.spoken[item_id].audio

    run(call())


def test_the_token_limit_of_a_response_cuts_it() -> None:
    async def call() -> None:
        async with desk("greeting: these words take longer than two hundred milliseconds") as server:
            client = await server.connect()
            await client.telephone()
            await client.send("response.create", response={"max_output_tokens": 4})
            done = (await client.until("response.done"))["response"]
            assert done["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}
            assert len(client.audio(done["output"][0]["id"])) == 200 * 8

    run(call())


OBSERVED: list[tuple[str, Event]] = [
    (
        "livekit",
        {
            "model": "gpt-realtime",
            "output_modalities": ["audio"],
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24000},
                    "noise_reduction": None,
                    "transcription": {"model": "gpt-4o-mini-transcribe"},
                    "turn_detection": {
                        "type": "semantic_vad",
                        "create_response": True,
                        "eagerness": "medium",
                        "interrupt_response": True,
                    },
                },
                "output": {"format": {"type": "audio/pcm", "rate": 24000}, "speed": 1.0, "voice": "marin"},
            },
            "max_output_tokens": "inf",
            "tool_choice": "auto",
            "tracing": None,
        },
    ),
    ("livekit, later", {"instructions": "Be kind."}),
    ("pipecat", {"tools": [], "tool_choice": {"type": "function", "name": "look"}, "instructions": "Hi"}),
    ("openai-agents", {"tracing": "auto"}),
    ("strength alone", {"audio": {"input": {"noise_reduction": {"type": "far_field", "strength": 0.5}}}}),
    ("retention", {"truncation": {"type": "retention_ratio", "retention_ratio": 0.8}}),
    ("own voice", {"audio": {"output": {"voice": {"id": "voice_1"}}}}),
]


@pytest.mark.parametrize("session", [session for _, session in OBSERVED], ids=[name for name, _ in OBSERVED])
def test_updates_that_real_clients_send_are_accepted(session: Event) -> None:
    async def call() -> None:
        async with desk() as server:
            client = await server.connect()
            await client.configure(**session)
            await client.send("response.create", response={"output_modalities": ["audio"]})
            await client.until("response.done")
            assert not server.record.errors

    run(call())
