"""One call with a fault in it beside one that must not notice, and what both left behind."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.simulator.carrier import CallPlan, CallReport, HangUp, Pause, Say, Script, Wait, tone
from gateway.simulator.model import Scenario, SessionRecord
from gateway.store.rows import JournalEntry, StoredCall
from tests.clock import run
from tests.faults.ends import RiggedModel
from tests.world import AGENTS, CALLER, NUMBER, PUBLIC, Business, World, world

__all__ = ["APOLOGY", "ASK", "SPEECH", "Outcome", "ask_times", "call_with", "neighbour", "scenario", "until", "written"]

SPEECH = tone(440, 900)
APOLOGY = "Sorry. Please call later."
MOST_SILENCE_S = 3.5
CLOSE_S = 3.0
STEP_S = 0.02


def ask_times(count: int, within_s: float = 30.0) -> Script:
    """A caller who asks so often, each time after the agent has finished, and hangs up when answered."""
    steps: list[Any] = [Wait("agent_done")]
    for _ in range(count):
        steps += [Say(SPEECH), Wait("agent_done", within_s=within_s)]
    return Script([*steps, HangUp()])


ASK = ask_times(1)


def scenario(**parts: object) -> Scenario:
    return Scenario.model_validate(parts)


@dataclass
class Outcome:
    """What a call left behind."""

    report: CallReport
    record: StoredCall
    journal: list[JournalEntry]
    sessions: list[SessionRecord]
    """Model sessions of the call, oldest first."""
    model: RiggedModel
    business: Business
    offered_s: float

    @property
    def ended_s(self) -> float:
        assert self.record.duration_ms is not None
        return self.offered_s + self.record.duration_ms / 1000

    @property
    def verbs(self) -> list[str]:
        return [verb.name for verb in self.report.verbs]

    def kinds(self, kind: str) -> list[Any]:
        return [entry.data for entry in self.journal if entry.kind == kind]

    def at(self, kind: str) -> list[float]:
        return [entry.at_s for entry in self.journal if entry.kind == kind]

    def silences(self, longer_than_s: float) -> list[tuple[float, float]]:
        """Silences of the line; ringing at another number is not one."""
        rings_s = next((verb.at_s for verb in self.report.verbs if verb.name == "Dial"), self.report.duration_s)
        whole = ((start, min(end, rings_s)) for start, end in self.report.silences(longer_than_s))
        return [(start, end) for start, end in whole if end - start > longer_than_s]

    @property
    def apologised(self) -> bool:
        """The next verb said so, and the fallback number was dialled."""
        return self.report.says_heard == [APOLOGY] and "Dial" in self.verbs


def call_with(
    tmp_path: Path,
    script: Script = ASK,
    *,
    reason: str,
    says: Scenario | None = None,
    model: RiggedModel | None = None,
    agents: str = AGENTS,
    business: Business | None = None,
    silence_s: float = MOST_SILENCE_S,
    before: Callable[[RiggedModel], None] | None = None,
    beside: bool = True,
    meanwhile: Callable[[World], Coroutine[None, None, None]] | None = None,
) -> Outcome:
    """Run one call and check what every call owes: one reason, no silence, no session left, no neighbour disturbed.

    `before` acts on the model once the neighbour talks; `meanwhile` runs beside the call.
    """
    server = model or RiggedModel(says or Scenario())

    async def main() -> Outcome:
        business_ = business or Business()
        async with world(tmp_path, agents=agents, business=business_, model=server) as w, asyncio.TaskGroup() as group:
            leave = await neighbour(w, group) if beside else None
            mine = len(server.sessions)
            if before is not None:
                before(server)
            offered_s = asyncio.get_running_loop().time()
            if meanwhile is not None:
                group.create_task(meanwhile(w))
            report = await w.call(script)
            await asyncio.sleep(CLOSE_S)
            sessions = list(server.sessions)[mine:]
            if leave is not None:
                await leave()
            await w.settled()
            record, journal = written(w, report.call_sid)
            return Outcome(report, record, journal, sessions, server, business_, offered_s)

    outcome = run(main())
    _check(outcome, reason, silence_s)
    return outcome


def _check(outcome: Outcome, reason: str, silence_s: float) -> None:
    assert outcome.report.script_error is None
    assert outcome.record.end_reason == reason
    assert len(outcome.kinds("end")) == 1
    for session in outcome.sessions:
        assert session.closed is not None and session.closed[0] - outcome.ended_s <= CLOSE_S
    assert outcome.silences(silence_s) == []
    assert outcome.report.warnings == []


async def until(condition: Callable[[], bool], within_s: float = 30.0) -> None:
    """Wait until something shows that has no event of its own."""
    for _ in range(round(within_s / STEP_S)):
        if condition():
            return
        await asyncio.sleep(STEP_S)
    raise TimeoutError


async def neighbour(w: World, group: asyncio.TaskGroup) -> Callable[[], Awaitable[None]]:
    """Start a call that only listens; return what ends it and checks that it noticed nothing."""
    plan = CallPlan(to=NUMBER, from_=CALLER, voice_url=f"{PUBLIC}/twilio/voice", script=Script([Pause(3600)]))
    live = w.network.offer(plan)
    talk = group.create_task(live.inbound(plan))
    await until(lambda: bool(live.report.media.heard))

    async def leave() -> None:
        live.hang_up()
        report = await talk
        await until(lambda: written(w, report.call_sid)[0].end_reason is not None)
        record, journal = written(w, report.call_sid)
        assert record.end_reason == "caller_hangup"
        assert [entry.kind for entry in journal if entry.kind in ("recover", "ModelFault", "ModelClosed")] == []
        passed = sum(entry.data["frames"] for entry in journal if entry.kind == "AppendAudio")  # type: ignore[misc]
        assert report.media.frames_sent - passed <= 1
        assert report.media.frames_dropped == 0

    return leave


def written(w: World, call_sid: str) -> tuple[StoredCall, list[JournalEntry]]:
    """Return the record and the journal of one call."""
    (record,) = (call for call in w.store.calls.values() if call.carrier_call_id == call_sid)
    return record, w.store.journals[record.call_id]
