"""One live call of the simulated network, from offer to end.

One task follows the TwiML; caller, clock, callbacks and time limit run beside it in the same task group. The
caller hanging up, REST and the time limit all end or replace what is followed now by `interrupt()`.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeAlias

from gateway.simulator.carrier import twiml
from gateway.simulator.carrier.caller import Caller, ScriptFailed
from gateway.simulator.carrier.courier import Courier, duration_fields, http_date
from gateway.simulator.carrier.facts import CallFacts
from gateway.simulator.carrier.flow import End, Fetcher, Flow
from gateway.simulator.carrier.leg import Leg
from gateway.simulator.carrier.line import PhoneLine
from gateway.simulator.carrier.mouth import Mouth
from gateway.simulator.carrier.parts import NetworkParts
from gateway.simulator.carrier.plan import Callee, CallPlan, OutboundRequest, Person
from gateway.simulator.carrier.report import CallReport
from gateway.simulator.carrier.room import Member
from gateway.simulator.carrier.script import Script, clips_of
from gateway.simulator.carrier.streams import StreamOpener
from gateway.simulator.carrier.switchboard import Watch

__all__ = ["LiveCall"]

AMD_S = 3.0
"""Asynchronous machine detection answers this long after the call does."""
Follow: TypeAlias = twiml.Document | End
Work: TypeAlias = Callable[[], Coroutine[None, None, Follow | None]]


class LiveCall:
    """Run one of `inbound()`, `outbound()` and `dialled()`, once."""

    def __init__(self, parts: NetworkParts, facts: CallFacts) -> None:
        self.facts = facts
        self.report = CallReport(facts.call_sid, facts.parent_sid)
        self.created_at = parts.wall()
        self._parts = parts
        self._courier = Courier(parts.webhooks, parts.faults, self.report, self._clock)
        self._line: PhoneLine | None = None
        self._caller: Caller | None = None
        self._running: asyncio.Task[Follow | None] | None = None
        self._then: Follow | None = None
        self._sequence = 0
        self._finished = asyncio.Event()

    async def inbound(self, plan: CallPlan) -> CallReport:
        """Ask the Voice URL, answer, follow, end."""
        async with self._whole() as group:
            fetcher = Fetcher(self._parts.webhooks, self.facts, self.report, plan.fallback_url)
            first = await fetcher.fetch(0.0, plan.voice_url)
            if (reason := _rejection(first)) is not None:
                self._end("busy" if reason == "busy" else "no-answer", "reject")
            else:
                leg = self._answer(plan, group)
                await self._talk(leg, fetcher, lambda: _already(first), plan, plan.time_limit_s)
            self._status_callback(plan.status_callback, **duration_fields(self.report.duration_s))
        return self.report

    async def outbound(self, request: OutboundRequest, callee: Callee) -> CallReport:
        """Ring the callee and, when answered, follow the request's TwiML."""
        return await self._placed(request, callee, None)

    async def dialled(self, request: OutboundRequest, callee: Callee, watch: Watch) -> CallReport:
        """Ring the callee for a `<Dial>`; when answered follow the callee's own TwiML, if any, and join."""
        return await self._placed(request, callee, watch)

    async def _placed(self, request: OutboundRequest, callee: Callee, watch: Watch | None) -> CallReport:
        async with self._whole() as group:
            self._progress(request, "initiated")
            if await self._ring(request, callee):
                leg = self._answer(callee, group)
                self._progress(request, "answered")
                if watch is not None:
                    watch.answered()
                detection = group.create_task(self._detect(request, callee))
                fetcher = Fetcher(self._parts.webhooks, self.facts, self.report, request.fallback_url)
                last = _joining(leg, watch) if watch is not None else None
                await self._talk(leg, fetcher, lambda: _begin(request, fetcher), callee, request.time_limit_s, last)
                detection.cancel()
            if watch is not None:
                watch.ended()
            self._progress(request, "completed", **duration_fields(self.report.duration_s))
        return self.report

    async def finished(self) -> CallReport:
        """Wait until the call is over and its callbacks were delivered."""
        await self._finished.wait()
        return self.report

    def hang_up(self, by: str = "rest") -> None:
        """End the call from outside, as REST `Status=completed` does."""
        self.interrupt(End(by))

    def interrupt(self, then: Follow) -> None:
        """Stop what is followed now and go on with `then`. The end of a call is final."""
        if isinstance(self._then, End) or self.facts.ended:
            return
        self._then = then
        if isinstance(then, End):
            self.report.duration_s = self._clock()
        if self._running is not None and not self._running.cancelling():
            self._running.cancel()

    @asynccontextmanager
    async def _whole(self) -> AsyncIterator[asyncio.TaskGroup]:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._courier.run())
                yield group
                self._courier.finish()
        finally:
            self._finished.set()

    def _clock(self) -> float:
        return self._line.clock() if self._line is not None else 0.0

    def _answer(self, person: Person, group: asyncio.TaskGroup) -> Leg:
        self.facts.status = "in-progress"
        seed = self.facts.call_sid if person.seed is None else str(person.seed)
        # Calls do not disturb one another's draws, nor the line those of the person.
        chance, line_chance = random.Random(f"{seed} person"), random.Random(f"{seed} line")
        mouth = Mouth(person.surroundings, clips_of(person.script), chance)
        self._line = line = PhoneLine(self.report, mouth)
        self._caller = Caller(line, self.report, chance)
        return Leg(self._parts, self.facts, self.report, line, self._courier, line_chance, group.create_task)

    async def _talk(
        self,
        leg: Leg,
        fetcher: Fetcher,
        begin: Work,
        person: Person,
        limit_s: float,
        last: Work | None = None,
    ) -> None:
        streams = StreamOpener(leg, person.line or self._parts.line)
        flow = Flow(leg, fetcher, streams, person.dials)
        async with asyncio.TaskGroup() as group:
            beside = [
                group.create_task(leg.line.run()),
                group.create_task(self._play(person.script)),
                group.create_task(self._limit(limit_s)),
            ]
            end = await self._follow(flow, begin, last)
            for task in beside:
                task.cancel()
        self._end("completed", end.by)

    async def _follow(self, flow: Flow, begin: Work, last: Work | None) -> End:
        """Follow documents to the end of the call; `last` comes when they end by themselves."""
        then = await self._step(begin) or End("end_of_twiml")
        while True:
            if isinstance(then, twiml.Document):
                then = await self._step(partial(flow.perform, then)) or End("end_of_twiml")
            elif last is not None and then.by == "end_of_twiml":
                work, last = last, None
                then = await self._step(work) or End("dial_over")
            else:
                break
        if then.by == "application_error":
            await self._step(flow.apologise)
        return then

    async def _step(self, work: Work) -> Follow | None:
        """Do `work` unless interrupted; return what comes next."""
        if self._then is None:
            async with asyncio.TaskGroup() as group:
                self._running = group.create_task(work())
            running, self._running = self._running, None
            if not running.cancelled() and self._then is None:
                return running.result()
        then = self._then
        if isinstance(then, twiml.Document):
            self._then = None
        return then

    async def _play(self, script: Script) -> None:
        assert self._caller is not None, "answered"
        try:
            await self._caller.run(script)
        except ScriptFailed as error:
            self.report.script_error = str(error)
        self.interrupt(End("caller"))

    async def _limit(self, limit_s: float) -> None:
        await asyncio.sleep(limit_s)
        self.interrupt(End("time_limit"))

    async def _ring(self, request: OutboundRequest, callee: Callee) -> bool:
        if callee.outcome == "failed":
            self._end("failed", "not_answered")
            return False
        self._progress(request, "ringing")
        no_answer = callee.outcome == "no-answer" or callee.ring_s > request.timeout_s
        ring_s = request.timeout_s if no_answer else callee.ring_s
        then = await self._step(lambda: _wait(ring_s))
        if isinstance(then, End):
            self._end("canceled", then.by)
            return False
        if no_answer or callee.outcome == "busy":
            self._end("no-answer" if no_answer else "busy", "not_answered")
            return False
        return True

    async def _detect(self, request: OutboundRequest, callee: Callee) -> None:
        await asyncio.sleep(AMD_S)
        verdict = {"AnsweredBy": callee.answered_by, "MachineDetectionDuration": str(round(AMD_S * 1000))}
        facts = self.facts
        self._courier.post(
            request.amd_callback, {"CallSid": facts.call_sid, "AccountSid": facts.account_sid, **verdict}
        )

    def _end(self, outcome: str, by: str) -> None:
        self.facts.status = self.report.outcome = outcome
        self.report.ended_by = by
        if not isinstance(self._then, End):
            self.report.duration_s = self._clock()

    def _progress(self, request: OutboundRequest, event: str, **more: str) -> None:
        if event in ("initiated", "ringing"):
            self.facts.status = event
        if event in request.status_events:
            self._status_callback(request.status_callback, **more)

    def _status_callback(self, url: str | None, **more: str) -> None:
        """Sequence numbers count the callbacks sent, from 0 (Twilio, *StatusCallback*, `SequenceNumber`)."""
        form = self.facts.form(
            CallbackSource="call-progress-events",
            SequenceNumber=str(self._sequence),
            Timestamp=http_date(self._parts.wall()),
            **more,
        )
        self._sequence += 1
        self._courier.post_status(url, form)


def _rejection(first: Follow) -> str | None:
    match first:
        case twiml.Document(verbs=[twiml.Reject() as reject, *_]):
            return reject.reason
        case _:
            return None


async def _already(first: Follow) -> Follow:
    return first


async def _begin(request: OutboundRequest, fetcher: Fetcher) -> Follow:
    if request.url is not None:
        return await fetcher.fetch(0.0, request.url, request.method)
    # A party of a `<Dial>` may have no TwiML of its own.
    return fetcher.inline(request.twiml) if request.twiml is not None else End("end_of_twiml")


def _joining(leg: Leg, watch: Watch) -> Work:
    async def join() -> None:
        await watch.joined(Member(leg.report, leg.line))

    return join


async def _wait(seconds: float) -> None:
    await asyncio.sleep(seconds)
