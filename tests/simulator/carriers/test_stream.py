"""What becomes of audio, marks and clears at a carrier, and what its bounds cost."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from gateway.simulator.carrier import CallReport, LineModel
from gateway.simulator.carriers.ear import FLOOD, NOT_A_FRAME, OVERRUN, TOO_LONG, TOO_MANY_MARKS, TOO_SHORT
from gateway.simulator.carriers.encoding import Decoder, Encoder, Encoding
from gateway.simulator.carriers.frame import Frame, Limits, WireLog
from gateway.simulator.carriers.stream import UNANSWERED, Stream
from gateway.wire import PipeEnd, WireClosed, pipe
from tests.clock import run
from tests.simulator.carriers.toy import ToyWire

SPEECH = bytes(range(1, 121))
FRAME = bytes(160)


class Desk:
    """An application's end of a stream, and the clock that plays it."""

    def __init__(self, wire: ToyWire, socket: PipeEnd) -> None:
        self.report = CallReport("c")
        self.log = WireLog(wire.encoding)
        self.stream = Stream(
            socket,
            wire,
            self.report,
            self.log,
            line=LineModel(),
            rng=random.Random(1),
            clock=asyncio.get_running_loop().time,
        )
        self.heard = b""
        self.got: list[Frame] = []

    async def play(self, frames: int) -> None:
        """Let so many frames of 20 ms pass."""
        for _ in range(frames):
            self.heard += self.stream.take_frame(asyncio.get_running_loop().time())
            await asyncio.sleep(0.02)

    @property
    def words(self) -> list[Frame]:
        return [frame for frame in self.got if isinstance(frame, str)]

    @property
    def warned(self) -> list[int]:
        return [int(warning.name) for warning in self.report.warnings]


def stream(wire: ToyWire, script: Callable[[PipeEnd, Desk], Awaitable[None]]) -> tuple[Desk, int | None]:
    """Run a stream on which the application does as the script says, and then closes."""

    async def main() -> tuple[Desk, int | None]:
        ours, theirs = pipe()
        desk = Desk(wire, ours)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(desk.stream.run())
            group.create_task(collect(theirs, desk))
            await asyncio.sleep(0.001)
            await script(theirs, desk)
            await theirs.close(1000)
            return desk, await running

    return run(main())


async def collect(socket: PipeEnd, desk: Desk) -> None:
    while True:
        try:
            desk.got.append(await socket.receive())
        except WireClosed:
            return


def test_what_is_sent_is_heard_in_order_and_marks_come_when_it_has_played() -> None:
    async def script(app: PipeEnd, desk: Desk) -> None:
        for frame in (SPEECH, "mark a", SPEECH[::-1], "mark b"):
            await app.send(frame)
        await desk.play(1)
        assert desk.words == ["hello", "STARTED"]
        await desk.play(3)

    desk, code = stream(ToyWire(), script)
    assert desk.heard == SPEECH + SPEECH[::-1] == bytes(desk.log.received)
    assert desk.words == ["hello", "STARTED", "played a", "played b", "DRAINED"]
    assert (code, desk.log.close_code) == (1000, 1000)


def test_a_clear_drops_what_is_queued_and_tells_every_mark() -> None:
    async def script(app: PipeEnd, desk: Desk) -> None:
        for frame in (FRAME * 10, "mark a", "mark b"):
            await app.send(frame)
        await desk.play(2)
        await app.send("clear")
        await desk.play(3)

    desk, _ = stream(ToyWire(), script)
    assert len(desk.heard) == 2 * 160
    assert desk.words == ["hello", "STARTED", "cleared a", "cleared b", "CLEARED", "DRAINED"]
    assert [clear.detail for clear in desk.report.media.clears] == ["160"]


def test_a_pause_keeps_the_queue() -> None:
    async def script(app: PipeEnd, desk: Desk) -> None:
        await app.send(FRAME * 3)
        await app.send("pause")
        await desk.play(5)
        assert desk.heard == b"" and desk.stream.queued_bytes == 480
        await app.send("play")
        await desk.play(5)

    assert stream(ToyWire(), script)[0].heard == FRAME * 3


def test_audio_beyond_the_queue_is_lost_and_the_flow_is_told() -> None:
    async def script(app: PipeEnd, desk: Desk) -> None:
        await app.send(FRAME * 9)
        await app.send(FRAME * 4)
        await desk.play(8)

    desk, _ = stream(ToyWire(limits=Limits(queue_ms=200, full_ms=180, room_ms=100)), script)
    assert desk.warned == [OVERRUN]
    assert desk.report.media.audio_discarded_bytes == 3 * 160
    assert [word for word in desk.words if word in ("FULL", "OVERRUN", "ROOM")] == ["FULL", "OVERRUN", "ROOM"]


@pytest.mark.parametrize(
    ("limits", "frames", "warned", "heard"),
    [
        (Limits(exact_bytes=160), [FRAME, FRAME[:80], FRAME * 2], [NOT_A_FRAME] * 2, 160),
        (Limits(least_bytes=800), [FRAME], [TOO_SHORT], 160),
        (Limits(most_message_bytes=200), [FRAME * 2, FRAME], [TOO_LONG], 160),
        (Limits(messages_per_s=0.2), [FRAME] * 3, [FLOOD], 480),
        (Limits(marks=1), [FRAME, "mark a", "mark b"], [TOO_MANY_MARKS], 160),
        (Limits(), ["what"], [7], 0),
    ],
    ids=["not a frame", "too short", "too long", "too often", "too many marks", "unknown"],
)
def test_a_breach_is_a_warning(limits: Limits, frames: list[Frame], warned: list[int], heard: int) -> None:
    async def script(app: PipeEnd, desk: Desk) -> None:
        for frame in frames:
            await app.send(frame)
        await desk.play(8)

    desk, _ = stream(ToyWire(limits=limits), script)
    assert desk.warned == warned
    assert len(desk.heard) == heard


def test_the_application_is_answered_at_once_and_told_when_nothing_is_left() -> None:
    async def script(app: PipeEnd, desk: Desk) -> None:
        for frame in (FRAME * 2, "status", "drained"):
            await app.send(frame)
        await desk.play(4)
        await app.send("drained")
        await app.send("keys 12#")
        await desk.play(1)

    desk, _ = stream(ToyWire(), script)
    assert desk.words == ["hello", "40 ms", "STARTED", "DRAINED", "DRAINED"]
    assert "".join(key.name for key in desk.report.keys_heard) == "12#"


@pytest.mark.parametrize("awaits_gone", [False, True])
def test_a_stream_that_the_application_leaves_is_stopped_by_the_carrier(awaits_gone: bool) -> None:
    async def script(app: PipeEnd, desk: Desk) -> None:
        await app.send("leave")
        await asyncio.sleep(0.1)
        assert desk.words == ["hello", "stop"]
        if awaits_gone:
            await app.send("gone")
            await asyncio.sleep(0.1)

    desk, code = stream(ToyWire(awaits_gone=awaits_gone), script)
    assert code is None and desk.warned == []


def test_an_application_that_does_not_answer_the_stop_is_left_after_two_seconds() -> None:
    async def script(app: PipeEnd, desk: Desk) -> None:
        desk.stream.leave()
        await asyncio.sleep(2.1)

    desk, code = stream(ToyWire(awaits_gone=True), script)
    assert code is None and desk.warned == [UNANSWERED]


@pytest.mark.parametrize("encoding", Encoding)
def test_the_caller_is_sent_in_the_wires_own_encoding(encoding: Encoding) -> None:
    async def script(app: PipeEnd, desk: Desk) -> None:
        desk.stream.caller_frame(SPEECH)
        desk.stream.caller_frame(b"")
        desk.stream.send_digit("5")
        await asyncio.sleep(0)

    desk, _ = stream(ToyWire(encoding), script)
    sent = [frame for frame in desk.got if isinstance(frame, bytes)]
    assert [len(frame) for frame in sent] == [encoding.frame_bytes] * 2
    assert b"".join(sent) == bytes(desk.log.sent)
    assert desk.words == ["hello", "key 5"]


@pytest.mark.parametrize("encoding", [Encoding.MULAW, Encoding.PCM8])
def test_mu_law_comes_back_from_the_wire_as_it_went(encoding: Encoding) -> None:
    every = bytes(code for code in range(256) if code != 0x7F)
    assert Decoder(encoding).decode(Encoder(encoding).encode(every)) == every
