"""Whatever a client sends, in any order: nothing raises, one response at a time, unbroken chain, repeatable trace."""

import asyncio
import base64
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.simulator.model import ModelOptions, ModelServer, ScriptedEngine, parse_scenario
from gateway.wire import pipe
from tests.clock import run
from tests.simulator.model.client import Client, Event, desk, silence, speech

SCRIPT = """
repeat: true
turns:
  - {heard: first, say: "A first answer."}
  - {heard: "second one", say: [Well, then], calls: [{name: look, arguments: {a: "{0}"}}, {name: see, arguments: "{"}]}
  - {heard: third, say: "Third.", faults: [{kind: fail_response, after_ms: 200}]}
  - {heard: "and", say: "Cut short."}
"""
IDS = st.sampled_from(["root", "a", "b", "c", "nobody", "@spoken", "@spoken"])
"""`@spoken` stands for the assistant's latest item, whose id is known only while playing."""
SOUNDS = {"speech": speech("hello you"), "pause": silence(700), "blip": speech()[:400], "hush": silence(60)}


def event(kind: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Event]:
    return st.fixed_dictionaries({"type": st.just(kind), **fields})


MESSAGE = st.fixed_dictionaries(
    {
        "type": st.just("message"),
        "role": st.sampled_from(["user", "system", "assistant", "tool"]),
        "content": st.lists(
            st.fixed_dictionaries(
                {"type": st.sampled_from(["input_text", "output_text"]), "text": st.text(max_size=8)}
            ),
            max_size=2,
        ),
    },
    optional={"id": IDS},
)
OUTPUT = st.fixed_dictionaries(
    {"type": st.just("function_call_output"), "call_id": st.text(max_size=5), "output": st.text(max_size=20)}
)
DETECTION = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {"type": st.just("server_vad")},
        optional={
            "threshold": st.floats(-0.5, 1.5),
            "idle_timeout_ms": st.sampled_from([None, 4000, 5000]),
            "create_response": st.booleans(),
            "interrupt_response": st.booleans(),
            "silence_duration_ms": st.integers(-1, 1000),
        },
    ),
    st.fixed_dictionaries({"type": st.just("semantic_vad")}, optional={"eagerness": st.sampled_from(["low", "high"])}),
)
FORMAT = st.sampled_from([{"type": "audio/pcmu"}, {"type": "audio/pcma"}, {"type": "audio/pcm", "rate": 24000}])
SESSION = st.fixed_dictionaries(
    {"type": st.just("realtime")},
    optional={
        "audio": st.fixed_dictionaries(
            {"input": st.fixed_dictionaries({}, optional={"turn_detection": DETECTION, "format": FORMAT})},
            optional={"output": st.fixed_dictionaries({"format": FORMAT})},
        ),
        "output_modalities": st.sampled_from([["audio"], ["text"]]),
    },
)
CLIENT_EVENT = st.one_of(
    event("session.update", session=SESSION),
    event("input_audio_buffer.append", audio=st.sampled_from(sorted(SOUNDS))),
    event("input_audio_buffer.append", audio=st.sampled_from(sorted(SOUNDS))),
    event("input_audio_buffer.commit"),
    event("input_audio_buffer.clear"),
    event("conversation.item.create", item=st.one_of(MESSAGE, OUTPUT), previous_item_id=IDS),
    event("conversation.item.create", item=st.one_of(MESSAGE, OUTPUT)),
    event("conversation.item.delete", item_id=IDS),
    event("conversation.item.retrieve", item_id=IDS),
    event("conversation.item.truncate", item_id=IDS, content_index=st.integers(0, 1), audio_end_ms=st.integers(0, 900)),
    event("response.create"),
    event("response.create", response=st.fixed_dictionaries({"conversation": st.sampled_from(["auto", "none"])})),
    event("response.cancel"),
    st.dictionaries(st.text(max_size=6), st.integers() | st.text(max_size=4), max_size=3),
)
PAUSE = st.sampled_from([0.0, 0.0, 0.05, 0.4, 6.0])


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "late_deltas": st.integers(1, 3),
        "cancel_ms": st.sampled_from([40, 400, 3000]),
        "ttfb_ms": st.sampled_from([100, 700]),
        "text_delta_ms": st.just(30),
        "done_events": st.just("batched"),
        "audio_factor": st.sampled_from([1.0, 20.0]),
        "keep_audio": st.just(True),
    },
)


async def play(history: list[tuple[Event, float]], seed: int = 0, **behaviour: Any) -> tuple[Client, ModelServer]:
    """Send a history with pauses on the loop's clock and receive everything until all is quiet."""
    options = ModelOptions.model_validate({"epoch": 0, "seed": seed, "expires_s": 200, "late_deltas": 1, **behaviour})
    server = ModelServer(ScriptedEngine(parse_scenario(SCRIPT)), options)
    ours, theirs = pipe()
    client = Client(ours)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve_socket(theirs, {"model": "gpt-realtime"}, {}))
        await client.until("session.created")
        group.create_task(client.drain())
        for sent, pause in history:
            audio = SOUNDS.get(str(sent.get("audio")), b"")
            frame = {**sent, "audio": base64.b64encode(audio).decode()} if audio else sent
            if sent.get("item_id") == "@spoken":
                frame = {**sent, "item_id": next(reversed(server.sessions[-1].spoken), "none")}
            await ours.send(json.dumps(frame))
            await asyncio.sleep(pause)
    return client, server


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(CLIENT_EVENT, PAUSE), max_size=25), OPTIONS)
def test_any_history_keeps_the_rules(history: list[tuple[Event, float]], behaviour: dict[str, Any]) -> None:
    client, server = run(play(history, **behaviour))
    record = server.sessions[-1]
    assert record.closed is not None
    assert record.closed[1] == 1001
    generated = {item_id: spoken.audio_ms for item_id, spoken in record.spoken.items()}
    assert all(cut.audio_end_ms <= generated[cut.item_id] for cut in record.truncations if cut.accepted)
    assert all((cut.code is None) == cut.accepted for cut in record.truncations)
    assert all(reply.status != "in_progress" for reply in record.replies.values())
    assert len(record.refused) <= len(record.errors)
    assert len(record.caller.audio) in (0, record.caller.total_bytes)
    active: str | None = None
    for seen in client.events:
        response = seen.get("response") or {}
        if response.get("conversation_id") is None:
            continue
        if seen["type"] == "response.created":
            assert active is None
            active = response["id"]
        if seen["type"] == "response.done":
            assert active == response["id"]
            active = None
    assert active is None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(CLIENT_EVENT, PAUSE), max_size=15))
def test_positions_told_by_events_rebuild_the_conversation(history: list[tuple[Event, float]]) -> None:
    client, server = run(play(history))
    chain: list[str] = []
    for seen in client.events:
        if seen["type"] == "conversation.item.added":
            previous = seen["previous_item_id"]
            chain.insert(0 if previous is None else chain.index(previous) + 1, seen["item"]["id"])
        if seen["type"] == "conversation.item.deleted":
            chain.remove(seen["item_id"])
    assert chain == [item.id for item in server.sessions[-1].conversation]


def test_the_same_seed_gives_the_same_trace() -> None:
    history: list[tuple[Event, float]] = [
        (
            {
                "type": "session.update",
                "session": {"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcmu"}}}},
            },
            0,
        ),
        ({"type": "response.create"}, 0.3),
        *[
            ({"type": "input_audio_buffer.append", "audio": name}, 0.5)
            for name in ("speech", "pause", "speech", "pause")
        ],
    ]
    traces = [json.dumps(run(play(history, seed))[0].events) for seed in (1, 1, 2)]
    assert traces[0] == traces[1]
    assert traces[0] != traces[2]


def test_a_client_that_does_not_read_holds_back_only_itself() -> None:
    async def call() -> None:
        async with desk("turns: [{say: fine}]") as server:
            stuck, other = await server.connect(), await server.connect()
            for _ in range(4200):
                await stuck.send("no.such.event")
            await other.say("hello")
            assert (await other.until("response.done"))["response"]["status"] == "completed"

    run(call())
