"""A telephone network that behaves like Twilio towards an application.

`TwilioNetwork` places calls by plan; the REST stand-in (`rest.py`) lets the application place and change them.
Nothing of the gateway is used: what an application sees here is what Twilio documents.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import httpx2

from gateway.simulator.carrier.call import LiveCall
from gateway.simulator.carrier.facts import CallFacts, new_sid
from gateway.simulator.carrier.parties import Party
from gateway.simulator.carrier.parts import Connector, NetworkParts
from gateway.simulator.carrier.plan import CallbackFaults, Callee, CallPlan, LineModel, OutboundRequest
from gateway.simulator.carrier.report import CallReport
from gateway.simulator.carrier.switchboard import Switchboard
from gateway.simulator.carrier.webhooks import Router, Webhooks

__all__ = ["TwilioNetwork"]

KEEP_CALLS = 2000
"""Ended calls that can still be asked for by REST; the oldest are forgotten first."""


class TwilioNetwork:
    """One account. Create inside a running event loop; `http` and `connect` stay the caller's to close."""

    def __init__(
        self,
        account_sid: str,
        auth_token: str,
        http: httpx2.AsyncClient,
        connect: Connector,
        *,
        route: Mapping[str, str] | None = None,
        line: LineModel | None = None,
        faults: CallbackFaults | None = None,
        parties: Sequence[Party] = (),
        seed: int | None = None,
        epoch: datetime | None = None,
        allow_loopback_ws: bool = False,
    ) -> None:
        """`route` maps a public origin (https://gw.example.com) to where it really listens (http://127.0.0.1:8080).

        `parties` can be reached by `<Dial>`, and by REST when `TwilioRest` is not told otherwise.
        With a `seed` and an `epoch` (the time of day now) two runs on a virtual clock are identical.
        `allow_loopback_ws` also takes `ws://` stream URLs of this machine, which Twilio does not (31922).
        """
        started = asyncio.get_running_loop().time()
        base = epoch or datetime.now(UTC)
        self.account_sid = account_sid
        self.auth_token = auth_token
        self.calls: dict[str, LiveCall] = {}
        self._rng = random.Random(seed)
        reached = {party.number: party.behaviour for party in parties}
        self._switchboard = Switchboard(reached, self._dial, self._rng)
        self._parts = NetworkParts(
            webhooks=Webhooks(http, auth_token, Router(route or {}), self._rng),
            router=Router(route or {}),
            connect=connect,
            line=line or LineModel(),
            faults=faults or CallbackFaults(),
            rng=self._rng,
            wall=lambda: base + timedelta(seconds=asyncio.get_running_loop().time() - started),
            switchboard=self._switchboard,
            allow_loopback_ws=allow_loopback_ws,
        )

    async def call(self, plan: CallPlan) -> CallReport:
        """Have somebody call a number, and return when the call is over. Never raises for what the application did."""
        return await self.offer(plan).inbound(plan)

    def offer(self, plan: CallPlan) -> LiveCall:
        """Register an inbound call to watch or to end meanwhile; the caller runs its `inbound(plan)`."""
        return self._register(self._facts(plan.to, plan.from_, "inbound", "ringing", plan.caller_fields))

    def party(self, number: str) -> Callee | None:
        """Return who answers at a number; None: the network knows nobody there."""
        return self._switchboard.party(number)

    def queue(self, request: OutboundRequest) -> LiveCall:
        """Register a call asked for by REST; the caller then runs its `outbound()`."""
        return self._register(self._facts(request.to, request.from_, "outbound-api", "queued", {}))

    def sign(self, url: str, form: Mapping[str, str] | None = None) -> str:
        """Return the `X-Twilio-Signature` of a request; for a WebSocket upgrade give the wss URL and no form."""
        return self._parts.webhooks.sign(url, form or {})

    def wall(self) -> datetime:
        """Return the network's time of day."""
        return self._parts.wall()

    def _dial(self, request: OutboundRequest, parent: CallFacts) -> LiveCall:
        facts = self._facts(request.to, request.from_, "outbound-dial", "queued", {})
        facts.parent_sid = parent.call_sid
        return self._register(facts)

    def _facts(self, to: str, from_: str, direction: str, status: str, caller_fields: Mapping[str, str]) -> CallFacts:
        sid = new_sid("CA", self._rng)
        return CallFacts(sid, self.account_sid, to, from_, direction, status, caller_fields)

    def _register(self, facts: CallFacts) -> LiveCall:
        if len(self.calls) >= KEEP_CALLS:
            ended = next((sid for sid, call in self.calls.items() if call.facts.ended), None)
            if ended is not None:
                del self.calls[ended]
        call = self.calls[facts.call_sid] = LiveCall(self._parts, facts)
        return call
