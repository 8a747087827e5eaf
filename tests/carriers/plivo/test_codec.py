"""Plivo's stream to messages and back, from recorded wire messages."""

import json
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.carriers.plivo.codec import PlivoCodec, from_header, to_header
from gateway.carriers.stream import Cleared, Frame, Ignored, Media, Started
from gateway.core.audio import AudioFormat
from gateway.core.events import Dtmf, LegEnd, LegEnded, MarkPlayed
from gateway.errors import RemoteProtocolError

RECORDED = Path(__file__).parents[2] / "vectors" / "plivo.jsonl"
VECTORS = [json.loads(line) for line in RECORDED.read_text().splitlines()]
FROM_CARRIER = [v["msg"] for v in VECTORS if v["channel"] == "ws-text" and v["dir"] == "carrier->app"]
TO_CARRIER = [v["msg"] for v in VECTORS if v["channel"] == "ws-text" and v["dir"] == "app->carrier"]
START = FROM_CARRIER[0]
STREAM = START["start"]["streamId"]


def start(**changes: Any) -> str:
    headers = changes.pop("extra_headers", START["extra_headers"])
    return json.dumps({**START, "start": START["start"] | changes, "extra_headers": headers})


def started(encoding: str = "audio/x-mulaw", rate: object = 8000) -> PlivoCodec:
    codec = PlivoCodec()
    assert isinstance(codec.decode(start(mediaFormat={"encoding": encoding, "sampleRate": rate})), Started)
    return codec


# --- from the carrier -----------------------------------------------------------------------------


def test_every_recorded_message_is_understood() -> None:
    codec = PlivoCodec()
    said = [codec.decode(json.dumps(message)) for message in FROM_CARRIER]
    first, silence, speech, mark, key, cleared = said
    assert isinstance(first, Started)
    assert (first.stream_id, first.account_id) == (STREAM, "MAXXXXXXXXXXXXXXXXXX")
    assert (first.token, first.audio, first.replies) == ("tok9f3c1d", AudioFormat.PCMU, ())
    assert first.parameters == {"agent": "support", "token": "tok9f3c1d"}
    assert [silence, speech] == [Media(FROM_CARRIER[n]["media"]["payload"], n) for n in (1, 2)]
    assert [mark, key, cleared] == [MarkPlayed("item_A1:0"), Dtmf("2"), Cleared()]


@pytest.mark.parametrize(
    "headers",
    ["agent=support,token=tok9f3c1d", "token=tok9f3c1d", " X-PH-Token = tok9f3c1d ; x=", "TOKEN=tok9f3c1d,token2=z"],
)
def test_the_token_is_found_behind_either_separator(headers: str) -> None:
    said = PlivoCodec().decode(start(extra_headers=headers))
    assert isinstance(said, Started) and said.token == "tok9f3c1d"


@pytest.mark.parametrize("headers", [None, "", "{}", 7, ["token=x"], "token", "token=hexzz", "token=" + "a" * 3000])
def test_headers_without_a_token_start_a_stream_that_nobody_claims(headers: object) -> None:
    said = PlivoCodec().decode(start(extra_headers=headers))
    assert isinstance(said, Started) and said.token == ""


def test_a_stop_ends_the_stream_though_none_is_documented() -> None:
    assert started().decode('{"event":"stop"}') == LegEnded(LegEnd.CALLER_HANGUP, "stop")


def test_audio_of_another_track_and_unknown_events_mean_nothing() -> None:
    codec = started()
    media = {"track": "outbound", "payload": "AAAA", "chunk": 1}
    assert codec.decode(json.dumps({"event": "media", "media": media})) == Ignored("media of another track")
    assert codec.decode('{"event":"incorrectPayload"}') == Ignored("incorrectPayload", known=False)


@pytest.mark.parametrize("chunk", [None, "2", -1, True, 1.5])
def test_a_chunk_that_is_no_number_does_not_count(chunk: object) -> None:
    media = {"track": "inbound", "payload": "AAAA", "chunk": chunk}
    assert started().decode(json.dumps({"event": "media", "media": media})) == Media("AAAA", None)


@pytest.mark.parametrize(
    "changes",
    [
        {"streamId": 'b","x":"'},
        {"streamId": ""},
        {"callId": 5},
        {"mediaFormat": None},
        {"mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 16000}},
        {"mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": "8000"}},
        {"mediaFormat": {"encoding": "audio/x-l16", "sampleRate": 24000}},
        {"mediaFormat": {"encoding": "audio/opus", "sampleRate": 8000}},
        {"mediaFormat": {"encoding": ["audio/x-l16"], "sampleRate": True}},
    ],
    ids=str,
)
def test_a_start_that_we_cannot_serve_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError):
        PlivoCodec().decode(start(**changes))


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"event":7}',
        b"\0",
        '{"event":"media"}',
        '{"event":"media","media":{"payload":"abc"}}',
        '{"event":"media","media":{"payload":"!!!!"}}',
        json.dumps({"event": "media", "media": {"payload": "A" * 16_388}}),
        json.dumps({"event": "x", "pad": "p" * 70_000}),
        '{"event":"dtmf","dtmf":{"digit":"55"}}',
        '{"event":"playedStream"}',
    ],
    ids=lambda f: repr(f)[:50],
)
def test_a_broken_frame_is_refused(frame: Frame) -> None:
    with pytest.raises(RemoteProtocolError):
        started().decode(frame)


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["AAAA", "audio/x-l16"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["media", "payload", "chunk", "start", "streamId", "mediaFormat", "event"]), inner
        )
    ),
    max_leaves=8,
)


@given(
    st.binary(max_size=64)
    | st.text(max_size=64)
    | st.builds(
        lambda event, body: json.dumps({"event": event, event: body, "extra_headers": body}),
        st.sampled_from(["media", "start", "dtmf", "playedStream", "clearedAudio", "stop", "?"]),
        ODD,
    )
)
def test_whatever_comes_nothing_but_a_protocol_error_is_raised(frame: Frame) -> None:
    for codec in (PlivoCodec(), started("audio/x-l16", 16_000)):
        try:
            codec.decode(frame)
        except RemoteProtocolError:
            pass


# --- to the carrier -------------------------------------------------------------------------------


@pytest.mark.parametrize("message", TO_CARRIER, ids=lambda m: str(m.get("event")))
def test_what_we_send_is_what_plivo_documents_key_for_key(message: dict[str, Any]) -> None:
    codec = started()
    match message["event"]:
        case "playAudio":
            (frame,) = codec.play(message["media"]["payload"])
        case "checkpoint":
            (frame,) = codec.mark(message["name"])
        case "clearAudio":
            (frame,) = codec.clear()
        case _:
            (frame,) = codec.digits(message["dtmf"])
    assert json.loads(frame) == message


@given(st.binary(max_size=60_000))
def test_audio_of_any_length_leaves_whole_in_payloads_that_plivo_takes(audio: bytes) -> None:
    pieces = [json.loads(frame)["media"]["payload"] for frame in started().play(b64encode(audio).decode())]
    assert all(len(piece) <= 16 * 1024 for piece in pieces)
    assert b"".join(b64decode(piece) for piece in pieces) == audio


MU_LAW = bytes(code for code in range(256) if code != 0x7F)


def test_pcm_at_8_khz_passes_without_loss_for_what_was_mu_law() -> None:
    codec = started("audio/x-l16", 8000)
    (frame,) = codec.play(b64encode(MU_LAW).decode())
    media = json.loads(frame)["media"]
    assert (media["contentType"], media["sampleRate"]) == ("audio/x-l16", 8000)
    heard = codec.decode(json.dumps({"event": "media", "media": {"payload": media["payload"], "chunk": 1}}))
    assert heard == Media(b64encode(MU_LAW).decode(), 1)


def test_pcm_at_16_khz_is_twice_as_much() -> None:
    codec = started("audio/x-l16", 16_000)
    frames = [json.loads(frame)["media"] for frame in codec.play(b64encode(b"\xff" * 8000).decode())]
    assert {media["sampleRate"] for media in frames} == {16_000}
    assert all(len(media["payload"]) <= 16 * 1024 for media in frames)
    size = sum(len(b64decode(media["payload"])) for media in frames)
    assert 31_900 <= size <= 32_000, "one second"
    heard = codec.decode(json.dumps({"event": "media", "media": {"payload": b64encode(bytes(640)).decode()}}))
    assert isinstance(heard, Media) and len(b64decode(heard.payload)) == pytest.approx(160, abs=1)


@given(st.text(st.characters(codec="ascii", exclude_categories=["C"]), max_size=60))
def test_a_token_comes_back_as_it_was_and_is_letters_and_digits_on_the_way(token: str) -> None:
    value = to_header(token)
    assert value.isalnum() and from_header(value) == token
