"""The local engine behind a session of every format: callers are understood, and its answers can be.

Callers are brought to the format by other converters than the server's own.
"""

import asyncio
import warnings

import pytest

from gateway.simulator.clips import Clip
from gateway.simulator.local.engine import LocalEngine
from gateway.simulator.local.wer import digits_of, word_errors
from gateway.simulator.model.formats import Encoding
from tests.simulator.model.client import desk

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

pytestmark = pytest.mark.e2e

ANSWER = "Your order is on its way and will be delivered on Friday."
PATIENCE_S = 30


def sent_as(clip: bytes, encoding: Encoding) -> bytes:
    import numpy as np

    from gateway.simulator.local.audio import decode, resample

    match encoding:
        case Encoding.PCMU:
            return clip
        case Encoding.PCMA:
            return bytes(audioop.lin2alaw(audioop.ulaw2lin(clip, 2), 2))
        case Encoding.PCM:
            return np.rint(resample(decode(clip), 8000, 24_000) * 32_000).astype("<i2").tobytes()


@pytest.mark.parametrize("encoding", Encoding)
def test_a_caller_is_understood_and_the_answer_can_be_in_every_format(
    engine: LocalEngine, clips: dict[str, Clip], encoding: Encoding
) -> None:
    clip = clips["order-01-am_michael"]

    async def call() -> tuple[str, str]:
        async with asyncio.timeout(PATIENCE_S), desk(engine, audio_factor=500, keep_audio=True) as server:
            client = await server.connect()
            form = {"format": {"type": str(encoding)}}
            detection = {"type": "server_vad", "create_response": False}
            await client.configure(audio={"input": {**form, "turn_detection": detection}, "output": form})
            quiet = sent_as(b"\xff" * 8000, encoding)
            wire = quiet + sent_as(clip.audio, encoding) + quiet
            size = 20 * encoding.bytes_per_ms
            for at in range(0, len(wire), size):
                await client.append(wire[at : at + size])
            started = await client.until("input_audio_buffer.speech_started")
            assert abs(started["audio_start_ms"] + 300 - 1000 - clip.speech_ms[0][0]) <= 150
            await client.until("input_audio_buffer.committed")
            await client.send("response.create", response={"instructions": f'Say exactly: "{ANSWER}"'})
            item_id = (await client.until("response.done"))["response"]["output"][0]["id"]
            record = server.record
            assert bytes(record.caller.audio) == wire
            answer = client.audio(item_id)
            assert answer == record.spoken[item_id].audio
            return record.heard[started["item_id"]], await engine.transcribe(encoding.to_mulaw(answer), "", 1)

    caller, agent = asyncio.run(call())
    assert word_errors(clip.text, caller)[0] <= 1, caller
    assert digits_of(caller) == digits_of(clip.text)
    assert word_errors(ANSWER, agent)[0] <= 2, agent
