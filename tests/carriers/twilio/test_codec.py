"""Media Streams text to messages and back, from recorded wire messages."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.carriers.stream import Ignored, Media, Message, Started
from gateway.carriers.twilio.codec import TwilioCodec
from gateway.core.audio import AudioFormat
from gateway.core.events import Dtmf, LegEnd, LegEnded, MarkPlayed
from gateway.errors import RemoteProtocolError

RECORDED = Path(__file__).parents[2] / "vectors" / "twilio.jsonl"
VECTORS = [json.loads(line) for line in RECORDED.read_text().splitlines()]
FROM_CARRIER = [v["msg"] for v in VECTORS if v["channel"] == "ws-text" and v["dir"] == "carrier->app"]
TO_CARRIER = [v["msg"] for v in VECTORS if v["channel"] == "ws-text" and v["dir"] == "app->carrier"]


START = next(message for message in FROM_CARRIER if message["event"] == "start")
SILENCE = "////" * 53 + "/w=="


def opened() -> TwilioCodec:
    codec = TwilioCodec()
    assert isinstance(codec.decode(json.dumps(START)), Started)
    return codec


def decode(frame: str | bytes) -> Message:
    return opened().decode(frame)


@pytest.mark.parametrize("message", FROM_CARRIER, ids=lambda m: str(m.get("event")))
def test_every_recorded_message_is_understood(message: dict[str, Any]) -> None:
    codec = TwilioCodec() if message["event"] == "start" else opened()
    got = codec.decode(json.dumps(message))
    match message["event"]:
        case "media":
            assert got == Media(message["media"]["payload"], int(message["media"]["chunk"]))
        case "mark":
            assert got == MarkPlayed(message["mark"]["name"])
        case "dtmf":
            assert got == Dtmf(message["dtmf"]["digit"])
        case "stop":
            assert got == LegEnded(LegEnd.CALLER_HANGUP, "stop")
        case "start":
            assert isinstance(got, Started)
            assert (got.carrier_call_id, got.account_id) == (
                message["start"]["callSid"],
                message["start"]["accountSid"],
            )
            assert got.audio is AudioFormat.PCMU
            assert got.parameters == message["start"]["customParameters"]
            assert got.token == message["start"]["customParameters"]["token"]
        case "connected":
            assert got == Ignored("connected")


@pytest.mark.parametrize("message", TO_CARRIER, ids=lambda m: str(m.get("event")))
def test_what_we_send_is_what_twilio_documents_key_for_key(message: dict[str, Any]) -> None:
    codec = opened()
    assert codec.stream_id == message["streamSid"]
    match message["event"]:
        case "media":
            (text,) = codec.play(message["media"]["payload"])
        case "mark":
            (text,) = codec.mark(message["mark"]["name"])
        case _:
            (text,) = codec.clear()
    assert json.loads(text) == message


def test_a_second_start_does_not_move_the_stream() -> None:
    codec = opened()
    before = codec.play(SILENCE)
    assert codec.decode(start(streamSid="MZ9")) == Ignored("start", known=False)
    assert codec.play(SILENCE) == before


def test_keys_and_the_end_of_a_stream_have_no_message() -> None:
    assert opened().digits("1") is None
    assert not opened().hang_up()


@pytest.mark.parametrize(
    "frame", ['{"event":"mark","mark":{"name":"m"}}', '{"event":"dtmf","dtmf":{"digit":"1"}}', "media"]
)
def test_nothing_of_a_stream_is_taken_before_its_start(frame: str) -> None:
    usual = media_frame("1", SILENCE, separators=(",", ":"))
    for text in (media_frame("1", SILENCE), usual) if frame == "media" else (frame,):
        with pytest.raises(RemoteProtocolError):
            TwilioCodec().decode(text)


def test_audio_of_the_other_track_is_nobody_s() -> None:
    got = decode('{"event":"media","media":{"track":"outbound","payload":"AAAA"}}')
    assert isinstance(got, Ignored) and got.known


def test_unknown_events_are_ignored_and_count_as_unknown() -> None:
    assert decode('{"event":"something-new","x":1}') == Ignored("something-new", known=False)


def media_frame(chunk: str, payload: str, **separators: Any) -> str:
    body = {"track": "inbound", "chunk": chunk, "timestamp": "20", "payload": payload}
    message = {"event": "media", "sequenceNumber": "4", "media": body, "streamSid": "MZ1"}
    return json.dumps(message, **separators)


def outcome(frame: str) -> Message | str:
    try:
        return decode(frame)
    except RemoteProtocolError:
        return "refused"


@given(
    st.from_regex(r"[0-9]{0,14}", fullmatch=True) | st.text(max_size=4),
    st.from_regex(r"[A-Za-z0-9+/]{0,40}={0,3}", fullmatch=True) | st.text(max_size=8),
)
def test_audio_is_read_alike_however_its_message_is_spaced(chunk: str, payload: str) -> None:
    assert outcome(media_frame(chunk, payload, separators=(",", ":"))) == outcome(media_frame(chunk, payload))


@pytest.mark.parametrize("chunk", ["", "x", "1" * 13, "٣x", 7, None])
def test_audio_without_a_usable_number_is_audio_all_the_same(chunk: object) -> None:
    body = {"track": "inbound", "chunk": chunk, "payload": SILENCE}
    assert decode(json.dumps({"event": "media", "media": body})) == Media(SILENCE)


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "{",
        "[]",
        "null",
        '{"event":7}',
        "{}",
        b"\x00\x01",
        '{"event":"media"}',
        '{"event":"media","media":{"payload":"abc"}}',
        '{"event":"media","media":{"payload":"!!!!"}}',
        '{"event":"media","media":{"payload":"AA\\"A"}}',
        '{"event":"media","media":{"payload":5}}',
        '{"event":"media","media":{"payload":"' + "A" * 20_000 + '"}}',
        '{"event":"mark","mark":{}}',
        '{"event":"mark","mark":{"name":"' + "m" * 200 + '"}}',
        '{"event":"dtmf","dtmf":{"digit":"55"}}',
        '{"event":"dtmf","dtmf":{"digit":"x"}}',
        '{"event":"start","start":{}}',
        '{"event":"x","pad":"' + "p" * 70_000 + '"}',
    ],
    ids=lambda f: repr(f)[:40],
)
def test_a_broken_frame_is_refused(frame: str | bytes) -> None:
    codec = TwilioCodec() if '"start"' in str(frame) else opened()
    with pytest.raises(RemoteProtocolError):
        codec.decode(frame)


def start(**changes: Any) -> str:
    body: dict[str, Any] = {
        "accountSid": "AC1",
        "streamSid": "MZ1",
        "callSid": "CA1",
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"token": "t"},
    }
    return json.dumps({"event": "start", "start": body | changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"streamSid": 'MZ","x":"'},
        {"mediaFormat": {"encoding": "audio/l16", "sampleRate": 8000}},
        {"mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 16000}},
        {"customParameters": {str(i): "x" for i in range(40)}},
        {"customParameters": "token"},
        {"callSid": ""},
    ],
    ids=str,
)
def test_a_start_that_we_cannot_serve_is_refused(changes: dict[str, Any]) -> None:
    assert isinstance(TwilioCodec().decode(start()), Started)
    with pytest.raises(RemoteProtocolError):
        TwilioCodec().decode(start(**changes))


@given(st.text(max_size=200) | st.binary(max_size=50))
def test_any_frame_is_understood_or_refused_and_nothing_else(frame: str | bytes) -> None:
    try:
        decode(frame)
    except RemoteProtocolError:
        pass
