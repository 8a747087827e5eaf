"""Vonage's socket to messages and back, from recorded wire messages."""

import base64
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.carriers.stream import Cleared, Frame, Ignored, Media, Started
from gateway.carriers.vonage.codec import MAX_AUDIO_BYTES, VonageCodec
from gateway.core.audio import AudioFormat
from gateway.core.events import Dtmf, MarkPlayed
from gateway.errors import RemoteProtocolError

RECORDED = Path(__file__).parents[2] / "vectors" / "vonage.jsonl"
VECTORS = [json.loads(line) for line in RECORDED.read_text().splitlines()]


def recorded(channel: str, direction: str) -> list[dict[str, Any]]:
    return [v["msg"] for v in VECTORS if v["channel"] == channel and v["dir"] == direction]


CONNECTED = {"event": "websocket:connected", "content-type": "audio/l16;rate=24000", "token": "tok", "uuid": "call-1"}
MU_LAW = bytes(range(256))


def opened(rate_hz: int = 24_000) -> VonageCodec:
    codec = VonageCodec()
    assert isinstance(codec.decode(json.dumps(CONNECTED | {"content-type": f"audio/l16;rate={rate_hz}"})), Started)
    return codec


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


# --- from the carrier -----------------------------------------------------------------------------


def test_the_recorded_call_is_understood_from_its_start() -> None:
    codec = VonageCodec()
    said = [codec.decode(json.dumps(message)) for message in recorded("ws-text", "carrier->app")]
    start, mark, key, cleared = said
    assert isinstance(start, Started)
    assert (start.token, start.audio) == ("tok9f3c1d", AudioFormat.PCM24)
    assert [mark, key, cleared] == [MarkPlayed("item_A1:0"), Dtmf("5"), Cleared()]


def test_recorded_audio_at_24_khz_is_passed_through_untouched() -> None:
    codec = opened()
    for message in recorded("ws-binary", "carrier->app"):
        assert codec.decode(base64.b64decode(message["base64"])) == Media(message["base64"])


def test_what_our_headers_said_comes_with_the_start() -> None:
    start = VonageCodec().decode(json.dumps(CONNECTED))
    assert start == Started("call-1", "call-1", token="tok", audio=AudioFormat.PCM24)


@pytest.mark.parametrize(("rate_hz", "audio"), [(8000, "audio/pcmu"), (16_000, "audio/pcmu"), (24_000, "audio/pcm")])
def test_the_audio_is_what_the_start_says(rate_hz: int, audio: str) -> None:
    start = VonageCodec().decode(json.dumps(CONNECTED | {"content-type": f"audio/l16; rate={rate_hz}"}))
    assert isinstance(start, Started) and start.audio == audio


def test_8_khz_becomes_mu_law() -> None:
    assert opened(8000).decode(struct.pack("<160h", *[32124] * 160)) == Media(b64(b"\x80" * 160))


def test_a_frame_at_16_khz_becomes_half_as_many_samples_of_mu_law() -> None:
    heard = opened(16_000).decode(bytes(640))
    assert heard == Media(b64(b"\xff" * 160))


def test_audio_before_the_start_is_ignored() -> None:
    assert VonageCodec().decode(bytes(960)) == Ignored("audio before the start")


def test_a_second_start_changes_nothing() -> None:
    codec = opened()
    again = codec.decode(json.dumps(CONNECTED | {"content-type": "audio/l16;rate=8000"}))
    assert again == Ignored("another start", known=False)
    assert codec.decode(bytes(960)) == Media(b64(bytes(960)))


def test_an_unknown_event_is_counted() -> None:
    assert opened().decode('{"event":"websocket:later","x":1}') == Ignored("websocket:later", known=False)


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "{",
        "[]",
        "7",
        "null",
        '{"event":7}',
        "{}",
        '{"event":"websocket:connected"}',
        '{"event":"websocket:connected","content-type":"audio/l16;rate=44100","token":"t","uuid":"u"}',
        '{"event":"websocket:connected","content-type":"audio/x-mulaw;rate=8000","token":"t","uuid":"u"}',
        '{"event":"websocket:connected","content-type":"audio/l16;rate=24000","uuid":"u"}',
        '{"event":"websocket:connected","content-type":"audio/l16;rate=24000","token":7,"uuid":"u"}',
        '{"event":"websocket:dtmf"}',
        '{"event":"websocket:dtmf","digit":"12"}',
        '{"event":"websocket:dtmf","digit":5}',
        '{"event":"websocket:notify"}',
        '{"event":"websocket:notify","payload":[]}',
        '{"event":"websocket:notify","payload":{}}',
        '{"event":"websocket:notify","payload":{"mark":1}}',
        "[" * 5000,
        '{"event":"' + "x" * 70_000 + '"}',
    ],
)
def test_what_breaks_the_protocol_is_told_as_that(frame: str) -> None:
    with pytest.raises(RemoteProtocolError):
        VonageCodec().decode(frame)


@pytest.mark.parametrize("frame", [b"", b"\x01", bytes(959), bytes(MAX_AUDIO_BYTES + 2)])
def test_audio_that_is_no_whole_samples_or_too_long_breaks_the_protocol(frame: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="whole samples"):
        opened().decode(frame)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
events = st.sampled_from(["connected", "dtmf", "notify", "cleared", "x"]).map(lambda kind: f"websocket:{kind}")
keys = st.sampled_from(["content-type", "token", "uuid", "digit", "payload", "mark"])


@given(
    st.lists(
        st.text(max_size=60)
        | st.binary(max_size=2000)
        | st.builds(lambda e, more: json.dumps({"event": e, **more}), events, st.dictionaries(keys, json_values)),
        max_size=6,
    ),
    st.booleans(),
)
def test_nothing_but_a_protocol_error_comes_out_of_the_codec(frames: list[Frame], started: bool) -> None:
    codec = opened(16_000) if started else VonageCodec()
    for frame in frames:
        try:
            codec.decode(frame)
        except RemoteProtocolError:
            continue


# --- to the carrier -------------------------------------------------------------------------------


def test_recorded_orders_are_what_we_write() -> None:
    mark, clear = opened().mark("item_A1:0"), opened().clear()
    written = [json.loads(str(frame)) for frame in (*mark, *clear)]
    assert written == [recorded("ws-text", "app->carrier")[0], recorded("ws-text", "app->carrier")[2]]


def test_recorded_audio_out_is_one_frame() -> None:
    (message,) = recorded("ws-binary", "app->carrier")
    assert opened().play(message["base64"]) == [base64.b64decode(message["base64"])]


@pytest.mark.parametrize(("rate_hz", "frame_bytes"), [(8000, 320), (16_000, 640), (24_000, 960)])
def test_every_message_out_is_exactly_20_ms(rate_hz: int, frame_bytes: int) -> None:
    codec = opened(rate_hz)
    audio = bytes(960 * 3 + 100) if rate_hz == 24_000 else b"\xff" * (160 * 3 + 10)
    frames = codec.play(b64(audio))
    assert [len(frame) for frame in frames] == [frame_bytes] * 4


def test_mu_law_that_came_in_at_8_khz_goes_back_as_it_came() -> None:
    codec = opened(8000)
    wire = b"".join(map(bytes, (frame for frame in codec.play(b64(MU_LAW[:160])) if isinstance(frame, bytes))))
    heard = codec.decode(wire)
    assert heard == Media(b64(MU_LAW[:160].replace(b"\x7f", b"\xff")))


def test_keys_and_the_end_have_no_message() -> None:
    assert opened().digits("1#") is None  # type: ignore[func-returns-value]
    assert opened().hang_up() == ()
