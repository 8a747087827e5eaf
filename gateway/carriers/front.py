"""What every carrier's door has of the gateway, what the gateway has of a carrier, and how a call goes on.

A carrier differs in how its webhooks are signed and worded. What is decided about a call does not differ: `offered`
says what becomes of a new call, `after` of one whose stream is over. Each carrier says it in its own language: TwiML,
NCCO, verbs, REST requests.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

import httpx2
from fastapi import APIRouter

from gateway.carriers.base import RESUMABLE, CallOffer, Control, Draining, Full, Over, Switchboard
from gateway.core.commands import EndReason
from gateway.errors import GatewayError

__all__ = [
    "DEFAULT_APOLOGY",
    "MOST_AGAIN",
    "SPOKEN_END",
    "WE_HANG_UP",
    "Again",
    "Apologise",
    "Busy",
    "Carrier",
    "Fallback",
    "Front",
    "HangUp",
    "Next",
    "NotInService",
    "Reports",
    "Stream",
    "after",
    "again_of",
    "offered",
]

logger = logging.getLogger(__name__)

DEFAULT_APOLOGY = "We are sorry, we have a technical problem. Please call again later."
MOST_AGAIN = 3
"""How often one call may be offered again after its stream broke."""
SPOKEN_END = frozenset(
    {
        EndReason.CALLER_HANGUP,
        EndReason.AGENT_HANGUP,
        EndReason.OPERATOR_HANGUP,
        EndReason.DURATION_LIMIT,
        EndReason.COST_LIMIT,
        EndReason.TRANSFERRED,
        EndReason.IDLE,
    }
)
"""Ends after which the caller has nothing more to hear."""
WE_HANG_UP = SPOKEN_END - {EndReason.CALLER_HANGUP, EndReason.TRANSFERRED}
"""Those of them that leave the caller's line for us to put down."""


@dataclass(frozen=True, slots=True)
class Fallback:
    """What the caller hears when the agent cannot go on."""

    say: str | None = None
    dial: str | None = None


class Reports(Protocol):
    """Where the carrier's word about a call goes."""

    def call_state(self, carrier_call_id: str, state: str, sequence: int | None = None) -> None:
        """Record the carrier's state of a call; it only moves forward."""

    def call_refused(self, offer: CallOffer, why: str) -> None:
        """Record a call that was turned away."""

    async def attempt_state(self, attempt_id: str, carrier_call_id: str, state: str, sequence: int | None) -> None:
        """Record the carrier's state of an outbound attempt."""

    async def attempt_agent(self, attempt_id: str, carrier_call_id: str) -> str | None:
        """Return the agent of an attempt that this call belongs to; None when there is no such attempt."""


@dataclass(frozen=True, slots=True)
class Front:
    """What a carrier's door needs of the gateway."""

    public_url: str
    """Origin under which the carrier reaches us. Signatures and our own URLs are made from it, never from a request."""
    stream_origin: str
    """The same for WebSockets."""
    allow_unsigned: bool
    """Development on loopback: requests without a signature are taken; one that is wrong is not."""
    calls: Switchboard
    reports: Reports
    fallback: Callable[[str, str], Fallback]
    """Agent name and dialled number to what is said when it fails."""
    transport: httpx2.AsyncBaseTransport | None = None
    """Goes below the carrier's REST client; None is the network. Given to join simulated ends."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """What the gateway gets of a carrier."""

    name: str
    """Of its folder, and in `CallOffer.carrier`."""
    router: APIRouter | None = None
    control: Control | None = None
    running: Callable[[], AbstractAsyncContextManager[object]] = field(default=nullcontext)
    """Entered while the application serves: REST clients, servers of its own, requests under way."""


# --- how a call goes on -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stream:
    """Connect the call to our media socket."""

    token: str
    again: int
    attempt_id: str = ""


@dataclass(frozen=True, slots=True)
class Again:
    """Offer the call once more, to this node or another behind the same address."""

    again: int
    pause_s: int
    attempt_id: str = ""


@dataclass(frozen=True, slots=True)
class Apologise:
    """Say that something is wrong, reach a human if there is a number for that, then hang up."""

    say: str
    dial: str | None


@dataclass(frozen=True, slots=True)
class HangUp:
    """There is nothing more to hear."""


@dataclass(frozen=True, slots=True)
class Busy:
    """Turn a new call away: no place is left."""


@dataclass(frozen=True, slots=True)
class NotInService:
    """Turn a new call away: nobody takes this number."""


Next = Stream | Again | Apologise | HangUp | Busy | NotInService


def offered(front: Front, offer: CallOffer, again: int = 0) -> Next:
    """Offer a call and say what becomes of it. `again` counts how often it was offered before."""
    try:
        token = front.calls.offer(offer, again=again)
    except Over:
        logger.info("a webhook came for a call that has ended")
        return HangUp()
    except Draining:
        if again >= MOST_AGAIN:
            front.reports.call_refused(offer, "draining")
            return _apology(front, offer.agent, offer.to_number)
        return Again(again + 1, again, offer.attempt_id)
    except Full:
        logger.warning("refused a call: no place left")
        front.reports.call_refused(offer, "full")
        return Busy()
    except GatewayError as refused:
        logger.warning("refused a call: %s", refused)
        front.reports.call_refused(offer, "no_agent")
        return NotInService()
    return Stream(token, again, offer.attempt_id)


def after(front: Front, carrier_call_id: str, to_number: str, again: int = 0, attempt_id: str = "") -> Next:
    """Say how a call whose stream is over goes on: never with silence."""
    ended = front.calls.outcome(carrier_call_id)
    if ended is not None and ended.reason in SPOKEN_END:
        return HangUp()
    if (ended is None or ended.reason in RESUMABLE) and again < MOST_AGAIN:
        # At once the first time; then slower, so that a short trouble in between does not use up every try.
        return Again(again + 1, again, attempt_id)
    return _apology(front, ended.agent if ended is not None else "", to_number)


def again_of(text: str) -> int:
    """Read how often a call has been offered again from the URL of a webhook."""
    return int(text) if text in ("0", "1", "2", "3") else MOST_AGAIN


def _apology(front: Front, agent: str, to_number: str) -> Apologise:
    fallback = front.fallback(agent, to_number)
    return Apologise(fallback.say or DEFAULT_APOLOGY, fallback.dial)
