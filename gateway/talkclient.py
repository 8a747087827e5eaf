"""A whole client of a Realtime server, to read: what a voice agent is before there is a telephone.

The server hears when you speak and when you stop, answers by itself, and falls silent when you talk over it; the
client's part in that is to stop its speaker and to say how much of the answer was heard. `gateway talk` runs this; the
gateway does the same with deadlines, recovery, records and a carrier.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection, connect

MULAW = {"type": "audio/pcmu"}  # G.711 mu-law at 8 kHz, as the telephone has it: 8 bytes are 1 ms
ORDER_ID = {"type": "string", "description": "The order number, digits only."}
PARAMETERS = {"type": "object", "properties": {"order_id": ORDER_ID}, "required": ["order_id"]}
LOOKUP = {"name": "lookup_order", "description": "Look up the status of a customer's order.", "parameters": PARAMETERS}
HEARING = {"format": MULAW, "transcription": {"model": "gpt-transcribe"}, "turn_detection": {"type": "server_vad"}}
SESSION = {
    "type": "realtime",
    "instructions": "You answer the telephone of Acme, a shop for garden tools. Be friendly and brief.",
    "audio": {"input": HEARING, "output": {"format": MULAW, "voice": "cedar"}},
    "tools": [{"type": "function", **LOOKUP}],
}


class Speaker(Protocol):
    def play(self, item_id: str, audio: bytes) -> None: ...  # queue audio of an answer; never waits
    def stop(self) -> tuple[str, int] | None: ...  # fall silent; which answer was cut off, and after how many ms


async def talk(
    url: str, headers: Mapping[str, str], microphone: AsyncIterator[bytes], speaker: Speaker, tell: Callable[..., None]
) -> None:
    """Talk until the microphone ends. `tell(who, text)` gets what each side said."""
    async with connect(url, additional_headers=headers, compression=None, max_size=None) as model:
        await send(model, "session.update", session=SESSION)
        while json.loads(await model.recv())["type"] != "session.updated":
            pass  # audio that is sent before this is taken for another format, and heard as static
        async with asyncio.TaskGroup() as group:
            group.create_task(speak(model, microphone))
            async for message in model:
                await take(model, json.loads(message), speaker, tell)


async def speak(model: ClientConnection, microphone: AsyncIterator[bytes]) -> None:
    async for frame in microphone:
        await send(model, "input_audio_buffer.append", audio=base64.b64encode(frame).decode())
    await model.close()


async def take(model: ClientConnection, event: dict[str, Any], speaker: Speaker, tell: Callable[..., None]) -> None:
    match event["type"]:
        case "response.output_audio.delta":
            speaker.play(event["item_id"], base64.b64decode(event["delta"]))
        case "input_audio_buffer.speech_started":  # you began to speak: if the agent was speaking, that is a barge-in
            if cut := speaker.stop():
                await send(model, "conversation.item.truncate", item_id=cut[0], content_index=0, audio_end_ms=cut[1])
        case "conversation.item.input_audio_transcription.completed":
            tell("you", event["transcript"])
        case "response.output_audio_transcript.done":
            tell("agent", event["transcript"])
        case "response.done":  # function calls count only when the response they stand in is complete
            calls = [item for item in event["response"]["output"] if item["type"] == "function_call"]
            for call in calls if event["response"]["status"] == "completed" else []:
                tell("tool", f"{call['name']} {call['arguments']}")
                output = json.dumps({**json.loads(call["arguments"]), "status": "on the way"})  # ask your system here
                result = {"type": "function_call_output", "call_id": call["call_id"], "output": output}
                await send(model, "conversation.item.create", item=result)
            if calls and event["response"]["status"] == "completed":
                await send(model, "response.create")  # once, after all outputs: now the model speaks about them
        case "error":
            tell("error", event["error"]["message"])


async def send(model: ClientConnection, kind: str, **fields: object) -> None:
    await model.send(json.dumps({"type": kind, **fields}))
