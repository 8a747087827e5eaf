"""Nothing of a call outlives it: no session, no task, no entry; and cancelled at any instant it has one end."""

import asyncio
from pathlib import Path

import pytest

from gateway.simulator.carrier import CallReport, HangUp, Pause, Say, Script, Wait
from gateway.simulator.model import Scenario
from tests.clock import ClockLoop, run
from tests.faults.calls import SPEECH, scenario
from tests.faults.ends import voice_token
from tests.world import Business, World, world

pytestmark = pytest.mark.e2e

QUICK = Script([Wait("agent_speaking"), Pause(0.3), HangUp()])


def owned(w: World) -> set[str]:
    """Names of the tasks that belong to calls."""
    names = (task.get_name() for task in asyncio.all_tasks())
    return {name for name in names if name.startswith(("call_", "leg-", "model-"))}


def nothing_left(w: World) -> None:
    registry = w.gateway.registry
    assert not any(session.open for session in w.model.sessions) and w.model.open_sessions == 0
    assert owned(w) == set()
    assert registry.live == 0
    assert not registry._tokens and not registry._offered and len(registry._ended) <= 2000
    assert all(call.end_reason is not None for call in w.store.calls.values())


@pytest.mark.parametrize(("count", "at_once"), [(60, 1), (300, 100)])
def test_hundreds_of_calls_leave_nothing_behind(tmp_path: Path, count: int, at_once: int) -> None:
    async def main() -> None:
        async with world(tmp_path, Scenario()) as w:
            await w.call(QUICK)
            await asyncio.sleep(5)
            before = len(asyncio.all_tasks())
            for _ in range(count // at_once):
                async with asyncio.TaskGroup() as group:
                    calls = [group.create_task(w.call(QUICK)) for _ in range(at_once)]
                assert all(call.result().ended_by == "caller" for call in calls)
            await asyncio.sleep(3)
            assert len(w.store.calls) == count + 1
            nothing_left(w)
            assert len(asyncio.all_tasks()) == before

    run(main())


def test_calls_that_fail_leave_nothing_behind(tmp_path: Path) -> None:
    """Offered and never claimed, refused by the model, cut by the carrier."""

    async def main() -> None:
        async with world(tmp_path, Scenario()) as w:
            for number in range(60):
                if number == 40:
                    await asyncio.sleep(1)
                    w.model.refuse_next(500, 40)
                await voice_token(w, {"CallSid": f"CA{number:032}"})
            await asyncio.sleep(20)
            nothing_left(w)
            assert {call.end_reason for call in w.store.calls.values()} == {"never_started", "model_unreachable"}

    run(main())


class SteppedLoop(ClockLoop):
    """Counts its turns, and at turn `cancel_at` cancels the owner of every call."""

    def __init__(self, cancel_at: int) -> None:
        super().__init__()
        self.turns = 0
        self.counting = False
        self.cancelled = 0
        self._cancel_at = cancel_at

    def _run_once(self) -> None:
        self.turns += self.counting
        if self.counting and self.turns == self._cancel_at:
            for task in asyncio.all_tasks(self):
                name = task.get_name()
                if name.startswith("call_") and " " not in name:
                    task.cancel()
                    self.cancelled += 1
        super()._run_once()  # type: ignore[misc]  # asyncio's own, not in its types


def cancelled_at(turn: int, folder: Path) -> SteppedLoop:
    says = scenario(
        turns=[
            {
                "heard": "where is order 427",
                "calls": [{"name": "lookup_order", "arguments": {"order_id": "427"}}],
                "result": "It is {status}.",
            },
            {"heard": "bye", "say": "Bye.", "calls": [{"name": "hang_up"}]},
        ]
    )
    script = Script([Wait("agent_done"), Say(SPEECH[:4000]), Wait("agent_done"), Say(SPEECH[:4000])], stay_s=30)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SteppedLoop)
        async with world(folder, says, business=Business(delay_s=0.3)) as w:
            loop.counting = True
            report: CallReport = await w.call(script)
            loop.counting = False
            await asyncio.sleep(3)
            nothing_left(w)
            # Cancelled after it had decided to hang up, it ended for that reason.
            assert w.record.end_reason in ({"stopped", "agent_hangup"} if loop.cancelled else {"agent_hangup"})
            assert len(w.store.calls) == 1
            assert report.ended_by == "twiml" or report.says_heard, "the caller was left on a dead line"

    loops: list[SteppedLoop] = []

    def make() -> SteppedLoop:
        loops.append(SteppedLoop(turn))
        return loops[0]

    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(main())
    return loops[0]


def test_a_call_cancelled_at_any_instant_has_one_end_and_leaves_nothing(tmp_path: Path) -> None:
    whole = cancelled_at(-1, tmp_path)
    assert whole.cancelled == 0
    first = range(1, 40)
    rest = range(41, whole.turns, max(1, whole.turns // 40))
    hit = [cancelled_at(turn, tmp_path).cancelled for turn in (*first, *rest)]
    assert sum(hit) > len(hit) * 0.9
