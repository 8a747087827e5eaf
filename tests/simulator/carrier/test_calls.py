"""Whole calls on the virtual clock, against an application of this directory."""

import asyncio
import base64
import json
import struct
from typing import Any

import pytest

from gateway.simulator.carrier import (
    BargeIn,
    CallbackFaults,
    CallReport,
    DialOutcome,
    Dtmf,
    HangUp,
    LineModel,
    Pause,
    Say,
    Script,
    Wait,
    heard_prefix_ms,
    tone,
)
from tests.clock import run
from tests.simulator.carrier.application import GOODBYE, ORIGIN, STREAM, Application, Peer, network, plan

SPEECH = tone(440, 1000)
LONG = tone(330, 5000)


def call(application: Application, script: Script, **more: Any) -> CallReport:
    line, faults = more.pop("line", None), more.pop("faults", None)

    async def main() -> CallReport:
        async with network(application, line, faults) as twilio:
            return await twilio.call(plan(script, **more))

    return run(main())


async def echo(peer: Peer) -> None:
    while True:
        message: Any = await peer.receive()
        if message["event"] == "media":
            await peer.play(base64.b64decode(message["media"]["payload"]))


async def greet(peer: Peer) -> None:
    await peer.until("start")
    await peer.play(SPEECH)
    await peer.mark("greeting")
    while True:
        await peer.receive()


def test_caller_hears_the_greeting_and_hangs_up() -> None:
    application = Application(greet)
    report = call(application, Script([Wait("agent_done"), Say(SPEECH), HangUp()]))
    assert (report.outcome, report.ended_by, report.script_error) == ("completed", "caller", None)
    assert report.media.played_bytes() == SPEECH
    assert [(mark.name, mark.detail) for mark in report.media.marks] == [("greeting", "played")]
    assert bytes(report.media.said[0].audio) == SPEECH
    assert report.warnings == []
    assert report.measurement_is_reliable


def test_frames_carry_the_callers_exact_bytes_paced_at_twenty_milliseconds() -> None:
    frames: list[Any] = []

    async def listen(peer: Peer) -> None:
        while True:
            message: Any = await peer.receive()
            if message["event"] == "media":
                frames.append(message)

    report = call(Application(listen), Script([Say(SPEECH), Pause(120.0), HangUp()]))
    assert report.duration_s == pytest.approx(121.0, abs=0.03)
    assert abs(len(frames) - 6050) <= 2
    assert [int(frame["media"]["chunk"]) for frame in frames] == list(range(1, len(frames) + 1))
    assert [int(frame["sequenceNumber"]) for frame in frames] == list(range(2, len(frames) + 2))
    gaps = {
        int(b["media"]["timestamp"]) - int(a["media"]["timestamp"]) for a, b in zip(frames, frames[1:], strict=False)
    }
    assert gaps == {20}
    payload = b"".join(base64.b64decode(frame["media"]["payload"]) for frame in frames)
    assert SPEECH in payload
    assert payload.replace(SPEECH, b"").strip(b"\xff") == b""
    assert report.clock.worst_s < 1e-6


def test_start_tells_the_parameters_and_the_stream_is_reported() -> None:
    started: list[Any] = []

    async def listen(peer: Peer) -> None:
        started.append(await peer.receive())
        started.append(await peer.until("start"))
        started.append(await peer.until("stop"))
        await peer.receive()

    application = Application(listen)
    report = call(application, Script([Pause(1.0)], stay_s=0.1))
    assert started[0] == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    assert started[1]["start"]["customParameters"] == {"token": "t1"}
    assert started[1]["start"]["mediaFormat"] == {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    assert started[2]["stop"] == {"accountSid": started[1]["start"]["accountSid"], "callSid": report.call_sid}
    events = [form["StreamEvent"] for form in application.forms("/stream-status")]
    assert events == ["stream-started", "stream-stopped"]


def test_completed_is_called_back_once_with_the_duration() -> None:
    application = Application()
    call(application, Script([Pause(61.2), HangUp()]))
    (form,) = application.forms("/status")
    wanted = {"CallStatus": "completed", "SequenceNumber": "0", "CallDuration": "61", "Duration": "2"}
    assert wanted.items() <= form.items()
    assert form["CallbackSource"] == "call-progress-events"


def test_callbacks_may_be_duplicated() -> None:
    application = Application()
    call(application, Script([HangUp()]), faults=CallbackFaults(duplicate=True))
    assert [form["CallStatus"] for form in application.forms("/status")] == ["completed"] * 2


def test_when_the_application_closes_the_socket_the_next_verb_runs() -> None:
    async def short(peer: Peer) -> None:
        await peer.until("start")

    application = Application(short)
    report = call(application, Script())
    assert report.says_heard == ["Goodbye."]
    assert report.ended_by == "twiml"
    assert [verb.name for verb in report.verbs] == ["Connect", "Redirect", "Say", "Hangup"]
    assert application.forms("/after")[0]["CallStatus"] == "in-progress"


@pytest.mark.parametrize("after", ["", "<Say>Never heard.</Say>"])
def test_the_action_of_connect_is_fetched_and_what_follows_is_unreachable(after: str) -> None:
    async def short(peer: Peer) -> None:
        await peer.until("start")

    stream = '<Connect action="/after"><Stream url="wss://gw.example.com/media"/></Connect>'
    pages = {"/voice": f"<Response>{stream}{after}</Response>", "/after": GOODBYE}
    assert call(Application(short, pages), Script()).says_heard == ["Goodbye."]


def test_a_call_ends_when_nothing_follows_the_stream() -> None:
    async def short(peer: Peer) -> None:
        await peer.until("start")

    pages = {"/voice": '<Response><Connect><Stream url="wss://gw.example.com/media"/></Connect></Response>'}
    assert call(Application(short, pages), Script()).ended_by == "end_of_twiml"


def test_a_refused_upgrade_is_reported_and_the_next_verb_runs() -> None:
    application = Application(refuse_upgrade=True)
    report = call(application, Script())
    assert [warning.name for warning in report.warnings] == ["31920"]
    assert application.forms("/stream-status")[0]["StreamEvent"] == "stream-error"
    assert report.says_heard == ["Goodbye."]


def test_a_clear_drops_the_queue_and_echoes_every_pending_mark_at_once() -> None:
    echoes: list[Any] = []

    async def interrupted(peer: Peer) -> None:
        await peer.until("start")
        await peer.play(LONG)
        await peer.mark("a")
        await peer.play(LONG)
        await peer.mark("b")
        for _ in range(50):
            await peer.until("media")
        await peer.send("clear")
        echoes.append(await peer.until("mark"))
        echoes.append(await peer.receive())
        await peer.mark("later")
        echoes.append(await peer.until("mark"))
        while True:
            await peer.receive()

    report = call(Application(interrupted), Script([Pause(3.0), HangUp()]))
    assert [echo["mark"]["name"] for echo in echoes] == ["a", "b", "later"]
    assert [mark.detail for mark in report.media.marks] == ["cleared", "cleared", "played"]
    heard = heard_prefix_ms(LONG, report.media.played_bytes())
    assert heard is not None
    assert heard == pytest.approx(1000, abs=40)
    assert int(report.media.clears[0].detail) == 10_000 - heard


def test_a_mark_comes_back_when_the_audio_before_it_was_played() -> None:
    report = call(Application(greet), Script([Pause(3.0), HangUp()]))
    first = report.media.first_audio_s
    assert first is not None
    assert report.media.marks[0].at_s == pytest.approx(first + 1.0, abs=1e-6)


def test_a_caller_barges_in_and_then_waits_for_the_new_answer() -> None:
    async def talker(peer: Peer) -> None:
        await peer.until("start")
        await peer.play(LONG)
        message: Any = {"event": ""}
        while message["event"] != "media" or message["media"]["payload"].startswith("//////"):
            message = await peer.receive()
        await peer.send("clear")
        for _ in range(75):
            await peer.until("media")
        await peer.play(SPEECH)
        while True:
            await peer.receive()

    script = Script([BargeIn(tone(600, 400), after_ms=1200), Wait("agent_done"), HangUp()])
    report = call(Application(talker), script)
    assert report.script_error is None
    heard = heard_prefix_ms(LONG, report.media.played_bytes())
    assert heard == pytest.approx(1220, abs=40)
    assert bytes(report.media.heard[-1].audio) == SPEECH
    assert report.duration_s == pytest.approx(report.media.heard[-1].end_s + 0.6, abs=0.03)


def test_a_wait_that_is_not_met_makes_the_caller_hang_up() -> None:
    report = call(Application(), Script([Wait("agent_done", within_s=5)]))
    assert report.script_error == "step 1: waited too long for agent_done (5 s)"
    assert report.ended_by == "caller"
    assert report.silences() == [(0.0, report.duration_s)]


def test_digits_reach_the_stream() -> None:
    digits: list[str] = []

    async def listen(peer: Peer) -> None:
        while True:
            message: Any = await peer.until("dtmf")
            digits.append(message["dtmf"]["digit"])

    call(Application(listen), Script([Pause(0.5), Dtmf("12#"), HangUp()]))
    assert digits == ["1", "2", "#"]


def test_breaches_of_the_protocol_are_warnings_and_the_call_goes_on() -> None:
    async def sloppy(peer: Peer) -> None:
        await peer.until("start")
        await peer.socket.send_bytes(b"\0")
        await peer.socket.send_text("{")
        await peer.send("pause")
        await peer.send("media", media={})
        await peer.send("media", media={"payload": "***"})
        await peer.send("clear", extra=1)
        await peer.send("media", media={"payload": "//8=", "track": "outbound"})
        sid, peer.stream_sid = peer.stream_sid, "MZ0"
        await peer.mark("x")
        peer.stream_sid = sid
        await greet_now(peer)

    async def greet_now(peer: Peer) -> None:
        await peer.play(SPEECH)
        while True:
            await peer.receive()

    report = call(Application(sloppy), Script([Wait("agent_done"), HangUp()]))
    codes = [warning.name for warning in report.warnings]
    assert codes == ["31950", "31950", "31951", "31951", "31951", "31951", "31951", "31951"]
    assert SPEECH in report.media.played_bytes()


def test_line_delay_shows_in_what_is_heard() -> None:
    script = Script([Pause(1.0), Say(SPEECH), Pause(3.0), HangUp()])
    report = call(Application(echo), script, line=LineModel(uplink_ms=100, downlink_ms=150, jitter_ms=10))
    spoken = report.media.said[0].start_s
    heard = report.two_channels()[1::2].find(SPEECH[:400]) / 8000
    assert 0.25 <= heard - spoken <= 0.33


def test_a_redirect_loop_is_bounded() -> None:
    twiml = f"<Response><Redirect>{ORIGIN}/voice</Redirect></Response>"
    application = Application(pages={"/voice": twiml})
    report = call(application, Script([Pause(60.0)]))
    assert report.ended_by == "redirect_limit"
    assert len(application.forms("/voice")) == 100


def test_a_dial_posts_its_outcome_to_the_action() -> None:
    twiml = '<Response><Dial action="/after" timeout="25"><Number>+14155550150</Number></Dial></Response>'
    application = Application(pages={"/voice": twiml, "/after": twiml})
    dials = [DialOutcome("answered", talk_s=7), DialOutcome("busy")]
    report = call(application, Script([Pause(60.0), HangUp()]), dials=dials)
    outcomes = [(form["DialCallStatus"], form.get("DialCallDuration")) for form in application.forms("/after")]
    assert outcomes == [("completed", "7"), ("busy", None), ("no-answer", None)]
    assert report.duration_s == pytest.approx(60.0, abs=0.03)


def test_digits_are_gathered_for_the_action() -> None:
    twiml = '<Response><Gather action="/after" numDigits="2"><Say>Two digits.</Say></Gather></Response>'
    application = Application(pages={"/voice": twiml, "/after": GOODBYE})
    report = call(application, Script([Wait("agent_done", quiet_ms=300), Dtmf("42"), Pause(9.0)]))
    assert application.forms("/after")[0]["Digits"] == "42"
    assert report.says_heard == ["Two digits.", "Goodbye."]


def test_a_rejected_call_was_never_answered() -> None:
    application = Application(pages={"/voice": '<Response><Reject reason="busy"/></Response>'})
    report = call(application, Script())
    assert (report.outcome, report.ended_by, report.duration_s) == ("busy", "reject", 0.0)
    assert application.forms("/status")[0]["CallStatus"] == "busy"


def test_the_fallback_is_asked_when_the_voice_url_fails() -> None:
    application = Application(statuses={"/voice": [500]}, pages={"/fallback": GOODBYE})
    report = call(application, Script(), fallback_url=f"{ORIGIN}/fallback")
    assert application.forms("/fallback")[0]["ErrorCode"] == "11200"
    assert report.says_heard == ["Goodbye."]


def test_an_application_that_fails_leaves_an_apology() -> None:
    report = call(Application(pages={"/voice": "<Response><Say>"}), Script())
    assert report.ended_by == "application_error"
    assert report.says_heard == ["We are sorry, an application error has occurred. Goodbye."]
    assert report.warnings[0].name == "12100"


def test_a_slow_answer_is_given_up_after_fifteen_seconds() -> None:
    report = call(Application(delays_s={"/voice": 60.0}), Script())
    assert report.ended_by == "application_error"
    assert report.warnings[0].name == "11205"


def test_a_retry_asked_for_by_the_url_repeats_the_idempotency_token() -> None:
    application = Application(statuses={"/voice": [503, 503]})
    report = call(application, Script([HangUp()]), voice_url=f"{ORIGIN}/voice#rc=2&rp=5xx")
    assert len(application.forms("/voice")) == 3
    assert len(set(application.tokens[:3])) == 1
    assert report.outcome == "completed"


def test_the_time_limit_ends_a_call() -> None:
    report = call(Application(), Script([Pause(100.0)]), time_limit_s=10.0)
    assert (report.ended_by, round(report.duration_s)) == ("time_limit", 10)


def test_webhooks_can_be_fetched_by_get() -> None:
    twiml = f'<Response><Redirect method="GET">{ORIGIN}/after?x=1</Redirect></Response>'
    application = Application(pages={"/voice": twiml, "/after": GOODBYE})
    report = call(application, Script([Pause(60.0)]))
    assert application.forms("/after")[0]["x"] == "1"
    assert report.says_heard == ["Goodbye."]


def test_two_runs_with_one_seed_are_the_same() -> None:
    script = Script([Say(SPEECH), Wait("agent_done"), HangUp()])
    line = LineModel(uplink_ms=40, downlink_ms=60, jitter_ms=30)
    first, second = (call(Application(echo), script, line=line) for _ in range(2))
    assert first == second


def test_stream_urls_must_be_secure() -> None:
    application = Application(pages={"/voice": STREAM.replace("wss:", "ws:"), "/after": GOODBYE})
    report = call(application, Script())
    assert report.warnings[0].name == "31922"
    assert report.says_heard == ["Goodbye."]


def test_a_live_call_can_be_watched_and_ended_from_outside() -> None:
    async def main() -> CallReport:
        async with network(Application(greet)) as twilio:
            offer = plan(Script([Pause(60.0)]))
            live = twilio.offer(offer)
            async with asyncio.TaskGroup() as group:
                task = group.create_task(live.inbound(offer))
                await asyncio.sleep(1.0)
                assert live.report.media.first_audio_s is not None
                live.hang_up("operator")
            return task.result()

    report = run(main())
    assert (report.ended_by, round(report.duration_s)) == ("operator", 1)


def test_the_figures_are_json_and_the_wav_has_two_channels() -> None:
    report = call(Application(greet), Script([Wait("agent_done"), Say(SPEECH), HangUp()]))
    figures = json.loads(json.dumps(report.figures()))
    assert (figures["heard_s"], figures["frames_dropped"], figures["measurement_is_reliable"]) == (1.0, 0, True)
    wav = report.wav()
    assert struct.unpack("<4sI4s4sIHHII", wav[:32]) == (b"RIFF", len(wav) - 8, b"WAVE", b"fmt ", 18, 7, 2, 8000, 16000)
    assert wav.index(b"data") + 8 + len(report.two_channels()) == len(wav)
    assert report.webhooks[0].detail == "200, 0 ms"
