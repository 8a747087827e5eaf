"""Applications that misbehave, and calls cut off at any instant."""

import asyncio
import base64
import json
from typing import Any

import pytest

from gateway.simulator.carrier import BargeIn, CallReport, Dtmf, HangUp, Pause, Say, Script, Wait, tone
from tests.clock import run
from tests.simulator.carrier.application import GOODBYE, STREAM, Application, Peer, network, plan
from tests.simulator.carrier.test_calls import LONG, SPEECH, call, greet

FLOOD = base64.b64encode(bytes(8000 * 60)).decode()


async def never_reads(peer: Peer) -> None:
    await asyncio.Event().wait()


async def keeps_talking_after_stop(peer: Peer) -> None:
    await peer.until("stop")
    for _ in range(100):
        await peer.play(SPEECH)
    await asyncio.Event().wait()


async def floods(peer: Peer) -> None:
    await peer.until("start")
    for _ in range(11):
        await peer.send("media", media={"payload": FLOOD})
    for number in range(10_050):
        await peer.mark(str(number))
    await asyncio.Event().wait()


async def breaks(peer: Peer) -> None:
    await peer.until("start")
    await peer.socket.close(1011)


def test_an_application_that_never_reads_costs_frames_not_the_call() -> None:
    report = call(Application(never_reads), Script([Pause(120.0), HangUp()]))
    assert (report.outcome, report.ended_by) == ("completed", "caller")
    assert report.media.frames_dropped > 0
    assert report.clock.worst_s < 1e-6


def test_audio_after_the_stop_is_not_heard() -> None:
    report = call(Application(keeps_talking_after_stop), Script([Pause(1.0), HangUp()]))
    assert report.media.heard == []
    assert report.duration_s == pytest.approx(1.0, abs=0.03)


def test_a_flood_is_bounded() -> None:
    report = call(Application(floods), Script([Pause(1.0), HangUp()]))
    assert report.media.audio_discarded_bytes == pytest.approx(60 * 8000, abs=8000)
    assert {warning.name for warning in report.warnings} == {"31931", "31951"}
    assert len(report.warnings) <= 200


def test_an_abnormal_close_is_told_and_the_next_verb_runs() -> None:
    report = call(Application(breaks), Script())
    assert [warning.name for warning in report.warnings] == ["31921"]
    assert report.says_heard == ["Goodbye."]


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "null",
        '"media"',
        '{"event":"media"}',
        '{"event":7}',
        '{"event":"media","streamSid":"SID","media":"x"}',
        '{"event":"media","streamSid":"SID","media":{"payload":7}}',
        '{"event":"media","streamSid":"SID","media":{"payload":"\\u00e9"}}',
        '{"event":"mark","streamSid":"SID","mark":{"name":""}}',
        '{"event":"mark","streamSid":"SID","mark":{}}',
        '{"event":"clear","streamSid":["SID"]}',
        "[" * 50_000,
        '{"a":' * 5_000,
    ],
)
def test_any_nonsense_is_one_warning(text: str) -> None:
    async def nonsense(peer: Peer) -> None:
        await peer.until("start")
        await peer.socket.send_text(text.replace("SID", peer.stream_sid))
        while True:
            await peer.receive()

    report = call(Application(nonsense), Script([Pause(0.5), HangUp()]))
    assert len(report.warnings) == 1
    assert report.outcome == "completed"


def test_a_large_answer_to_a_webhook_is_refused() -> None:
    report = call(Application(pages={"/voice": "<Response>" + " " * 200_000 + "</Response>"}), Script())
    assert report.warnings[0].name == "11750"


def test_a_call_can_be_cancelled_at_any_instant_and_leaves_nothing_behind() -> None:
    script = Script([Wait("agent_speaking"), BargeIn(tone(600, 200), 300), Dtmf("1"), Say(SPEECH), HangUp()])

    async def cut(at_s: float) -> int:
        async with network(Application(greet, delays_s={"/voice": 0.3, "/stream-status": 0.2})) as twilio:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(at_s):
                    await twilio.call(plan(script))
        return len(asyncio.all_tasks())

    for hundredths in range(1, 200, 7):
        assert run(cut(hundredths / 100)) == 1


def test_calls_do_not_disturb_one_another() -> None:
    async def main() -> list[CallReport]:
        async with network(Application(greet)) as twilio:
            script = Script([Wait("agent_done"), HangUp()])
            async with asyncio.TaskGroup() as group:
                calls = [group.create_task(twilio.call(plan(script))) for _ in range(50)]
        return [task.result() for task in calls]

    reports = run(main())
    assert len({report.call_sid for report in reports}) == 50
    assert all(report.media.played_bytes() == SPEECH for report in reports)


def test_the_caller_hanging_up_during_a_redirect_still_stops_the_stream() -> None:
    messages: list[Any] = []

    async def slow(peer: Peer) -> None:
        await peer.play(LONG)
        while True:
            messages.append(json.loads(await peer.socket.receive_text())["event"])

    application = Application(slow, pages={"/voice": STREAM})
    call(application, Script([Pause(1.01), HangUp()]))
    assert (messages[-1], messages.count("stop")) == ("stop", 1)


@pytest.mark.parametrize(
    "url", ["http://[", "https://exämple\u2603/after", "ftp://x/y", "https://gw.example.com:port/", " "]
)
def test_a_bad_address_in_twiml_is_an_application_error(url: str) -> None:
    twiml = f"<Response><Redirect>{url}</Redirect></Response>"
    report = call(Application(pages={"/voice": twiml}), Script([Pause(60.0), HangUp()]))
    assert report.ended_by in ("application_error", "redirect_limit")
    assert report.outcome == "completed"


@pytest.mark.parametrize(
    "url", ["wss://[", "wss://", "media", "wss://ex\u2603mple/media", "wss://gw.example.com:port/x"]
)
def test_a_bad_stream_address_is_a_warning_and_the_next_verb_runs(url: str) -> None:
    twiml = STREAM.replace("wss://gw.example.com/media", url)
    report = call(Application(pages={"/voice": twiml, "/after": GOODBYE}), Script())
    assert report.says_heard == ["Goodbye."]
    assert report.warnings
