"""Where calls hear each other: the two ends of a `<Dial>`, or the members of a conference.

A conference starts when there are two members, one of which has `startConferenceOnEnter`; before that everybody in it
hears the wait music. It is over for all when a member with `endConferenceOnExit` leaves; who is left alone otherwise
stays, in silence (Twilio, TwiML `<Conference>`).
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence

from gateway.simulator.carrier.line import PhoneLine
from gateway.simulator.carrier.report import Bridge, CallReport, Event

__all__ = ["Member", "Room"]


class Member:
    """One call in a room."""

    def __init__(
        self,
        report: CallReport,
        line: PhoneLine,
        *,
        starts: bool = True,
        ends: bool = True,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`tell` is given what happens to the conference because of this member (Twilio, *StatusCallbackEvent*)."""
        self.report = report
        self.line = line
        self.starts = starts
        self.ends = ends
        self.tell = tell
        self.met = asyncio.Event()
        """Somebody was heard, or never will be."""
        self.over = asyncio.Event()
        self.bridges: dict[Member, Bridge] = {}

    def key(self, digit: str) -> None:
        """Let the others hear a key."""
        for other in self.bridges:
            other.report.keys_heard.append(Event(other.line.clock(), digit))

    def connect(self, other: "Member") -> None:
        if other in self.bridges:
            return
        bridge = self.bridges[other] = Bridge(other.report.call_sid, self.line.clock())
        self.report.bridges.append(bridge)
        self.met.set()
        self.line.hear("bridged")

    def part(self, other: "Member") -> None:
        bridge = self.bridges.pop(other, None)
        if bridge is not None:
            bridge.end_s = self.line.clock()
            if not self.bridges:
                self.line.hear("")

    def finish(self) -> None:
        self.met.set()
        self.over.set()


class Room:
    """Kept by the switchboard until it is over."""

    def __init__(self, sid: str) -> None:
        self.sid = sid
        self.members: list[Member] = []
        self.started = False
        self.over = False
        self.callback: tuple[str, Sequence[str]] | None = None
        """Where the conference's events go, and which."""
        self.sequence = -1

    async def stay(self, member: Member, wait: Callable[[], Coroutine[None, None, None]]) -> None:
        """Be in the room until it is over; `wait` sounds until somebody is heard. Cancelling this is leaving."""
        if self.over:
            return
        self._enter(member)
        try:
            async with asyncio.TaskGroup() as group:
                music = group.create_task(wait())
                await member.met.wait()
                music.cancel()
            if member.bridges:
                member.line.hear("bridged")
            await member.over.wait()
        finally:
            self._leave(member)

    def _enter(self, member: Member) -> None:
        self.members.append(member)
        member.line.pressed = member.key
        member.tell("participant-join")
        if not self.started and len(self.members) > 1 and any(one.starts for one in self.members):
            self.started = True
            member.tell("conference-start")
        if self.started:
            for one in self.members:
                for other in self.members:
                    if one is not other:
                        one.connect(other)

    def _leave(self, member: Member) -> None:
        self.members.remove(member)
        member.line.pressed = None
        for other in list(member.bridges):
            member.part(other)
            other.part(member)
        member.line.hear("")
        member.tell("participant-leave")
        if not self.over and (member.ends or not self.members):
            self.over = True
            member.tell("conference-end")
            for other in self.members:
                other.finish()
