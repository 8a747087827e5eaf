"""The same numbered frames straight to the model, past the gateway: how late machine and simulators are by themselves.

On a busy machine both ends of the measurement are late as well. What this probe shows is in every figure of the
calls, and is not the gateway's.
"""

import asyncio
import base64
import json

from gateway.simulator.asgi import UpgradeRefused, connect_websocket
from gateway.simulator.carrier.tones import FRAME_S
from gateway.simulator.load.frames import FRAME_BYTES, MAX_CALLS, caller_audio
from gateway.simulator.load.reports import CallerLog
from gateway.wire import WireClosed

__all__ = ["PROBE", "probe"]

PROBE = MAX_CALLS - 1
"""Its number among the callers."""
PCMU = {"format": {"type": "audio/pcmu"}}
CONFIGURE = {
    "type": "session.update",
    "session": {"type": "realtime", "audio": {"input": PCMU | {"turn_detection": None}, "output": PCMU}},
}


async def probe(model_url: str, log: CallerLog, seconds: float) -> None:
    """Send a frame each 20 ms; ends early when the model is gone."""
    audio = caller_audio(PROBE, 1, seconds, 0.0)
    loop = asyncio.get_running_loop()
    try:
        socket = await connect_websocket(f"{model_url}?model=gpt-realtime", {})
        await socket.send(json.dumps(CONFIGURE))
        begin = loop.time()
        for at in range(0, len(audio), FRAME_BYTES):
            await asyncio.sleep(begin + at / FRAME_BYTES * FRAME_S - loop.time())
            payload = base64.b64encode(audio[at : at + FRAME_BYTES]).decode()
            log.sent_at.append(loop.time())
            await socket.send(f'{{"type":"input_audio_buffer.append","audio":"{payload}"}}')
        await socket.close()
    except (WireClosed, UpgradeRefused, OSError):
        return
