"""Calls that we place by Telnyx: the dialler, the carrier, and its events."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from gateway.carriers.telnyx import open_outbound
from gateway.outbound.attempts import Attempt
from gateway.outbound.dialler import Dialler, DialRequest
from gateway.outbound.pace import Pace
from gateway.outbound.policy import DialPolicy
from gateway.simulator.carrier import HangUp, Party, Say, Script, Wait, parties, tone
from gateway.simulator.carrier.plan import Callee
from gateway.simulator.carriers.live import LiveCall
from gateway.simulator.carriers.telnyx import Trouble
from gateway.simulator.world import NUMBER, PUBLIC
from tests.carriers.telnyx.stage import Stage, stage
from tests.clock import run
from tests.outbound.memory import MemoryAttempts

pytestmark = pytest.mark.usefixtures("no_errors_logged")

CALLEE = "+14155550123"
TALKS = Callee(ring_s=3, script=Script([Wait("agent_done"), Say(tone(440, 900)), Wait("agent_done"), HangUp()]))


def place(folder: Path, callee: Callee, trouble: Trouble | None = None) -> tuple[Attempt, str | None, Stage]:
    """Place one call; return the attempt as the dialler and as the carrier left it."""

    async def main() -> tuple[Attempt, str | None, Stage]:
        async with asyncio.TaskGroup() as group:
            live: list[LiveCall] = []

            def runs(call: LiveCall) -> None:
                live.append(call)
                group.create_task(call.run())

            people = [Party(CALLEE, callee)]
            settings = {"telnyx_connection_id": "1494404757140276705"}
            async with stage(folder, parties=people, settings=settings, trouble=trouble, place=runs) as it:
                attempts = MemoryAttempts()
                it.world.gateway.dialler = dialler = _dialler(it, attempts)
                done = await dialler.dial(DialRequest(to=CALLEE, agent="support", from_=NUMBER))
                for call in live:
                    await call.ended.wait()
                await asyncio.sleep(5)
                found = await dialler.find(done.attempt_id)
                return done, found.state.value if found is not None else None, it

    return run(main())


def _dialler(it: Stage, attempts: MemoryAttempts) -> Dialler:
    assert it.world.carrier.rest is not None
    carrier = open_outbound(it.world.gateway.settings, httpx2.ASGITransport(app=it.world.carrier.rest))
    assert carrier is not None
    noon = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
    policy = DialPolicy(frozenset({"US"}))
    return Dialler(
        policy=policy, carrier=carrier, attempts=attempts, public_url=PUBLIC, clock=lambda: noon, pace=Pace()
    )


def test_a_call_that_we_place_gets_its_stream_once_it_is_answered(tmp_path: Path) -> None:
    done, state, it = place(tmp_path, TALKS)
    assert (done.state.value, state) == ("placed", "completed")
    assert it.actions == ["dial", "streaming_start"]
    assert it.ends == ["caller_hangup"] and it.world.record.direction == "outbound"


@pytest.mark.parametrize(
    ("callee", "state"),
    [(parties.busy(), "busy"), (parties.silent(), "no-answer"), (parties.unreachable(), "failed")],
    ids=["busy", "silent", "unreachable"],
)
def test_a_call_that_nobody_takes_ends_in_telnyx_word_and_begins_no_call(
    tmp_path: Path, callee: Callee, state: str
) -> None:
    _, ended, it = place(tmp_path, callee)
    assert ended == state and it.actions == ["dial"] and it.ends == []


def test_a_call_whose_answer_is_lost_is_not_dialled_again(tmp_path: Path) -> None:
    done, state, it = place(tmp_path, TALKS, Trouble(broken=frozenset({"dial"})))
    assert (done.state.value, state) == ("unknown", "unknown")
    assert it.actions == ["dial"] * 3
