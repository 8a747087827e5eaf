"""The callers' legs: offered, answered with a stream, given another one, comforted, put down. All by REST.

Telnyx never asks what follows: it tells what has happened, and a call that nobody drives stays as it is. So whatever
ends a stream, this says the next thing: hang up; speak and hang up; speak and dial the fallback number; stream again.
What must follow an event that may reach another process, or this one after a restart, travels in `client_state`:

* `then=say`: once it is answered, apologise (a call that is turned away with words must be answered first);
* `then=hang_up`, `then=dial`: what follows the spoken apology;
* `then=stream`: if the stream fails, whoever hears of it may take the call.

No `client_state` names a number to dial: the fallback is looked up by the agent's name and the dialled number.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Coroutine
from dataclasses import replace

from gateway.carriers.base import CallOffer, LiveCall, Over, TokenRefused
from gateway.carriers.errands import Errands
from gateway.carriers.front import (
    DEFAULT_APOLOGY,
    MOST_AGAIN,
    Again,
    Apologise,
    Busy,
    Front,
    HangUp,
    Next,
    NotInService,
    Stream,
    after,
    offered,
)
from gateway.carriers.stream import Started
from gateway.carriers.telnyx.events import Event, pack
from gateway.carriers.telnyx.line import NAME, Line, adopted, codec_name, offer_of, state_of
from gateway.carriers.telnyx.rest import ENDED, TelnyxRest
from gateway.core.commands import EndReason
from gateway.core.events import LegEnd, LegEnded
from gateway.errors import CarrierError, GatewayError

__all__ = ["VOICE", "Callers"]

logger = logging.getLogger(__name__)

KEPT = 4000
"""Calls that are remembered, for events that come late: the live ones and the latest that ended."""
GRACE_S = 0.4
"""Between the loss of a stream and a new one: whether the caller has hung up is told by a webhook, which may be later
than the end of the socket."""
ADOPT_S = 3.0
"""How long a call whose stream failed is left to the process that had it."""
FALLBACK_RING_S = 30
MOST_SPOKEN = 3000
"""Characters that Telnyx speaks at once."""
VOICE = {"voice": "female", "language": "en-US"}
"""Of Telnyx' speech."""


class Callers:
    """All callers' legs of an account. Requests go through `errands`, whose `running` must have been entered."""

    def __init__(self, rest: TelnyxRest, front: Front, errands: Errands) -> None:
        self._rest = rest
        self._front = front
        self._errands = errands
        self._stream_url = f"{front.stream_origin}/telnyx/media"
        self._lines: OrderedDict[str, Line] = OrderedDict()
        self._expected: dict[str, Line] = {}
        """By the token of the stream that each waits for."""

    def find(self, call_id: str) -> Line | None:
        return self._lines.get(call_id)

    def expected(self, token: str) -> Line | None:
        """Return who waits for a stream with this token."""
        return self._expected.get(token) if token else None

    # --- what Telnyx tells --------------------------------------------------------------------

    def offer(self, event: Event, *, attempt_id: str = "", agent: str = "") -> bool:
        """Take a call that came in, or one of ours that was answered. False: this node takes no calls, others may."""
        known = self._lines.get(event.call_id)
        if known is not None:
            return True
        line = Line(offer_of(event, attempt_id, agent), event.get("connection_id"), answered=bool(attempt_id))
        decided = offered(self._front, line.offer)
        if isinstance(decided, Again):
            if event.attempt <= MOST_AGAIN and not line.answered:
                return False
            self._front.reports.call_refused(line.offer, "draining")
            decided = Apologise("", None)
        self._keep(line)
        self._begin(line, decided)
        return True

    def answered(self, event: Event) -> None:
        """The caller can hear now."""
        line = self._lines.get(event.call_id)
        if line is not None:
            line.answered = True
        if event.state.get("then") == "say":
            agent, number = event.state.get("agent", ""), event.state.get("to", "")
            self._soon(self._apologise(event.call_id, agent, number))

    def spoken(self, event: Event) -> None:
        """The apology was heard."""
        then, call_id = event.state.get("then"), event.call_id
        dial = self._front.fallback(event.state.get("agent", ""), event.state.get("to", "")).dial
        if then == "dial" and dial is not None and event.get("status") != "call_hangup":
            self._soon(self._dial_fallback(call_id, dial))
        elif then in ("dial", "hang_up"):
            self._soon(self._rest.end(call_id))

    def stream_failed(self, event: Event) -> None:
        """A stream could not be opened, or broke. One of a call that nobody here knows has lost its process."""
        logger.warning("a stream failed: %s", "".join(filter(str.isprintable, event.get("failure_reason")))[:64])
        line = self._lines.get(event.call_id)
        if line is None and event.state.get("then") == "stream":
            self._adopt(event)
        elif line is None or not line.token or line.over:
            return  # its socket has told, or will
        elif line.again < MOST_AGAIN:
            self._soon(self._once_more(line, line.again + 1, line.again))
        else:
            self._give_up(line, "its stream failed too often")

    def _adopt(self, event: Event) -> None:
        """Take a call over whose process is gone."""
        line = adopted(event)
        self._keep(line)
        if line.again < MOST_AGAIN:
            self._soon(self._once_more(line, line.again + 1, ADOPT_S))
        else:
            self._go_on(line, Apologise("", None))

    def hung_up(self, call_id: str) -> None:
        """The call is over."""
        line = self._lines.get(call_id)
        if line is None:  # an offer that comes after its end is not taken
            line = Line(CallOffer(NAME, call_id, "", "inbound", "", ""))
            self._keep(line)
        line.over = True
        self._expect_no_more(line)
        self._front.calls.hung_up(call_id)

    # --- what our side tells ------------------------------------------------------------------

    def claim(self, started: Started) -> LiveCall:
        """Return the call of a stream that has started. Raises `TokenRefused`."""
        live = self._front.calls.claim(started.token, started.carrier_call_id, started.account_id)
        line = self._expected.get(started.token)
        if line is not None:
            line.answered, line.streams = True, started.token
            self._expect_no_more(line)
        return live

    def stream_over(self, line: Line, token: str) -> None:
        """A media socket is closed."""
        if line.streams == token:
            line.streams = ""

    def bring_back(self, call_id: str) -> None:
        """Nobody has taken the caller: where the stream was lost meanwhile, they get a new one to the same agent."""
        line = self._lines.get(call_id)
        if line is None or line.over or line.streams:
            return
        try:
            resumed = self._front.calls.resume(call_id)
        except (Over, TokenRefused):
            return
        self._expect(line, resumed.token, line.again)
        self._soon(self._stream(line, "streaming_start"))

    def cannot_stream(self, line: Line, why: str) -> None:
        """The stream that came is of no use, and another would not be better."""
        self._give_up(line, why)

    def over(self, call_id: str) -> None:
        """Our part in a call is over; the caller hears what follows. See `Control.call_over`."""
        line, ended = self._lines.get(call_id), self._front.calls.outcome(call_id)
        if line is None or ended is None or line.over:
            return
        self._expect_no_more(line)
        if ended.reason is EndReason.TRANSFERRED and not line.hopeless:
            self._soon(self.leave(call_id))
            return
        line.offer = replace(line.offer, agent=ended.agent or line.offer.agent)
        again = MOST_AGAIN if line.hopeless else line.again
        self._go_on(line, after(self._front, call_id, line.offer.to_number, again, line.offer.attempt_id))

    async def leave(self, call_id: str) -> None:
        """A human has the caller: stop our stream, and ask nothing more for the call."""
        line = self._lines.get(call_id)
        if line is not None:
            line.over = True
        await self._rest.end(call_id, "streaming_stop")

    # --- what follows -------------------------------------------------------------------------

    def _begin(self, line: Line, decided: Next) -> None:
        """Say what becomes of a call that nobody has answered yet, or, of ours, that was just answered."""
        match decided:
            case Stream(token):
                self._expect(line, token, 0)
                self._soon(self._stream(line, "streaming_start" if line.answered else "answer"))
            case Busy() | NotInService() if not line.answered:
                line.over = True
                cause = "USER_BUSY" if isinstance(decided, Busy) else "CALL_REJECTED"
                self._soon(self._rest.end(line.call_id, "reject", cause=cause))
            case Apologise() if not line.answered:
                line.over = True
                self._soon(self._rest.end(line.call_id, "answer", client_state=state_of(line, "say")))
            case HangUp():
                # It was offered before and has ended here; it may live with a human: nothing is touched.
                line.over = True
            case _:
                self._go_on(line, decided)

    def _go_on(self, line: Line, decided: Next) -> None:
        """Say what a caller gets whose stream is over."""
        match decided:
            case Again(again, pause_s):
                self._soon(self._once_more(line, again, pause_s))
            case HangUp():
                line.over = True
                self._soon(self._rest.end(line.call_id))
            case _:
                line.over = True
                self._soon(self._apologise(line.call_id, line.offer.agent, line.offer.to_number))

    async def _stream(self, line: Line, action: str) -> None:
        asked: dict[str, object] = {
            "stream_url": self._stream_url,
            "stream_track": "inbound_track",
            "stream_codec": codec_name(line.offer.audio),
            "stream_bidirectional_mode": "rtp",
            "stream_bidirectional_codec": codec_name(line.offer.audio),
            "stream_bidirectional_sampling_rate": 8000,
            "stream_auth_token": line.token,
            "client_state": state_of(line, "stream"),
        }
        if action == "answer":
            asked["send_silence_when_idle"] = True
        try:
            await self._rest.command(line.call_id, action, **asked)
        except CarrierError as failed:
            elsewhere = failed.permanent and failed.code.startswith("9") and (action == "answer" or line.adopted)
            if failed.code == ENDED or elsewhere:
                # The caller has gone, or another process has answered or streams: it is not ours to touch.
                self.hung_up(line.call_id)
            elif failed.permanent:
                self._give_up(line, "telnyx refused its stream")
            # Else it may have been done: the call waits for its stream, as long as it waits for any.
            raise
        line.answered, line.adopted = True, False

    async def _once_more(self, line: Line, again: int, pause_s: float) -> None:
        waited = line.token
        await asyncio.sleep(max(pause_s, GRACE_S))
        if line.over or line.token != waited:
            return  # the caller has hung up, or the stream has come after all
        match offered(self._front, line.offer, again):
            case Stream(token, again):
                self._expect(line, token, again)
                await self._stream(line, "streaming_start")
            case HangUp():
                return  # its end is being written, and says what follows
            case _:
                line.over = True
                await self._apologise(line.call_id, line.offer.agent, line.offer.to_number)

    def _give_up(self, line: Line, why: str) -> None:
        """End a call that waits for a stream which will not come; what the caller hears follows from that end."""
        line.hopeless = True
        token = line.token
        self._expect_no_more(line)
        try:
            live = self._front.calls.claim(token, line.call_id, line.offer.account_id)
        except TokenRefused:
            return
        except GatewayError as refused:
            logger.warning("a call without a stream was not ended: %s", refused)
            return
        # Over, because a call that is being transferred would go on to wait for it.
        live.feed(LegEnded(LegEnd.BROKEN, why, call_over=True))

    async def _apologise(self, call_id: str, agent: str, to_number: str) -> None:
        fallback = self._front.fallback(agent, to_number)
        text = (fallback.say or DEFAULT_APOLOGY)[:MOST_SPOKEN]
        state = pack(then="dial" if fallback.dial is not None else "hang_up", agent=agent, to=to_number)
        try:
            return await self._rest.end(call_id, "speak", payload=text, client_state=state, **VOICE)
        except CarrierError as failed:
            logger.warning("a caller is not told of our trouble: %s", failed)
        if fallback.dial is not None:
            return await self._dial_fallback(call_id, fallback.dial)
        await self._rest.end(call_id)

    async def _dial_fallback(self, call_id: str, number: str) -> None:
        try:
            await self._rest.command(
                call_id,
                "transfer",
                to=number,
                timeout_secs=FALLBACK_RING_S,
                target_leg_client_state=pack(then="hang_up", caller=call_id),
            )
        except CarrierError:
            await self._rest.end(call_id)
            raise

    # --- the book -----------------------------------------------------------------------------

    def _expect(self, line: Line, token: str, again: int) -> None:
        self._expect_no_more(line)
        line.token, line.again = token, again
        self._expected[token] = line

    def _expect_no_more(self, line: Line) -> None:
        self._expected.pop(line.token, None)
        line.token = ""

    def _keep(self, line: Line) -> None:
        self._lines[line.call_id] = line
        if len(self._lines) > KEPT:
            old = next((it for it in self._lines.values() if it.over), None)
            if old is not None:
                del self._lines[old.call_id]

    def _soon(self, work: Coroutine[None, None, None]) -> None:
        self._errands.soon(work)
