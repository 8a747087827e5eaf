"""A spoken turn with a function call, held by the official SDK. Usage: openai_sdk.py BASE_URL SPEECH_FILE

Runs in an environment of its own, because `openai[realtime]` pins a websockets release. Prints one JSON object.
"""

# mypy: ignore-errors
# Its imports exist only in the environment the test makes for it.

import asyncio
import base64
import json
import sys
from pathlib import Path

from openai import AsyncOpenAI

TOOL = {
    "type": "function",
    "name": "order_status",
    "description": "Look an order up",
    "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}},
}
SESSION = {
    "type": "realtime",
    "instructions": "Help the caller.",
    "audio": {
        "input": {
            "format": {"type": "audio/pcmu"},
            "turn_detection": {"type": "server_vad"},
            "transcription": {"model": "gpt-transcribe"},
        },
        "output": {"format": {"type": "audio/pcmu"}, "voice": "marin"},
    },
    "tools": [TOOL],
}


async def main(base_url: str, speech: bytes) -> dict[str, object]:
    client = AsyncOpenAI(api_key="local", base_url=base_url)
    kinds, said, called, audio = [], [], [], 0
    async with client.realtime.connect(model="gpt-realtime-2.1") as connection:
        await connection.session.update(session=SESSION)
        for at in range(0, len(speech), 160):
            chunk = base64.b64encode(speech[at : at + 160]).decode()
            await connection.input_audio_buffer.append(audio=chunk)
        async for event in connection:
            kinds.append(event.type)
            if event.type == "error":
                raise SystemExit(f"error event: {event.error.message}")
            if event.type == "response.output_audio.delta":
                audio += len(base64.b64decode(event.delta))
            if event.type == "response.output_audio_transcript.done":
                said.append(event.transcript)
            if event.type != "response.done":
                continue
            calls = [item for item in event.response.output if item.type == "function_call"]
            if not calls:
                break
            called += [[item.name, json.loads(item.arguments)] for item in calls]
            for item in calls:
                result = {"type": "function_call_output", "call_id": item.call_id, "output": '{"status": "shipped"}'}
                await connection.conversation.item.create(item=result)
            await connection.response.create()
    return {"kinds": kinds, "said": said, "called": called, "audio_bytes": audio}


if __name__ == "__main__":
    answer = asyncio.run(main(sys.argv[1], Path(sys.argv[2]).read_bytes()))
    sys.stdout.write(json.dumps(answer))
