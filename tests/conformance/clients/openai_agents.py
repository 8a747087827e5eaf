"""A spoken turn with a function call, held by openai-agents. Usage: openai_agents.py WS_URL SPEECH_FILE

Runs in an environment of its own. Prints one JSON object.
"""

# mypy: ignore-errors
# Its imports exist only in the environment the test makes for it.

import asyncio
import json
import sys
from pathlib import Path

from agents import function_tool
from agents.realtime import RealtimeAgent, RealtimeRunner

asked: list[str] = []


@function_tool
def order_status(order_id: str) -> str:
    """Look an order up."""
    asked.append(order_id)
    return json.dumps({"status": "shipped"})


async def main(url: str, speech: bytes) -> dict[str, object]:
    agent = RealtimeAgent(name="desk", instructions="Help the caller.", tools=[order_status])
    settings = {
        "model_name": "gpt-realtime",
        "input_audio_format": "g711_ulaw",
        "output_audio_format": "g711_ulaw",
        "turn_detection": {"type": "server_vad"},
    }
    runner = RealtimeRunner(agent, config={"model_settings": settings, "tracing_disabled": True})
    kinds, audio, ended = [], 0, 0
    session = await runner.run(model_config={"url": f"{url}?model=gpt-realtime", "api_key": "local"})
    async with session:
        for at in range(0, len(speech), 160):
            await session.send_audio(speech[at : at + 160])
        async for event in session:
            kinds.append(event.type)
            if event.type == "error":
                raise SystemExit(f"error event: {event.error}")
            if event.type == "audio":
                audio += len(event.audio.data)
            if event.type == "agent_end":
                ended += 1
                if ended == 2:
                    break
    return {"kinds": sorted(set(kinds)), "asked": asked, "audio_bytes": audio}


if __name__ == "__main__":
    answer = asyncio.run(main(sys.argv[1], Path(sys.argv[2]).read_bytes()))
    sys.stdout.write(json.dumps(answer))
