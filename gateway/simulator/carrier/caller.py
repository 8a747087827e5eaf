"""The person on the phone: carries a script out on a line."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import assert_never

from gateway.simulator.carrier.line import PhoneLine
from gateway.simulator.carrier.report import CallReport, Event
from gateway.simulator.carrier.script import (
    Backchannel,
    BargeIn,
    Dtmf,
    HangUp,
    Key,
    Pause,
    Say,
    Script,
    Step,
    Until,
    Wait,
)
from gateway.simulator.carrier.tones import FRAME_BYTES, RATE_BYTES, SILENCE

__all__ = ["Caller", "ScriptFailed"]

KEY_S = 0.25
FRAME_MS = 20


class ScriptFailed(Exception):
    """A step could not be done in time; the caller hangs up."""


class Caller:
    """Carries out one script with `run()`."""

    def __init__(self, line: PhoneLine, report: CallReport, rng: random.Random) -> None:
        self._line = line
        self._report = report
        self._rng = rng
        self._at = 0

    def left(self, script: Script) -> str | None:
        """Say what of the script was not done when the call ended; None: nothing that the end has not done itself."""
        left = (number for number, step in enumerate(script.steps, 1) if number >= self._at and not _ends_so(step))
        number = next(left, None)
        return None if number is None else f"the call ended before step {number} of {len(script.steps)} was done"

    async def run(self, script: Script) -> None:
        """Return when the caller hangs up. Raises `ScriptFailed`."""
        failure: ScriptFailed | None = None
        # What goes on beside the steps ends with them.
        async with asyncio.TaskGroup() as group:
            beside: list[asyncio.Task[None]] = []
            try:
                await self._until_hang_up(script, group, beside)
            except ScriptFailed as error:
                failure = error
            for task in beside:
                task.cancel()
        if failure is not None:
            raise failure
        self._note("hang_up")

    async def _until_hang_up(self, script: Script, group: asyncio.TaskGroup, beside: list[asyncio.Task[None]]) -> None:
        at_s = script.hang_up_at_s
        limit_s = None if at_s is None else max(0.0, at_s - self._line.clock())
        try:
            async with asyncio.timeout(limit_s) as limit:
                await self._steps(script, group, beside)
        except TimeoutError:
            if not limit.expired():
                raise

    async def _steps(self, script: Script, group: asyncio.TaskGroup, beside: list[asyncio.Task[None]]) -> None:
        for number, step in enumerate(script.steps, 1):
            self._at = number
            if isinstance(step, HangUp):
                return
            if isinstance(step, Backchannel):
                beside.append(group.create_task(self._backchannel(step)))
                continue
            try:
                await self._do(step)
            except TimeoutError:
                raise ScriptFailed(f"step {number}: waited too long for {_wish(step)}") from None
        self._at = len(script.steps) + 1
        await asyncio.sleep(script.stay_s)

    async def _do(self, step: Say | Wait | Pause | BargeIn | Dtmf) -> None:
        match step:
            case Say():
                await self._say(step)
            case Wait():
                await self._wait(step)
            case Pause():
                await asyncio.sleep(step.seconds)
            case BargeIn():
                await self._barge_in(step)
            case Dtmf():
                self._note("dtmf", len(step.digits))
                for digit in step.digits:
                    self._line.press(digit, in_band=step.in_band)
                    await asyncio.sleep(KEY_S)
            case _:
                assert_never(step)

    async def _say(self, step: Say) -> None:
        self._note("say", _ms(step.audio))
        async with asyncio.TaskGroup() as group:
            if step.keys:
                group.create_task(self._keys(step.keys, in_band=step.in_band))
            await self._line.say(step.audio)

    async def _keys(self, keys: Sequence[Key], *, in_band: bool) -> None:
        began = self._line.clock()
        self._note("dtmf", len(keys))
        for key in sorted(keys, key=lambda key: key.at_ms):
            await asyncio.sleep(max(0.0, began + key.at_ms / 1000 - self._line.clock()))
            self._line.press(key.digit, in_band=in_band)

    async def _wait(self, step: Wait) -> None:
        line = self._line
        conditions: Mapping[Until, Callable[[], bool]] = {
            "agent_speaking": lambda: line.agent_is_speaking,
            "agent_done": lambda: line.agent_is_done(step.quiet_ms),
            "ringing": lambda: line.hearing in ("ring", "wait"),
            "bridged": lambda: line.hearing == "bridged",
            "alone": lambda: line.parted,
        }
        async with asyncio.timeout(step.within_s):
            await line.until(conditions[step.until])

    async def _barge_in(self, step: BargeIn) -> None:
        after_ms = step.after_ms if step.latest_ms is None else self._rng.randint(step.after_ms, step.latest_ms)
        async with asyncio.timeout(step.within_s):
            await self._turn_reaches(after_ms)
        # The frame taken at this tick is only now beginning to be heard.
        ahead_ms = after_ms - (self._line.agent_turn_ms - FRAME_MS)
        lead_ms = 0 if step.latest_ms is None else min(max(0, ahead_ms), FRAME_MS)
        self._note("barge_in", _ms(step.audio), lead_ms / 1000)
        await self._line.say(bytes([SILENCE]) * (lead_ms * FRAME_BYTES // FRAME_MS) + step.audio)

    async def _backchannel(self, step: Backchannel) -> None:
        await self._turn_reaches(step.after_ms)
        self._note("backchannel", _ms(step.audio))
        self._line.mouth.add(step.audio, spoken=True)

    async def _turn_reaches(self, after_ms: int) -> None:
        await self._line.until(lambda: self._line.agent_is_speaking and self._line.agent_turn_ms >= after_ms)

    def _note(self, what: str, detail: int | str = "", later_s: float = 0.0) -> None:
        self._report.deeds.append(Event(self._line.clock() + later_s, what, str(detail)))


def _ms(audio: bytes) -> int:
    return len(audio) * 1000 // RATE_BYTES


def _ends_so(step: Step) -> bool:
    """Whether it is done as well by a call that ends."""
    return isinstance(step, Pause | HangUp | Backchannel) or (isinstance(step, Wait) and step.until == "alone")


def _wish(step: Step) -> str:
    match step:
        case Wait():
            return f"{step.until} ({step.within_s:g} s)"
        case BargeIn():
            return f"{step.after_ms} ms of the agent ({step.within_s:g} s)"
        case _:
            return type(step).__name__
