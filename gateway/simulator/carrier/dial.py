"""The verb `<Dial>`: rings parties or enters a conference, and says for the `action` request how it went.

While it rings the caller hears ringing, also while the called party hears its own TwiML (`<Number url>`). The first
to answer is taken and the others are given up (Twilio, TwiML `<Dial>`, `<Number>`).
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence

from gateway.simulator.carrier.conference import music, notices
from gateway.simulator.carrier.facts import new_sid
from gateway.simulator.carrier.leg import Leg
from gateway.simulator.carrier.plan import Callee, DialOutcome, OutboundRequest
from gateway.simulator.carrier.room import Member, Room
from gateway.simulator.carrier.script import Script
from gateway.simulator.carrier.switchboard import DialledCall
from gateway.simulator.carrier.twiml import Conference, Dial, DialTarget

__all__ = ["Dialler"]

_TELLING: Mapping[str, int] = {"no-answer": 0, "busy": 1, "failed": 2}


class Dialler:
    """The `<Dial>` verbs of one call, one at a time."""

    def __init__(self, leg: Leg, outcomes: Sequence[DialOutcome]) -> None:
        """`outcomes` are used up first, in order; then it is the network's parties who answer, or nobody."""
        self._leg = leg
        self._outcomes = list(outcomes)

    async def dial(self, verb: Dial) -> dict[str, str]:
        """Carry the verb out; return the fields of the `action` request."""
        if verb.conference is not None:
            return await self._confer(verb.conference, verb.time_limit_s)
        round_ = _Round(self._leg, verb)
        line = self._leg.line
        line.hear("ring")
        try:
            for target, callee in zip(verb.targets, self._callees(verb), strict=True):
                round_.ring(target, callee)
            winner = await round_.first()
            if winner is not None and await round_.ready(winner):
                await _limited(round_.room.stay(Member(self._leg.report, line), _quiet), verb.time_limit_s)
        finally:
            line.hear("")
            round_.give_up("dial_over")
        return round_.fields(winner)

    def _callees(self, verb: Dial) -> list[Callee]:
        if self._outcomes:
            return [_callee(self._outcomes.pop(0))] * len(verb.targets)
        switchboard = self._leg.parts.switchboard
        return [switchboard.party(target.address) or _callee(DialOutcome()) for target in verb.targets]

    async def _confer(self, conference: Conference, limit_s: float) -> dict[str, str]:
        leg = self._leg
        room = leg.parts.switchboard.room(conference.name)
        tell = notices(leg, conference, room)
        member = Member(leg.report, leg.line, starts=conference.starts, ends=conference.ends, tell=tell)
        began = leg.line.clock()
        await _limited(room.stay(member, lambda: music(leg, conference)), limit_s)
        # "When calling a conference, the called party answered the call" (Twilio, *DialCallStatus*).
        return {"DialCallStatus": "answered", "DialCallDuration": str(round(leg.line.clock() - began))}


class _Round:
    """One or several parties that are rung at once."""

    def __init__(self, leg: Leg, verb: Dial) -> None:
        self._leg = leg
        self._verb = verb
        self.room = Room(new_sid("CF", leg.rng))
        self._calls: list[DialledCall] = []
        self._ended: list[DialledCall] = []
        self._answered: DialledCall | None = None
        self._answered_s = 0.0
        self._joined = False
        self._changed = asyncio.Event()

    def ring(self, target: DialTarget, callee: Callee) -> None:
        request = OutboundRequest(
            to=target.address,
            from_=self._verb.caller_id or self._leg.facts.from_,
            url=target.url,
            method=target.method,
            status_callback=target.status_callback,
            status_events=target.status_events,
            timeout_s=self._verb.timeout_s,
        )
        call = self._leg.parts.switchboard.place(request, self._leg.facts)
        self._calls.append(call)
        self._leg.spawn(self._run(call, request, callee))

    async def first(self) -> DialledCall | None:
        """Return who answered first and give the others up; None when nobody can any more."""
        await self._until(lambda: self._answered is not None or len(self._ended) == len(self._calls))
        return self._answered

    async def ready(self, winner: DialledCall) -> bool:
        """Return whether the called party stayed to the end of its own TwiML."""
        await self._until(lambda: self._joined or winner in self._ended)
        return self._joined

    def give_up(self, by: str, but: DialledCall | None = None) -> None:
        for call in self._calls:
            if call is not but:
                call.hang_up(by)

    def fields(self, winner: DialledCall | None) -> dict[str, str]:
        if winner is None:
            # Of several that failed Twilio does not say whose status it is: the one that says most.
            last = min(self._calls, key=lambda call: _TELLING.get(call.facts.status, 9))
            return {"DialCallStatus": last.facts.status, "DialCallSid": last.facts.call_sid, "DialBridged": "false"}
        return {
            "DialCallStatus": "completed",
            "DialCallSid": winner.facts.call_sid,
            "DialCallDuration": str(round(self._leg.line.clock() - self._answered_s)),
            # Who hangs up while hearing the TwiML of the called party had answered, but was never connected.
            "DialBridged": "true" if self.room.started else "false",
        }

    async def _run(self, call: DialledCall, request: OutboundRequest, callee: Callee) -> None:
        await call.dialled(request, callee, _Watch(self, call))

    def answered(self, call: DialledCall) -> None:
        if self._answered is None:
            self._answered, self._answered_s = call, self._leg.line.clock()
            self.give_up("answered_elsewhere", but=call)
            self._changed.set()

    async def joined(self, call: DialledCall, member: Member) -> None:
        self._joined = True
        self._changed.set()
        try:
            await self.room.stay(member, _quiet)
        except asyncio.CancelledError:
            # Hung up, or redirected by REST: then it goes on without us.
            self._calls = [one for one in self._calls if one is not call]
            raise

    def ended(self, call: DialledCall) -> None:
        self._ended.append(call)
        self._changed.set()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()


class _Watch:
    """One call's part of a round."""

    def __init__(self, round_: _Round, call: DialledCall) -> None:
        self._round = round_
        self._call = call

    def answered(self) -> None:
        self._round.answered(self._call)

    async def joined(self, member: Member) -> None:
        await self._round.joined(self._call, member)

    def ended(self) -> None:
        self._round.ended(self._call)


def _callee(outcome: DialOutcome) -> Callee:
    return Callee(outcome=outcome.status, ring_s=outcome.ring_s, script=Script(stay_s=outcome.talk_s))


async def _quiet() -> None:
    """Leave the sound as it is."""


async def _limited(work: Coroutine[None, None, None], limit_s: float) -> None:
    try:
        async with asyncio.timeout(limit_s) as limit:
            await work
    except TimeoutError:
        if not limit.expired():
            raise
