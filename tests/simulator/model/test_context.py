"""What the next response is made from, after items were put in, cut and taken out; and responses beside the talk."""

import asyncio
from typing import Any

from gateway.simulator.engine import Answer, Context
from gateway.simulator.model import ScriptedEngine, parse_scenario
from tests.clock import run
from tests.simulator.model.client import Client, desk, silence, speech

SCRIPT = """
greeting: "one two three four five six seven eight nine ten"
turns:
  - {heard: "look it up", say: [First part., Second part.], calls: [{name: look}]}
  - {heard: "and then", say: Then this.}
"""


class Listener(ScriptedEngine):
    """Keeps what each response was made from."""

    def __init__(self, script: str = SCRIPT) -> None:
        super().__init__(parse_scenario(script))
        self.contexts: list[Context] = []

    async def respond(self, context: Context) -> Answer:
        self.contexts.append(context)
        return await super().respond(context)

    @property
    def seen(self) -> list[str]:
        """The latest context's items, each as its words or its type."""
        return [_words(item) for item in self.contexts[-1].items]


def _words(item: Any) -> str:
    if item["type"] != "message":
        return f"{item['type']}: {item.get('output', item.get('name'))}"
    return "".join(part.get("text") or part.get("transcript") or "" for part in item["content"])


def message(role: str, text: str, item_id: str) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"id": item_id, "type": "message", "role": role, "content": [{"type": kind, "text": text}]}


async def answered(client: Client) -> list[dict[str, Any]]:
    await client.send("response.create")
    output: list[dict[str, Any]] = (await client.until("response.done"))["response"]["output"]
    return output


def test_inserted_items_stand_where_they_were_put() -> None:
    engine = Listener()

    async def call() -> None:
        async with desk(engine) as server:
            client = await server.connect()
            for role, text, item_id, after in (
                ("user", "U", "u", None),
                ("assistant", "A", "a", "u"),
                ("system", "S", "s", "root"),
                ("system", "M", "m", "u"),
            ):
                fields = {} if after is None else {"previous_item_id": after}
                await client.send("conversation.item.create", item=message(role, text, item_id), **fields)
            await client.send(
                "conversation.item.create", item=message("user", "x", "x"), previous_item_id="nobody", event_id="bad"
            )
            error = await client.error()
            assert (error["code"], error["event_id"]) == ("item_create_invalid_previous_item_id", "bad")
            await answered(client)
            added = [(event["item"]["id"], event["previous_item_id"]) for event in client.of("conversation.item.added")]
            assert added[:4] == [("u", None), ("a", "u"), ("s", None), ("m", "u")]

    run(call())
    assert engine.seen == ["S", "U", "M", "A"]


def test_the_model_knows_of_a_truncated_message_only_what_is_left_of_its_sound() -> None:
    engine = Listener()

    async def call() -> None:
        async with desk(engine) as server:
            client = await server.connect()
            await client.telephone()
            (item,) = await answered(client)
            length_ms = len(client.audio(item["id"])) // 8
            await client.send(
                "conversation.item.truncate", item_id=item["id"], content_index=0, audio_end_ms=length_ms // 2
            )
            await client.say("go on")
            await client.until("response.done")
            await client.send("conversation.item.retrieve", item_id=item["id"])
            part = (await client.until("conversation.item.retrieved"))["item"]["content"][0]
            assert "transcript" not in part

    run(call())
    assert engine.seen == ["one two three four five", "go on"]


def test_what_was_deleted_is_not_in_the_next_context() -> None:
    engine = Listener()

    async def call() -> None:
        async with desk(engine) as server:
            client = await server.connect()
            await client.telephone(create_response=False)
            await client.append(speech() + silence(600))
            caller = (await client.until("input_audio_buffer.committed"))["item_id"]
            first, second, made = await answered(client)
            for gone in (caller, second["id"], made["id"]):
                await client.send("conversation.item.delete", item_id=gone)
            output = {"type": "function_call_output", "call_id": made["call_id"], "output": "{}"}
            await client.send("conversation.item.create", item=output)
            assert (await client.error())["code"] == "invalid_tool_call_id"
            await client.append(speech() + silence(600))
            await client.until("input_audio_buffer.committed")
            (after,) = await answered(client)
            assert after["content"][0]["transcript"] == "Then this."
            assert [item.id for item in server.record.conversation][0] == first["id"]
            assert server.record.heard[caller] == "look it up"

    run(call())
    assert engine.seen == ["First part.", "and then"]


def test_caller_audio_can_be_deleted_before_it_is_understood() -> None:
    engine = Listener()

    async def call() -> None:
        async with desk(engine, transcription_delay_ms=500) as server:
            client = await server.connect()
            await client.configure(audio={"input": {"transcription": {"model": "gpt-transcribe"}}})
            await client.telephone(create_response=False)
            await client.append(speech() + silence(600))
            caller = (await client.until("input_audio_buffer.committed"))["item_id"]
            await client.send("conversation.item.delete", item_id=caller)
            await answered(client)
            await asyncio.sleep(2)
            await client.configure()
            assert not any("transcription" in kind for kind in client.kinds())

    run(call())
    assert engine.seen == []


def test_a_function_output_is_in_the_context_after_its_call() -> None:
    engine = Listener()

    async def call() -> None:
        async with desk(engine) as server:
            client = await server.connect()
            await client.say("look it up")
            made = (await client.until("response.done"))["response"]["output"][2]
            output = {"type": "function_call_output", "call_id": made["call_id"], "output": "found"}
            await client.send("conversation.item.create", item=output, previous_item_id=made["id"])
            await answered(client)

    run(call())
    assert engine.seen[-2:] == ["function_call: look", "function_call_output: found"]


JUDGE = """
greeting: "A rather long greeting that goes on while somebody else thinks about the caller's words."
asides:
  - {metadata: {purpose: judge}, heard: "number is$", say: "no"}
  - {metadata: {purpose: judge}, match: "one word", say: "yes", think_ms: 200}
turns: [{heard: "my number is", say: Thanks.}, {heard: "my number is four", say: Thanks.}]
"""
ASIDE = {
    "conversation": "none",
    "output_modalities": ["text"],
    "instructions": "Answer in one word: is the caller done?",
    "metadata": {"purpose": "judge", "turn": "1"},
}


def test_a_judgement_beside_the_conversation_leaves_no_trace_in_it() -> None:
    engine = Listener(JUDGE)

    async def call() -> None:
        async with desk(engine, audio_factor=2.0, text_delta_ms=10) as server:
            client = await server.connect()
            await client.telephone()
            await client.send("response.create")
            await client.until("response.output_audio.delta")
            items = len(client.of("conversation.item.added"))
            await client.send("response.create", response=ASIDE)
            created = (await client.until("response.created"))["response"]
            assert (created["conversation_id"], created["metadata"]) == (None, ASIDE["metadata"])
            # The caller's speech ends the conversation's response and not the one beside it.
            await client.append(speech("wait"))
            assert (await client.until("response.done"))["response"]["status"] == "cancelled"
            done = (await client.until("response.done"))["response"]
            assert (done["id"], done["status"]) == (created["id"], "completed")
            assert done["output"][0]["content"] == [{"type": "output_text", "text": "yes"}]
            assert len(client.of("conversation.item.added")) == items
            assert done["output"][0]["id"] not in server.record.conversation
            assert server.record.replies[done["id"]].plan.metadata == ASIDE["metadata"]

    run(call())
    assert not engine.contexts[-1].in_conversation
    assert engine.contexts[-1].modality == "text"


def test_a_scripted_judge_goes_by_the_callers_latest_words() -> None:
    async def call() -> list[str]:
        async with desk(JUDGE) as server:
            client = await server.connect()
            await client.telephone(create_response=False)
            said = []
            for _ in range(2):
                await client.append(speech() + silence(600))
                await client.until("input_audio_buffer.committed")
                await client.send("response.create", response=ASIDE)
                done = (await client.until("response.done"))["response"]
                said.append(done["output"][0]["content"][0]["text"])
            return said

    assert run(call()) == ["no", "yes"]


def test_a_response_beside_the_conversation_is_cancelled_by_its_id_alone() -> None:
    async def call() -> None:
        async with desk(JUDGE) as server:
            client = await server.connect()
            await client.send("response.create", response=ASIDE)
            created = (await client.until("response.created"))["response"]
            await client.send("response.cancel")
            assert (await client.error())["code"] == "response_cancel_not_active"
            await client.send("response.cancel", response_id=created["id"])
            assert (await client.until("response.done"))["response"]["status"] == "cancelled"

    run(call())


def test_unheard_audio_of_a_cancelled_response_is_billed_and_a_cut_breaks_the_cache() -> None:
    async def call() -> None:
        async with desk("repeat: true\nturns: [{heard: a, say: A somewhat longer answer to that question.}]") as server:
            client = await server.connect()
            await client.telephone()
            await client.append(speech() + silence(600))
            item_id = (await client.until("response.output_audio.delta"))["item_id"]
            for _ in range(4):
                await client.until("response.output_audio.delta")
            streamed_ms = len(client.audio(item_id)) // 8
            await client.append(speech() + silence(600))
            cancelled = (await client.until("response.done"))["response"]["usage"]
            # Six times faster than real time: most of this was never heard.
            assert cancelled["output_token_details"]["audio_tokens"] == -(-streamed_ms // 50)
            assert cancelled["total_tokens"] == cancelled["input_tokens"] + cancelled["output_tokens"]
            second = (await client.until("response.done"))["response"]["usage"]
            await client.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=50)
            await client.send("response.create")
            third = (await client.until("response.done"))["response"]["usage"]
            # After the cut everything behind it is new again: only what stood before it is cached.
            assert third["input_token_details"]["cached_tokens"] == cancelled["input_tokens"]
            assert second["input_token_details"]["cached_tokens"] == cancelled["input_tokens"]

    run(call())
