"""chan_websocket's frames to messages and back, from the documented vectors and every sentence of the document."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.carriers.asterisk.codec import AsteriskCodec
from gateway.carriers.stream import Flow, Frame, Ignored, Media, Started
from gateway.core.audio import AudioFormat
from gateway.core.events import Dtmf, MarkPlayed
from gateway.errors import RemoteProtocolError

RECORDED = Path(__file__).parents[2] / "vectors" / "asterisk.jsonl"
VECTORS = [json.loads(line) for line in RECORDED.read_text().splitlines()]
FROM_CARRIER = [v["msg"] for v in VECTORS if v["channel"] == "ws-text" and v["dir"] == "carrier->app"]
TO_CARRIER = [v["msg"] for v in VECTORS if v["channel"] == "ws-text" and v["dir"] == "app->carrier"]
AUDIO = [base64.b64decode(v["msg"]["base64"]) for v in VECTORS if v["channel"] == "ws-binary"]
START: dict[str, Any] = {
    "event": "MEDIA_START",
    "connection_id": "gateway",
    "channel": "WebSocket/gateway/0x7f45a00172b0",
    "channel_id": "1795332868.17",
    "format": "ulaw",
    "optimal_frame_size": 160,
    "ptime": 20,
    "channel_variables": {},
}
PLAIN_START = (
    "MEDIA_START connection_id:gateway channel:WebSocket/gateway/0x7f45a00172b0 channel_id:1795332868.17 "
    "format:ulaw optimal_frame_size:160 ptime:20"
)


def started(*, plain: bool = False, **more: object) -> AsteriskCodec:
    codec = AsteriskCodec()
    codec.decode(PLAIN_START if plain else json.dumps(START | more))
    return codec


def b64(audio: bytes) -> str:
    return base64.b64encode(audio).decode()


@pytest.mark.parametrize("message", FROM_CARRIER, ids=lambda m: str(m.get("event")))
def test_every_documented_message_is_understood(message: dict[str, Any]) -> None:
    got = AsteriskCodec().decode(json.dumps(message))
    match message["event"]:
        case "MEDIA_START":
            assert isinstance(got, Started)
            assert (got.stream_id, got.carrier_call_id) == ("1795327200.12", "1795327200.12")
            assert got.parameters == {"from": "+14155550101", "to": "+14155550199"}
        case "MEDIA_MARK_PROCESSED":
            assert got == MarkPlayed(message["correlation_id"])
        case "DTMF_END":
            assert got == Dtmf(message["digit"])
        case _:
            assert got == Ignored(message["event"])


@pytest.mark.parametrize("message", TO_CARRIER, ids=lambda m: str(m.get("command")))
def test_what_we_send_is_what_the_document_says(message: dict[str, Any]) -> None:
    codec = started()
    sent: dict[str, Frame] = {
        "START_MEDIA_BUFFERING": codec.play(b64(AUDIO[1]))[0],
        "MARK_MEDIA": codec.mark(message.get("correlation_id", ""))[0],
        "FLUSH_MEDIA": codec.clear()[0],
        "HANGUP": codec.hang_up()[0],
    }
    if message["command"] in sent:
        assert json.loads(sent[message["command"]]) == message


@pytest.mark.parametrize("audio", AUDIO, ids=len)
def test_mu_law_passes_untouched_both_ways(audio: bytes) -> None:
    codec = started()
    assert codec.decode(audio) == Media(b64(audio))
    assert codec.play(b64(audio))[1:] == [audio]


def test_audio_may_come_before_the_start() -> None:
    codec = AsteriskCodec()
    assert codec.decode(AUDIO[0]) == Media(b64(AUDIO[0]))
    assert isinstance(codec.decode(json.dumps(START)), Started)


def test_bulk_mode_is_begun_once_and_again_after_each_flush() -> None:
    codec = started()
    audio = b64(AUDIO[0])
    assert len(codec.play(audio)) == 2
    assert len(codec.play(audio)) == 1
    assert codec.clear() == ['{"command":"FLUSH_MEDIA"}']
    assert codec.play(audio)[0] == '{"command":"START_MEDIA_BUFFERING"}'


def test_no_message_is_as_long_as_what_would_end_the_call() -> None:
    sent = started().play(b64(bytes(200_000)))
    pieces = [frame for frame in sent if isinstance(frame, bytes)]
    assert b"".join(pieces) == bytes(200_000)
    assert max(map(len, pieces)) < 65_500


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("name", ["m1", "item_A1:0", "x" * 500, "with blank", 'quote"', "ümlaut", ""])
def test_a_mark_is_asked_for_within_128_bytes_and_comes_back_under_its_name(name: str, plain: bool) -> None:
    codec = started(plain=plain)
    (command,) = codec.mark(name)
    assert isinstance(command, str) and len(command.encode()) <= 128
    word = command.partition(" ")[2] if plain else json.loads(command)["correlation_id"]
    event = (
        f"MEDIA_MARK_PROCESSED {word}"
        if plain
        else json.dumps({"event": "MEDIA_MARK_PROCESSED"} | {"channel_id": "1", "correlation_id": word})
    )
    assert codec.decode(event) == MarkPlayed(name)


def test_the_older_plain_text_is_answered_in_plain_text() -> None:
    codec = AsteriskCodec({"call": "1795332868.16", "from": "+14155550101", "to": "+14155550199"})
    got = codec.decode(PLAIN_START)
    assert isinstance(got, Started) and got.carrier_call_id == "1795332868.16"
    assert codec.play(b64(b"\xff"))[0] == "START_MEDIA_BUFFERING"
    assert codec.mark("m1") == ["MARK_MEDIA m1"]
    assert codec.clear() == ["FLUSH_MEDIA"]
    assert codec.hang_up() == ["HANGUP"]
    assert codec.decode("DTMF_END digit:# channel_id:1795332868.17") == Dtmf("#")
    assert codec.decode("MEDIA_XOFF") == Flow(False)
    assert codec.decode("MEDIA_XON") == Flow(True)
    assert codec.decode("QUEUE_DRAINED") == Ignored("QUEUE_DRAINED")
    assert codec.decode("SOMETHING_NEW x:1") == Ignored("SOMETHING_NEW", known=False)


def test_the_dial_string_s_variables_win_over_the_channel_s() -> None:
    codec = AsteriskCodec({"call": "1.2", "from": " 14155550101", "agent": "sales", "again": "1", "secret": "x"})
    got = codec.decode(
        json.dumps(START | {"channel_variables": {"call": "9.9", "to": "+14155550199", "result": "BUSY"}})
    )
    assert isinstance(got, Started)
    assert got.carrier_call_id == "1.2"
    assert got.parameters == {
        "call": "1.2",
        "from": "+14155550101",
        "agent": "sales",
        "again": "1",
        "to": "+14155550199",
        "result": "BUSY",
    }


@pytest.mark.parametrize(
    ("name", "audio", "frame_bytes"),
    [
        ("ulaw", AudioFormat.PCMU, 160),
        ("alaw", AudioFormat.PCMA, 160),
        ("slin24", AudioFormat.PCM24, 960),
        ("slin", AudioFormat.PCMU, 320),
        ("slin16", AudioFormat.PCMU, 640),
    ],
)
def test_what_start_says_is_what_the_call_speaks(name: str, audio: AudioFormat, frame_bytes: int) -> None:
    codec = AsteriskCodec()
    codec.decode(bytes(frame_bytes))
    got = codec.decode(json.dumps(START | {"format": name, "optimal_frame_size": frame_bytes}))
    assert isinstance(got, Started) and got.audio is audio
    heard = codec.decode(bytes(frame_bytes))
    assert isinstance(heard, Media)
    assert abs(len(base64.b64decode(heard.payload)) - 20 * audio.bytes_per_ms) <= 1
    sent = codec.play(b64(audio.silence * (20 * audio.rate_hz // 1000)))[1]
    assert abs(len(sent) - frame_bytes) <= 2


def test_linear_audio_at_8_khz_is_mu_law_without_loss() -> None:
    codec = started(format="slin", optimal_frame_size=320)
    every = bytes(range(256))
    (linear,) = codec.play(b64(every))[1:]
    assert isinstance(linear, bytes)
    heard = codec.decode(linear)
    assert isinstance(heard, Media)
    assert base64.b64decode(heard.payload).replace(b"\x7f", b"\xff") == every.replace(b"\x7f", b"\xff")


@pytest.mark.parametrize("name", ["opus", "g722", "slin48", "", "x" * 5000, "UL AW"])
def test_another_format_is_refused_with_what_to_do(name: str) -> None:
    with pytest.raises(RemoteProtocolError, match="ulaw|short text"):
        AsteriskCodec().decode(json.dumps(START | {"format": name}))


def test_pass_through_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="pass-through"):
        AsteriskCodec().decode(json.dumps(START | {"optimal_frame_size": 0}))


def test_a_second_start_changes_nothing() -> None:
    codec = started()
    assert codec.decode(json.dumps(START | {"format": "alaw"})) == Ignored("MEDIA_START")


def test_an_error_is_noted_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    told = {"event": "ERROR", "channel_id": "1", "error_text": "cannot call +14155550101"}
    assert started().decode(json.dumps(told)) == Ignored("ERROR")
    assert "error" in caplog.text and "4155550101" not in caplog.text


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "{",
        "{}",
        '{"event":1}',
        '{"event":"DTMF_END","digit":"55"}',
        '{"event":"DTMF_END"}',
        '{"event":"MEDIA_MARK_PROCESSED"}',
        json.dumps(START | {"channel_id": "a b"}),
        json.dumps(START | {"channel_id": ""}),
        json.dumps({name: value for name, value in START.items() if name != "format"}),
        "DTMF_END",
        b"",
        "x" * 70_000,
        bytes(70_000),
        "MEDIA_START",
    ],
    ids=lambda frame: repr(frame)[:40],
)
def test_what_breaks_the_protocol_is_said_and_no_more(frame: Frame) -> None:
    with pytest.raises(RemoteProtocolError):
        AsteriskCodec().decode(frame)


WORDS = st.sampled_from(["event", "MEDIA_START", "DTMF_END", "format", "ulaw", "channel_id", "digit", "correlation_id"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=6),
    max_leaves=12,
)


@given(st.lists(st.binary(max_size=700) | st.text(max_size=200) | JSON.map(json.dumps), max_size=5))
def test_whatever_comes_nothing_else_is_raised(frames: list[Frame]) -> None:
    codec = AsteriskCodec({"call": "1.2"})
    for frame in frames:
        try:
            codec.decode(frame)
        except RemoteProtocolError:
            continue


@given(st.dictionaries(st.sampled_from(sorted(START)), JSON))
def test_no_start_is_taken_that_is_not_one(changed: dict[str, object]) -> None:
    try:
        got = AsteriskCodec().decode(json.dumps(START | changed | {"event": "MEDIA_START"}))
    except RemoteProtocolError:
        return
    assert isinstance(got, Started) and got.carrier_call_id
