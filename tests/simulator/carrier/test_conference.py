"""Conferences: a caller on hold, a party called by REST, and the two brought together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from gateway.simulator.asgi import AsgiHost
from gateway.simulator.carrier import CallReport, HangUp, Party, Script, TwilioNetwork, TwilioRest, Wait, parties, tone
from tests.clock import run
from tests.simulator.carrier.application import ACCOUNT, GOODBYE, ORIGIN, TOKEN, Application, network, plan
from tests.simulator.carrier.test_rest import CALLS, passing
from tests.simulator.carrier.test_transfer import ACCEPT

HUMAN = "+14155550150"
ROOM = (
    '<Response><Dial action="/after"><Conference endConferenceOnExit="true" statusCallback="/room"'
    ' statusCallbackEvent="start end join leave">room1</Conference></Dial></Response>'
)
ENTER = "<Response><Dial><Conference>room1</Conference></Dial></Response>"
EVENTS = ["initiated", "ringing", "answered", "completed"]


class Desk:
    """A caller in the room and a REST client."""

    def __init__(self, twilio: TwilioNetwork, http: httpx2.AsyncClient, group: asyncio.TaskGroup) -> None:
        self.twilio = twilio
        self._http = http
        self._group = group

    def caller(self, script: Script) -> asyncio.Task[CallReport]:
        return self._group.create_task(self.twilio.call(plan(script)))

    async def summon(self, **fields: Any) -> str:
        """Call the human; return the SID."""
        form = {"To": HUMAN, "From": "+14155550199", "StatusCallback": f"{ORIGIN}/status-of-human"}
        form |= {"Url": f"{ORIGIN}/brief", "Timeout": "20"} | {"StatusCallbackEvent": EVENTS} | fields
        answer = await self._http.post(CALLS, data=form)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["sid"])

    async def update(self, sid: str, **fields: str) -> int:
        return (await self._http.post(CALLS.replace(".json", f"/{sid}.json"), data=fields)).status_code

    async def ended(self, sid: str) -> CallReport:
        return await self.twilio.calls[sid].finished()


@asynccontextmanager
async def desk(application: Application, *people: Party) -> AsyncIterator[Desk]:
    async with network(application, parties=people) as twilio:
        async with AsgiHost(TwilioRest(twilio).app) as host, host.http() as http, asyncio.TaskGroup() as group:
            http.auth = httpx2.BasicAuth(ACCOUNT, TOKEN)
            yield Desk(twilio, http, group)


def application(**pages: str) -> Application:
    standard = {"/voice": ROOM, "/after": GOODBYE, "/brief": ACCEPT, "/accepted": ENTER}
    return Application(pages={**standard, **{f"/{name}": page for name, page in pages.items()}})


def warm(app: Application, human: Party, script: Script | None = None) -> tuple[CallReport, CallReport]:
    """Let a caller wait in the room while the human is called; return both reports."""

    async def main() -> tuple[CallReport, CallReport]:
        async with desk(app, human) as rest:
            caller = rest.caller(script or Script([], stay_s=60))
            await passing(1.0)
            sid = await rest.summon()
            report = await rest.ended(sid)
            return await caller, report

    return run(main())


def spans(report: CallReport) -> list[tuple[str, float]]:
    return [(sound.kind, round((sound.end_s or report.duration_s) - sound.start_s, 1)) for sound in report.sounds]


def test_a_human_who_accepts_is_bridged_with_the_caller_who_heard_music_until_then() -> None:
    app = application()
    caller, human = warm(app, Party(HUMAN, parties.presses("1", ring_s=3, talk_s=10)), Script([], stay_s=17))
    assert [form["CallStatus"] for form in app.forms("/status-of-human")] == [
        "initiated",
        "ringing",
        "in-progress",
        "completed",
    ]
    assert [kind for kind, _ in spans(caller)] == ["wait", "bridged"]
    assert caller.bridges[0].other_sid == human.call_sid
    assert human.bridges[0].other_sid == caller.call_sid
    assert caller.bridges[0].end_s == pytest.approx(human.bridges[0].end_s or 0) or caller.bridges[0].end_s
    # The human hung up first and did not end the conference: the caller stays alone, in silence.
    ((start, end),) = caller.deaf_times(0.5)
    assert start == caller.bridges[0].end_s
    assert end == caller.duration_s == 17.0


def test_the_conference_ends_for_all_when_a_member_who_ends_it_leaves() -> None:
    app = application()
    script = Script([Wait("bridged"), Wait("agent_done", within_s=4)])
    caller, human = warm(app, Party(HUMAN, parties.presses("1", talk_s=60)), script)
    assert caller.ended_by == "caller"
    assert human.ended_by == "end_of_twiml"
    events = [form["StatusCallbackEvent"] for form in app.forms("/room")]
    assert events == [
        "participant-join",
        "participant-join",
        "conference-start",
        "participant-leave",
        "conference-end",
        "participant-leave",
    ]
    assert len({form["ConferenceSid"] for form in app.forms("/room")}) == 1
    assert app.forms("/room")[-2]["CallSidEndingConference"] == caller.call_sid


def test_the_caller_goes_on_with_the_action_when_the_human_ends_the_conference() -> None:
    enter = '<Response><Dial><Conference endConferenceOnExit="true">room1</Conference></Dial></Response>'
    app = application(accepted=enter)
    caller, _ = warm(app, Party(HUMAN, parties.presses("1", talk_s=5)))
    (after,) = app.forms("/after")
    assert after["DialCallStatus"] == "answered"
    assert caller.says_heard == ["Goodbye."]
    assert caller.deaf_times(0.1) == []


@pytest.mark.parametrize(
    ("human", "outcome"),
    [
        (parties.busy(), "busy"),
        (parties.silent(), "no-answer"),
        (parties.unreachable(), "failed"),
        (parties.presses("9"), "completed"),
        (parties.hangs_up(after_s=0.5), "completed"),
        (parties.machine(tone(440, 8000)), "completed"),
    ],
)
def test_a_human_who_does_not_come_leaves_the_caller_with_music_until_redirected(human: Any, outcome: str) -> None:
    app = application(accepted="<Response><Hangup/></Response>")

    async def main() -> tuple[CallReport, CallReport]:
        async with desk(app, Party(HUMAN, human)) as rest:
            caller = rest.caller(Script([], stay_s=120))
            await passing(1.0)
            report = await rest.ended(await rest.summon())
            (waiting,) = [call for call in rest.twilio.calls.values() if call.facts.direction == "inbound"]
            assert await rest.update(waiting.facts.call_sid, Twiml=GOODBYE) == 200
            return await caller, report

    caller, report = run(main())
    assert report.outcome == app.forms("/status-of-human")[-1]["CallStatus"] == outcome
    assert caller.bridges == []
    assert caller.deaf_times(0.1) == []
    assert caller.says_heard == ["Goodbye."]
    assert app.forms("/after") == []


def test_somebody_alone_in_a_room_with_an_empty_wait_url_hears_nothing() -> None:
    room = ROOM.replace("<Conference ", '<Conference waitUrl="" ')
    caller, _ = warm(application(voice=room), Party(HUMAN, parties.busy()), Script([], stay_s=9))
    assert caller.deaf_times() == [(0.0, 9.0)]


def test_the_wait_url_is_played_over_and_over() -> None:
    room = ROOM.replace("<Conference ", '<Conference waitUrl="/hold" ')
    hold = "<Response><Say>Please hold the line.</Say><Play>/music.wav</Play><Pause length='3'/></Response>"
    app = application(voice=room, hold=hold)
    caller, _ = warm(app, Party(HUMAN, parties.busy()), Script([], stay_s=20))
    assert len(app.forms("/hold")) == 4
    assert caller.says_heard.count("Please hold the line.") == 4
    assert [round(end - start, 2) for start, end in caller.deaf_times()] == [3.0, 3.0, 3.0]


def test_a_wait_url_that_does_nothing_is_not_asked_without_end() -> None:
    app = application(voice=ROOM.replace("<Conference ", '<Conference waitUrl="/hold" '), hold="<Response/>")
    caller, _ = warm(app, Party(HUMAN, parties.busy()), Script([], stay_s=10))
    assert len(app.forms("/hold")) <= 21
    assert caller.deaf_times() == [(0.0, 10.0)]


def test_nobody_is_heard_before_a_member_starts_the_conference() -> None:
    quiet = ENTER.replace("<Conference>", '<Conference startConferenceOnEnter="false">')
    waits = ROOM.replace("<Conference ", '<Conference startConferenceOnEnter="false" ')
    app = application(voice=waits, accepted=quiet)
    caller, human = warm(app, Party(HUMAN, parties.presses("1", talk_s=6)), Script([], stay_s=15))
    assert caller.bridges == human.bridges == []
    assert [kind for kind, _ in spans(human)] == ["wait"]


def test_a_ringing_leg_can_be_canceled_and_a_live_one_completed() -> None:
    app = application()

    async def main() -> list[CallReport]:
        reports = []
        async with desk(app, Party(HUMAN, parties.answers(ring_s=5, talk_s=60))) as rest:
            for wait_s, status in ((2.0, "canceled"), (2.0, "completed"), (7.0, "completed")):
                sid = await rest.summon(Twiml=ENTER, Url="")
                await passing(wait_s)
                assert await rest.update(sid, Status=status) == 200
                reports.append(await rest.ended(sid))
        return reports

    reports = run(main())
    assert [(report.outcome, report.ended_by) for report in reports] == [
        ("canceled", "rest"),
        ("canceled", "rest"),
        ("completed", "rest"),
    ]


def test_a_new_room_is_made_when_the_last_is_over() -> None:
    app = application()

    async def main() -> None:
        async with desk(app) as rest:
            for _ in range(2):
                await rest.caller(Script([], stay_s=3))

    run(main())
    assert len({form["ConferenceSid"] for form in app.forms("/room")}) == 2


def test_a_caller_who_hangs_up_while_the_human_rings_leaves_an_empty_room() -> None:
    app = application()
    human = Party(HUMAN, parties.presses("1", ring_s=10, talk_s=5))
    caller, report = warm(app, human, Script([Wait("ringing"), HangUp()]))
    assert caller.duration_s < 1
    assert report.bridges == []
    assert [kind for kind, _ in spans(report)] == ["wait"]
