"""What became of each byte of a stream."""

import base64
import random

from hypothesis import given
from hypothesis import strategies as st

from gateway.simulator.carrier import HangUp, LineModel, Pause, Script, StreamLog, tone
from gateway.simulator.carrier.ear import Ear
from gateway.simulator.carrier.messages import Checked
from gateway.simulator.carrier.report import CallReport
from tests.simulator.carrier.application import Application, Peer
from tests.simulator.carrier.test_calls import call

ITEM = tone(440, 2000)
NEXT = tone(550, 1000)


def media(audio: bytes) -> Checked:
    return Checked("media", base64.b64encode(audio).decode())


class Desk:
    """An ear without a call."""

    def __init__(self, line: LineModel | None = None) -> None:
        self.now = 0.0
        self.report = CallReport("CA1")
        self.log = StreamLog("MZ1", 0.0)
        self.heard: list[tuple[float, bytes]] = []
        self.ear = Ear(
            self.report,
            self.log,
            line or LineModel(),
            rng=random.Random(1),
            clock=lambda: self.now,
            echo=lambda _: None,
        )

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            if frame := self.ear.take_frame(self.now):
                self.heard.append((self.now, frame))
            self.now = round(self.now + 0.02, 6)


def test_speech_without_a_gap_is_one_run_however_long() -> None:
    desk = Desk()
    desk.ear.obey(media(ITEM * 30))
    desk.tick(3000)
    (run,) = desk.log.runs
    assert (run.first_byte, run.size, run.start_s) == (0, 480_000, 0.0)


def test_what_a_clear_dropped_was_never_heard_and_what_follows_has_its_own_place() -> None:
    desk = Desk()
    desk.ear.obey(media(ITEM))
    desk.tick(10)
    desk.now += 0.005
    desk.ear.obey(Checked("clear"))
    desk.ear.obey(media(NEXT))
    desk.now = 0.2
    desk.tick(5)
    (clear,) = desk.log.clears
    assert (clear.received_bytes, clear.dropped_bytes, clear.kept_bytes) == (16_000, 14_400, 0)
    assert [(run.first_byte, run.size) for run in desk.log.runs] == [(0, 1600), (16_000, 800)]
    assert desk.log.heard_at_s(1599) == 1599 / 8000
    assert desk.log.heard_at_s(1600) is None
    assert desk.log.heard_at_s(16_008) == 0.201
    assert desk.log.heard_bytes(0.1) == 800
    assert desk.log.heard_bytes(9.0, 16_000) == 800
    assert desk.log.heard_bytes(9.0, 400, 600) == 200


def test_the_frame_being_played_is_heard_to_its_end_after_a_clear() -> None:
    desk = Desk()
    desk.ear.obey(media(ITEM))
    desk.tick(10)
    desk.now = 0.185
    desk.ear.obey(Checked("clear"))
    (clear,) = desk.log.clears
    assert round(desk.log.silent_after_ms(clear), 3) == 15.0
    assert desk.log.old_audio_ms(clear) == 15.0


def test_a_clear_comes_too_late_for_audio_already_committed() -> None:
    sizes = set()
    for seed in range(20):
        desk = Desk(LineModel(committed_ms=40))
        desk.ear._rng.seed(seed)
        desk.ear.obey(media(ITEM))
        desk.tick(10)
        desk.ear.obey(Checked("clear"))
        desk.tick(10)
        (clear,) = desk.log.clears
        assert desk.log.old_audio_ms(clear) == clear.kept_bytes / 8
        assert round(desk.log.silent_after_ms(clear), 3) == clear.kept_bytes / 8
        sizes.add(clear.kept_bytes)
    assert sizes == {0, 160, 320}


STEPS = st.lists(st.one_of(st.binary(min_size=1, max_size=500), st.sampled_from(["clear", "tick", "tick", "tick"])))


@given(STEPS, st.sampled_from([0, 20, 60]))
def test_the_log_says_of_every_byte_when_it_was_heard(steps: list[bytes | str], committed_ms: int) -> None:
    desk, sent = Desk(LineModel(committed_ms=committed_ms)), b""
    for step in [*steps, *["tick"] * 100]:
        if isinstance(step, bytes):
            sent += step
            desk.ear.obey(media(step))
        elif step == "clear":
            desk.ear.obey(Checked("clear"))
        else:
            desk.tick()
    told = b"".join(sent[run.first_byte : run.end_byte] for run in desk.log.runs)
    assert told == b"".join(frame for _, frame in desk.heard)
    assert desk.log.received_bytes == len(sent)
    for clear in desk.log.clears:
        late = sum(run.size for run in desk.log.runs if run.end_byte <= clear.received_bytes)
        assert late <= clear.received_bytes
        assert desk.log.old_audio_ms(clear) == clear.kept_bytes / 8 or len(desk.log.clears) > 1


def test_a_judge_learns_how_much_of_an_item_had_been_heard_at_a_clear() -> None:
    async def interrupted(peer: Peer) -> None:
        await peer.until("start")
        await peer.play(ITEM)
        await peer.play(NEXT)
        for _ in range(130):
            await peer.until("media")
        await peer.send("clear")
        while True:
            await peer.receive()

    report = call(Application(interrupted), Script([Pause(5.0), HangUp()]))
    (stream,) = report.media.streams
    (clear,) = stream.clears
    heard = stream.heard_bytes(clear.at_s) / 8
    assert report.media.heard_ms(ITEM, clear.at_s) == 2000
    assert report.media.heard_ms(NEXT, clear.at_s) == heard - 2000 == 580
    assert report.media.heard_ms(tone(700, 500), clear.at_s) == 0
    assert stream.closed_s is not None
    assert stream.old_audio_ms(clear) == 20


def test_what_was_heard_of_an_item_that_was_paused_and_resumed_is_one_piece() -> None:
    async def hesitates(peer: Peer) -> None:
        await peer.until("start")
        await peer.play(ITEM)
        for _ in range(50):
            await peer.until("media")
        await peer.send("clear")
        for _ in range(25):
            await peer.until("media")
        await peer.play(ITEM[8000:])
        while True:
            await peer.receive()

    report = call(Application(hesitates), Script([Pause(5.0), HangUp()]))
    assert report.media.played_bytes() == ITEM
    assert report.media.heard_ms(ITEM, 9.0) == 2000
    assert report.media.underruns == 0
