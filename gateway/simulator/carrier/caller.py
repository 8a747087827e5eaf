"""The person on the phone: carries a script out on a line."""

import asyncio
from typing import assert_never

from gateway.simulator.carrier.line import PhoneLine
from gateway.simulator.carrier.script import BargeIn, Dtmf, HangUp, Pause, Say, Script, Step, Wait

__all__ = ["ScriptFailed", "play_script"]

KEY_S = 0.25


class ScriptFailed(Exception):
    """A step could not be done in time; the caller hangs up."""


async def play_script(script: Script, line: PhoneLine) -> None:
    """Carry the script out and return when the caller hangs up. Raises `ScriptFailed`."""
    for number, step in enumerate(script.steps, 1):
        if isinstance(step, HangUp):
            return
        try:
            await _do(step, line)
        except TimeoutError:
            raise ScriptFailed(f"step {number}: waited too long for {_wish(step)}") from None
    await asyncio.sleep(script.stay_s)


async def _do(step: Step, line: PhoneLine) -> None:
    match step:
        case Say():
            await line.say(step.audio)
        case Wait():
            await _wait(step, line)
        case Pause():
            await asyncio.sleep(step.seconds)
        case BargeIn():
            async with asyncio.timeout(step.within_s):
                await line.until(lambda: line.agent_is_speaking and line.agent_turn_ms >= step.after_ms)
            await line.say(step.audio)
        case Dtmf():
            for digit in step.digits:
                line.press(digit)
                await asyncio.sleep(KEY_S)
        case HangUp():
            return
        case _:
            assert_never(step)


async def _wait(step: Wait, line: PhoneLine) -> None:
    async with asyncio.timeout(step.within_s):
        if step.until == "agent_speaking":
            await line.until(lambda: line.agent_is_speaking)
        else:
            await line.until(lambda: line.agent_is_done(step.quiet_ms))


def _wish(step: Step) -> str:
    match step:
        case Wait():
            return f"{step.until} ({step.within_s:g} s)"
        case BargeIn():
            return f"{step.after_ms} ms of the agent ({step.within_s:g} s)"
        case _:
            return type(step).__name__
