"""jambonz' socket to messages and back, from recorded wire messages."""

import base64
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.carriers.jambonz.codec import MAX_AUDIO_BYTES, MAX_MARKS, JambonzCodec
from gateway.carriers.stream import Frame, Ignored, Media, Started
from gateway.core.audio import AudioFormat
from gateway.core.events import Dtmf, MarkPlayed
from gateway.errors import RemoteProtocolError

RECORDED = Path(__file__).parents[2] / "vectors" / "jambonz.jsonl"
VECTORS = [json.loads(line) for line in RECORDED.read_text().splitlines()]
METADATA = {"callSid": "call-1", "accountSid": "acc-1", "sampleRate": 24_000, "mixType": "mono", "token": "tok"}


def recorded(channel: str, direction: str) -> list[dict[str, Any]]:
    return [v["msg"] for v in VECTORS if v["channel"] == channel and v["dir"] == direction]


def opened(rate_hz: int = 24_000) -> JambonzCodec:
    codec = JambonzCodec()
    assert isinstance(codec.decode(json.dumps(METADATA | {"sampleRate": rate_hz})), Started)
    return codec


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def written(frames: Any) -> list[Any]:
    return [json.loads(frame) if isinstance(frame, str) else frame for frame in frames]


def marked(name: str, event: str = "playout") -> str:
    return json.dumps({"type": "mark", "data": {"name": name, "event": event}})


# --- from the carrier -----------------------------------------------------------------------------


def test_the_recorded_call_is_understood_from_its_start() -> None:
    codec = JambonzCodec()
    start, *said = [codec.decode(json.dumps(message)) for message in recorded("ws-text", "carrier->app")]
    assert isinstance(start, Started)
    assert start.carrier_call_id == "e2f0a9d2-7a1c-4a6e-9f7a-6e3d0f6f3c11"
    assert (start.account_id, start.audio) == ("9351f46a-678c-43f5-b8a6-d4eb58d131af", AudioFormat.PCM24)
    assert said == [MarkPlayed("item_A1:0"), Dtmf("1"), Ignored("cleared mark"), Ignored("playDone")]


def test_recorded_audio_at_24_khz_is_passed_through_untouched() -> None:
    codec = opened()
    for message in recorded("ws-binary", "carrier->app"):
        assert codec.decode(base64.b64decode(message["base64"])) == Media(message["base64"])


def test_our_token_comes_with_the_metadata() -> None:
    start = JambonzCodec().decode(json.dumps(METADATA))
    assert start == Started("call-1", "call-1", account_id="acc-1", token="tok", audio=AudioFormat.PCM24)


@pytest.mark.parametrize(("rate_hz", "audio"), [(8000, "audio/pcmu"), (16_000, "audio/pcmu"), (24_000, "audio/pcm")])
def test_the_audio_is_what_the_metadata_say(rate_hz: int, audio: str) -> None:
    start = JambonzCodec().decode(json.dumps(METADATA | {"sampleRate": rate_hz}))
    assert isinstance(start, Started) and start.audio == audio


def test_8_khz_becomes_mu_law() -> None:
    assert opened(8000).decode(struct.pack("<160h", *[32124] * 160)) == Media(b64(b"\x80" * 160))


@pytest.mark.parametrize("rate_hz", [8000, 24_000])
def test_half_a_sample_is_kept_for_the_next_frame(rate_hz: int) -> None:
    codec = opened(rate_hz)
    assert codec.decode(b"\x7c") == Ignored("half a sample")
    whole = b"\x7c\x7d" if rate_hz == 24_000 else b"\x80"
    assert codec.decode(b"\x7d") == Media(b64(whole))


def test_played_and_cleared_marks_are_told_apart() -> None:
    codec = opened()
    assert codec.decode(marked("m1")) == MarkPlayed("m1")
    assert codec.decode(marked("m2", "cleared")) == Ignored("cleared mark")


def test_audio_before_the_metadata_is_ignored() -> None:
    assert JambonzCodec().decode(bytes(960)) == Ignored("audio before the start")


def test_second_metadata_change_nothing() -> None:
    codec = opened()
    assert codec.decode(json.dumps(METADATA | {"sampleRate": 8000})) == Ignored("another start", known=False)
    assert codec.decode(bytes(960)) == Media(b64(bytes(960)))


def test_an_unknown_type_is_counted() -> None:
    assert opened().decode('{"type":"later"}') == Ignored("later", known=False)


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "{",
        "[]",
        "7",
        "{}",
        '{"type":7}',
        '{"callSid":"c"}',
        '{"callSid":"c","sampleRate":44100}',
        '{"callSid":"c","sampleRate":"24000"}',
        '{"callSid":"c","sampleRate":24000.0}',
        '{"callSid":"c","sampleRate":true}',
        '{"callSid":"c","sampleRate":[8000]}',
        '{"callSid":7,"sampleRate":24000}',
        '{"callSid":"","sampleRate":24000}',
        '{"callSid":"c","sampleRate":24000,"mixType":"stereo"}',
        '{"callSid":"c","sampleRate":24000,"token":7}',
        '{"event":"dtmf"}',
        '{"event":"dtmf","dtmf":"12"}',
        '{"event":"dtmf","dtmf":1}',
        '{"type":"mark"}',
        '{"type":"mark","data":[]}',
        '{"type":"mark","data":{"name":"m"}}',
        '{"type":"mark","data":{"name":"m","event":"lost"}}',
        '{"type":"mark","data":{"name":7,"event":"playout"}}',
        "[" * 5000,
        '{"type":"' + "x" * 70_000 + '"}',
    ],
)
def test_what_breaks_the_protocol_is_told_as_that(frame: str) -> None:
    with pytest.raises(RemoteProtocolError):
        JambonzCodec().decode(frame)


@pytest.mark.parametrize("frame", [b"", bytes(MAX_AUDIO_BYTES + 1)])
def test_audio_that_is_empty_or_too_long_breaks_the_protocol(frame: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        opened().decode(frame)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
kinds = st.fixed_dictionaries({"type": st.sampled_from(["mark", "playDone", "x"]), "data": json_values}) | (
    st.fixed_dictionaries({"event": st.sampled_from(["dtmf", "mark"]), "dtmf": json_values})
)
metadata = st.dictionaries(st.sampled_from(["callSid", "accountSid", "sampleRate", "mixType", "token"]), json_values)


@given(
    st.lists(
        st.text(max_size=60) | st.binary(max_size=2000) | kinds.map(json.dumps) | metadata.map(json.dumps), max_size=6
    ),
    st.booleans(),
)
def test_nothing_but_a_protocol_error_comes_out_of_the_codec(frames: list[Frame], started: bool) -> None:
    codec = opened(16_000) if started else JambonzCodec()
    for frame in frames:
        try:
            codec.decode(frame)
        except RemoteProtocolError:
            continue


# --- to the carrier -------------------------------------------------------------------------------


def test_recorded_orders_are_what_we_write() -> None:
    mark, _, kill, _, disconnect = recorded("ws-text", "app->carrier")
    codec = opened()
    assert written(codec.mark("item_A1:0")) == [mark]
    assert written(codec.clear()) == [kill, {"type": "clearMarks"}]
    assert written(codec.hang_up()) == [disconnect]


def test_recorded_audio_out_is_what_we_write() -> None:
    (message,) = recorded("ws-binary", "app->carrier")
    assert opened().play(message["base64"]) == [base64.b64decode(message["base64"])]


@given(st.lists(st.binary(max_size=30), max_size=10))
def test_audio_out_is_always_whole_samples_and_nothing_is_lost(pieces: list[bytes]) -> None:
    codec = opened()
    frames = [bytes(frame) for piece in pieces for frame in codec.play(b64(piece)) if isinstance(frame, bytes)]
    assert all(frame and len(frame) % 2 == 0 for frame in frames)
    whole = b"".join(pieces)
    assert b"".join(frames) == whole[: len(whole) // 2 * 2]


@pytest.mark.parametrize(("rate_hz", "frame_bytes"), [(8000, 320), (16_000, 640)])
def test_mu_law_goes_out_at_the_sockets_rate(rate_hz: int, frame_bytes: int) -> None:
    (frame,) = opened(rate_hz).play(b64(b"\xff" * 160))
    assert frame == bytes(frame_bytes)


def test_no_more_than_30_marks_are_pending_and_none_is_lost() -> None:
    codec = opened()
    sent = [message for number in range(MAX_MARKS + 3) for message in written(codec.mark(f"m{number}"))]
    assert len(sent) == MAX_MARKS
    assert codec.decode(marked("m0")) == MarkPlayed("m0")
    assert codec.decode(marked("m1")) == MarkPlayed("m1")
    later = written(codec.play(b64(bytes(4))))
    assert [m["data"]["name"] for m in later[1:]] == [f"m{MAX_MARKS}", f"m{MAX_MARKS + 1}"]
    codec.decode(marked("m2"))
    assert [m["data"]["name"] for m in written(codec.mark("last"))] == [f"m{MAX_MARKS + 2}"]


def test_a_clear_makes_room_for_marks_and_forgets_those_that_waited() -> None:
    codec = opened()
    for number in range(MAX_MARKS + 3):
        codec.mark(f"m{number}")
    codec.clear()
    assert [m["data"]["name"] for m in written(codec.mark("new"))] == ["new"]


def test_half_a_sample_does_not_survive_a_clear() -> None:
    codec = opened()
    assert codec.play(b64(b"\x01")) == []
    codec.clear()
    assert codec.play(b64(b"\x02\x03")) == [b"\x02\x03"]


def test_keys_have_no_message() -> None:
    assert opened().digits("1#") is None  # type: ignore[func-returns-value]
