"""The official SDK's unions name every event there is: each is served, or listed here with the reason it is not."""

from typing import Any, get_args

from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent

from gateway.simulator.model.requests import EVENT_TYPES
from tests.clock import run
from tests.simulator.model.client import desk, silence, speech
from tests.simulator.model.test_turns import ORDER, Mumbler

NOT_ACCEPTED = {
    "output_audio_buffer.clear": "WebRTC and SIP only",
}
NOT_SENT = {
    "conversation.created": "not observed in GA",
    "conversation.item.created": "beta; added and done replace it",
    "conversation.item.input_audio_transcription.segment": "diarizing models only",
    "input_audio_buffer.dtmf_event_received": "SIP only",
    "output_audio_buffer.started": "WebRTC and SIP only",
    "output_audio_buffer.stopped": "WebRTC and SIP only",
    "output_audio_buffer.cleared": "WebRTC and SIP only",
    "mcp_list_tools.in_progress": "MCP is not simulated",
    "mcp_list_tools.completed": "MCP is not simulated",
    "mcp_list_tools.failed": "MCP is not simulated",
    "response.mcp_call_arguments.delta": "MCP is not simulated",
    "response.mcp_call_arguments.done": "MCP is not simulated",
    "response.mcp_call.in_progress": "MCP is not simulated",
    "response.mcp_call.completed": "MCP is not simulated",
    "response.mcp_call.failed": "MCP is not simulated",
}


def kinds_of(union: Any) -> set[str]:
    """Return the `type` literals of an SDK event union, itself perhaps annotated."""
    members = get_args(union)
    if members and not hasattr(members[0], "model_fields"):
        members = get_args(members[0])
    return {str(get_args(member.model_fields["type"].annotation)[0]).strip() for member in members}


def test_every_client_event_of_the_sdk_is_accepted_or_listed() -> None:
    assert kinds_of(RealtimeClientEvent) == set(EVENT_TYPES) | set(NOT_ACCEPTED)


def test_every_server_event_of_the_sdk_is_sent_or_listed() -> None:
    async def call() -> set[str]:
        async with desk(ORDER) as server, desk(Mumbler()) as failing:
            client, mumbled = await server.connect(), await failing.connect()
            for each in (client, mumbled):
                await each.configure(audio={"input": {"transcription": {"model": "gpt-transcribe"}}})
                await each.telephone(idle_timeout_ms=5000)
                await each.append(speech() + silence(600))
            await mumbled.until("conversation.item.input_audio_transcription.failed")
            spoken = (await client.until("response.done"))["response"]["output"][0]["id"]
            await client.send("conversation.item.truncate", item_id=spoken, content_index=0, audio_end_ms=0)
            await client.send("conversation.item.retrieve", item_id=spoken)
            await client.send("conversation.item.delete", item_id=spoken)
            await client.send("input_audio_buffer.clear")
            await client.send("no.such.event")
            await client.until("input_audio_buffer.timeout_triggered")
            await client.until("response.done")
            await client.send("response.create", response={"output_modalities": ["text"]})
            await client.until("response.done")
            return {*client.kinds(), *mumbled.kinds()}

    sent = run(call())
    assert sent.isdisjoint(NOT_SENT)
    assert kinds_of(RealtimeServerEvent) == sent | set(NOT_SENT)
