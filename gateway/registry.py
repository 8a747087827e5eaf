"""The live calls of this process: admission, one-use stream tokens, what follows a stream, drain.

The switchboard of the carriers' routes. A signed webhook offers a call and gets a token; the media socket claims it
once, with the same carrier call id, within a minute. The token is kept as a hash. What ended is remembered for a while,
because the carrier asks for its next instruction after the stream, and because a signed webhook can be replayed for
ever: a call begins once, and again only when its stream broke and the carrier was told to come back.
"""

import asyncio
import hashlib
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.carriers.base import RESUMABLE, CallOffer, Draining, Ended, Full, Over, Resumed, TokenRefused
from gateway.core import Phase
from gateway.core.commands import EndReason
from gateway.core.events import DrainAsked, LegEnd, LegEnded, StopAsked, TransferProgress
from gateway.session import CallSession

__all__ = ["Live", "Registry", "SessionFactory", "new_call_id"]

logger = logging.getLogger(__name__)

TOKEN_S = 60.0
"""How long a stream token may be claimed."""
KEPT_ENDED = 2000
"""Ended calls whose outcome is still known."""

UNOWED = frozenset({EndReason.TRANSFERRED})
"""Ends after which the call goes on without us: its end is reported when it may, and nobody waits for that."""

SessionFactory = Callable[[str, CallOffer, bool], CallSession]
"""Makes the session for a new call id; the last tells whether the telephone call may have begun in another one, here
or on another node. Raises `GatewayError` when no agent takes the call."""


@dataclass(slots=True, frozen=True)
class _Admission:
    """What an unused token admits to."""

    carrier_call_id: str
    until: float


@dataclass(slots=True, frozen=True)
class Live:
    """A live call."""

    session: CallSession
    seconds: float
    """Since it was offered."""


@dataclass(slots=True)
class _Offered:
    session: CallSession
    token: str
    again: int
    offered_s: float
    claimed: bool = False
    resumes_with: str = ""
    """The token of a second stream, while it is unused."""
    reported: bool = False
    """The carrier has said that the call is over."""


class Registry:
    """Owns the tasks of all calls. `run` must be running before calls are offered."""

    def __init__(self, max_calls: int, make_session: SessionFactory | None = None) -> None:
        self.make_session = make_session
        """Set once, before calls are offered."""
        self.on_over: Callable[[CallOffer], None] = lambda offer: None
        """Told of each call that has ended here, once `outcome` knows how. Set once, before calls are offered."""
        self.max_calls = max_calls
        self._offered: dict[str, _Offered] = {}
        self._tokens: dict[str, _Admission] = {}
        self._ended: OrderedDict[str, Ended] = OrderedDict()
        self._known: OrderedDict[str, None] = OrderedDict()
        """Ids of calls, live and ended; the oldest are forgotten."""
        self._owed: set[str] = set()
        self._group: asyncio.TaskGroup | None = None
        self._stopping = asyncio.Event()
        self._left = asyncio.Event()
        self.draining = False

    @property
    def live(self) -> int:
        """How many calls have been offered and not ended."""
        return len(self._offered)

    @property
    def full(self) -> bool:
        return self.live >= self.max_calls

    @property
    def owed(self) -> bool:
        """Whether a carrier has still to report the end of a call whose stream is over: it may ask what to do next."""
        return bool(self._owed)

    def sessions(self) -> list[CallSession]:
        return [offered.session for offered in self._offered.values()]

    def calls(self) -> list[Live]:
        """Return the calls that have not ended, oldest first."""
        now = asyncio.get_running_loop().time()
        return [Live(it.session, now - it.offered_s) for it in self._offered.values() if not it.session.ended]

    def find(self, call_id: str) -> CallSession | None:
        """Return a call that has not ended, by our own id."""
        return next((call for call in self.sessions() if call.call_id == call_id and not call.ended), None)

    def has_ended(self, call_id: str) -> bool:
        """Tell whether this was a call of this process, as far back as is remembered."""
        return call_id in self._known and self.find(call_id) is None

    def offer(self, offer: CallOffer, *, again: int = 0) -> str:
        """See `Switchboard.offer`."""
        known = self._offered.get(offer.carrier_call_id)
        if known is not None and not known.session.ended:
            if again <= known.again or not known.claimed:
                return known.token
            # Also of a call that was being transferred, which a lost stream alone would not end.
            known.session.feed(LegEnded(LegEnd.SOCKET_LOST, "the carrier asked for a new stream", call_over=True))
        ended = self._ended.get(offer.carrier_call_id)
        if known is not None and known.session.ended:  # it still closes
            ended = Ended(known.session.offer.agent, known.session.call.end_reason or EndReason.STOPPED, known.again)
        if ended is not None and (again <= ended.again or ended.reason not in RESUMABLE):
            raise Over("the call has ended")
        if self.draining:
            raise Draining("this node takes no new calls")
        if self.full:
            raise Full(f"all {self.max_calls} places are taken")
        assert self._group is not None and self.make_session is not None, "the registry must run first"
        session = self.make_session(new_call_id(), offer, again > 0)
        token = self._admit(offer.carrier_call_id)
        now = asyncio.get_running_loop().time()
        self._offered[offer.carrier_call_id] = offered = _Offered(session, token, again, now)
        self._remember(session.call_id)
        if known is not None:
            self.on_over(offer)
        task = self._group.create_task(session.run(), name=session.call_id)
        task.add_done_callback(lambda _: self._forget(offer.carrier_call_id, offered))
        return token

    def claim(self, token: str, carrier_call_id: str, account_id: str) -> CallSession:
        """See `Switchboard.claim`."""
        admission = self._tokens.get(_hash(token))
        offered = self._offered.get(admission.carrier_call_id) if admission is not None else None
        if admission is None or offered is None:
            raise TokenRefused("the token is unknown or was used")
        if admission.carrier_call_id != carrier_call_id or offered.session.offer.account_id != account_id:
            raise TokenRefused("the token belongs to another call")
        if asyncio.get_running_loop().time() > admission.until or offered.session.ended:
            raise TokenRefused("the token came too late")
        del self._tokens[_hash(token)]
        offered.claimed, offered.resumes_with = True, ""
        return offered.session

    def resume(self, carrier_call_id: str) -> Resumed:
        """See `Switchboard.resume`."""
        offered = self._offered.get(carrier_call_id)
        if offered is None or offered.session.ended or offered.reported:
            raise Over("the call has ended")
        if not offered.resumes_with:
            if offered.session.call.phase is not Phase.TRANSFERRING:
                raise TokenRefused("the call is not being transferred")
            offered.resumes_with = self._admit(carrier_call_id)
        return Resumed(offered.resumes_with, offered.again)

    def transfer_progress(self, carrier_call_id: str, progress: TransferProgress) -> None:
        """See `Switchboard.transfer_progress`."""
        offered = self._offered.get(carrier_call_id)
        if offered is not None:
            offered.session.feed(progress)

    def outcome(self, carrier_call_id: str) -> Ended | None:
        """See `Switchboard.outcome`."""
        offered = self._offered.get(carrier_call_id)
        if offered is None:
            return self._ended.get(carrier_call_id)
        reason = offered.session.call.end_reason
        return Ended(offered.session.offer.agent, reason, offered.again) if reason is not None else None

    def hung_up(self, carrier_call_id: str) -> None:
        """See `Switchboard.hung_up`."""
        self._owed.discard(carrier_call_id)
        offered, ended = self._offered.get(carrier_call_id), self._ended.get(carrier_call_id)
        if offered is not None:
            offered.reported = True
            offered.session.feed(LegEnded(LegEnd.CALLER_HANGUP, "the carrier reports the end", call_over=True))
        if ended is not None and ended.reason in RESUMABLE:
            self._ended[carrier_call_id] = replace(ended, reason=EndReason.CALLER_HANGUP)

    async def run(self) -> None:
        """Own the calls until `stop`. Cancelled from outside, every call still writes its end record."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            await self._stopping.wait()

    async def empty(self) -> None:
        """Wait until no call lives."""
        while self._offered:
            self._left.clear()
            await self._left.wait()

    def drain(self) -> None:
        """Take no new calls; the live ones go on."""
        self.draining = True

    def hand_over(self) -> None:
        """Send the live calls away: the stream ends and the carrier offers the call again, to another node.

        Calls of a carrier that would not ask again go on until `stop`.
        """
        for session in self.sessions():
            if session.offer.comes_back:
                session.feed(DrainAsked())

    def stop(self) -> None:
        """End what still lives and let `run` return."""
        self.draining = True
        for session in self.sessions():
            session.feed(StopAsked("the gateway stops"))
        self._stopping.set()

    def _admit(self, carrier_call_id: str) -> str:
        token = secrets.token_urlsafe(32)
        self._tokens[_hash(token)] = _Admission(carrier_call_id, asyncio.get_running_loop().time() + TOKEN_S)
        return token

    def _remember(self, call_id: str) -> None:
        self._known[call_id] = None
        while len(self._known) > KEPT_ENDED + self.max_calls:
            self._known.popitem(last=False)

    def _forget(self, carrier_call_id: str, offered: _Offered) -> None:
        session = offered.session
        session.abandon()
        for token in (offered.token, offered.resumes_with):
            self._tokens.pop(_hash(token), None)
        newest = self._offered.get(carrier_call_id) is offered
        if newest:
            del self._offered[carrier_call_id]
        self._left.set()
        reason = session.call.end_reason or EndReason.STOPPED
        if offered.reported and reason in RESUMABLE:
            reason = EndReason.CALLER_HANGUP
        known = self._ended.get(carrier_call_id)
        if known is None or known.again <= offered.again:  # else the call that followed this one closed sooner
            self._ended[carrier_call_id] = Ended(session.offer.agent, reason, offered.again)
        self._ended.move_to_end(carrier_call_id)
        if newest and offered.claimed and session.offer.comes_back and not offered.reported and reason not in UNOWED:
            self._owed.add(carrier_call_id)
        while len(self._ended) > KEPT_ENDED:
            forgotten, _ = self._ended.popitem(last=False)
            self._owed.discard(forgotten)
        if newest:
            self.on_over(session.offer)


def new_call_id() -> str:
    """Return an id for a telephone call; random, so that nobody guesses another's."""
    return "call_" + secrets.token_hex(10)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
