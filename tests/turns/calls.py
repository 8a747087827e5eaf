"""Whole calls on the virtual clock with an agent that a test describes, and what was heard in them, to the byte."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

import httpx2
import pytest
from _pytest.mark.structures import ParameterSet

from gateway.apikeys import named_hash
from gateway.hearing import ToneDetector
from gateway.records.timeline import tell
from gateway.simulator.carrier import CallReport, LineModel, Script, Surroundings
from gateway.simulator.clips.labelled import load_utterances
from gateway.simulator.engine import Engine
from gateway.simulator.model import Scenario, ScriptedEngine, SessionRecord
from gateway.simulator.turns.voice import ExactVoice
from gateway.simulator.world import World, world
from gateway.store.rows import CallEnd, CallRow
from gateway.store.store import Store
from tests.clock import run
from tests.faults.calls import until
from tests.operator.calls import KEY
from tests.world import AGENTS, PUBLIC, Business

__all__ = ["Called", "Desk", "agent", "call", "clip", "crossed", "keep", "keys_in", "scenario", "unravel"]

HEADERS = {"authorization": f"Bearer {KEY}"}
STEP_BYTES = 40
"""Audio that must agree before two pieces of noise are taken for the same."""
UTTERANCES = {utterance.name: utterance.audio for utterance in load_utterances()}


def agent(*lines: str) -> str:
    """Return the agents file of the tests with more settings, one a line."""
    return AGENTS + "".join(f"    {line}\n" for line in lines)


def clip(name: str) -> bytes:
    """Return a recorded caller, mu-law."""
    return UTTERANCES[name]


def crossed(*axes: Sequence[object]) -> list[ParameterSet]:
    """Return every combination; those beside one diagonal, which has every value once, are for the slow part."""
    longest = max(len(axis) for axis in axes)
    quick = {tuple(number % len(axis) for axis in axes) for number in range(longest)}
    return [
        pytest.param(
            *(axis[at] for axis, at in zip(axes, place, strict=True)),
            marks=() if place in quick else pytest.mark.e2e,
            id="-".join(map(str, place)),
        )
        for place in product(*(range(len(axis)) for axis in axes))
    ]


def scenario(**parts: object) -> Scenario:
    return Scenario.model_validate(parts)


@dataclass
class Desk:
    """An operator in front of the live call."""

    w: World
    call_id: str
    report: CallReport
    answered_s: float
    """Loop time of the answer."""

    @property
    def now(self) -> float:
        """Seconds since the answer: the clock of the report."""
        return asyncio.get_running_loop().time() - self.answered_s

    async def ask(self, action: str, *, id: str = "", **fields: object) -> httpx2.Response:
        body = {"id": id or f"{action}-{self.now:.3f}", "action": action, **fields}
        return await self.w.http.post(f"{PUBLIC}/v1/calls/{self.call_id}/commands", json=body, headers=HEADERS)

    async def done(self, action: str, *, id: str = "", **fields: object) -> None:
        answer = await self.ask(action, id=id, **fields)
        assert (answer.status_code, answer.json()["outcome"]) == (200, "done"), answer.text

    async def redeem(self, token: str) -> httpx2.Response:
        return await self.w.http.post(f"{PUBLIC}/v1/vault/redeem", json={"token": token}, headers=HEADERS)

    async def at(self, seconds: float) -> None:
        """Wait until so long after the answer."""
        await asyncio.sleep(max(0.0, seconds - self.now))

    async def heard(self, seconds: float) -> None:
        """Wait until the caller has heard so much of the agent, in all, or the call is over."""
        media, calls = self.report.media, self.w.gateway.registry.calls
        await until(lambda: len(media.played_bytes()) >= seconds * 8000 or not calls(), 300)


Meanwhile: TypeAlias = Callable[[Desk], Coroutine[Any, Any, None]]


@dataclass
class Called:
    """A call that is over."""

    w: World
    report: CallReport
    business: Business

    @property
    def session(self) -> SessionRecord:
        return self.w.session

    @property
    def said(self) -> list[str]:
        """What the model said, heard or not, in order."""
        return [spoken.text for spoken in self.session.spoken.values()]

    @property
    def answers(self) -> list[tuple[str, bytes]]:
        """The same with its audio."""
        return [(spoken.text, bytes(spoken.audio)) for spoken in self.session.spoken.values()]

    @property
    def heard(self) -> bytes:
        """The agent's audio that the caller heard, without the silences."""
        return self.report.media.played_bytes()

    @property
    def texts(self) -> str:
        """Every text that the model was sent."""
        return "\n".join(self.session.texts())

    def kinds(self, kind: str) -> list[Mapping[str, object]]:
        return self.w.kinds(kind)

    def at(self, kind: str) -> list[float]:
        return [entry.at_s for entry in self.w.journal if entry.kind == kind]

    @property
    def story(self) -> str:
        """The call as it is told to people."""
        return "\n".join(f"{line.who} {line.kind} {line.what}" for line in tell(self.w.record, self.w.journal).lines)

    def faultless(self) -> None:
        """Check what every call owes: nothing refused by the model or the carrier, one end, nothing left open."""
        assert self.report.script_error is None
        assert list(self.session.errors) == []
        assert self.report.warnings == []
        assert len(self.kinds("end")) == 1
        assert not self.session.open


def call(
    folder: Path,
    says: Scenario,
    script: Script,
    *,
    agents: str = AGENTS,
    engine: Engine | None = None,
    exact: bool = False,
    line: LineModel | None = None,
    model_line: LineModel | None = None,
    surroundings: Surroundings | None = None,
    meanwhile: Meanwhile | None = None,
    settings: Mapping[str, object] | None = None,
) -> Called:
    """Run one call to its end. `exact` gives the model a voice of noise that can be told to the byte."""
    chosen = engine or (ExactVoice(says, "Goodbye to you.") if exact else ScriptedEngine(says))

    async def main() -> Called:
        business = Business()
        keys = {"api_keys": (named_hash("night-shift", KEY),), **(settings or {})}
        async with (
            world(
                folder,
                agents,
                chosen,
                says.server,
                business=business.app(),
                line=line,
                model_line=model_line,
                settings=keys,
            ) as w,
            asyncio.TaskGroup() as group,
        ):
            placed = group.create_task(w.call(script, surroundings=surroundings or Surroundings()))
            if meanwhile is not None:
                await meanwhile(await _desk(w))
            report = await placed
            await w.settled()
            return Called(w, report, business)

    return run(main())


def keep(called: Called, path: Path) -> None:
    """Write a call into a database file."""
    record = called.w.record

    async def fill() -> None:
        async with Store.open(f"sqlite:///{path}") as store:
            facts = asdict(record)
            store.call_offered(CallRow(**{field.name: facts[field.name] for field in fields(CallRow)}))
            for entry in called.w.journal:
                store.put(entry)
            store.call_ended(CallEnd(**{field.name: facts[field.name] for field in fields(CallEnd)}))
            await store.flush()

    asyncio.run(fill())


async def _desk(w: World) -> Desk:
    await until(lambda: bool(w.gateway.registry.calls()))
    (live,) = w.gateway.registry.calls()
    await until(lambda: live.session.call.phase.value == "active")
    (caller,) = w.network.calls.values()
    await until(lambda: bool(caller.report.media.heard))
    answered_s = asyncio.get_running_loop().time() - caller.report.media.heard[0].end_s
    return Desk(w, live.session.call_id, caller.report, answered_s)


def unravel(heard: bytes, items: Sequence[bytes], most_off: int) -> list[int]:
    """Check that `heard` is these items in order, and return what is wrong at each seam, in bytes.

    Below 0: so much was heard twice; above: so much was not heard. Fails where anything is foreign, or off by more.
    """
    whole = b"".join(items)
    seams: list[int] = []
    offsets = [sign * size for size in range(1, most_off + 1) for sign in (-1, 1)]
    at = told = 0
    while told < len(whole) or at < len(heard):
        size = _common(heard, at, whole, told)
        at, told = at + size, told + size
        if at == len(heard) and told == len(whole):
            break
        off = next((off for off in offsets if _goes_on(heard, at, whole, told + off)), None)
        assert off is not None, f"heard byte {at} of {len(heard)} is not byte {told} of {len(whole)}"
        seams.append(off)
        told += off
    return seams


def _goes_on(heard: bytes, at: int, whole: bytes, told: int) -> bool:
    return told >= 0 and bytes(heard[at : at + STEP_BYTES]) == whole[told : told + STEP_BYTES] != b""


def _common(left: bytes, i: int, right: bytes, j: int) -> int:
    size = 0
    most = min(len(left) - i, len(right) - j)
    while size < most and left[i + size] == right[j + size]:
        size += 1
    return size


def keys_in(audio: bytes) -> str:
    """Return the telephone keys that can be heard in mu-law, under speech too."""
    return ToneDetector(least_purity=0.5).feed(audio)
