"""Media streaming text to messages and back, from recorded wire messages and the sentences of the documentation."""

import json
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.carriers.stream import Ignored, Media, Message, Started
from gateway.carriers.telnyx.codec import EncodingRefused, TelnyxCodec
from gateway.core.audio import AudioFormat
from gateway.core.events import Dtmf, LegEnd, LegEnded, MarkPlayed
from gateway.errors import RemoteProtocolError

RECORDED = Path(__file__).parents[2] / "vectors" / "telnyx.jsonl"
VECTORS = [json.loads(line) for line in RECORDED.read_text().splitlines()]
FROM_CARRIER = [v["msg"] for v in VECTORS if v["channel"] == "ws-text" and v["dir"] == "carrier->app"]
TO_CARRIER = [v["msg"] for v in VECTORS if v["channel"] == "ws-text" and v["dir"] == "app->carrier"]
START = next(message for message in FROM_CARRIER if message["event"] == "start")
FRAME = b64encode(bytes([0x1E, 0x0B]) * 80).decode()


def decode(message: object) -> Message:
    return TelnyxCodec("tok").decode(json.dumps(message))


def start_in(encoding: object, rate: object = 8000, channels: object = 1) -> dict[str, Any]:
    form = {"encoding": encoding, "sample_rate": rate, "channels": channels}
    return {**START, "start": {**START["start"], "media_format": form}}


@pytest.mark.parametrize("message", FROM_CARRIER, ids=lambda m: str(m.get("event")))
def test_every_recorded_message_is_understood(message: dict[str, Any]) -> None:
    got = decode(message)
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
            call_id = message["start"]["call_control_id"]
            assert got == Started(message["stream_id"], call_id, token="tok", audio=AudioFormat.PCMU)
        case _:
            assert got == Ignored("connected")


def test_every_recorded_command_is_what_we_send() -> None:
    codec = TelnyxCodec()
    sent: list[object] = []
    for wanted in TO_CARRIER:
        match wanted:
            case {"event": "media", "media": {"payload": payload}}:
                sent += [json.loads(frame) for frame in codec.play(payload)]
            case {"event": "mark", "mark": {"name": name}}:
                sent += [json.loads(frame) for frame in codec.mark(name)]
            case {"event": "clear"}:
                sent += [json.loads(frame) for frame in codec.clear()]
    assert sent == TO_CARRIER


def test_a_start_in_a_law_has_the_call_speak_a_law() -> None:
    codec = TelnyxCodec("tok", AudioFormat.PCMA)
    started = codec.decode(json.dumps(start_in("PCMA")))
    assert isinstance(started, Started) and started.audio is AudioFormat.PCMA
    assert json.loads(codec.play(FRAME)[0])["media"]["payload"] == FRAME


def test_a_caller_in_a_law_who_was_asked_for_in_mu_law_is_answered_in_mu_law() -> None:
    codec = TelnyxCodec("tok", AudioFormat.PCMU)
    codec.decode(json.dumps(start_in("PCMA")))
    silent, loud = b64encode(b"\xd5" * 160).decode(), b64encode(bytes(range(160))).decode()
    played = [b64decode(json.loads(codec.play(payload)[0])["media"]["payload"]) for payload in (silent, loud)]
    assert set(played[0]) <= {0xFF, 0xFE}  # within one step of silence: A-law has no zero
    assert len(played[1]) == 160 and played[1] != bytes(range(160))


@pytest.mark.parametrize(
    "message",
    [
        start_in("G722"),
        start_in("OPUS", 48000),
        start_in("L16", 16000),
        start_in("PCMU", 16000),
        start_in("PCMU", 8000, 2),
    ],
)
def test_any_other_codec_is_refused_by_its_name(message: dict[str, Any]) -> None:
    with pytest.raises(EncodingRefused, match=message["start"]["media_format"]["encoding"]):
        decode(message)


def test_our_own_voice_on_another_track_is_passed_over() -> None:
    media = {"event": "media", "media": {"track": "outbound", "chunk": "1", "payload": FRAME}, "stream_id": "s"}
    assert decode(media) == Ignored("media of another track")


def test_an_error_is_counted_by_its_code_and_says_nothing_else() -> None:
    told = {"event": "error", "payload": {"code": 100003, "title": "malformed_frame", "detail": "+14155550101"}}
    assert decode(told) == Ignored("error 100003 malformed_frame", known=False)
    strange = {"event": "error", "payload": {"code": "call +1 415 555 0101", "title": {"a": 1}}}
    assert decode(strange) == Ignored("error ? ?", known=False)
    assert decode({"event": "error"}) == Ignored("error None None", known=False)


def test_unknown_messages_are_counted() -> None:
    assert decode({"event": "telemetry"}) == Ignored("telemetry", known=False)
    assert decode({"event": "\n" * 500}) == Ignored("?", known=False)


@pytest.mark.parametrize("chunk", [None, "", "x", "-1", "1e9", "9" * 16, 3.5, True])
def test_a_count_that_is_none_leaves_the_audio_without_one(chunk: object) -> None:
    media = {"event": "media", "media": {"track": "inbound", "chunk": chunk, "payload": FRAME}}
    assert decode(media) == Media(FRAME, None)


def test_a_count_may_be_a_number_too() -> None:
    assert decode({"event": "media", "media": {"chunk": 7, "payload": FRAME}}) == Media(FRAME, 7)


def test_there_is_no_message_for_keys() -> None:
    assert TelnyxCodec().digits("12#") is None


BROKEN: list[str | bytes] = [
    b"\x00",
    "",
    "{",
    "[" * 3000,
    "null",
    "[]",
    '{"event": 5}',
    "{}",
    '{"event":"media"}',
    '{"event":"media","media":{"payload":""}}',
    '{"event":"media","media":{"payload":"A"}}',
    '{"event":"media","media":{"payload":"%%%%"}}',
    '{"event":"media","media":{"payload":5}}',
    json.dumps({"event": "media", "media": {"payload": "AAAA" * 4001}}),
    '{"event":"dtmf","dtmf":{"digit":"12"}}',
    '{"event":"mark","mark":{"name":""}}',
    '{"event":"start","start":{}}',
    json.dumps({**START, "stream_id": None}),
    '{"event":"connected","x":"' + "x" * 70_000 + '"}',
]


@pytest.mark.parametrize("frame", BROKEN, ids=lambda frame: repr(frame)[:40])
def test_what_breaks_the_protocol_is_a_protocol_error(frame: str | bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        TelnyxCodec().decode(frame)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=10,
)


@given(st.sampled_from(FROM_CARRIER), st.data())
def test_nothing_but_a_protocol_error_comes_out_of_hostile_messages(
    message: dict[str, Any], data: st.DataObject
) -> None:
    key = data.draw(st.sampled_from([*message, message["event"]]))
    wrong: dict[str, Any] = {**message, key: data.draw(JSON)}
    if isinstance(message.get(message["event"]), dict) and data.draw(st.booleans()):
        body = message[message["event"]]
        wrong = {**message, message["event"]: {**body, data.draw(st.sampled_from(sorted(body))): data.draw(JSON)}}
    try:
        TelnyxCodec("tok", AudioFormat.PCMU).decode(json.dumps(wrong))
    except RemoteProtocolError:
        return


@given(st.text() | st.binary())
def test_nothing_but_a_protocol_error_comes_out_of_noise(frame: str | bytes) -> None:
    try:
        TelnyxCodec().decode(frame)
    except RemoteProtocolError:
        return
