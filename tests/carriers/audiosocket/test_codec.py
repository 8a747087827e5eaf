"""AudioSocket frames to messages and back, and TCP pieces to frames."""

import asyncio
import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.carriers.audiosocket.codec import MAX_PAYLOAD, AudioSocketCodec
from gateway.carriers.audiosocket.framing import Framed
from gateway.carriers.stream import Ignored, Media, Started
from gateway.core.audio import AudioFormat
from gateway.core.events import Dtmf, LegEnd, LegEnded
from gateway.errors import RemoteProtocolError
from gateway.simulator.carriers.audiosocket import AudioSocketWire
from gateway.wire import PipeEnd, WireClosed, pipe
from tests.clock import run

FOLDER = Path(__file__).parents[2] / "vectors"
VECTORS = [json.loads(line) for line in (FOLDER / "audiosocket.jsonl").read_text().splitlines()]
REAL = (FOLDER / "asterisk-real" / "audiosocket_call.txt").read_text()
WHO = "0e2a6f3c-1b7e-4a54-9d66-6c6d2f6b8a11"


def frame(kind: int, payload: bytes = b"") -> bytes:
    return bytes([kind]) + len(payload).to_bytes(2, "big") + payload


def b64(audio: bytes) -> str:
    return base64.b64encode(audio).decode()


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v['dir']} {v['msg']['type']} {v['msg']['payload_len']}")
def test_every_documented_frame_is_understood_and_what_is_heard_is_said_again(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["msg"]["hex"])
    got = AudioSocketCodec().decode(data)
    match vector["msg"]["type"]:
        case "0x01":
            assert isinstance(got, Started) and got.token == WHO == got.stream_id
        case "0x10":
            assert isinstance(got, Media) and len(base64.b64decode(got.payload)) == 160
            (again,) = AudioSocketCodec().play(got.payload)
            assert isinstance(again, bytes) and len(again) == len(data)
        case "0x03":
            assert got == Dtmf("5")
        case "0x00":
            assert got == LegEnded(LegEnd.CALLER_HANGUP, "hung up")
            assert AudioSocketCodec().hang_up() == [data]


def test_what_was_g_711_before_comes_back_without_loss() -> None:
    every = bytes(range(256))
    (sent,) = AudioSocketCodec().play(b64(every))
    heard = AudioSocketCodec().decode(sent)
    assert isinstance(heard, Media)
    assert base64.b64decode(heard.payload).replace(b"\x7f", b"\xff") == every.replace(b"\x7f", b"\xff")


def test_24_khz_passes_untouched() -> None:
    first = frame(0x13, bytes(range(240)) * 4)
    codec = AudioSocketCodec(first)
    assert codec.audio is AudioFormat.PCM24
    assert codec.decode(first) == Media(b64(first[3:]))
    assert codec.play(b64(first[3:])) == [first]


def test_the_callers_own_codec_under_the_type_of_pcm_is_mu_law() -> None:
    first = frame(0x10, bytes(range(160)))
    codec = AudioSocketCodec(first)
    assert codec.audio is AudioFormat.PCMU and codec.mislabelled
    assert codec.decode(first) == Media(b64(first[3:]))
    (sent,) = codec.play(b64(first[3:]))
    assert isinstance(sent, bytes) and sent[:3] == b"\x10\x01\x40"


def test_half_a_frame_of_pcm_later_is_still_pcm() -> None:
    codec = AudioSocketCodec(frame(0x10, bytes(320)))
    got = codec.decode(frame(0x10, bytes(160)))
    assert isinstance(got, Media) and len(base64.b64decode(got.payload)) == 80


@pytest.mark.parametrize("kind", [0x11, 0x12, 0x14, 0x15, 0x16, 0x17, 0x18])
def test_other_rates_are_refused_with_what_to_do(kind: int) -> None:
    with pytest.raises(RemoteProtocolError, match="slin"):
        AudioSocketCodec(frame(kind, bytes(640))).decode(frame(kind, bytes(640)))


def test_errors_end_the_leg_and_one_of_them_is_a_hang_up() -> None:
    assert AudioSocketCodec().decode(frame(0xFF, b"\x01")) == LegEnded(LegEnd.CALLER_HANGUP, "hung up")
    assert AudioSocketCodec().decode(frame(0xFF, b"\x04")) == LegEnded(LegEnd.BROKEN, "asterisk reports error 4")
    assert AudioSocketCodec().decode(frame(0xFF)) == LegEnded(LegEnd.BROKEN, "asterisk reports error 0")


def test_an_unknown_type_is_ignored() -> None:
    assert AudioSocketCodec().decode(frame(0x42, b"x")) == Ignored("type 0x42", known=False)


def test_no_key_mark_or_clear_is_ever_sent() -> None:
    codec = AudioSocketCodec()
    assert (codec.digits("1"), list(codec.mark("m")), list(codec.clear())) == (None, [], [])


@pytest.mark.parametrize(
    "data",
    ["text", b"", b"\x10", b"\x10\x00", frame(0x10), frame(0x10, b"x"), frame(0x01, b"short"), frame(0x03, b"x")]
    + [frame(0x03, b"11"), frame(0x03), frame(0x10, bytes(320))[:-1], frame(0x10, bytes(MAX_PAYLOAD + 2))]
    + [frame(0x13, bytes(960))],
    ids=lambda data: repr(data)[:30],
)
def test_what_breaks_the_protocol_is_said_and_no_more(data: str | bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        AudioSocketCodec().decode(data)


@given(st.lists(st.binary(max_size=400) | st.builds(frame, st.integers(0, 255), st.binary(max_size=400)), max_size=5))
def test_whatever_comes_nothing_else_is_raised(frames: list[bytes]) -> None:
    codec = AudioSocketCodec(frames[0] if frames else b"")
    for data in frames:
        try:
            codec.decode(data)
        except RemoteProtocolError:
            continue


def test_the_recorded_call_is_what_the_simulator_and_the_codec_speak() -> None:
    """281 frames of 320 bytes, one UUID, one key, and the end without a word."""
    kinds = re.search(r"^kinds \{1: (\d+), 16: (\d+), 3: (\d+)\} sizes \{320: (\d+)\} dtmf 1 bytes (\d+)", REAL, re.M)
    who = re.search(r"^uuid ([0-9a-f]{32})$", REAL, re.M)
    assert kinds is not None and who is not None
    wire, codec = AudioSocketWire(who[1]), AudioSocketCodec()
    said = [*wire.hello(), *(wire.media(bytes(320), n, 20 * n) for n in range(int(kinds[2]))), *wire.digit("1")]
    said += wire.stop()
    got = [codec.decode(one) for one in said]
    assert isinstance(got[0], Started) and got[0].token.replace("-", "") == who[1]
    heard = [base64.b64decode(one.payload) for one in got if isinstance(one, Media)]
    assert len(heard) == int(kinds[4]) and 2 * len(b"".join(heard)) == int(kinds[5])
    assert got[-1] == Dtmf("1") and len(got) == 2 + len(heard)


# --- pieces ---------------------------------------------------------------------------------------


async def ended(framed: Framed) -> tuple[list[str | bytes], int]:
    frames = []
    try:
        while True:
            frames.append(await framed.receive())
    except WireClosed as closed:
        return frames, closed.code


def cut(data: bytes, at: list[int]) -> list[bytes]:
    places = sorted({place % (len(data) + 1) for place in at} | {0, len(data)})
    return [data[a:b] for a, b in zip(places, places[1:], strict=False)]


async def feed(end: PipeEnd, pieces: list[bytes]) -> None:
    for piece in pieces:
        await end.send(piece)
    await end.close(1000)


@given(
    st.lists(st.builds(frame, st.integers(0, 255), st.binary(max_size=50)), max_size=6), st.lists(st.integers(0, 400))
)
def test_frames_come_out_whole_however_they_were_cut(frames: list[bytes], at: list[int]) -> None:
    async def main() -> None:
        ours, theirs = pipe()
        await feed(theirs, cut(b"".join(frames), at))
        assert await ended(Framed(ours)) == (frames, 1000)

    run(main())


@pytest.mark.parametrize(
    ("data", "code"),
    [(frame(0x10, bytes(320))[:-1], 1006), (b"\x10", 1006), (b"\x10\xff\xff", 1009), (b"GET / HTTP/1.1\r\n\r\n", 1009)],
)
def test_what_is_no_frame_closes_the_connection(data: bytes, code: int) -> None:
    async def main() -> None:
        ours, theirs = pipe()
        await feed(theirs, [data])
        assert await ended(Framed(ours)) == ([], code)

    run(main())


def test_half_a_frame_is_waited_for_five_seconds() -> None:
    async def main() -> None:
        ours, theirs = pipe()
        await theirs.send(frame(0x10, bytes(320))[:100])
        assert await ended(Framed(ours)) == ([], 1002)
        assert asyncio.get_running_loop().time() == pytest.approx(5.0)

    run(main())


def test_nothing_is_lost_when_waiting_is_given_up() -> None:
    async def main() -> None:
        ours, theirs = pipe()
        framed = Framed(ours)
        await theirs.send(frame(0x01, bytes(16))[:7])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await framed.receive()
        await theirs.send(frame(0x01, bytes(16))[7:])
        assert await framed.receive() == frame(0x01, bytes(16))

    run(main())
