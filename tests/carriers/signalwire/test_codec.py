"""SignalWire's media stream, from recorded wire messages and what its documentation says of the differences."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.carriers.signalwire.codec import SignalWireCodec
from gateway.carriers.stream import Ignored, Media, Started
from gateway.core.audio import AudioFormat
from gateway.core.events import Dtmf, LegEnd, LegEnded, MarkPlayed
from gateway.errors import RemoteProtocolError

RECORDED = Path(__file__).parents[2] / "vectors" / "signalwire.jsonl"
VECTORS = [json.loads(line) for line in RECORDED.read_text().splitlines()]
FROM_CARRIER = [v["msg"] for v in VECTORS if v["channel"] == "ws-text" and v["dir"] == "carrier->app"]
TO_CARRIER = [v["msg"] for v in VECTORS if v["channel"] == "ws-text" and v["dir"] == "app->carrier"]
START = next(message for message in FROM_CARRIER if message["event"] == "start")
STREAM = START["start"]["streamSid"]


def opened(**media_format: object) -> SignalWireCodec:
    codec = SignalWireCodec("tok9f3c1d")
    form = START["start"]["mediaFormat"] | media_format
    assert isinstance(codec.decode(json.dumps({**START, "start": START["start"] | {"mediaFormat": form}})), Started)
    return codec


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")], ids=["compact", "spaced"])
@pytest.mark.parametrize("message", FROM_CARRIER, ids=lambda m: str(m.get("event")))
def test_every_recorded_message_is_understood(message: dict[str, Any], separators: tuple[str, str]) -> None:
    codec = SignalWireCodec() if message["event"] == "start" else opened()
    got = codec.decode(json.dumps(message, separators=separators))
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
            assert (got.stream_id, got.carrier_call_id) == (STREAM, message["start"]["callSid"])
            assert got.account_id == message["start"]["accountSid"]
            assert (got.audio, got.parameters) == (AudioFormat.PCMU, {"agent": "support"})
        case "connected":
            assert got == Ignored("connected")


@pytest.mark.parametrize("message", TO_CARRIER, ids=lambda m: str(m.get("event")))
def test_what_we_send_is_what_is_documented_key_for_key(message: dict[str, Any]) -> None:
    codec = opened()
    match message["event"]:
        case "media":
            (text,) = codec.play(message["media"]["payload"])
        case "mark":
            (text,) = codec.mark(message["mark"]["name"])
        case "dtmf":
            (text,) = codec.digits(message["dtmf"]["digit"])
        case _:
            (text,) = codec.clear()
    assert json.loads(text) == message


def test_keys_are_pressed_one_message_each() -> None:
    pressed = [json.loads(text)["dtmf"]["digit"] for text in opened().digits("4*7#") if isinstance(text, str)]
    assert pressed == ["4", "*", "7", "#"]


def test_the_token_is_the_upgrade_s_whatever_a_parameter_says() -> None:
    named = {**START, "start": START["start"] | {"customParameters": {"token": "another"}}}
    got = SignalWireCodec("tok9f3c1d").decode(json.dumps(named))
    assert isinstance(got, Started) and got.token == "tok9f3c1d"
    without = SignalWireCodec().decode(json.dumps(named))
    assert isinstance(without, Started) and without.token == ""


def test_linear_audio_at_24_khz_passes_through_where_start_says_so() -> None:
    codec = SignalWireCodec()
    form = {"encoding": "audio/x-L16", "sampleRate": 24000, "channels": 1}
    got = codec.decode(json.dumps({**START, "start": START["start"] | {"mediaFormat": form}}))
    assert isinstance(got, Started) and got.audio is AudioFormat.PCM24


@pytest.mark.parametrize(
    "media_format",
    [
        {"encoding": "audio/x-L16", "sampleRate": 16000},
        {"encoding": "audio/x-L16", "sampleRate": 8000},
        {"encoding": "audio/x-mulaw", "sampleRate": 24000},
        {"encoding": "PCMU"},
        {"encoding": None},
    ],
    ids=str,
)
def test_audio_that_was_not_asked_for_is_refused(media_format: dict[str, object]) -> None:
    form = START["start"]["mediaFormat"] | media_format
    with pytest.raises(RemoteProtocolError):
        SignalWireCodec().decode(json.dumps({**START, "start": START["start"] | {"mediaFormat": form}}))


@pytest.mark.parametrize("stream_id", ["", 'a","x":"', "a b", "x" * 200, 7])
def test_a_stream_id_that_cannot_be_spliced_is_refused(stream_id: object) -> None:
    with pytest.raises(RemoteProtocolError):
        SignalWireCodec().decode(json.dumps({**START, "start": START["start"] | {"streamSid": stream_id}}))


@given(st.text(max_size=200) | st.binary(max_size=50))
def test_any_frame_is_understood_or_refused_and_nothing_else(frame: str | bytes) -> None:
    for codec in (SignalWireCodec(), opened()):
        try:
            codec.decode(frame)
        except RemoteProtocolError:
            pass
