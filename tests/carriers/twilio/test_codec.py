"""Media Streams text to messages and back, from recorded wire messages."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.carriers.twilio import codec
from gateway.core.events import CallerAudio, Dtmf, LegEnd, LegEnded, MarkPlayed
from gateway.errors import RemoteProtocolError

RECORDED = Path(__file__).parents[2] / "vectors" / "twilio.jsonl"
VECTORS = [json.loads(line) for line in RECORDED.read_text().splitlines()]
FROM_CARRIER = [v["msg"] for v in VECTORS if v["channel"] == "ws-text" and v["dir"] == "carrier->app"]
TO_CARRIER = [v["msg"] for v in VECTORS if v["channel"] == "ws-text" and v["dir"] == "app->carrier"]


@pytest.mark.parametrize("message", FROM_CARRIER, ids=lambda m: str(m.get("event")))
def test_every_recorded_message_is_understood(message: dict[str, Any]) -> None:
    got = codec.decode(json.dumps(message))
    match message["event"]:
        case "media":
            assert got == CallerAudio(message["media"]["payload"])
        case "mark":
            assert got == MarkPlayed(message["mark"]["name"])
        case "dtmf":
            assert got == Dtmf(message["dtmf"]["digit"])
        case "stop":
            assert got == LegEnded(LegEnd.CALLER_HANGUP, "stop")
        case "start":
            assert isinstance(got, codec.Start)
            assert got.carrier_call_id == message["start"]["callSid"]
            assert got.parameters == message["start"]["customParameters"]
        case "connected":
            assert got == codec.Connected()


@pytest.mark.parametrize("message", TO_CARRIER, ids=lambda m: str(m.get("event")))
def test_what_we_send_is_what_twilio_documents_key_for_key(message: dict[str, Any]) -> None:
    stream = message["streamSid"]
    match message["event"]:
        case "media":
            text = codec.media(stream, message["media"]["payload"])
        case "mark":
            text = codec.mark(stream, message["mark"]["name"])
        case _:
            text = codec.clear(stream)
    assert json.loads(text) == message


def test_audio_of_the_other_track_is_nobody_s() -> None:
    assert codec.decode('{"event":"media","media":{"track":"outbound","payload":"AAAA"}}') is None


def test_unknown_events_are_ignored() -> None:
    assert codec.decode('{"event":"something-new","x":1}') is None


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
    assert isinstance(codec.decode(start()), codec.Start)
    with pytest.raises(RemoteProtocolError):
        codec.decode(start(**changes))


@given(st.text(max_size=200) | st.binary(max_size=50))
def test_any_frame_is_understood_or_refused_and_nothing_else(frame: str | bytes) -> None:
    try:
        codec.decode(frame)
    except RemoteProtocolError:
        pass
