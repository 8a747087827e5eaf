"""`streamdouble`, a Media Streams simulator of somebody else's, completes calls against a real gateway over loopback.

It signs nothing, so the gateway runs as a developer runs it: unsigned webhooks allowed, public origin on loopback.
The stream's token comes from the webhook, as Twilio gets it.
"""

import asyncio
import signal
from pathlib import Path
from xml.etree import ElementTree

import httpx2
import pytest
from streamdouble.protocol import StreamIdentity
from streamdouble.scenario import Expect, Hangup, Say, Scenario, Step, Wait, WaitFor
from streamdouble.session import Session, SessionConfig, SessionResult

from gateway.simulator.carrier import tone
from gateway.simulator.model import ModelServer, ScriptedEngine, SessionRecord, parse_scenario
from gateway.simulator.model.scripted import babble
from gateway.store.rows import StoredCall
from tests.gateway_process import NUMBER, Served, serving

pytestmark = pytest.mark.e2e
LIMIT_S = 120
GREETING, ANSWER = "Hello, this is Acme.", "It was sent on Monday."
LONG_GREETING = "Hello, this is Acme, and we have so very much to tell you about all of our products."
SCENARIO = parse_scenario(f"turns: [{{heard: where is my order, say: '{ANSWER}'}}]\n")
FRAME = 160


def spoken(ms: int) -> Say:
    audio = tone(300, ms)
    return Say(Path("tone"), [audio[at : at + FRAME] for at in range(0, len(audio), FRAME)])


async def offer(served: Served, identity: StreamIdentity) -> tuple[str, dict[str, str]]:
    """Offer the call by webhook; return the stream's address and parameters from the TwiML."""
    form = {
        "CallSid": identity.call_sid,
        "AccountSid": identity.account_sid,
        "From": "+14155550101",
        "To": NUMBER,
        "CallStatus": "ringing",
        "Direction": "inbound",
    }
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.post(f"{served.origin}/twilio/voice", data=form)
    stream = ElementTree.fromstring(answer.text).find("Connect/Stream")
    assert stream is not None
    return stream.attrib["url"], {one.attrib["name"]: one.attrib["value"] for one in stream.iter("Parameter")}


async def call(
    folder: Path, steps: list[Step], greeting: str = GREETING
) -> tuple[SessionResult, SessionRecord, StoredCall]:
    """Hold one call by the steps; return what streamdouble and the model saw, and the gateway's record."""
    agents = f'agents: {{one: {{default: true, instructions: Help., greeting: "{greeting}"}}}}\n'
    identity = StreamIdentity()
    async with asyncio.timeout(LIMIT_S), ModelServer(ScriptedEngine(SCENARIO)) as model:
        settings = {"GATEWAY_MODEL_URL": model.url, "GATEWAY_ALLOW_UNSIGNED": "true"}
        async with serving(folder, settings, agents) as served:
            url, parameters = await offer(served, identity)
            config = SessionConfig(custom_parameters=parameters, quiet_period_s=1.0)
            session = Session(url, scenario=Scenario("test", steps), config=config, identity=identity)
            result = await session.run()
            served.process.send_signal(signal.SIGTERM)
            assert await served.exit_code() == 0
            (record,) = await served.calls()
        assert model.open_sessions == 0
        (seen,) = model.sessions
    return result, seen, record


def assert_clean(result: SessionResult) -> None:
    assert (result.violations, result.unknown_events, result.warnings) == ([], [], [])
    assert result.failed_expectations == []
    assert not result.timed_out


def test_a_whole_call_is_heard_byte_for_byte(tmp_path: Path) -> None:
    steps: list[Step] = [WaitFor("audio"), WaitFor("quiet"), spoken(800), Wait(3.0)]
    result, seen, record = asyncio.run(call(tmp_path, steps))
    assert_clean(result)
    assert result.audio_received == babble(GREETING) + babble(ANSWER)
    assert result.clears_received == 0
    assert result.marks_received and result.marks_echoed == result.marks_received
    assert (record.end_reason, record.carrier_call_id) == ("caller_hangup", result.identity.call_sid)
    assert list(seen.heard.values()) == ["where is my order"]


def test_a_barge_in_clears_and_truncates_what_was_not_heard(tmp_path: Path) -> None:
    steps: list[Step] = [WaitFor("audio"), Wait(1.0), spoken(800), WaitFor("clear"), Expect("clear"), Wait(3.0)]
    result, seen, record = asyncio.run(call(tmp_path, steps, LONG_GREETING))
    assert_clean(result)
    assert result.clears_received == 1
    assert result.audio_received.endswith(babble(ANSWER))
    assert len(result.audio_received) < len(babble(LONG_GREETING) + babble(ANSWER))
    (cut,) = seen.truncations
    assert cut.accepted and 1000 <= cut.audio_end_ms < len(babble(LONG_GREETING)) // 8
    assert record.end_reason == "caller_hangup"


def test_a_stream_that_breaks_off_has_a_record_that_says_so(tmp_path: Path) -> None:
    result, _, record = asyncio.run(call(tmp_path, [WaitFor("audio"), Wait(0.5), Hangup()]))
    assert_clean(result)
    assert record.end_reason == "leg_lost"
