"""Transfers in which everybody does anything at any time: what must hold all the same."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

import pytest

from gateway.simulator.carrier import Callee, CallReport, Party, Script, TwilioNetwork, parties, tone
from gateway.simulator.carrier.call import LiveCall
from tests.clock import run
from tests.simulator.carrier.application import GOODBYE, ORIGIN, Application
from tests.simulator.carrier.test_conference import HUMAN, ROOM, Desk, desk
from tests.simulator.carrier.test_rest import passing
from tests.simulator.carrier.test_transfer import ACCEPT, OTHER, dial, number

FINAL = ("completed", "busy", "no-answer", "failed", "canceled")
MORE_FOR_THE_CALLER = (GOODBYE, ROOM, dial(number(), 'timeout="6"'), '<Response><Play digits="12"/></Response>')


def somebody(rng: random.Random) -> Callee:
    ring_s = rng.choice((0.0, 1.0, rng.uniform(0, 12)))
    return rng.choice(
        (
            parties.answers(ring_s=ring_s, talk_s=rng.choice((0.0, rng.uniform(0, 20)))),
            parties.presses(rng.choice("12"), ring_s=ring_s, talk_s=rng.uniform(0, 20)),
            parties.hangs_up(after_s=rng.uniform(0, 4), ring_s=ring_s),
            parties.machine(tone(440, 2000), ring_s=ring_s, records_s=rng.uniform(1, 20)),
            parties.busy(after_s=ring_s),
            parties.silent(),
            parties.unreachable(),
        )
    )


async def meddle(rest: Desk, rng: random.Random) -> None:
    """Do to a random live call what REST can do, a few times."""
    for _ in range(rng.randrange(4)):
        await passing(rng.uniform(0, 8))
        live = [call for call in rest.twilio.calls.values() if not call.facts.ended]
        if not live:
            return
        call = rng.choice(live)
        change = rng.choice(({"Status": "completed"}, {"Twiml": rng.choice(MORE_FOR_THE_CALLER)}))
        assert await rest.update(call.facts.call_sid, **change) in (200, 400, 404)


def world(seed: int) -> tuple[dict[str, LiveCall], Application]:
    rng = random.Random(seed)
    accept = rng.choice(("<Response/>", "<Response><Hangup/></Response>", ROOM))
    voice = rng.choice((ROOM, dial(number(attributes='url="/brief"')), dial(number() + number(OTHER), 'timeout="8"')))
    app = Application(pages={"/voice": voice, "/after": GOODBYE, "/brief": ACCEPT, "/accepted": accept})
    people = [Party(HUMAN, somebody(rng)), Party(OTHER, somebody(rng))]

    async def main() -> TwilioNetwork:
        async with asyncio.timeout(3600), desk(app, *people) as rest:
            rest.caller(Script([], stay_s=40, hang_up_at_s=rng.choice((None, rng.uniform(0.1, 30)))))
            await passing(rng.uniform(0, 3))
            if rng.random() < 0.7:
                await rest.summon()
            await meddle(rest, rng)
            for call in list(rest.twilio.calls.values()):
                await call.finished()
            return rest.twilio

    return dict(run(main()).calls), app


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_calls_end_and_both_sides_tell_the_same(seed: int) -> None:
    calls, app = world(seed)
    reports = {sid: call.report for sid, call in calls.items()}
    for sid, call in calls.items():
        assert call.facts.status in FINAL
        assert call.report.outcome == call.facts.status
        assert (call.report.duration_s > 0) <= (call.report.outcome == "completed"), sid
    _callbacks_are_in_order(app)
    for report in reports.values():
        _sounds_follow_one_another(report)
        for bridge in report.bridges:
            assert bridge.end_s is not None
            back = [one for one in reports[bridge.other_sid].bridges if one.other_sid == report.call_sid]
            lengths = [round((one.end_s or 0.0) - one.start_s, 6) for one in back]
            assert round(bridge.end_s - bridge.start_s, 6) in lengths
    assert _forms(app) == _forms(world(seed)[1])


def _forms(app: Application) -> list[tuple[str, str, str]]:
    return [(path, form.get("CallSid", ""), form.get("CallStatus", "")) for path, form in app.requests]


def _callbacks_are_in_order(app: Application) -> None:
    seen: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for path in ("/leg", "/status-of-human"):
        for form in app.forms(path):
            seen[form["CallSid"]].append((int(form["SequenceNumber"]), form["CallStatus"]))
    for callbacks in seen.values():
        assert [number for number, _ in callbacks] == list(range(len(callbacks)))
        assert [status in FINAL for _, status in callbacks] == [False] * (len(callbacks) - 1) + [True]


def _sounds_follow_one_another(report: CallReport) -> None:
    ends: Iterable[tuple[float, float]] = [(one.start_s, one.end_s or one.start_s) for one in report.sounds]
    assert all(start <= end <= report.duration_s + 1e-6 for start, end in ends)
    assert all(before[1] <= after[0] + 1e-6 for before, after in pairwise(ends))


@pytest.mark.parametrize("change", [{"Status": "completed"}, {"Twiml": GOODBYE}])
def test_rest_can_end_or_redirect_a_leg_made_by_a_dial(change: dict[str, str]) -> None:
    app = Application(pages={"/voice": dial(number()), "/after": GOODBYE})

    async def main() -> tuple[CallReport, CallReport]:
        async with desk(app, Party(HUMAN, parties.answers(talk_s=60))) as rest:
            caller = rest.caller(Script([], stay_s=60))
            await passing(6.0)
            (child,) = [call for call in rest.twilio.calls.values() if call.facts.parent_sid]
            assert await rest.update(child.facts.call_sid, **change) == 200
            return await caller, await child.finished()

    caller, child = run(main())
    assert caller.bridges[0].end_s == pytest.approx(6.0)
    assert app.forms("/after")[0]["DialCallStatus"] == "completed"
    assert child.ended_by == ("rest" if "Status" in change else "twiml")
    assert child.says_heard == ([] if "Status" in change else ["Goodbye."])


def test_a_redirect_of_the_caller_gives_up_the_leg_that_rings() -> None:
    app = Application(pages={"/voice": dial(number()), "/after": GOODBYE, "/new": GOODBYE})

    async def main() -> tuple[CallReport, CallReport]:
        async with desk(app, Party(HUMAN, parties.silent())) as rest:
            caller = rest.caller(Script([], stay_s=60))
            await passing(3.0)
            first, child = rest.twilio.calls.values()
            assert await rest.update(first.facts.call_sid, Url=f"{ORIGIN}/new") == 200
            return await caller, await child.finished()

    caller, child = run(main())
    assert (child.outcome, child.ended_by) == ("canceled", "dial_over")
    assert app.forms("/after") == []
    assert caller.says_heard == ["Goodbye."]
