"""Whole calls that are transferred, over the simulated network and its REST API, signatures and all."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import pytest

from gateway.agents import AgentsFile
from gateway.simulator.carrier import (
    CallbackFaults,
    Callee,
    CallReport,
    Dtmf,
    HangUp,
    Party,
    Pause,
    Say,
    Script,
    Wait,
    parties,
    tone,
)
from gateway.simulator.carrier.script import Step
from tests.carriers.twilio.stage import HUMAN, Stage, agents, stage
from tests.clock import run

pytestmark = pytest.mark.usefixtures("no_errors_logged")

SPEECH = tone(440, 900)
ASK: Sequence[Step] = [Wait("agent_done"), Say(SPEECH)]
PATIENT = Script(ASK, stay_s=120)


def back_and_on(patience_s: float = 1) -> Script:
    """A caller who goes on talking when nobody was reached."""
    return Script([*ASK, Pause(patience_s), Wait("agent_done", 60), Say(SPEECH), Wait("agent_done"), HangUp()])


MOST_SILENCE_S = 1.5
RING_GAP_S = 4.0
"""Between two rings of a ring-back (ITU-T E.180)."""
ORDERLY = CallbackFaults()
DISORDERLY = CallbackFaults(duplicate=True, swap=True)


@dataclass
class Seen:
    """What a call left behind."""

    report: CallReport
    stage: Stage
    asked_s: float
    """When the caller had asked."""

    @property
    def verbs(self) -> list[str]:
        return [verb.name for verb in self.report.verbs]

    def silences(self, longer_than_s: float = MOST_SILENCE_S) -> list[tuple[float, float]]:
        """Times after the caller asked in which nobody made a sound; what comes after the script is not counted."""
        last = self.report.deeds[-1]
        end_s = last.at_s if last.name == "hang_up" else self.report.duration_s
        return [gap for gap in self.report.silences(longer_than_s) if self.asked_s < gap[0] < end_s]


def call(
    file: AgentsFile,
    *people: Callee,
    script: Script = PATIENT,
    faults: CallbackFaults = ORDERLY,
    before: Callable[[Stage], None] = lambda s: None,
    after: Callable[[Stage], Awaitable[None]] | None = None,
) -> Seen:
    """Run one call. Afterwards nothing may live, ring or be awaited, whatever happened."""

    async def main() -> Seen:
        async with stage(file, [Party(HUMAN, one) for one in people], faults=faults) as s:
            before(s)
            report = await s.call(script)
            await s.settled()
            assert all(call.facts.ended for call in s.network.calls.values())
            assert not report.warnings, report.warnings
            if after is not None:
                await after(s)
            return Seen(report, s, next(deed.at_s for deed in report.deeds if deed.name == "say"))

    return run(main())


# --- blind ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("faults", [ORDERLY, DISORDERLY])
def test_a_blind_transfer_that_is_answered_ends_our_part(faults: CallbackFaults) -> None:
    seen = call(agents("blind"), parties.answers(ring_s=4, talk_s=20), faults=faults)
    assert seen.stage.record.end_reason == "transferred"
    assert seen.stage.states == ["asked", "answered"]
    assert seen.verbs == ["Connect", "Dial", "DialEnded", "Hangup"]
    assert [sound.kind for sound in seen.report.sounds] == ["ring", "bridged"]
    (bridge,) = seen.report.bridges
    assert bridge.end_s is not None and round(bridge.end_s - bridge.start_s) == 20
    assert seen.silences() == []
    assert len(seen.stage.rest.seen) == 1


@pytest.mark.parametrize("faults", [ORDERLY, DISORDERLY])
@pytest.mark.parametrize(
    ("human", "why"),
    [
        (parties.busy(), "busy"),
        (parties.rejects(), "busy"),
        (parties.silent(), "no_answer"),
        (parties.unreachable(), "failed"),
    ],
)
def test_a_blind_transfer_that_nobody_takes_brings_the_caller_back(
    human: Callee, why: str, faults: CallbackFaults
) -> None:
    seen = call(agents("blind"), human, script=back_and_on(), faults=faults)
    assert seen.report.script_error is None
    assert seen.verbs == ["Connect", "Dial", "DialEnded", "Connect"]
    assert seen.stage.outputs == [{"transferred": False, "reason": why}]
    assert seen.stage.record.end_reason == "caller_hangup"
    assert len(seen.stage.model.sessions) == 1
    assert len(seen.report.media.streams) == 2
    assert seen.silences() == []


def test_a_blind_transfer_that_the_api_refuses_leaves_the_caller_on_the_stream() -> None:
    def refuse(s: Stage) -> None:
        s.rest.refuses = "<Dial"

    seen = call(agents("blind"), script=back_and_on(), before=refuse)
    assert seen.verbs == ["Connect"]
    assert seen.stage.outputs == [{"transferred": False, "reason": "failed"}]
    assert seen.stage.record.end_reason == "caller_hangup"
    assert seen.silences() == []


def test_a_caller_may_hang_up_while_a_blind_transfer_rings() -> None:
    seen = call(agents("blind"), parties.silent(), script=Script([*ASK, Wait("ringing"), Pause(2), HangUp()]))
    assert seen.stage.record.end_reason == "caller_hangup"
    assert [human.outcome for human in seen.stage.humans] == ["canceled"]
    assert len(seen.stage.rest.seen) == 1


# --- warm -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("faults", [ORDERLY, DISORDERLY])
@pytest.mark.parametrize("key", ["1", "#", "*"])
def test_a_warm_transfer_that_is_accepted_joins_both(key: str, faults: CallbackFaults) -> None:
    seen = call(agents("warm", accept_key=key, brief="From Acme."), parties.presses(key, talk_s=20), faults=faults)
    assert seen.stage.record.end_reason == "transferred"
    assert seen.stage.states[0] == "asked" and seen.stage.states[-1] == "accepted"
    (human,) = seen.stage.humans
    assert human.says_heard[0] == "From Acme. Ann wants 12 <red> & 3 blue ones."
    (theirs,), (ours,) = human.bridges, seen.report.bridges
    assert (theirs.other_sid, ours.other_sid) == (seen.report.call_sid, human.call_sid)
    assert seen.verbs == ["Connect", "Dial", "DialEnded", "Hangup"]
    assert seen.silences(RING_GAP_S + 0.5) == []
    left_s = next(verb.at_s for verb in seen.report.verbs if verb.name == "Dial")
    assert ours.start_s - left_s < 0.5


@pytest.mark.parametrize("faults", [ORDERLY, DISORDERLY])
@pytest.mark.parametrize(
    ("human", "why", "within_s"),
    [
        (parties.presses("2"), "rejected", 6),
        (parties.hangs_up(), "rejected", 2),
        (parties.machine(tone(440, 4000)), "rejected", 24),
        (parties.busy(), "busy", 1),
        (parties.silent(), "no_answer", 10),
        (parties.unreachable(), "failed", 0.5),
    ],
    ids=["other key", "hangs up", "machine", "busy", "no answer", "unreachable"],
)
def test_a_warm_transfer_that_nobody_takes_leaves_the_caller_where_they_are(
    human: Callee, why: str, within_s: float, faults: CallbackFaults
) -> None:
    seen = call(agents("warm"), human, script=back_and_on(within_s), faults=faults)
    assert seen.report.script_error is None
    assert seen.verbs == ["Connect"]
    assert seen.stage.outputs == [{"transferred": False, "reason": why}]
    assert seen.stage.record.end_reason == "caller_hangup"
    assert all(not human.bridges for human in seen.stage.humans)
    assert seen.silences(RING_GAP_S + 0.5) == []


def test_without_an_accept_key_whoever_answers_gets_the_caller_after_the_brief() -> None:
    seen = call(agents("warm", accept_key=""), parties.answers(talk_s=30))
    assert seen.stage.record.end_reason == "transferred"
    (human,) = seen.stage.humans
    (brief,) = human.spoken
    assert human.bridges[0].start_s >= brief.end_s
    assert seen.report.bridges


def test_the_human_is_called_from_the_number_that_the_caller_dialled() -> None:
    seen = call(agents("warm"), parties.busy())
    (form,) = seen.stage.forms("Calls.json")
    assert (form["To"], form["From"], form["Timeout"]) == (HUMAN, "+14155550199", 10)


def test_a_caller_who_hangs_up_while_it_rings_stops_the_ringing() -> None:
    seen = call(agents("warm"), parties.silent(), script=Script([*ASK, Pause(6), HangUp()]))
    assert seen.stage.record.end_reason == "caller_hangup"
    (human,) = seen.stage.humans
    assert (human.outcome, human.ended_by) == ("canceled", "rest")


def test_a_caller_who_hangs_up_during_the_brief_ends_it() -> None:
    seen = call(
        agents("warm", ring_s=20), parties.answers(ring_s=1, talk_s=60), script=Script([*ASK, Pause(7), HangUp()])
    )
    (human,) = seen.stage.humans
    assert (human.outcome, human.ended_by) == ("completed", "rest")
    assert human.duration_s < 10


def test_a_caller_who_hangs_up_before_the_api_has_answered_leaves_nobody_ringing() -> None:
    def slow(s: Stage) -> None:
        s.rest.answer_s = 4.0

    seen = call(agents("warm"), parties.silent(), script=Script([*ASK, Pause(4), HangUp()]), before=slow)
    (human,) = seen.stage.humans
    assert (human.outcome, human.ended_by) == ("canceled", "rest")


@pytest.mark.parametrize("who", ["caller", "human"])
def test_whoever_hangs_up_first_ends_both(who: str) -> None:
    talks = parties.presses("1", talk_s=5 if who == "human" else 60)
    caller = Script([*ASK, Wait("bridged", 60), Pause(8), HangUp()])
    seen = call(agents("warm"), talks, script=caller)
    (human,) = seen.stage.humans
    assert seen.stage.record.end_reason == "transferred"
    assert (seen.report.outcome, human.outcome) == ("completed", "completed")
    (bridge,) = seen.report.bridges
    assert bridge.end_s is not None and round(bridge.end_s - bridge.start_s) == (5 if who == "human" else 8)


def test_a_human_who_hangs_up_while_the_caller_is_brought_leaves_no_caller_in_an_empty_room() -> None:
    leaves = Callee(ring_s=2, script=Script([Wait("agent_done", 30, 400), Dtmf("1"), Pause(0.6), HangUp()]))

    def slow(s: Stage) -> None:
        s.rest.answer_s = 2.0

    seen = call(agents("warm"), leaves, before=slow)
    assert seen.report.bridges == []
    assert seen.report.says_heard == ["We are sorry, we have a technical problem. Please call again later."]
    assert seen.report.duration_s < 40


def test_a_caller_who_cannot_be_brought_stays_with_the_agent_and_the_human_is_let_go() -> None:
    def refuse(s: Stage) -> None:
        s.rest.refuses = "<Conference"

    seen = call(agents("warm"), parties.presses("1"), script=back_and_on(8), before=refuse)
    assert seen.verbs == ["Connect"]
    assert seen.stage.outputs == [{"transferred": False, "reason": "failed"}]
    assert seen.stage.record.end_reason == "caller_hangup"
    (human,) = seen.stage.humans
    assert (human.ended_by, human.bridges) == ("rest", [])
