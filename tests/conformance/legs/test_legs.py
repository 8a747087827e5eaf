"""What every carrier's leg must do, whatever its wire: the leg contract of `gateway/carriers/base.py`.

Driven at the carrier's own socket, through its real door, on the virtual clock.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core import commands as cmd
from gateway.core.events import Dtmf, LegEnd, MarkPlayed
from gateway.simulator.asgi import UpgradeRefused
from tests.clock import run
from tests.conformance.legs.rig import Asked, Rig
from tests.conformance.legs.rigs import RIGS
from tests.conformance.legs.stage import Stage, on_stage

SOCKETS = [rig for rig in RIGS if not rig.socketless]
rigs = pytest.mark.parametrize("rig", RIGS, ids=[rig.name for rig in RIGS])
with_sockets = pytest.mark.parametrize("rig", SOCKETS, ids=[rig.name for rig in SOCKETS])
"""Those whose sockets are opened and started; where the others are tried, `Rig.socketless` says."""
HUNG_UP = cmd.HangUp(cmd.EndReason.AGENT_HANGUP)


def staged(rig: type[Rig], test: Callable[[Stage], Awaitable[None]], *, started: bool = True) -> None:
    """Run `test` on a stage whose stream has started."""

    async def main() -> None:
        async with on_stage(rig()) as stage:
            if started:
                await stage.start()
            await test(stage)

    run(main())


async def play(stage: Stage, ms: int, seed: int = 7) -> bytes:
    """Have the leg play some audio, in odd pieces as the model sends it; return it."""
    form = stage.rig.audio
    whole = (bytes(range(1, 201)) * (ms * form.bytes_per_ms // 200 + 1))[: ms * form.bytes_per_ms]
    step = 100 * seed * form.sample_bytes
    for at in range(0, len(whole), step):
        piece = whole[at : at + step]
        stage.leg.send(cmd.PlayAudio("item", base64.b64encode(piece).decode(), len(piece) / form.bytes_per_ms))
    return whole


def on_wire(stage: Stage) -> bytes:
    return b"".join(asked.audio for asked in stage.asked_for("audio"))


async def last_mark(stage: Stage) -> str:
    """Return, as the carrier sees it, the mark asked for last."""
    for _ in range(200):
        if stage.asked_for("mark"):
            break
        await asyncio.sleep(0.01)
    return stage.asked_for("mark")[-1].value


# --- start, audio, marks ----------------------------------------------------------------------------


@rigs
def test_the_callers_audio_arrives_whole_and_in_order(rig: type[Rig]) -> None:
    async def test(stage: Stage) -> None:
        assert stage.recorder.audio is stage.rig.audio
        sent = await stage.speak(*range(1, 26))
        assert stage.heard == b"".join(sent)

    staged(rig, test)


@rigs
def test_the_agents_audio_arrives_whole_and_in_order(rig: type[Rig]) -> None:
    async def test(stage: Stage) -> None:
        whole = await play(stage, 400)
        await asyncio.sleep(1.5)
        wire = on_wire(stage)
        silent = set(stage.rig.played(stage.rig.audio.silence * 480))
        begin = wire.find(stage.rig.played(whole))
        assert begin >= 0, "what was played is not on the wire in one piece"
        rest = wire[:begin] + wire[begin + len(stage.rig.played(whole)) :]
        assert set(rest) <= silent, "something else than silence is on the wire"
        if stage.rig.exact_bytes:
            assert {len(asked.audio) for asked in stage.asked_for("audio")} == {stage.rig.exact_bytes}

    staged(rig, test)


@rigs
def test_a_mark_comes_back_once_after_what_was_sent_before_it(rig: type[Rig]) -> None:
    async def test(stage: Stage) -> None:
        await play(stage, 400)
        stage.leg.send(cmd.SendMark("item_1:0"))
        if not stage.rig.echoes_marks:
            await asyncio.sleep(0.3)
            assert stage.told == [], "it cannot have played yet"
            await asyncio.sleep(1.5)
            assert stage.told == [MarkPlayed("item_1:0")]
            return
        name = await last_mark(stage)
        order = [asked.kind for asked in stage.asked if asked.kind in ("audio", "mark")]
        assert order.index("mark") > 0 and "audio" in order[: order.index("mark")]
        echo = stage.rig.echo(name)
        assert echo is not None
        assert stage.told == []
        await stage.send(echo, echo, echo)
        assert stage.told == [MarkPlayed("item_1:0")]

    staged(rig, test)


@rigs
def test_a_clear_resolves_pending_marks_and_late_echoes_mean_nothing(rig: type[Rig]) -> None:
    async def test(stage: Stage) -> None:
        await play(stage, 400)
        stage.leg.send(cmd.SendMark("item_1:0"))
        name = await last_mark(stage) if stage.rig.echoes_marks else ""
        stage.leg.send(cmd.ClearAudio())
        await asyncio.sleep(0.05)
        assert len(stage.asked_for("clear")) == stage.rig.clears
        late = [stage.rig.echo(name, cleared=True), stage.rig.echo(name)] if stage.rig.echoes_marks else []
        await stage.send(*(frame for frame in late if frame is not None))
        await asyncio.sleep(2)
        assert stage.told == [], "a mark that was cleared is not told"

    staged(rig, test)


@rigs
def test_after_a_clear_audio_and_marks_work_as_before(rig: type[Rig]) -> None:
    async def test(stage: Stage) -> None:
        await play(stage, 200)
        await asyncio.sleep(0.1)
        stage.leg.send(cmd.ClearAudio())
        await asyncio.sleep(1.0)
        stage.asked.clear()
        whole = await play(stage, 200, seed=3)
        stage.leg.send(cmd.SendMark("item_2:0"))
        await asyncio.sleep(1.0)
        assert stage.rig.played(whole) in on_wire(stage)
        if stage.rig.echoes_marks:
            echo = stage.rig.echo(await last_mark(stage))
            assert echo is not None
            await stage.send(echo)
        assert stage.told == [MarkPlayed("item_2:0")]

    staged(rig, test)


@rigs
def test_what_follows_a_clear_is_neither_held_back_nor_told_late(rig: type[Rig]) -> None:
    """The lead that the carrier had is gone with the clear."""

    async def test(stage: Stage) -> None:
        await play(stage, 400)
        await asyncio.sleep(0.1)
        stage.leg.send(cmd.ClearAudio())
        await asyncio.sleep(0.05)
        stage.asked.clear()
        whole = await play(stage, 200, seed=3)
        stage.leg.send(cmd.SendMark("item_2:0"))
        await asyncio.sleep(0.15)
        assert stage.told == []
        await asyncio.sleep(0.15)
        assert stage.rig.played(whole) in on_wire(stage)
        if not stage.rig.echoes_marks:
            assert stage.told == [MarkPlayed("item_2:0")]

    staged(rig, test)


@rigs
def test_nothing_that_was_cleared_before_it_left_is_sent_after(rig: type[Rig]) -> None:
    async def test(stage: Stage) -> None:
        await play(stage, 400)
        stage.leg.send(cmd.ClearAudio())
        await asyncio.sleep(0.02)
        stage.asked.clear()
        await asyncio.sleep(1)
        assert set(on_wire(stage)) <= set(stage.rig.played(stage.rig.audio.silence * 480))

    staged(rig, test)


@rigs
def test_two_clears_in_a_row_do_no_harm(rig: type[Rig]) -> None:
    async def test(stage: Stage) -> None:
        stage.leg.send(cmd.ClearAudio())
        stage.leg.send(cmd.ClearAudio())
        await asyncio.sleep(1)
        assert stage.told == []
        assert stage.heard.strip(stage.rig.audio.silence) == b""

    staged(rig, test)


# --- keys -------------------------------------------------------------------------------------------


@rigs
def test_every_key_is_told_once_and_in_order(rig: type[Rig]) -> None:
    async def test(stage: Stage) -> None:
        for digit in "0123456789*#":
            await asyncio.sleep(0.05)
            await stage.send(stage.rig.digit(digit))
        assert stage.told == [Dtmf(digit) for digit in "0123456789*#"]

    staged(rig, test)


@rigs
def test_keys_can_be_pressed_towards_the_caller_one_way_or_the_other(rig: type[Rig]) -> None:
    async def test(stage: Stage) -> None:
        stage.leg.send(cmd.SendDigits("12"))
        await asyncio.sleep(1)
        pressed = "".join(asked.value for asked in stage.asked_for("keys"))
        loud = any(asked.audio.strip(stage.rig.audio.silence) for asked in stage.asked_for("audio"))
        assert pressed == "12" or loud or stage.rig.package in ("telnyx", "vonage", "asterisk", "jambonz")

    staged(rig, test)


# --- what is odd, broken, too early, too late --------------------------------------------------------


@rigs
def test_messages_of_unknown_kinds_are_passed_over(rig: type[Rig]) -> None:
    async def test(stage: Stage) -> None:
        await stage.send(*stage.rig.unknown())
        sent = await stage.speak(1, 2, 3)
        assert (stage.told, stage.heard) == ([], b"".join(sent))

    staged(rig, test)


@rigs
def test_messages_that_break_the_protocol_are_dropped_and_the_call_goes_on(rig: type[Rig]) -> None:
    async def test(stage: Stage) -> None:
        await stage.send(*stage.rig.broken())
        sent = await stage.speak(1, 2, 3)
        assert stage.ends == []
        assert stage.heard.endswith(b"".join(sent))

    staged(rig, test)


@rigs
def test_a_stream_of_rubbish_ends_that_leg_and_no_other(rig: type[Rig]) -> None:
    async def test(stage: Stage) -> None:
        for _ in range(60):
            await stage.send("{" * 10, b"\x00" if stage.rig.numbered else "\x00")
        assert len(stage.ends) == 1
        assert stage.ends[0].reason in (LegEnd.BROKEN, LegEnd.SOCKET_LOST)

    staged(rig, test)


@with_sockets
def test_rubbish_before_the_start_is_refused_and_no_call_begins(rig: type[Rig]) -> None:
    async def test(stage: Stage) -> None:
        for frame in ("{", "", "\x00", "[]", "start", '{"event":"start"}', '{"event":"start","start":{}}'):
            await stage.connect()
            await stage.send(frame)
            await asyncio.sleep(6)
            assert stage.recorder.claimed == 0
            assert stage.closed is not None, "a socket without a start is closed"
            stage.closed = None

    staged(rig, test, started=False)


@with_sockets
def test_a_socket_that_says_nothing_is_closed(rig: type[Rig]) -> None:
    async def test(stage: Stage) -> None:
        await stage.connect()
        await asyncio.sleep(6)
        assert stage.closed is not None
        assert stage.recorder.claimed == 0

    staged(rig, test, started=False)


@with_sockets
def test_audio_before_the_start_is_no_call_and_is_heard_where_the_carrier_may_send_it(rig: type[Rig]) -> None:
    async def test(stage: Stage) -> None:
        await stage.connect()
        await stage.send(stage.rig.media(1, stage.rig.wire(1)), stage.rig.media(2, stage.rig.wire(2)))
        assert stage.recorder.claimed == 0
        if not stage.rig.early_media:
            return
        await stage.send(*stage.rig.hello())
        await asyncio.sleep(0.05)
        assert stage.heard == stage.rig.heard(stage.rig.wire(1)) + stage.rig.heard(stage.rig.wire(2))

    staged(rig, test, started=False)


@with_sockets
def test_a_second_start_changes_nothing(rig: type[Rig]) -> None:
    async def test(stage: Stage) -> None:
        await stage.send(*stage.rig.hello())
        sent = await stage.speak(1, 2)
        assert stage.recorder.claimed == 1
        assert (stage.told, stage.heard) == ([], b"".join(sent))

    staged(rig, test)


# --- the end ----------------------------------------------------------------------------------------


@rigs
def test_the_carriers_goodbye_ends_the_leg_once_however_often_it_is_said(rig: type[Rig]) -> None:
    async def test(stage: Stage) -> None:
        if stage.rig.stops:
            stop = stage.rig.stop()
            await stage.send(stop)
            assert [end.reason for end in stage.ends] == [LegEnd.CALLER_HANGUP]
            await stage.send(stop, stage.rig.media(9, stage.rig.wire(9)))
        await stage.hang_up()
        assert len(stage.ends) == 1
        assert stage.heard == b""

    staged(rig, test)


@rigs
def test_a_socket_that_closes_without_a_goodbye_ends_the_leg(rig: type[Rig]) -> None:
    async def test(stage: Stage) -> None:
        await stage.hang_up(1006)
        assert len(stage.ends) == 1
        stage.leg.send(cmd.ClearAudio())
        stage.leg.send(HUNG_UP)
        await stage.leg.close()
        assert len(stage.ends) == 1

    staged(rig, test)


@rigs
def test_a_hang_up_from_our_side_closes_the_stream_and_sends_nothing_after(rig: type[Rig]) -> None:
    async def test(stage: Stage) -> None:
        stage.leg.send(HUNG_UP)
        await play(stage, 100)
        for _ in range(40):
            if stage.closed is not None:
                break
            for asked in stage.asked_for("disconnect"):
                stage.asked.remove(asked)
                await stage.send(stage.rig.stop())
            await asyncio.sleep(0.3)
        assert stage.closed is not None
        assert on_wire(stage).strip(stage.rig.played(stage.rig.audio.silence)) == b""

    staged(rig, test)


# --- the caller's clock -----------------------------------------------------------------------------


@rigs
def test_silence_is_filled_in_when_the_callers_stream_stops(rig: type[Rig]) -> None:
    async def test(stage: Stage) -> None:
        form = stage.rig.audio
        sent = b"".join(await stage.speak(*range(1, 6)))
        await asyncio.sleep(5)
        assert stage.heard.startswith(sent)
        assert set(stage.heard[len(sent) :]) == set(form.silence)
        assert 4600 <= len(stage.heard) / form.bytes_per_ms <= 5200

    staged(rig, test)


@rigs
def test_lost_frames_are_concealed_so_that_the_timeline_never_shrinks(rig: type[Rig]) -> None:
    async def test(stage: Stage) -> None:
        await stage.speak(1, 2, 3)
        await asyncio.sleep(0.02 * 4)
        await stage.speak(8, 9, 10, 11)
        size = 20 * stage.rig.audio.bytes_per_ms
        if stage.rig.numbered:
            assert 11 * size <= len(stage.heard) <= 12 * size
        for number in (1, 2, 3, 8, 9, 10, 11):
            assert stage.rig.heard(stage.rig.wire(number)) in stage.heard

    staged(rig, test)


# --- who may come in --------------------------------------------------------------------------------


@with_sockets
def test_an_unsigned_or_forged_upgrade_is_refused_before_it_is_accepted(rig: type[Rig]) -> None:
    async def test(stage: Stage) -> None:
        token = await stage.offer() if stage.rig.offers_first else ""
        for path, headers in stage.rig.refused_upgrades(token):
            with pytest.raises(UpgradeRefused):
                await stage.host.connect("wss://gw.example.com" + path, headers)
        assert stage.recorder.claimed == 0

    staged(rig, test, started=False)


@with_sockets
def test_a_token_is_good_for_one_stream(rig: type[Rig]) -> None:
    async def test(stage: Stage) -> None:
        if not stage.rig.offers_first:
            return
        token = stage.rig.token
        await stage.hang_up()
        try:
            await stage.connect(token=token)
            await stage.send(*stage.rig.hello())
        except UpgradeRefused:
            pass
        await asyncio.sleep(0.1)
        assert stage.recorder.claimed == 1

    staged(rig, test)


# --- anything at all --------------------------------------------------------------------------------


def frames_of(stage: Stage, kind: str, number: int, marks: list[str], text: str, binary: bytes) -> list[str | bytes]:
    """Return what a carrier gone wild sends."""
    rig = stage.rig
    echoes: list[str | bytes | None] = []
    match kind:
        case "media":
            return [rig.media(number, rig.wire(number))]
        case "digit":
            return [rig.digit("5")]
        case "unknown":
            return list(rig.unknown())
        case "broken":
            return list(rig.broken())[:3]
        case "hello":
            return list(rig.hello())
        case "text":
            return [text]
        case "binary":
            return [binary]
        case "echo":
            echoes = [rig.echo(name) for name in marks[-2:]]
        case "late":
            echoes = [rig.echo(name, cleared=True) for name in marks]
    return [frame for frame in echoes if frame is not None]


@rigs
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_a_carrier_sends_each_mark_is_told_at_most_once_and_the_end_too(
    rig: type[Rig], data: st.DataObject
) -> None:
    kinds = st.sampled_from(("media", "digit", "echo", "late", "unknown", "broken", "hello", "text", "binary", "clear"))
    steps = data.draw(st.lists(st.tuples(kinds, st.integers(0, 40)), max_size=30))
    text = data.draw(st.text(max_size=60))
    binary = data.draw(st.binary(max_size=60))

    async def test(stage: Stage) -> None:
        marks = 0
        names: list[str] = []
        for kind, number in steps:
            if stage.closed is not None or stage.ends:
                break
            if kind == "clear":
                stage.leg.send(cmd.ClearAudio())
            elif kind in ("echo", "late"):
                stage.leg.send(cmd.SendMark(f"m{marks}"))
                marks += 1
                await asyncio.sleep(0.05)
                names = [asked.value for asked in stage.asked_for("mark")]
            await stage.send(*frames_of(stage, kind, number, names, text, binary))
        played = [event.name for event in stage.told if isinstance(event, MarkPlayed)]
        assert len(played) == len(set(played))
        await stage.hang_up()
        assert len(stage.ends) == 1
        assert all(isinstance(asked, Asked) for asked in stage.asked)

    staged(rig, test)
