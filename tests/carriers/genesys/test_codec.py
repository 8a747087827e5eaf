"""AudioHook to messages and back, from recorded wire messages."""

import json
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.carriers.genesys.codec import TICK, TICK_S, GenesysCodec
from gateway.carriers.stream import Frame, Ignored, Media, Message, Reply, Started
from gateway.core.events import Dtmf, LegEnd, LegEnded
from gateway.errors import RemoteProtocolError

RECORDED = Path(__file__).parents[2] / "vectors" / "genesys.jsonl"
VECTORS = [json.loads(line) for line in RECORDED.read_text().splitlines()]
TEXTS = [v["msg"] for v in VECTORS if v["channel"] == "ws-text" and v["dir"] == "carrier->app"]
REPLIES = [v["msg"] for v in VECTORS if v["channel"] == "ws-text" and v["dir"] == "app->carrier"]
AUDIO = [b64decode(v["msg"]["base64"]) for v in VECTORS if v["channel"] == "ws-binary"]
OPEN, PROBE = TEXTS[0], TEXTS[-1]
SESSION, ORGANIZATION = OPEN["id"], OPEN["parameters"]["organizationId"]


def opening(**changes: Any) -> str:
    return json.dumps({**OPEN, "parameters": OPEN["parameters"] | changes})


def said(kind: str, seq: int = 2, **parameters: Any) -> str:
    body = {"version": "2", "id": SESSION, "type": kind, "seq": seq, "serverseq": 1, "position": "PT1S"}
    return json.dumps({**body, "parameters": parameters})


def opened(**changes: Any) -> GenesysCodec:
    codec = GenesysCodec(SESSION, ORGANIZATION)
    assert isinstance(codec.decode(opening(**changes)), Started)
    return codec


def media(*channels: str, form: str = "PCMU", rate: int = 8000) -> dict[str, object]:
    return {"type": "audio", "format": form, "channels": list(channels), "rate": rate}


def answers(message: object) -> list[dict[str, Any]]:
    assert isinstance(message, Reply)
    return [json.loads(frame) for frame in message.frames if isinstance(frame, str)]


def ticks(codec: GenesysCodec, number: int) -> list[Frame]:
    """Let so many ticks pass; return what leaves."""
    frames: list[Frame] = []
    for _ in range(number):
        reply = codec.decode(TICK)
        assert isinstance(reply, Reply)
        frames += reply.frames
    return frames


def b64(data: bytes) -> str:
    return b64encode(data).decode()


# --- from Genesys ---------------------------------------------------------------------------------


def test_the_recorded_open_is_answered_with_the_customers_mu_law() -> None:
    start = GenesysCodec(SESSION, ORGANIZATION).decode(json.dumps(OPEN))
    assert isinstance(start, Started)
    assert start.carrier_call_id == OPEN["parameters"]["conversationId"]
    assert (start.stream_id, start.account_id, start.token) == (SESSION, ORGANIZATION, "")
    assert start.parameters == {"agent": "support", "from": "+14155550101", "to": "+14155550199"}
    assert [json.loads(str(frame)) for frame in start.replies] == [REPLIES[0]]


def test_every_recorded_message_is_understood_and_answered_as_recorded() -> None:
    codec = opened()
    codec.decode(AUDIO[0])
    got: dict[str, Message] = {}
    for message in TEXTS[1:-1]:
        got.setdefault(message["type"], codec.decode(json.dumps({**message, "serverseq": 1})))
    assert got["dtmf"] == Dtmf("5")
    (pong,) = answers(got["ping"])
    assert pong == {**REPLIES[1], "clientseq": 5}
    known = ("playback_started", "playback_completed", "paused", "discarded", "resumed")
    assert [got[kind] for kind in known] == [Ignored(kind) for kind in known]
    assert got["close"] == LegEnded(LegEnd.CALLER_HANGUP, "close: disconnect", call_over=False)
    assert codec.farewell is not None and json.loads(codec.farewell)["type"] == "closed"


@pytest.mark.parametrize(
    ("reason", "end", "over"),
    [
        ("end", LegEnd.CALLER_HANGUP, True),
        ("disconnect", LegEnd.CALLER_HANGUP, False),
        ("error", LegEnd.SOCKET_LOST, False),
    ],
)
def test_a_close_ends_the_stream_and_is_owed_closed(reason: str, end: LegEnd, over: bool) -> None:
    codec = opened()
    assert codec.decode(said("close", reason=reason)) == LegEnded(end, f"close: {reason}", call_over=over)
    assert codec.farewell is not None
    closed = json.loads(codec.farewell)
    assert (closed["type"], closed["seq"], closed["clientseq"]) == ("closed", 2, 2)


def test_a_probe_is_answered_and_is_no_call() -> None:
    codec = GenesysCodec(SESSION, ORGANIZATION)
    (answer,) = answers(codec.decode(json.dumps(PROBE)))
    assert (answer["type"], answer["parameters"]["startPaused"]) == ("opened", False)
    (closed,) = answers(codec.decode(said("close", reason="end")))
    assert (closed["type"], closed["seq"]) == ("closed", 2)


def test_audio_passes_untouched_in_frames_of_any_size() -> None:
    codec = opened()
    for number, audio in enumerate([AUDIO[0], AUDIO[1], b"\x01"], 1):
        assert codec.decode(audio) == Media(b64(audio), number)


@pytest.mark.parametrize("channels", [("external", "internal"), ("internal", "external")])
@pytest.mark.parametrize("form", ["PCMU", "L16"])
def test_of_two_channels_only_the_customer_is_heard(channels: tuple[str, str], form: str) -> None:
    codec = opened(media=[media(*channels, form=form)])
    ours, width = channels.index("external"), 1 if form == "PCMU" else 2
    customer, agent = (b"\xa5" * 80, b"\x12" * 80) if form == "PCMU" else (bytes(160), b"\x00\x40" * 80)
    mixed = bytearray()
    for at in range(0, len(customer), width):
        pair = [b"", b""]
        pair[ours], pair[1 - ours] = customer[at : at + width], agent[at : at + width]
        mixed += b"".join(pair)
    heard = codec.decode(bytes(mixed))
    assert heard == Media(b64(b"\xa5" * 80 if form == "PCMU" else b"\xff" * 80), 1)


def test_the_customer_alone_is_taken_before_both_and_mu_law_before_pcm() -> None:
    offers = [media("external", form="L16"), media("external", "internal"), media("external"), media("internal")]
    start = GenesysCodec().decode(opening(media=offers))
    assert isinstance(start, Started)
    assert json.loads(str(start.replies[0]))["parameters"]["media"] == [media("external")]


def test_pcm_that_is_offered_alone_passes_without_loss_for_what_was_mu_law() -> None:
    codec = opened(media=[media("external", form="L16")])
    mu_law = bytes(code for code in range(256) if code != 0x7F) * 10
    pcm = b"".join(frame for frame in codec.play(b64(mu_law)) if isinstance(frame, bytes))
    pcm += b"".join(frame for frame in ticks(codec, 3) if isinstance(frame, bytes))
    assert codec.decode(pcm) == Media(b64(mu_law), 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"conversationId": "x"},
        {"conversationId": None},
        {"organizationId": "00000000-1111-2222-3333-444444444444"},
        {"participant": None},
        {"media": []},
        {"media": None},
        {"media": [media("internal")]},
        {"media": [media("external", form="OPUS")]},
        {"media": [media("external", rate=16000)]},
        {"media": [{"type": "audio", "format": ["PCMU"], "channels": "external", "rate": 8000}]},
    ],
    ids=str,
)
def test_an_open_that_we_cannot_serve_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError):
        GenesysCodec(SESSION, ORGANIZATION).decode(opening(**changes))


@pytest.mark.parametrize(
    ("ani", "number"),
    [
        ("tel:+14155550101", "+14155550101"),
        ("14155550101", "+14155550101"),
        ("sip:ann@example.com;user=phone", "sip:ann@example.com"),
        ("", ""),
        (None, ""),
        (17, ""),
    ],
)
def test_numbers_are_read_from_what_genesys_calls_them(ani: object, number: str) -> None:
    start = GenesysCodec().decode(opening(participant={"id": "x", "ani": ani, "dnis": "+1"}))
    assert isinstance(start, Started) and start.parameters["from"] == number


def test_input_variables_go_over_the_configuration_and_never_name_the_caller() -> None:
    given_along = {"customConfig": {"agent": "one", "from": "+1999"}, "inputVariables": {"agent": "two", "n": 5}}
    start = GenesysCodec().decode(opening(**given_along))
    assert isinstance(start, Started)
    assert start.parameters == {"agent": "two", "from": "+14155550101", "to": "+14155550199"}


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "{",
        "[]",
        b"",
        said("ping", seq=1),
        said("ping", seq=0),
        said("ping").replace(SESSION, "another-session"),
        said("ping").replace('"version": "2"', '"version": "3"'),
        said("ping").replace('"serverseq": 1', '"serverseq": 2'),
        said("ping").replace('"serverseq": 1', '"serverseq": true'),
        said("ping").replace('"parameters": {}', '"parameters": []'),
        said("dtmf", digit="55"),
        said("dtmf"),
        said("open"),
        json.dumps({"version": "2", "type": "ping"}),
        said("x", pad="p" * 70_000),
        b"x" * 70_000,
    ],
    ids=lambda f: repr(f)[:70],
)
def test_a_broken_frame_is_refused(frame: Frame) -> None:
    with pytest.raises(RemoteProtocolError):
        opened().decode(frame)


def test_nothing_but_open_begins_a_session() -> None:
    for frame in (b"\xff" * 160, said("dtmf", digit="1"), said("update")):
        with pytest.raises(RemoteProtocolError):
            GenesysCodec().decode(frame)


@pytest.mark.parametrize(
    ("kind", "parameters", "frames"),
    [
        ("discarded", {"start": "PT8.0S", "discarded": "PT1.0S"}, 10),
        ("resumed", {"start": "PT9.0S", "discarded": "PT0.5S"}, 5),
        ("resumed", {"start": "PT9.0S", "discarded": "PT0S"}, 0),
        ("discarded", {"discarded": "PT1M0.25S"}, 602),
        ("discarded", {"discarded": "PT9999H"}, 36_000),
        ("discarded", {"discarded": "P1D"}, 0),
        ("discarded", {"discarded": ["x"]}, 0),
        ("discarded", {}, 0),
    ],
    ids=str,
)
def test_a_gap_in_the_callers_audio_is_a_jump_of_its_number(kind: str, parameters: dict[str, Any], frames: int) -> None:
    codec = opened()
    codec.decode(b"\x55" * 800)
    codec.decode(said(kind, **parameters))
    assert codec.decode(b"\x55" * 800) == Media(b64(b"\x55" * 800), 2 + frames)


def test_errors_and_unknown_messages_are_counted() -> None:
    codec = opened()
    assert codec.decode(said("error", code=400, message="no")) == Ignored("error 400", known=False)
    assert codec.decode(said("telemetry", seq=3)) == Ignored("telemetry", known=False)
    (updated,) = answers(codec.decode(said("update", seq=4, language="de-DE")))
    assert updated["type"] == "updated"


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["PT1S", "external"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["media", "participant", "discarded", "code", "digit", "retryAfter"]), inner)
    ),
    max_leaves=8,
)
KINDS = ["open", "ping", "close", "discarded", "resumed", "error", "dtmf", "update", "playback_completed", "?"]


@given(
    st.lists(
        st.binary(max_size=64)
        | st.text(max_size=32)
        | st.builds(
            lambda kind, seq, body: said(kind, seq, **body),
            st.sampled_from(KINDS),
            st.integers(0, 9),
            st.dictionaries(st.sampled_from(["media", "discarded", "code", "retryAfter", "digit", "participant"]), ODD),
        ),
        max_size=6,
    )
)
def test_whatever_comes_nothing_but_a_protocol_error_is_raised(frames: list[Frame]) -> None:
    for codec in (GenesysCodec(SESSION), opened(), opened(media=[media("external", "internal", form="L16")])):
        for frame in [*frames, TICK, b"\0\0\0\0", TICK]:
            try:
                codec.decode(frame)
            except RemoteProtocolError:
                pass


# --- to Genesys -----------------------------------------------------------------------------------


def play(codec: GenesysCodec, audio: bytes) -> list[bytes]:
    """Play in frames of 20 ms, as the pacer does; return the messages that leave."""
    frames = [frame for at in range(0, len(audio), 160) for frame in codec.play(b64(audio[at : at + 160]))]
    return [frame for frame in frames if isinstance(frame, bytes)]


def test_audio_leaves_in_messages_of_200_ms() -> None:
    codec = opened()
    assert play(codec, AUDIO[1]) == [AUDIO[1]], "the recorded message"
    assert play(codec, bytes(799)) == []
    assert ticks(codec, 1) == [], "more may follow"
    assert ticks(codec, 1) == [bytes(799)], "nothing did"
    play(codec, bytes(1440))
    assert ticks(codec, 1) == [bytes(1440)], "enough to go without more"
    assert ticks(codec, 20) == []


def test_the_end_of_an_answer_does_not_wait_for_more() -> None:
    codec = opened()
    tail = b"\x55" * 100 + b"\xff" * 60
    assert play(codec, tail) == [tail]
    assert play(codec, bytes(160) + tail) == []


def test_no_more_than_five_messages_a_second_leave_and_nothing_is_lost() -> None:
    codec = opened()
    audio = bytes(range(256)) * 500
    left: list[bytes] = []
    begin = play(codec, audio[:32_000])
    assert len(begin) == 10, "the burst"
    left += begin
    for at in range(32_000, len(audio), 800):
        left += play(codec, audio[at : at + 800])
        left += [frame for frame in ticks(codec, 1) if isinstance(frame, bytes)]
    left += [frame for frame in ticks(codec, 10) if isinstance(frame, bytes)]
    seconds = (len(audio) - 32_000) / 8000 + 1
    assert b"".join(left) == audio
    assert len(left) <= 10 + 5 * seconds
    assert max(map(len, left)) <= 16_000


def test_after_a_429_nothing_leaves_for_as_long_as_genesys_says() -> None:
    codec = opened()
    codec.decode(said("error", code=429, message="slow", retryAfter="PT1.5S"))
    assert play(codec, bytes(8000)) == []
    assert ticks(codec, round(1.5 / TICK_S) - 1) == []
    assert ticks(codec, 2) == [bytes(8000)], "joined"


@pytest.mark.parametrize("retry_after", ["PT500H", None, "soon", "-1", 5])
def test_a_429_never_silences_us_for_long(retry_after: object) -> None:
    codec = opened()
    codec.decode(said("error", code=429, retryAfter=retry_after))
    play(codec, bytes(1600))
    assert bytes(1600) in ticks(codec, round(10 / TICK_S) + 1)


def test_a_clear_drops_what_waits_and_tells_genesys() -> None:
    codec = opened()
    play(codec, bytes(1000))
    (frame,) = codec.clear()
    event = json.loads(str(frame))
    recorded = next(reply for reply in REPLIES if reply["type"] == "event")
    assert event == {**recorded, "seq": 2, "clientseq": 1}
    assert ticks(codec, 5) == []


def test_a_parting_waits_for_what_waits_and_what_plays_and_is_said_once() -> None:
    codec = opened()
    play(codec, bytes(1000))
    codec.decode(said("playback_started"))
    codec.part({"action": "transfer", "queue": "billing"})
    codec.part({"action": "hangup"})
    assert ticks(codec, 3) == [bytes(1000)]
    codec.decode(said("playback_completed", seq=3))
    (frame,) = ticks(codec, 1)
    recorded = next(reply for reply in REPLIES if reply["type"] == "disconnect")
    assert json.loads(str(frame)) == {**recorded, "seq": 2, "clientseq": 3}
    assert ticks(codec, 30) == []


def test_a_parting_does_not_wait_for_a_report_that_never_comes() -> None:
    codec = opened()
    codec.decode(said("playback_started"))
    codec.part({"action": "hangup"})
    assert len(ticks(codec, 21)) == 1


def test_who_has_been_told_close_asks_for_nothing_more() -> None:
    codec = opened()
    codec.part({"action": "hangup"})
    codec.decode(said("close", reason="end"))
    assert ticks(codec, 30) == []


def test_a_frame_that_looks_like_our_clock_is_none() -> None:
    with pytest.raises(RemoteProtocolError):
        opened().decode("".join(list(TICK)))
