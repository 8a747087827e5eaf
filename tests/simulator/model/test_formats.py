"""Every audio format of the API, in and out: the same conversation, and the very bytes on record."""

import asyncio
import base64
from itertools import product

import pytest

from gateway.simulator.model.formats import Encoding, recoded
from gateway.simulator.model.scripted import babble
from tests.clock import run
from tests.simulator.model.client import Client, Event, desk, silence, speech

PCMU, PCMA, PCM = Encoding
WIRE: dict[Encoding, Event] = {
    PCMU: {"type": "audio/pcmu"},
    PCMA: {"type": "audio/pcma"},
    PCM: {"type": "audio/pcm", "rate": 24000},
}
ANSWER = "It is on its way, and it will be with you on Friday."
SCRIPT = f'{{repeat: true, turns: [{{heard: "where is my order", say: "{ANSWER}"}}]}}'
TRUNCATE = "conversation.item.truncate"
every_format = pytest.mark.parametrize("encoding", Encoding)


async def speak(client: Client, hears: Encoding, says: Encoding, **detection: object) -> Event:
    """Configure both formats and server VAD, and return the audio part of what the session is now."""
    vad = {"type": "server_vad", **detection}
    formats = {"input": {"format": WIRE[hears], "turn_detection": vad}, "output": {"format": WIRE[says]}}
    audio: Event = (await client.configure(audio=formats))["audio"]
    return audio


async def say(client: Client, caller: bytes, encoding: Encoding, frame_ms: int = 20) -> bytes:
    """Append mu-law in a format, frame by frame; return the bytes sent."""
    wire, size = encoding.from_mulaw(caller), frame_ms * encoding.bytes_per_ms
    for at in range(0, len(wire), size):
        await client.append(wire[at : at + size])
    return wire


@pytest.mark.parametrize(("hears", "says"), list(product(Encoding, Encoding)))
def test_a_turn_is_the_same_in_any_pair_of_formats_and_every_byte_is_on_record(hears: Encoding, says: Encoding) -> None:
    async def call(hears: Encoding, says: Encoding) -> tuple[list[str], list[int], Event]:
        async with desk(SCRIPT, keep_audio=True) as server:
            client = await server.connect()
            echoed = await speak(client, hears, says)
            assert (echoed["input"]["format"], echoed["output"]["format"]) == (WIRE[hears], WIRE[says])
            wire = await say(client, silence(400) + speech() + silence(600), hears)
            started = await client.until("input_audio_buffer.speech_started")
            stopped = await client.until("input_audio_buffer.speech_stopped")
            done = (await client.until("response.done"))["response"]
            assert done["audio"]["output"]["format"] == WIRE[says]
            record, item_id = server.record, done["output"][0]["id"]
            assert bytes(record.caller.audio) == wire
            assert list(record.caller.formats) == [(0, hears)]
            assert record.caller.ms == len(wire) / hears.bytes_per_ms
            turn = record.conversation.get(started["item_id"])
            assert turn is not None
            start = started["audio_start_ms"] * hears.bytes_per_ms
            assert bytes(turn.audio) == wire[start : stopped["audio_end_ms"] * hears.bytes_per_ms]
            spoken = record.spoken[item_id]
            assert spoken.encoding is says
            assert client.audio(item_id) == spoken.audio == says.from_mulaw(babble(ANSWER))
            sizes = [len(base64.b64decode(each["delta"])) for each in client.of("response.output_audio.delta")]
            assert all(size % says.sample_bytes == 0 for size in sizes)
            return client.kinds()[2:], [started["audio_start_ms"], stopped["audio_end_ms"]], done["usage"]

    kinds, times, usage = run(call(hears, says))
    expected_kinds, expected_times, expected_usage = run(call(PCMU, PCMU))
    assert (kinds, usage) == (expected_kinds, expected_usage)
    # Rounding of other formats may move a frame's loudness over the threshold, not more.
    assert all(abs(one - other) <= 20 for one, other in zip(times, expected_times, strict=True))


@every_format
def test_truncation_is_bounded_by_the_milliseconds_received(encoding: Encoding) -> None:
    async def call() -> None:
        async with desk(SCRIPT) as server:
            client = await server.connect()
            await speak(client, PCMU, encoding)
            await client.send("response.create")
            item_id = (await client.until("response.done"))["response"]["output"][0]["id"]
            received_ms = len(client.audio(item_id)) // encoding.bytes_per_ms
            for end_ms in (received_ms + 1, received_ms, 333):
                await client.send(TRUNCATE, item_id=item_id, content_index=0, audio_end_ms=end_ms)
            message = (await client.error())["message"]
            assert message == f"Audio content of {received_ms}ms is already shorter than {received_ms + 1}ms"
            await client.until("conversation.item.truncated", audio_end_ms=333)
            await client.send("conversation.item.retrieve", item_id=item_id)
            part = (await client.until("conversation.item.retrieved"))["item"]["content"][0]
            assert base64.b64decode(part["audio"]) == client.audio(item_id)[: 333 * encoding.bytes_per_ms]
            assert server.record.spoken[item_id].audio_ms == received_ms
            assert [cut.length_ms for cut in server.record.truncations] == [received_ms, received_ms, received_ms]

    run(call())


@every_format
def test_late_deltas_go_on_where_the_answer_was_cut(encoding: Encoding) -> None:
    async def call() -> None:
        async with desk(SCRIPT, late_deltas=3) as server:
            client = await server.connect()
            await speak(client, PCMU, encoding)
            await client.send("response.create", response={"instructions": f'Say exactly: "{ANSWER}"'})
            item_id = (await client.until("response.output_audio.delta"))["item_id"]
            await client.send("response.cancel")
            await client.until("response.done")
            streamed = len(client.audio(item_id))
            for _ in range(3):
                await client.until("response.output_audio.delta")
            assert (
                client.audio(item_id) == encoding.from_mulaw(babble(ANSWER))[: streamed + 300 * encoding.bytes_per_ms]
            )
            assert len(server.record.spoken[item_id].late) == 300 * encoding.bytes_per_ms

    run(call())


@every_format
def test_a_commit_needs_100_ms_of_any_format(encoding: Encoding) -> None:
    async def call() -> None:
        async with desk(SCRIPT) as server:
            client = await server.connect()
            await client.configure(audio={"input": {"format": WIRE[encoding], "turn_detection": None}})
            audio = encoding.from_mulaw(speech()[:800])
            await client.append(audio[: -encoding.scale])
            await client.send("input_audio_buffer.commit")
            error = await client.error()
            assert error["code"] == "input_audio_buffer_commit_empty"
            assert "only has 99.88ms" in error["message"]
            await client.append(audio[-encoding.scale :])
            await client.send("input_audio_buffer.commit")
            item_id = (await client.until("input_audio_buffer.committed"))["item_id"]
            await client.send("conversation.item.retrieve", item_id=item_id)
            part = (await client.until("conversation.item.retrieved"))["item"]["content"][0]
            assert base64.b64decode(part["audio"]) == audio

    run(call())


def test_pcm_may_come_in_pieces_of_any_number_of_samples() -> None:
    async def call() -> None:
        async with desk(SCRIPT) as server:
            client = await server.connect()
            await client.configure(audio={"input": {"format": WIRE[PCM], "turn_detection": None}})
            wire, at = PCM.from_mulaw(speech()), 0
            for size in (2, 2, 4, 958, 10, 1200, len(wire)):
                await client.append(wire[at : at + size])
                at += size
            await client.send("input_audio_buffer.commit")
            item_id = (await client.until("input_audio_buffer.committed"))["item_id"]
            item = server.record.conversation.get(item_id)
            assert item is not None and item.audio == wire

    run(call())


def test_what_was_held_back_of_pcm_is_forgotten_with_a_cleared_buffer() -> None:
    async def call() -> None:
        async with desk(SCRIPT) as server:
            client = await server.connect()
            await client.configure(audio={"input": {"format": WIRE[PCM], "turn_detection": None}})
            await client.append(b"\x11\x22" * 4)
            await client.send("input_audio_buffer.clear")
            wire = PCM.from_mulaw(speech())
            await client.append(wire)
            await client.send("input_audio_buffer.commit")
            item = server.record.conversation.get((await client.until("input_audio_buffer.committed"))["item_id"])
            assert item is not None and item.audio == wire

    run(call())


def test_pcm_that_ends_within_a_sample_is_refused_and_nothing_of_it_heard() -> None:
    async def call() -> None:
        async with desk(SCRIPT, keep_audio=True) as server:
            client = await server.connect()
            await speak(client, PCM, PCM)
            await client.append(bytes(481))
            error = await client.error()
            assert (error["code"], error["param"]) == ("invalid_value", "audio")
            assert "mono PCM16 at 24kHz" in error["message"]
            content = [{"type": "input_audio", "audio": base64.b64encode(b"abc").decode()}]
            await client.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
            assert (await client.error())["code"] == "invalid_value"
            await client.configure()
            assert server.record.caller.total_bytes == 0
            assert not len(server.record.conversation)
            await speak(client, PCMA, PCM)
            await client.append(bytes(481))
            await client.configure()
            assert server.record.caller.total_bytes == 481

    run(call())


@every_format
def test_given_audio_is_heard_and_retrieved_in_the_format_of_the_session(encoding: Encoding) -> None:
    async def call() -> None:
        async with desk(SCRIPT) as server:
            client = await server.connect()
            await speak(client, encoding, PCMU)
            wire = encoding.from_mulaw(speech())
            content = [{"type": "input_audio", "audio": base64.b64encode(wire).decode()}]
            item = {"type": "message", "role": "user", "id": "given", "content": content}
            await client.send("conversation.item.create", item=item)
            await client.send("response.create")
            done = (await client.until("response.done"))["response"]
            assert done["output"][0]["content"][0]["transcript"] == ANSWER
            for now in (encoding, PCMU, PCM):
                await speak(client, now, PCMU)
                await client.send("conversation.item.retrieve", item_id="given")
                part = (await client.until("conversation.item.retrieved"))["item"]["content"][0]
                assert base64.b64decode(part["audio"]) == recoded(wire, encoding, now)

    run(call())


@pytest.mark.parametrize(("before", "after"), [(PCMU, PCMA), (PCMA, PCMU), (PCMU, PCM), (PCM, PCMA), (PCM, PCMU)])
def test_a_changed_format_holds_for_the_audio_that_follows(before: Encoding, after: Encoding) -> None:
    async def call() -> None:
        async with desk(SCRIPT, keep_audio=True) as server:
            client = await server.connect()
            await speak(client, before, before, create_response=False)
            first = await say(client, silence(400) + speech() + silence(600), before)
            await client.until("input_audio_buffer.committed")
            await client.send("response.create")
            old = (await client.until("response.done"))["response"]["output"][0]["id"]
            await client.configure(audio={"input": {"format": WIRE[after]}, "output": {"format": WIRE[after]}})
            second = await say(client, silence(400) + speech() + silence(600), after)
            started = await client.until("input_audio_buffer.speech_started")
            assert started["audio_start_ms"] > len(first) / before.bytes_per_ms
            await client.until("input_audio_buffer.committed")
            await client.send("response.create")
            new = (await client.until("response.done"))["response"]["output"][0]["id"]
            record, turn = server.record, server.record.conversation.get(started["item_id"])
            assert turn is not None and bytes(turn.audio) in second
            assert bytes(record.caller.audio) == first + second
            assert list(record.caller.formats) == [(0, before), (len(first), after)]
            assert record.caller.ms == len(first) / before.bytes_per_ms + len(second) / after.bytes_per_ms
            assert client.audio(old) == before.from_mulaw(babble(ANSWER))
            assert client.audio(new) == after.from_mulaw(babble(ANSWER))
            # Each item is cut in milliseconds of its own format, whatever the session speaks by now.
            await client.send(TRUNCATE, item_id=old, content_index=0, audio_end_ms=500)
            await client.until("conversation.item.truncated")
            cut = record.conversation.get(old)
            assert cut is not None and cut.audio == before.from_mulaw(babble(ANSWER))[: 500 * before.bytes_per_ms]
            assert [entry.accepted for entry in record.truncations] == [True]

    run(call())


def test_one_direction_changes_without_the_other() -> None:
    async def call() -> None:
        async with desk(SCRIPT) as server:
            client = await server.connect()
            await speak(client, PCMU, PCM)
            audio = (await client.configure(audio={"output": {"format": WIRE[PCMA]}}))["audio"]
            assert (audio["input"]["format"], audio["output"]["format"]) == (WIRE[PCMU], WIRE[PCMA])
            assert audio["input"]["turn_detection"]["type"] == "server_vad"

    run(call())


def test_a_turn_that_spans_a_change_is_one_turn_in_the_new_format() -> None:
    async def call() -> None:
        async with desk(SCRIPT) as server:
            client = await server.connect()
            await speak(client, PCMU, PCMU)
            half = len(speech()) // 320 * 160
            await say(client, silence(400) + speech()[:half], PCMU)
            started = await client.until("input_audio_buffer.speech_started")
            await client.configure(audio={"input": {"format": WIRE[PCM]}})
            rest = await say(client, speech()[half:] + silence(600), PCM)
            stopped = await client.until("input_audio_buffer.speech_stopped")
            assert stopped["item_id"] == started["item_id"]
            await client.until("response.done")
            turn = server.record.conversation.get(started["item_id"])
            assert turn is not None
            assert turn.encoding is PCM
            assert turn.audio_ms == stopped["audio_end_ms"] - started["audio_start_ms"]
            tail = rest[: (stopped["audio_end_ms"] - 400 - half // 8) * 48]
            assert turn.audio.endswith(tail)

    run(call())


def test_a_response_keeps_the_format_it_was_announced_with() -> None:
    async def call() -> None:
        async with desk(SCRIPT, audio_factor=1.0) as server:
            client = await server.connect()
            await speak(client, PCMU, PCMU)
            await client.send("response.create", response={"instructions": f'Say exactly: "{ANSWER}"'})
            await client.until("response.output_audio.delta")
            await client.configure(audio={"output": {"format": WIRE[PCMA]}})
            item_id = (await client.until("response.done"))["response"]["output"][0]["id"]
            assert client.audio(item_id) == babble(ANSWER)
            override = {"audio": {"output": {"format": WIRE[PCM]}}}
            await client.send("response.create", response=override)
            item_id = (await client.until("response.done"))["response"]["output"][0]["id"]
            assert server.record.spoken[item_id].encoding is PCM
            assert len(client.audio(item_id)) == server.record.spoken[item_id].audio_ms * 48

    run(call())


@pytest.mark.parametrize(
    "wrong",
    [{"type": "audio/pcmu", "rate": 8000}, {"type": "audio/pcm", "rate": 16000}, {"type": "g711_alaw"}, "pcm16"],
)
def test_a_format_that_the_api_does_not_know_changes_nothing(wrong: object) -> None:
    async def call() -> None:
        async with desk(SCRIPT) as server:
            client = await server.connect()
            await speak(client, PCMA, PCMA)
            audio = {"input": {"format": WIRE[PCMU]}, "output": {"format": wrong}}
            await client.send("session.update", session={"type": "realtime", "audio": audio})
            assert str((await client.error())["param"]).startswith("session.audio.output.format")
            now = (await client.configure())["audio"]
            assert (now["input"]["format"], now["output"]["format"]) == (WIRE[PCMA], WIRE[PCMA])

    run(call())


@pytest.mark.parametrize(("encoding", "zeros"), [(PCMU, b"\xff\x7f"), (PCMA, b"\xd5\x55"), (PCM, b"\0\0")])
def test_silence_of_every_format_is_known_as_such(encoding: Encoding, zeros: bytes) -> None:
    async def call() -> None:
        async with desk(SCRIPT) as server:
            client = await server.connect()
            await speak(client, encoding, PCMU)
            quiet = zeros * (300 * encoding.bytes_per_ms // len(zeros))
            await client.append(quiet)
            await client.configure()
            caller = server.record.caller
            assert (caller.ms, caller.sounding_ms) == (300, 0)
            await asyncio.sleep(1)
            await client.append(quiet + b"\x12" * (10 * encoding.bytes_per_ms))
            await client.configure()
            assert (caller.ms, caller.sounding_ms) == (610, 10)
            assert [round(span.start_s, 3) for span in caller.spans] == [1.0]

    run(call())
