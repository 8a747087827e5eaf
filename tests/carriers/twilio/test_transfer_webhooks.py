"""Transfer webhooks that come late, twice, in the wrong order or from nobody, and sockets that linger."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest

from gateway.core.events import OperatorAsked
from gateway.core.operator import AskTransfer
from gateway.simulator.carrier import twiml
from gateway.simulator.world import CALLER, PUBLIC
from tests.carriers.twilio.stage import HUMAN, SID, Stage, agents, stage, token_of
from tests.clock import run
from tests.faults.calls import until
from tests.faults.ends import Stream

pytestmark = pytest.mark.usefixtures("no_errors_logged")

CHILD, LEG = "CA" + "c" * 32, "CA" + "e" * 32
DONE: tuple[int, dict[str, object]] = (200, {"sid": SID, "status": "in-progress"})
CREATED: tuple[int, dict[str, object]] = (201, {"sid": LEG, "status": "queued"})
BUSY = {"CallStatus": "in-progress", "DialCallStatus": "busy"}
TONE = base64.b64encode(b"\x9a" * 160).decode()


class Caller:
    """One call in the hands of a test, its transfer under way."""

    def __init__(self, stage: Stage, stream: Stream) -> None:
        self.stage = stage
        self.stream = stream

    @property
    def phase(self) -> str:
        (session,) = self.stage.gateway.registry.sessions()
        return session.call.phase.value

    @property
    def urls(self) -> list[str]:
        """Path and query of every webhook that the last document names."""
        document = next(form["Twiml"] for _, form in reversed(self.stage.rest.seen) if "Twiml" in form)
        words = document.replace("&amp;", "&").replace(">", '"').replace("<", '"').split('"')
        found = [word.removeprefix(PUBLIC) for word in words if word.startswith(PUBLIC)]
        return found + [
            form["StatusCallback"].removeprefix(PUBLIC)
            for _, form in reversed(self.stage.rest.seen)
            if "StatusCallback" in form
        ]

    def url(self, path: str) -> str:
        return next(url for url in self.urls if urlsplit(url).path == f"/twilio/{path}")

    async def reply(self, path: str, **form: str) -> httpx2.Response:
        """Send the webhook as Twilio would."""
        reply = await self.stage.webhook(self.url(path), form)
        assert reply.status_code in (200, 204)
        return reply

    async def asks(self, path: str, **form: str) -> list[twiml.Verb]:
        """Send the webhook and return the verbs of its answer."""
        reply = await self.reply(path, **form)
        return list(twiml.parse_twiml(reply.content).verbs) if reply.status_code == 200 else []


def with_transfer(mode: str, test: Callable[[Caller], Awaitable[None]], rest: int = 1) -> Stage:
    """Run a test once an operator has asked for the transfer and Twilio has taken the request."""

    async def main() -> Stage:
        async with stage(agents(mode), []) as s:
            s.rest.answers = [DONE if mode == "blind" else CREATED] * rest
            stream = await s.stream(await s.webhook("/twilio/voice"))
            await asyncio.sleep(3)
            (session,) = s.gateway.registry.sessions()
            assert session.operate(OperatorAsked("c1", "ops", AskTransfer("sales"))) == "done"
            await until(lambda: bool(s.rest.seen))
            await asyncio.sleep(0.5)
            await test(Caller(s, stream))
            await s.webhook("/twilio/status", {"CallStatus": "completed"})
            await s.settled()
            return s

    return run(main())


# --- who is believed ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/twilio/transferred", "/twilio/transfer/status", "/twilio/transfer/key"])
def test_what_is_not_signed_is_refused(path: str) -> None:
    async def main() -> None:
        async with stage(agents("warm"), []) as s:
            assert (await s.webhook(path, BUSY, signed_for="https://elsewhere.example.com" + path)).status_code == 403
            assert (await s.http.post(PUBLIC + path, data=BUSY)).status_code == 403

    run(main())


@pytest.mark.parametrize("ticket", ["", "?ticket=", "?ticket=" + "a" * 32, "?ticket=" + "x" * 5000, "?ticket=%00"])
def test_a_ticket_that_nobody_has_means_nothing(ticket: str) -> None:
    async def main() -> None:
        async with stage(agents("warm"), []) as s:
            status = await s.webhook(f"/twilio/transfer/status{ticket}", {"CallStatus": "in-progress"})
            assert status.status_code == 204
            key = await s.webhook(f"/twilio/transfer/key{ticket}", {"Digits": "1"})
            assert "no longer on the line" in key.text and "<Hangup" in key.text
            lost = await s.webhook(f"/twilio/transferred{ticket}", BUSY)
            (again,) = twiml.parse_twiml(lost.content).verbs
            assert isinstance(again, twiml.Redirect) and again.url == f"{PUBLIC}/twilio/voice?again=1"
            over = await s.webhook(f"/twilio/transferred{ticket}", {"DialCallStatus": "completed"})
            assert "<Hangup" in over.text
            assert s.rest.seen == []

    run(main())


def test_no_webhook_names_a_number() -> None:
    async def test(caller: Caller) -> None:
        for url in caller.urls:
            assert HUMAN.strip("+") not in url and CALLER.strip("+") not in url
            assert all(name == "ticket" and len(value) == 32 for name, value in parse_qsl(urlsplit(url).query))

    with_transfer("blind", test)
    with_transfer("warm", test)


# --- blind ----------------------------------------------------------------------------------------


def test_a_caller_comes_back_although_the_old_socket_lingers() -> None:
    async def test(caller: Caller) -> None:
        assert caller.phase == "transferring"
        old = caller.stream
        new = await caller.stage.stream(await caller.reply("transferred", **BUSY))
        assert (await old.closed(1)).code == 1000
        await new.audio(50, TONE)
        assert caller.phase == "active"
        await new.send({"event": "stop"})

    s = with_transfer("blind", test)
    assert s.states == ["asked", "busy"]
    assert s.record.end_reason == "caller_hangup"
    # What the caller said, once; beside it only the silence that stands for streams which send nothing.
    assert s.session.received.sound.sounding_ms == 1000


def test_the_answer_to_a_repeated_request_is_the_same_until_the_caller_is_back() -> None:
    async def test(caller: Caller) -> None:
        first = await caller.reply("transferred", **BUSY)
        assert token_of(await caller.reply("transferred", **BUSY)) == token_of(first)
        new = await caller.stage.stream(first)
        await new.audio(10)
        for form in (BUSY, {"CallStatus": "in-progress", "DialCallStatus": "no-answer"}):
            (again,) = await caller.asks("transferred", **form)
            assert isinstance(again, twiml.Redirect)
        await caller.asks("transfer/status", CallSid=CHILD, CallStatus="in-progress")
        await new.audio(10)
        assert caller.phase == "active"

    assert with_transfer("blind", test).states == ["asked", "busy"]


def test_an_answer_that_is_only_told_by_what_follows_it_ends_the_record() -> None:
    async def test(caller: Caller) -> None:
        for _ in range(2):
            (hangup,) = await caller.asks("transferred", CallStatus="in-progress", DialCallStatus="completed")
            assert isinstance(hangup, twiml.Hangup)
            await caller.asks("transfer/status", CallSid=CHILD, CallStatus="in-progress")

    s = with_transfer("blind", test)
    assert (s.record.end_reason, s.states) == ("transferred", ["asked", "answered"])


def test_a_caller_who_comes_back_when_the_record_has_been_closed_hears_an_apology() -> None:
    async def test(caller: Caller) -> None:
        await caller.stream.send({"event": "stop"})
        await until(lambda: not caller.stage.gateway.registry.live, 60)
        (say, *_) = await caller.asks("transferred", **BUSY)
        assert say == twiml.Say("Sorry. Please call later.")

    assert with_transfer("blind", test).record.end_reason == "transferred"


def test_an_action_request_for_a_caller_who_hung_up_ends_the_call() -> None:
    async def test(caller: Caller) -> None:
        (hangup,) = await caller.asks("transferred", CallStatus="completed", DialCallStatus="no-answer")
        assert isinstance(hangup, twiml.Hangup)
        await until(lambda: not caller.stage.gateway.registry.live)

    assert with_transfer("blind", test).record.end_reason == "caller_hangup"


def test_whoever_asks_what_follows_the_stream_during_a_transfer_gets_a_stream() -> None:
    async def test(caller: Caller) -> None:
        new = await caller.stage.stream(await caller.stage.webhook("/twilio/after?again=0"))
        await new.audio(10)
        assert caller.phase == "active"

    assert with_transfer("blind", test).states == ["asked", "failed"]


def test_a_call_that_begins_anew_during_a_transfer_ends_the_old_one() -> None:
    async def test(caller: Caller) -> None:
        reply = await caller.stage.webhook("/twilio/voice?again=1")
        assert "<Stream" in reply.text
        await until(lambda: caller.stage.gateway.registry.live == 1)

    s = with_transfer("blind", test)
    assert sorted(str(call.end_reason) for call in s.store.calls.values()) == ["caller_hangup", "leg_lost"]


# --- warm -----------------------------------------------------------------------------------------


async def answered(caller: Caller) -> None:
    for status in ("initiated", "ringing", "in-progress"):
        await caller.asks("transfer/status", CallSid=LEG, CallStatus=status)


def test_states_are_told_once_and_only_forward() -> None:
    async def test(caller: Caller) -> None:
        for status in ("in-progress", "ringing", "in-progress", "initiated", "ringing", "", "nonsense"):
            await caller.asks("transfer/status", CallSid=LEG, CallStatus=status)
        for status in ("no-answer", "completed", "busy", "in-progress"):
            await caller.asks("transfer/status", CallSid=LEG, CallStatus=status)

    assert with_transfer("warm", test, rest=2).states == ["asked", "answered", "no_answer"]


def test_a_key_pressed_twice_leads_to_the_same_room() -> None:
    async def test(caller: Caller) -> None:
        await answered(caller)
        caller.stage.rest.answers = [DONE]
        (dial, _) = await caller.asks("transfer/key", CallSid=LEG, Digits="1")
        (twice, _) = await caller.asks("transfer/key", CallSid=LEG, Digits="1")
        assert isinstance(dial, twiml.Dial) and dial.conference is not None
        assert twice == dial
        await asyncio.sleep(0.5)
        (form,) = caller.stage.forms(f"{SID}.json")
        assert f">{dial.conference.name}<" in form["Twiml"]
        assert len(dial.conference.name) >= 32

    s = with_transfer("warm", test)
    assert s.states == ["asked", "ringing", "answered", "accepted"]


@pytest.mark.parametrize("digits", ["2", "", "*", "11", "one"])
def test_another_key_refuses_and_no_later_key_helps(digits: str) -> None:
    async def test(caller: Caller) -> None:
        await answered(caller)
        verdict = await caller.asks("transfer/key", CallSid=LEG, Digits=digits)
        if digits == "11":  # only one key was asked for
            assert isinstance(verdict[0], twiml.Dial)
            return
        assert verdict == [twiml.Hangup()]
        assert await caller.asks("transfer/key", CallSid=LEG, Digits="1") == [twiml.Hangup()]

    s = with_transfer("warm", test, rest=3)
    assert s.states[-1] == ("accepted" if digits == "11" else "rejected")


def test_the_key_of_another_leg_is_nobodys() -> None:
    async def test(caller: Caller) -> None:
        await answered(caller)
        (say, _) = await caller.asks("transfer/key", CallSid=CHILD, Digits="1")
        assert isinstance(say, twiml.Say)

    assert "accepted" not in with_transfer("warm", test, rest=2).states


def test_a_human_who_presses_the_key_when_the_caller_has_gone_is_told_so() -> None:
    async def test(caller: Caller) -> None:
        await answered(caller)
        await caller.stream.send({"event": "stop"})
        await until(lambda: not caller.stage.gateway.registry.live)
        (say, _) = await caller.asks("transfer/key", CallSid=LEG, Digits="1")
        assert isinstance(say, twiml.Say) and "no longer" in say.text
        await asyncio.sleep(0.5)
        assert caller.stage.forms(f"{LEG}.json") == [{"Status": "completed"}]

    with_transfer("warm", test, rest=2)


def test_a_leg_that_was_created_although_the_api_failed_is_hung_up_by_its_first_callback() -> None:
    async def main() -> None:
        async with stage(agents("warm"), []) as s:
            s.rest.answers = [(500, {"code": 20500, "message": "lost", "status": 500}), DONE]
            stream = await s.stream(await s.webhook("/twilio/voice"))
            await asyncio.sleep(3)
            (session,) = s.gateway.registry.sessions()
            session.operate(OperatorAsked("c1", "ops", AskTransfer("sales")))
            await asyncio.sleep(1)
            caller = Caller(s, stream)
            await caller.asks("transfer/status", CallSid=LEG, CallStatus="ringing")
            await asyncio.sleep(1)
            assert s.forms(f"{LEG}.json") == [{"Status": "completed"}]
            assert s.states == ["asked", "failed"]
            await stream.send({"event": "stop"})
            await s.settled()

    run(main())
