"""One live call of a carrier, from offer to end, and all that a dialect can do with it.

One step of the dialect's is followed at a time; REST and the end of the call take its place at once. What runs beside
(`spawn`) ends with the call.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias
from urllib.parse import urlsplit

from gateway.log import mask_number
from gateway.simulator.asgi import UpgradeRefused
from gateway.simulator.carrier.caller import Caller, ScriptFailed
from gateway.simulator.carrier.line import PhoneLine
from gateway.simulator.carrier.mouth import Mouth
from gateway.simulator.carrier.plan import LineModel, Surroundings
from gateway.simulator.carrier.report import CallReport, Event
from gateway.simulator.carrier.script import Script, clips_of
from gateway.simulator.carriers.advice import refused_by_gateway
from gateway.simulator.carriers.asks import Wire
from gateway.simulator.carriers.people import Dialled, Human, Told, dial
from gateway.simulator.carriers.report import CarrierReport, WireLog
from gateway.simulator.carriers.requests import NO_ANSWER, Reply
from gateway.simulator.carriers.stream import Stream
from gateway.wire import TextSocket

if TYPE_CHECKING:
    from gateway.simulator.carriers.network import CarrierNetwork

__all__ = ["Dialect", "LiveCall", "Plan", "Step"]

OPEN_S = 10.0
REFUSED, NO_CONNECTION, CLOSED = 9101, 9102, 9103
"""Warnings: the upgrade was refused; nothing was reached; the application closed with an error code."""
NORMAL_CLOSES = (1000, 1001, 1005)
POLICY_CLOSE = 1008
TURNED_AWAY = {str(code) for code in (REFUSED, NO_CONNECTION, CLOSED)}
SECRET_HINT = {status: ": is this command's secret the gateway's? Its log says more" for status in (401, 403)}


@dataclass(slots=True, frozen=True, kw_only=True)
class Plan:
    """One call: a person dials a number."""

    to: str
    from_: str
    script: Script
    agent: str = ""
    """For carriers that can name one."""
    ring_s: float = 30.0
    """How long the caller waits to be answered."""
    time_limit_s: float = 4 * 3600.0
    line: LineModel = LineModel()
    surroundings: Surroundings = Surroundings()
    seed: int = 7


Step: TypeAlias = Callable[[], Awaitable["Step | None"]]
"""A part of the call; returns what comes next, None when there is no more."""


class Dialect(Protocol):
    """How one carrier conducts one call. Made anew for each, with the `LiveCall`."""

    async def begin(self) -> "Step | None":
        """Offer the call and follow what the application says; return what comes next, None: nothing, it ends."""

    async def over(self) -> None:
        """The call has ended, whoever ended it: send what the carrier sends then (a hang-up webhook)."""


class LiveCall:
    """Created by `CarrierNetwork`. The attributes are the dialect's to read."""

    def __init__(self, network: "CarrierNetwork", call_id: str, plan: Plan) -> None:
        self.network = network
        self.call_id = call_id
        self.plan = plan
        self.report = CarrierReport(network.carrier.name, CallReport(call_id))
        self.ended = asyncio.Event()
        self._chance = random.Random(f"{call_id} {plan.seed}")
        self._following = _Following()
        self._line: PhoneLine | None = None
        self._stream: Stream | None = None
        self._group: asyncio.TaskGroup | None = None
        self._beside: list[asyncio.Task[None]] = []
        self.dialect: Dialect = network.carrier.dialect(self)

    # --- for the dialect ----------------------------------------------------------------------

    @property
    def line(self) -> PhoneLine:
        """The caller's; there is one once the call is answered."""
        assert self._line is not None, "answered"
        return self._line

    @property
    def answered(self) -> bool:
        return self._line is not None

    @property
    def streaming(self) -> bool:
        return self._stream is not None

    def clock(self) -> float:
        """Return seconds since the answer; 0 before."""
        return self._line.clock() if self._line is not None else 0.0

    def answer(self) -> None:
        """The caller is answered: from now on they speak as their script says. Again: nothing happens."""
        if self._line is not None or self._group is None:
            return
        mouth = Mouth(self.plan.surroundings, clips_of(self.plan.script), self._chance)
        self._line = PhoneLine(self.report.call, mouth)
        self.spawn(self._line.run())
        self.spawn(self._live(Caller(self._line, self.report.call, self._chance)))
        self.spawn(self._limit())

    def refuse(self, outcome: str = "busy") -> None:
        """The application does not take the call: `busy`, `no-answer` or `failed`."""
        self._end("reject", outcome)

    def hang_up(self, by: str = "application") -> None:
        """End the call from our side, for instance because REST asked for it."""
        self._end(by, "completed" if self.answered else "no-answer")

    def redirect(self, step: Step) -> None:
        """Go on with `step` in place of what is followed now; a stream of that ends. After the end: nothing happens."""
        self._following.go_on(step)

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Do something beside what is followed; it is cancelled when the call ends."""
        if self._group is None:
            work.close()
            return
        self._beside.append(self._group.create_task(work))

    async def forever(self) -> None:
        """Follow nothing, as REST-driven carriers do: everything comes by `spawn`, `redirect` and `hang_up`."""
        await self.ended.wait()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: bytes = b"",
        what: str = "webhook",
        within_s: float = 5.0,
    ) -> Reply:
        """Send a webhook to a public URL. Never raises; without an answer the status is 0, and the report says so."""
        began = asyncio.get_running_loop().time()
        reply = NO_ANSWER
        try:
            reply = await self.network.request(method, url, headers, content, within_s)
        finally:
            took_ms = round((asyncio.get_running_loop().time() - began) * 1000)
            self.report.call.webhooks.append(Event(self.clock(), what, f"{reply.status}, {took_ms} ms"))
        if not 200 <= reply.status < 300:
            hint = SECRET_HINT.get(reply.status, "")
            told = f"{what}: {reply.failure or f'HTTP {reply.status}'}{hint}"
            self.warn(NO_CONNECTION, self._meaning(reply.status) or told)
        return reply

    def _meaning(self, status: int) -> str | None:
        """What a refusal at the door means. Once something was let in, a refusal is of that request alone."""
        reached = any(event.detail.startswith("2") for event in self.report.call.webhooks)
        return None if reached else refused_by_gateway(self.network.carrier.name, status)

    async def stream(self, url: str, wire: Wire, headers: Mapping[str, str]) -> int | None:
        """Connect the caller to a media socket and return when it is over: the application's close code, None when the
        carrier ended it (`stop_stream`, `Leave`), 0 when it never opened, of which the report warns.

        `url` is public: `wss://`, `ws://` of this machine, or `tcp://HOST:PORT`. A `sec-websocket-protocol` among the
        headers must be selected by the application.
        """
        socket = await self._open(url, headers)
        if socket is None:
            return 0
        log = WireLog(wire.encoding)
        self.report.wires.append(log)
        if self.report.connected_s is None:
            self.report.connected_s = self.clock()
        stream = Stream(
            socket, wire, self.report.call, log, line=self.plan.line, rng=self._chance, clock=self.line.clock
        )
        self._stream = self.line.stream = stream
        try:
            code = await stream.run()
        finally:
            if self._stream is stream:
                self._stream = self.line.stream = None
        if code is not None and code not in NORMAL_CLOSES:
            refused = ": refused; the gateway's log says why" if code == POLICY_CLOSE else ""
            self.warn(CLOSED, f"the application closed the stream with {code}{refused}")
        return code

    def stop_stream(self) -> None:
        """Have the stream end from the carrier's side: `Wire.stop()`, then the close."""
        if self._stream is not None:
            self._stream.leave()

    async def say(self, text: str) -> None:
        """Have the carrier's own voice speak to the caller; returns when it has."""
        await self.line.announce(text)

    async def dial(
        self,
        number: str,
        *,
        timeout_s: float = 30.0,
        told: Told = lambda state: None,
        whisper: Callable[[Human], Awaitable[bool]] | None = None,
    ) -> Dialled:
        """Ring somebody, connect them with the caller, and return when it is over; see `people.dial`."""
        callee = self.network.party(number)
        call, name = self.report.call, mask_number(number)
        return await dial(call, self.line, callee, name=name, timeout_s=timeout_s, told=told, whisper=whisper)

    def heard_key(self, digits: str) -> None:
        """The caller hears keys that were sent to them by REST."""
        self.report.call.keys_heard.extend(Event(self.clock(), digit) for digit in digits)

    def warn(self, code: int, text: str) -> None:
        """Note a breach; a good call has none."""
        self.report.call.warn(self.clock(), code, text)

    # --- its life -----------------------------------------------------------------------------

    async def run(self) -> CarrierReport:
        """Conduct the call; once."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            patience = group.create_task(self._patience())
            await self._following.follow(self.dialect.begin)
            self._end("instructions", "completed" if self.answered else "no-answer")
            self._group = None
            for task in (patience, *self._beside):
                task.cancel()
        await self.dialect.over()
        self._judge()
        return self.report

    def _judge(self) -> None:
        """An answered call whose stream was refused, and whose caller never heard the agent, is not a completed one."""
        call = self.report.call
        turned_away = any(warning.name in TURNED_AWAY for warning in call.warnings)
        if call.outcome == "completed" and turned_away and not call.media.heard:
            call.outcome = "failed"

    def _end(self, by: str, outcome: str) -> None:
        """Only the first end counts."""
        if self.ended.is_set():
            return
        self.ended.set()
        call = self.report.call
        call.ended_by, call.outcome, call.duration_s = by, outcome, self.clock()
        self._following.stop()

    async def _patience(self) -> None:
        await asyncio.sleep(self.plan.ring_s)
        if not self.answered:
            self._end("not_answered", "no-answer")

    async def _live(self, caller: Caller) -> None:
        try:
            await caller.run(self.plan.script)
        except ScriptFailed as error:
            self.report.call.script_error = str(error)
        except asyncio.CancelledError:
            # Somebody else has ended the call. No script knows what comes after the agent: who was put through is done.
            rung = any(sound.kind == "ring" for sound in self.report.call.sounds)
            self.report.call.script_error = None if rung else caller.left(self.plan.script)
            raise
        self._end("caller", "completed")

    async def _limit(self) -> None:
        await asyncio.sleep(self.plan.time_limit_s)
        self._end("time_limit", "completed")

    async def _open(self, url: str, headers: Mapping[str, str]) -> TextSocket | None:
        try:
            if urlsplit(url).scheme not in ("wss", "ws", "tcp"):
                raise ValueError("not a stream URL")
            async with asyncio.timeout(OPEN_S):
                return await self.network.open(url, headers)
        except UpgradeRefused as error:
            hint = SECRET_HINT.get(error.status, f": {error}")
            told = f"the application answered the upgrade with HTTP {error.status}{hint}"
            self.warn(REFUSED, self._meaning(error.status) or told)
        except (OSError, ValueError) as error:
            self.warn(NO_CONNECTION, f"no stream: {type(error).__name__} {error}")
        return None


class _Following:
    """What of a dialect runs now, and what is to take its place."""

    def __init__(self) -> None:
        self._running: asyncio.Task[Step | None] | None = None
        self._next: Step | None = None
        self._stopped = False

    async def follow(self, first: Step) -> None:
        step: Step | None = first
        while step is not None and not self._stopped:
            done = await self._do(step)
            step, self._next = self._next or done, None

    async def _do(self, step: Step) -> Step | None:
        async def work() -> Step | None:
            return await step()

        async with asyncio.TaskGroup() as group:
            running = self._running = group.create_task(work())
        self._running = None
        return None if running.cancelled() else running.result()

    def go_on(self, step: Step) -> None:
        self._next = step
        self._cancel()

    def stop(self) -> None:
        self._stopped = True
        self._cancel()

    def _cancel(self) -> None:
        if self._running is not None and not self._running.cancelling():
            self._running.cancel()
