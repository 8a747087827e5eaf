"""The REST stand-in on the virtual clock."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from gateway.simulator.asgi import AsgiHost
from gateway.simulator.carrier import (
    CallbackFaults,
    Callee,
    CallReport,
    HangUp,
    Pause,
    Script,
    TwilioNetwork,
    TwilioRest,
)
from tests.clock import run
from tests.simulator.carrier.application import ACCOUNT, GOODBYE, ORIGIN, TOKEN, Application, Peer, network

CALLS = f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Calls.json"
ORDER: Mapping[str, Any] = {
    "To": "+14155550123",
    "From": "+14155550199",
    "Url": f"{ORIGIN}/voice",
    "StatusCallback": f"{ORIGIN}/status",
    "StatusCallbackEvent": ["initiated", "ringing", "answered", "completed"],
}
TALK = Callee(script=Script([Pause(5.0), HangUp()]))


class Desk:
    """A REST client together with the network behind it."""

    def __init__(self, http: httpx2.AsyncClient, twilio: TwilioNetwork, api: TwilioRest) -> None:
        self.http = http
        self.api = api
        self.twilio = twilio

    async def create(self, **fields: Any) -> httpx2.Response:
        return await self.http.post(CALLS, data={**ORDER, **fields})

    async def update(self, sid: str, **fields: str) -> httpx2.Response:
        return await self.http.post(CALLS.replace(".json", f"/{sid}.json"), data=fields)

    async def ended(self, sid: str) -> CallReport:
        return await self.twilio.calls[sid].finished()


async def passing(seconds: float) -> None:
    """Let virtual time pass."""
    await asyncio.sleep(seconds)


@asynccontextmanager
async def desk(
    application: Application, callee: Callee = TALK, faults: CallbackFaults | None = None, limit: int | None = None
) -> AsyncIterator[Desk]:
    async with network(application, faults=faults) as twilio:
        rest = TwilioRest(twilio, lambda _: callee, calls_per_s=limit)
        async with AsgiHost(rest.app) as host, host.http() as http:
            http.auth = httpx2.BasicAuth(ACCOUNT, TOKEN)
            yield Desk(http, twilio, rest)


def placed(application: Application, callee: Callee = TALK, **more: Any) -> CallReport:
    faults = more.pop("faults", None)

    async def main() -> CallReport:
        async with desk(application, callee, faults) as rest:
            answer = await rest.create(**more)
            assert (answer.status_code, answer.json()["status"]) == (201, "queued")
            return await rest.ended(answer.json()["sid"])

    return run(main())


def progress(application: Application) -> list[tuple[str, str]]:
    return [(form["SequenceNumber"], form["CallStatus"]) for form in application.forms("/status")]


def test_an_answered_call_fetches_its_url_and_reports_its_progress() -> None:
    application = Application()
    report = placed(application)
    assert (report.outcome, report.ended_by) == ("completed", "caller")
    voice = application.forms("/voice")[0]
    assert (voice["CallStatus"], voice["Direction"]) == ("in-progress", "outbound-api")
    assert progress(application) == [("0", "initiated"), ("1", "ringing"), ("2", "in-progress"), ("3", "completed")]
    assert application.forms("/status")[-1]["CallDuration"] == "5"


def test_only_completed_is_reported_unless_more_is_asked_for() -> None:
    application = Application()
    placed(application, StatusCallbackEvent=[])
    assert progress(application) == [("0", "completed")]


def test_swapped_callbacks_keep_their_sequence_numbers() -> None:
    application = Application()
    placed(application, faults=CallbackFaults(swap=True))
    assert [number for number, _ in progress(application)] == ["1", "0", "3", "2"]


def test_a_busy_line_ends_as_busy() -> None:
    application = Application()
    report = placed(application, Callee(outcome="busy"))
    assert report.outcome == "busy"
    assert progress(application)[-1] == ("2", "busy")
    assert application.forms("/voice") == []


def test_nobody_answers_within_the_timeout() -> None:
    application = Application()
    assert placed(application, Callee(ring_s=31), Timeout="30").outcome == "no-answer"
    assert progress(application)[-1] == ("2", "no-answer")


def test_a_failed_call_never_rings() -> None:
    application = Application()
    assert placed(application, Callee(outcome="failed")).outcome == "failed"
    assert progress(application) == [("0", "initiated"), ("1", "failed")]


def test_twiml_can_be_given_in_place_of_a_url() -> None:
    report = placed(Application(), Url="", Twiml=GOODBYE)
    assert report.says_heard == ["Goodbye."]


def test_machine_detection_calls_back() -> None:
    application = Application()
    amd = {"MachineDetection": "Enable", "AsyncAmd": "true", "AsyncAmdStatusCallback": f"{ORIGIN}/amd"}
    placed(application, Callee(answered_by="machine_start", script=TALK.script), **amd)
    assert application.forms("/amd")[0]["AnsweredBy"] == "machine_start"


def test_hanging_up_ends_the_stream_and_a_second_time_is_not_found() -> None:
    application = Application()

    async def main() -> CallReport:
        async with desk(application, Callee(script=Script([Pause(60.0)]))) as rest:
            sid = (await rest.create()).json()["sid"]
            await passing(5.0)
            assert (await rest.update(sid, Status="completed")).status_code == 200
            report = await rest.ended(sid)
            again = await rest.update(sid, Status="completed")
            assert (again.status_code, again.json()["code"]) == (404, 20404)
            return report

    report = run(main())
    assert (report.outcome, report.ended_by) == ("completed", "rest")
    events = [form["StreamEvent"] for form in application.forms("/stream-status")]
    assert events == ["stream-started", "stream-stopped"]


def test_a_redirect_replaces_what_the_call_does() -> None:
    async def main() -> list[CallReport]:
        reports = []
        async with desk(Application(), Callee(script=Script([Pause(60.0)]))) as rest:
            for change in ({"Twiml": GOODBYE}, {"Url": f"{ORIGIN}/after"}):
                sid = (await rest.create()).json()["sid"]
                await passing(5.0)
                assert (await rest.update(sid, **change)).json()["status"] == "in-progress"
                reports.append(await rest.ended(sid))
        return reports

    for report in run(main()):
        assert report.says_heard == ["Goodbye."]
        assert report.ended_by == "twiml"


def test_a_redirect_stops_the_stream_and_closes_its_socket_before_the_new_document_runs() -> None:
    events: list[tuple[str, float]] = []

    async def listen(peer: Peer) -> None:
        loop = asyncio.get_running_loop()
        await peer.until("start")
        await peer.play(b"\1" * 80_000)
        await peer.until("stop")
        events.append(("stop", loop.time()))
        try:
            await peer.receive()
        finally:
            events.append(("closed", loop.time()))

    async def main() -> CallReport:
        async with desk(Application(listen), Callee(script=Script([Pause(60.0)]))) as rest:
            sid = (await rest.create()).json()["sid"]
            await passing(5.0)
            events.append(("redirect", asyncio.get_running_loop().time()))
            await rest.update(sid, Twiml=GOODBYE)
            return await rest.ended(sid)

    report = run(main())
    assert [name for name, _ in events] == ["redirect", "stop", "closed"]
    assert events[-1][1] - events[0][1] < 0.05
    (stream,) = report.media.streams
    assert stream.closed_s == pytest.approx(4.0, abs=0.05)
    assert stream.runs[-1].end_s <= 4.05
    assert report.spoken[0].start_s >= (stream.closed_s or 0)


def test_a_ringing_call_can_be_canceled() -> None:
    async def main() -> CallReport:
        async with desk(Application(), Callee(ring_s=20)) as rest:
            sid = (await rest.create()).json()["sid"]
            await passing(2.0)
            await rest.update(sid, Status="canceled")
            return await rest.ended(sid)

    assert run(main()).outcome == "canceled"


def test_orders_are_checked() -> None:
    async def main() -> None:
        wrong = [
            ({"To": ""}, 21201),
            ({"From": ""}, 21213),
            ({"To": "555"}, 21211),
            ({"From": "nobody"}, 21212),
            ({"Url": ""}, 21205),
            ({"Url": "ftp://x"}, 21205),
            ({"StatusCallbackEvent": "finished"}, 21626),
            ({"Timeout": "0"}, 20001),
        ]
        async with desk(Application()) as rest:
            for fields, code in wrong:
                answer = await rest.create(**fields)
                assert (answer.status_code, answer.json()["code"]) == (400, code)
                assert answer.json()["status"] == 400
            assert rest.twilio.calls == {}

    run(main())


def test_credentials_are_checked() -> None:
    async def main() -> None:
        async with desk(Application()) as rest:
            account = CALLS.replace("/Calls.json", ".json")
            assert (await rest.http.get(account)).json()["status"] == "active"
            answer = await rest.http.get(account, auth=httpx2.BasicAuth(ACCOUNT, "wrong"))
            assert (answer.status_code, answer.json()["code"]) == (401, 20003)
            other = await rest.http.get(account.replace(ACCOUNT, "AC2"))
            assert (other.status_code, other.json()["code"]) == (404, 20404)

    run(main())


def test_too_many_calls_a_second_are_refused() -> None:
    async def main() -> None:
        async with desk(Application(), limit=1) as rest:
            assert (await rest.create()).status_code == 201
            answer = await rest.create()
            assert (answer.status_code, answer.json()["code"]) == (429, 20429)
            await passing(1.0)
            assert (await rest.create()).status_code == 201

    run(main())


def test_calls_are_listed_by_number() -> None:
    async def main() -> None:
        async with desk(Application(), Callee(outcome="busy")) as rest:
            await rest.create()
            sid = (await rest.create(To="+14155550124")).json()["sid"]
            await rest.ended(sid)
            found = (await rest.http.get(CALLS, params={"To": "+14155550124"})).json()["calls"]
            assert [(call["sid"], call["status"]) for call in found] == [(sid, "busy")]

    run(main())


def test_a_long_list_comes_in_pages() -> None:
    async def main() -> None:
        async with desk(Application(), Callee(outcome="failed")) as rest:
            placed = [(await rest.create()).json()["sid"] for _ in range(5)]
            seen, uri = [], "/2010-04-01/Accounts/AC00000000000000000000000000000001/Calls.json?PageSize=2"
            while uri:
                page = (await rest.http.get(f"https://api.twilio.com{uri}")).json()
                seen += [call["sid"] for call in page["calls"]]
                uri = page["next_page_uri"]
            assert seen == placed[::-1]
            refused = await rest.http.get(CALLS, params={"StartTime>": "2026-01-01"})
            assert (refused.status_code, refused.json()["code"]) == (400, 20001)

    run(main())


def test_a_creation_can_fail_before_or_after_the_call_was_placed() -> None:
    async def main() -> list[int]:
        async with desk(Application()) as rest:
            counts = []
            for created in (False, True):
                rest.api.fail_next(500, 20500, created=created)
                answer = await rest.create()
                assert (answer.status_code, answer.json()["code"]) == (500, 20500)
                counts.append(len(rest.twilio.calls))
            assert (await rest.create()).status_code == 201
            return counts

    assert run(main()) == [0, 1]
