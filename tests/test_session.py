"""The owner of a call: what its adapters do in the middle of a step, and a registry while a call closes."""

import asyncio
from collections.abc import Callable

import pytest

from gateway.carriers.base import CallOffer, Ended, Over
from gateway.core import CallPlan
from gateway.core import commands as cmd
from gateway.core import events as ev
from gateway.registry import Registry
from gateway.session import CallSession, Ports
from tests.clock import run

OFFER = CallOffer("twilio", "CA1", "AC1", "inbound", "", "")


class NoBook:
    """Writes nothing down."""

    def event(self, event: ev.Event, now: float) -> None:
        return None

    def command(self, command: cmd.Command, now: float) -> None:
        return None

    def spent(self) -> ev.Event | None:
        return None

    def end(self, reason: str, now: float) -> None:
        return None


class OwnModel:
    """A model session that is ready or hangs, that may refuse the next command, and that may be slow to close."""

    def __init__(self, feed: Callable[[ev.Event], None], *, ready: bool = True, closes: bool = True) -> None:
        self.full = False
        self._feed = feed
        self._ready = ready
        self._closes = closes
        self._over = asyncio.Event()

    def fill(self) -> None:
        self.full = True

    def send(self, command: object) -> None:
        if self.full:
            self._over.set()
            self._feed(ev.ModelClosed("backlog", "", False))

    def detach(self) -> None:
        if self._closes:
            self._over.set()

    async def run(self) -> None:
        if self._ready:
            self._feed(ev.SessionReady("s"))
        await self._over.wait()


class OwnLeg:
    """A stream that notes when it was ended."""

    def __init__(self) -> None:
        self.hung_up_at: float | None = None

    def send(self, command: cmd.LegCommand) -> None:
        if isinstance(command, cmd.HangUp) and self.hung_up_at is None:
            self.hung_up_at = asyncio.get_running_loop().time()

    async def close(self) -> None:
        return None


async def no_tools(command: cmd.InvokeTool) -> ev.ToolResult:
    raise AssertionError("no function is called here")


def test_a_model_lost_while_caller_audio_is_handed_over_is_given_its_deadline() -> None:
    async def main() -> float:
        models: list[OwnModel] = []

        def open_model(feed: Callable[[ev.Event], None]) -> OwnModel:
            models.append(OwnModel(feed, ready=not models))
            return models[-1]

        def fill() -> None:
            models[0].fill()

        session, leg = CallSession("call_1", OFFER, CallPlan(), Ports(open_model, no_tools, NoBook())), OwnLeg()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(session.run())
            loop = asyncio.get_running_loop()
            loop.call_later(0.1, session.attach, leg, "MZ1")
            loop.call_later(1.0, fill)
            for number in range(500):
                loop.call_later(0.2 + number * 0.02, session.feed, ev.CallerAudio("//8="))
            await asyncio.wait({task}, timeout=30)
        assert leg.hung_up_at is not None
        return leg.hung_up_at

    assert run(main()) < 1.0 + 3.5


def test_a_call_does_not_begin_again_while_it_closes() -> None:
    async def main() -> int:
        made: list[CallSession] = []

        def make(call_id: str, offer: CallOffer, again: bool) -> CallSession:
            ports = Ports(lambda feed: OwnModel(feed, closes=False), no_tools, NoBook())
            made.append(CallSession(call_id, offer, CallPlan(), ports))
            return made[-1]

        registry = Registry(10, make)
        async with asyncio.TaskGroup() as group:
            group.create_task(registry.run())
            group.create_task(replay(registry))
        return len(made)

    async def replay(registry: Registry) -> None:
        loop = asyncio.get_running_loop()
        started = loop.create_future()
        loop.call_soon(started.set_result, registry.offer)
        await started
        token = registry.offer(OFFER)
        closing = loop.create_future()
        session = registry.claim(token, "CA1", "AC1")
        loop.call_later(0.1, session.attach, OwnLeg(), "MZ1")
        loop.call_later(0.2, registry.hung_up, "CA1")
        loop.call_later(0.5, closing.set_result, None)
        await closing
        assert session.ended
        with pytest.raises(Over):
            registry.offer(OFFER)
        registry.stop()

    assert run(main()) == 1


def test_a_function_call_s_id_may_be_anything() -> None:
    async def main() -> bool:
        feeds: list[Callable[[ev.Event], None]] = []
        never = asyncio.Event()

        def open_model(feed: Callable[[ev.Event], None]) -> OwnModel:
            feeds.append(feed)
            return OwnModel(feed)

        async def brief() -> ev.Briefed:
            await never.wait()
            return ev.Briefed()

        async def answers(command: cmd.InvokeTool) -> ev.ToolResult:
            return ev.ToolResult(command.tool_call_id, True, "{}")

        def calls() -> None:
            feeds[0](ev.ResponseCreated("r1", ""))
            feeds[0](ev.ResponseDone("r1", "completed", "", (ev.FunctionCall("brief", "book", "{}"),), None))

        session = CallSession("call_1", OFFER, CallPlan(), Ports(open_model, answers, NoBook(), brief=brief))
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(session.run())
            loop.call_later(0.1, session.attach, OwnLeg(), "MZ1")
            loop.call_later(0.5, calls)
            loop.call_later(1.0, session.feed, ev.LegEnded(ev.LegEnd.CALLER_HANGUP, "", True))
            await asyncio.wait({task}, timeout=30)
            closed = task.done()
            never.set()
        return closed

    assert run(main()), "what ran for the call ends with it"


def test_a_call_that_closes_late_does_not_overwrite_how_the_one_after_it_ended() -> None:
    """Its stream was lost, the carrier came back at once, and that call was over before the first had closed."""

    async def main() -> Ended | None:
        sessions: list[CallSession] = []

        def make(call_id: str, offer: CallOffer, again: bool) -> CallSession:
            ports = Ports(lambda feed: OwnModel(feed, closes=again), no_tools, NoBook())
            sessions.append(CallSession(call_id, offer, CallPlan(), ports))
            return sessions[-1]

        registry = Registry(10, make)
        async with asyncio.TaskGroup() as group:
            group.create_task(registry.run())
            await asyncio.sleep(0.1)
            for again, end in enumerate((ev.LegEnd.SOCKET_LOST, ev.LegEnd.CALLER_HANGUP)):
                session = registry.claim(registry.offer(OFFER, again=again), "CA1", "AC1")
                session.attach(OwnLeg(), f"MZ{again}")
                await asyncio.sleep(0.1)
                session.feed(ev.LegEnded(end))
            await asyncio.sleep(0.1)
            assert registry.live == 0
            await asyncio.sleep(10)
            registry.stop()
        return registry.outcome("CA1")

    assert run(main()) == Ended("", cmd.EndReason.CALLER_HANGUP, 1)


def test_a_stream_that_comes_with_its_offer_begins_after_it() -> None:
    """Where the socket itself is the offer, the stream is there before the call's task has begun."""

    async def main() -> None:
        told: list[str] = []

        class Heard(NoBook):
            def event(self, event: ev.Event, now: float) -> None:
                told.append(type(event).__name__)

        ports = Ports(OwnModel, no_tools, Heard())
        session = CallSession("call_1", OFFER, CallPlan(), ports)
        session.attach(OwnLeg(), "MZ1")
        session.feed(ev.CallerAudio("/w=="))
        async with asyncio.TaskGroup() as group:
            running = group.create_task(session.run())
            await asyncio.sleep(0.1)
            running.cancel()
        assert told[:3] == ["CallOffered", "StreamStarted", "CallerAudio"]

    run(main())
