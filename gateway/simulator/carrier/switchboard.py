"""What the network knows beyond one call: who can be reached at which number, and the conferences."""

import random
from collections.abc import Callable, Mapping
from typing import Protocol

from gateway.simulator.carrier.facts import CallFacts, new_sid
from gateway.simulator.carrier.plan import Callee, OutboundRequest
from gateway.simulator.carrier.report import CallReport
from gateway.simulator.carrier.room import Member, Room

__all__ = ["DialledCall", "Switchboard", "Watch"]


class Watch(Protocol):
    """What a `<Dial>` wants to know of a call that it makes."""

    def answered(self) -> None:
        """Somebody picked up."""

    async def joined(self, member: Member) -> None:
        """The called party's own TwiML is done; returns when the connection is over."""

    def ended(self) -> None:
        """The call is over; its callbacks may still be under way."""


class DialledCall(Protocol):
    """A call that a `<Dial>` makes: `LiveCall`, as much of it as the `<Dial>` needs."""

    facts: CallFacts
    report: CallReport

    async def dialled(self, request: OutboundRequest, callee: Callee, watch: Watch) -> CallReport:
        """Ring; when answered run the called party's own TwiML; then join."""

    def hang_up(self, by: str = "rest") -> None:
        """End it, ringing or answered."""


class Switchboard:
    """One for each network."""

    def __init__(
        self,
        parties: Mapping[str, Callee],
        place: Callable[[OutboundRequest, CallFacts], DialledCall],
        rng: random.Random,
    ) -> None:
        """`place` registers a call to `request.to` on behalf of another."""
        self.place = place
        self._parties = parties
        self._rooms: dict[str, Room] = {}
        self._rng = rng

    def party(self, address: str) -> Callee | None:
        """Return who answers there, and how; None: nobody is known."""
        return self._parties.get(address)

    def room(self, name: str) -> Room:
        """Return the conference of that name, which is a new one when everybody has left the last."""
        room = self._rooms.get(name)
        if room is None or room.over:
            room = self._rooms[name] = Room(new_sid("CF", self._rng))
        return room
