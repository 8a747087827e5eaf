"""One leg over any media socket, driven by a wire format made up for these tests."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Sequence

import pytest

from gateway.carriers import tones
from gateway.carriers.stream import Cleared, Flow, Frame, Ignored, Media, Message, Reply, Started
from gateway.carriers.streamleg import BACKLOG, CLEARED_S, MAX_BAD_FRAMES, Manner, StreamLeg
from gateway.core import commands as cmd
from gateway.core.audio import AudioFormat
from gateway.core.events import CallerAudio, Dtmf, Event, LegEnd, LegEnded, MarkPlayed
from gateway.errors import RemoteProtocolError
from gateway.wire import WireClosed, pipe
from tests.clock import run

AUDIO = base64.b64encode(bytes(range(160))).decode()
HUNG_UP = cmd.HangUp(cmd.EndReason.AGENT_HANGUP)


class Words:
    """Frames of one word and perhaps a value: `audio AAAA`, `mark m1`; what a carrier says is parsed the same way."""

    def __init__(self, *, presses_keys: bool = False) -> None:
        self._presses_keys = presses_keys

    def decode(self, frame: Frame) -> Message:
        if isinstance(frame, bytes):
            raise RemoteProtocolError("expected words")
        word, _, value = frame.partition(" ")
        match word:
            case "audio":
                return Media(value)
            case "played":
                return MarkPlayed(value)
            case "cleared":
                return Cleared()
            case "flow":
                return Flow(value == "on")
            case "ping":
                return Reply(("pong",))
            case "key":
                return Dtmf(value)
            case "bye":
                return LegEnded(LegEnd.CALLER_HANGUP, "bye")
            case "start":
                return Started("s", "c")
            case "odd":
                return Ignored(value, known=False)
        raise RemoteProtocolError("an unknown word")

    def play(self, payload: str) -> Sequence[Frame]:
        return (f"audio {payload}",)

    def mark(self, name: str) -> Sequence[Frame]:
        return (f"mark {name}",)

    def clear(self) -> Sequence[Frame]:
        return ("clear",)

    def digits(self, digits: str) -> Sequence[Frame] | None:
        return (f"press {digits}",) if self._presses_keys else None

    def hang_up(self) -> Sequence[Frame]:
        return ("goodbye",)


class Stage:
    """A leg, the carrier's end of its socket, and what the call was told."""

    def __init__(self, manner: Manner | None = None, codec: Words | None = None, *, audio: AudioFormat) -> None:
        ours, self.carrier = pipe()
        self.told: list[Event] = []
        self.leg = StreamLeg(ours, codec or Words(), Started("s", "c", audio=audio), self.told.append, manner)
        self.leg.begin()

    async def sent(self) -> list[str]:
        """Return what the carrier has got by now."""
        await asyncio.sleep(0.001)
        frames = []
        while self.carrier._inbox:
            frames.append(str(await self.carrier.receive()))
        return frames

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.told]


def on_stage(
    test: Callable[[Stage], Awaitable[None]],
    manner: Manner | None = None,
    codec: Words | None = None,
    audio: AudioFormat = AudioFormat.PCMU,
) -> Stage:
    async def main() -> Stage:
        stage = Stage(manner, codec, audio=audio)
        async with asyncio.TaskGroup() as group:
            group.create_task(stage.leg.run())
            await asyncio.sleep(0)
            await test(stage)
            await stage.carrier.close()
        return stage

    return run(main())


def play(stage: Stage, *payloads: str) -> None:
    for payload in payloads or (AUDIO,):
        stage.leg.send(cmd.PlayAudio("i", payload, 20.0))


def test_commands_leave_in_order_and_an_echo_is_told_once() -> None:
    async def test(stage: Stage) -> None:
        play(stage)
        stage.leg.send(cmd.SendMark("m1"))
        assert await stage.sent() == [f"audio {AUDIO}", "mark m1"]
        for _ in range(3):
            await stage.carrier.send("played m1")
        await stage.carrier.send("played never")

    stage = on_stage(test)
    assert stage.told[:-1] == [MarkPlayed("m1")]


def test_a_clear_resolves_what_was_marked_and_late_echoes_mean_nothing() -> None:
    async def test(stage: Stage) -> None:
        stage.leg.send(cmd.SendMark("m1"))
        stage.leg.send(cmd.ClearAudio())
        await stage.carrier.send("played m1")
        stage.leg.send(cmd.SendMark("m2"))
        await stage.carrier.send("played m2")

    assert on_stage(test).told[:-1] == [MarkPlayed("m2")]


def test_while_the_carrier_takes_no_audio_a_clear_still_passes() -> None:
    async def test(stage: Stage) -> None:
        await stage.carrier.send("flow off")
        play(stage)
        stage.leg.send(cmd.SendMark("m1"))
        assert await stage.sent() == []
        stage.leg.send(cmd.ClearAudio())
        assert await stage.sent() == ["clear"]
        play(stage, "BBBB")
        await stage.carrier.send("flow on")
        assert await stage.sent() == ["audio BBBB"]

    on_stage(test)


def test_audio_waits_for_the_acknowledgement_of_a_clear() -> None:
    async def test(stage: Stage) -> None:
        stage.leg.send(cmd.ClearAudio())
        play(stage)
        assert await stage.sent() == ["clear"]
        await stage.carrier.send("cleared")
        assert await stage.sent() == [f"audio {AUDIO}"]

    on_stage(test, Manner(acknowledges_clear=True))


def test_a_clear_that_is_never_acknowledged_holds_audio_for_half_a_second_only() -> None:
    async def test(stage: Stage) -> None:
        stage.leg.send(cmd.ClearAudio())
        play(stage)
        await asyncio.sleep(CLEARED_S + 0.01)
        assert await stage.sent() == ["clear", f"audio {AUDIO}"]

    on_stage(test, Manner(acknowledges_clear=True))


def test_keys_are_pressed_on_the_socket_where_it_can_and_played_as_tones_where_not() -> None:
    async def press(stage: Stage) -> None:
        stage.leg.send(cmd.SendDigits("4#"))
        assert await stage.sent() == ["press 4#"]

    async def sound(stage: Stage) -> None:
        stage.leg.send(cmd.SendDigits("4#"))
        tone = [base64.b64encode(tones.key(digit, AudioFormat.PCMA)).decode() for digit in "4#"]
        assert await stage.sent() == [f"audio {payload}" for payload in tone]

    on_stage(press, codec=Words(presses_keys=True))
    on_stage(sound, audio=AudioFormat.PCMA)


def test_a_hang_up_says_goodbye_and_closes_and_nothing_follows() -> None:
    async def test(stage: Stage) -> None:
        play(stage)
        stage.leg.send(HUNG_UP)
        play(stage, "BBBB")
        assert await stage.sent() == [f"audio {AUDIO}", "goodbye"]
        with pytest.raises(WireClosed):
            await stage.carrier.receive()

    assert on_stage(test).kinds() == ["LegEnded"]


def test_a_hang_up_is_not_held_up_by_a_carrier_that_takes_no_audio() -> None:
    async def test(stage: Stage) -> None:
        await stage.carrier.send("flow off")
        play(stage)
        stage.leg.send(HUNG_UP)
        await asyncio.sleep(0.01)
        assert (await stage.sent())[-1] == "goodbye"

    on_stage(test)


def test_the_carrier_is_answered_and_odd_messages_are_counted() -> None:
    async def test(stage: Stage) -> None:
        for text in ("ping", "odd a", "odd a", "odd b", "start", *(f"odd {number}" for number in range(99))):
            await stage.carrier.send(text)
        assert await stage.sent() == ["pong"]

    stage = on_stage(test)
    assert stage.leg.unknown["a"] == 2
    assert len(stage.leg.unknown) == 16
    assert stage.kinds() == ["LegEnded"]


def test_malformed_frames_are_dropped_until_there_are_too_many() -> None:
    async def test(stage: Stage) -> None:
        for _ in range(MAX_BAD_FRAMES):
            await stage.carrier.send(b"\x00")
        await stage.carrier.send(f"audio {AUDIO}")
        assert stage.told == [CallerAudio(AUDIO)]
        await stage.carrier.send(b"\x00")

    stage = on_stage(test)
    assert stage.told[1:] == [LegEnded(LegEnd.BROKEN, "too many malformed frames")]


def test_the_end_is_told_once_and_nothing_after_it() -> None:
    async def test(stage: Stage) -> None:
        for text in ("bye", "bye", f"audio {AUDIO}", "key 1"):
            await stage.carrier.send(text)
        play(stage)
        assert await stage.sent() == []
        await asyncio.sleep(5)

    assert on_stage(test).told == [LegEnded(LegEnd.CALLER_HANGUP, "bye")]


def test_a_carrier_that_does_not_read_loses_the_leg_and_not_the_gateway() -> None:
    async def test(stage: Stage) -> None:
        await stage.carrier.send("flow off")
        play(stage, *["AAAA"] * (BACKLOG + 1))

    assert on_stage(test).told == [LegEnded(LegEnd.BROKEN, "the carrier does not read")]


@pytest.mark.parametrize("audio", AudioFormat)
def test_exact_frames_are_whole_whatever_the_pieces_and_lose_nothing(audio: AudioFormat) -> None:
    size = 20 * audio.bytes_per_ms
    whole = (bytes(range(1, 251)) * 40)[: size * 10]

    async def test(stage: Stage) -> None:
        for at in range(0, len(whole), 450):
            play(stage, base64.b64encode(whole[at : at + 450]).decode())
        stage.leg.send(cmd.SendMark("m1"))
        await asyncio.sleep(1)
        sent = await stage.sent()
        assert sent[-1] == "mark m1"
        frames = [base64.b64decode(text.split()[1]) for text in sent[:-1]]
        assert {len(frame) for frame in frames} == {size}
        assert b"".join(frames) == whole

    on_stage(test, Manner(exact_frames=True), audio=audio)


def marks(stage: Stage) -> list[Event]:
    return [event for event in stage.told if not isinstance(event, CallerAudio)]


def test_marks_come_by_our_clock_where_the_carrier_has_none() -> None:
    async def test(stage: Stage) -> None:
        play(stage, *[AUDIO] * 10)
        stage.leg.send(cmd.SendMark("m1"))
        await asyncio.sleep(0.15)
        assert marks(stage) == []
        await asyncio.sleep(0.1)
        assert marks(stage) == [MarkPlayed("m1")]
        play(stage)
        stage.leg.send(cmd.SendMark("m2"))
        stage.leg.send(cmd.ClearAudio())
        await asyncio.sleep(0.1)
        assert marks(stage) == [MarkPlayed("m1")]

    on_stage(test, Manner(exact_frames=True, ahead_frames=1, echoes_marks=False))


def test_a_leg_that_must_never_be_mute_is_sent_silence() -> None:
    async def test(stage: Stage) -> None:
        await asyncio.sleep(1)
        silent = "audio " + base64.b64encode(b"\xff" * 160).decode()
        sent = await stage.sent()
        assert set(sent) == {silent}
        assert 48 <= len(sent) <= 52

    on_stage(test, Manner(exact_frames=True, ahead_frames=1, idle_silence=True))


def test_what_overtook_the_start_is_heard_and_the_start_is_answered() -> None:
    async def main() -> None:
        ours, carrier = pipe()
        told: list[Event] = []
        leg = StreamLeg(ours, Words(), Started("s", "c"), told.append)
        leg.begin(replies=(json.dumps("opened"),), early=[AUDIO, AUDIO])
        async with asyncio.TaskGroup() as group:
            group.create_task(leg.run())
            assert await carrier.receive() == '"opened"'
            await carrier.close()
        assert told[:2] == [CallerAudio(AUDIO)] * 2

    run(main())


class Faulty(Words):
    """A codec with an error of ours in it."""

    def play(self, payload: str) -> Sequence[Frame]:
        raise ZeroDivisionError


def test_a_leg_that_fails_inside_tells_its_call_all_the_same() -> None:
    async def main() -> list[Event]:
        ours, _ = pipe()
        told: list[Event] = []
        leg = StreamLeg(ours, Faulty(), Started("s", "c"), told.append, Manner(exact_frames=True))
        leg.begin()
        leg.send(cmd.PlayAudio("i", AUDIO, 20.0))
        with pytest.raises(ZeroDivisionError):
            await leg.run()
        return told

    assert run(main()) == [LegEnded(LegEnd.BROKEN, "the stream failed inside")]


def test_a_leg_whose_socket_task_is_cancelled_tells_its_call() -> None:
    async def main() -> list[Event]:
        ours, _ = pipe()
        told: list[Event] = []
        leg = StreamLeg(ours, Words(), Started("s", "c"), told.append)
        leg.begin()
        running = asyncio.ensure_future(leg.run())
        await asyncio.sleep(0.1)
        running.cancel()
        await asyncio.wait({running})
        return told

    assert [type(event) for event in run(main())] == [LegEnded]


def test_a_carrier_that_falls_silent_after_early_audio_is_filled_as_any_other() -> None:
    async def main() -> list[Event]:
        ours, carrier = pipe()
        told: list[Event] = []
        leg = StreamLeg(ours, Words(), Started("s", "c"), told.append)
        leg.begin(early=[AUDIO] * 100)
        async with asyncio.TaskGroup() as group:
            group.create_task(leg.run())
            await asyncio.sleep(1.05)
            await carrier.close()
        return told

    filled = [event for event in run(main()) if isinstance(event, CallerAudio) and event.payload != AUDIO]
    assert sum(len(base64.b64decode(event.payload)) for event in filled) / 8 == pytest.approx(1000, abs=110)


def test_an_answer_to_the_carrier_does_not_wait_for_audio_that_is_held_back() -> None:
    async def test(stage: Stage) -> None:
        await stage.carrier.send("flow off")
        play(stage)
        await stage.carrier.send("ping")
        assert await stage.sent() == ["pong"]
        await stage.carrier.send("flow on")
        assert await stage.sent() == [f"audio {AUDIO}"]

    on_stage(test)


def test_idle_silence_does_not_pile_up_while_the_carrier_takes_no_audio() -> None:
    async def test(stage: Stage) -> None:
        await stage.carrier.send("flow off")
        await asyncio.sleep(30)
        assert await stage.sent() == []
        await stage.carrier.send("flow on")
        play(stage)
        await asyncio.sleep(0.1)
        sent = await stage.sent()
        assert f"audio {AUDIO}" in sent
        assert len(sent) <= 12

    assert on_stage(test, Manner(exact_frames=True, idle_silence=True)).kinds()[-1:] == ["LegEnded"]


@pytest.mark.parametrize(
    ("code", "manner", "reason"),
    [
        (1000, Manner(close_is_hang_up=True), LegEnd.CALLER_HANGUP),
        (1006, Manner(close_is_hang_up=True), LegEnd.SOCKET_LOST),
        (1001, Manner(close_is_hang_up=True), LegEnd.SOCKET_LOST),
        (1000, Manner(), LegEnd.SOCKET_LOST),
    ],
)
def test_only_a_close_in_order_is_the_callers_hanging_up_where_there_is_no_goodbye(
    code: int, manner: Manner, reason: LegEnd
) -> None:
    async def test(stage: Stage) -> None:
        await stage.carrier.close(code)

    assert on_stage(test, manner).told == [LegEnded(reason, f"closed with {code}")]
