"""A carrier of no vendor's, whose messages are words: for tests of the frame itself."""

import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from gateway.simulator.carriers.frame import (
    Ask,
    Audio,
    Bad,
    Carrier,
    Clear,
    Digits,
    Encoding,
    Frame,
    Gone,
    Happening,
    Leave,
    Limits,
    LiveCall,
    Mark,
    Pause,
    Reply,
    Step,
    WhenDrained,
)

__all__ = ["Toy", "ToyWire", "toy"]


@dataclass
class ToyWire:
    """Audio is binary; orders and answers are text."""

    encoding: Encoding = Encoding.MULAW
    limits: Limits = field(default_factory=Limits)
    awaits_gone: bool = False

    def hello(self) -> Sequence[Frame]:
        return ["hello"]

    def media(self, audio: bytes, number: int, at_ms: int) -> Frame:
        return audio

    def digit(self, digit: str) -> Sequence[Frame]:
        return [f"key {digit}"]

    def read(self, frame: Frame, queued_ms: int) -> Iterable[Ask]:
        if isinstance(frame, bytes):
            return [Audio(frame)]
        word, _, rest = frame.partition(" ")
        asks: dict[str, Ask] = {
            "mark": Mark(rest),
            "clear": Clear(),
            "keys": Digits(rest),
            "pause": Pause(True),
            "play": Pause(False),
            "drained": WhenDrained(),
            "status": Reply([f"{queued_ms} ms"]),
            "leave": Leave(),
            "gone": Gone(),
        }
        return [asks.get(word, Bad(7, f"unknown: {word}"))]

    def mark(self, name: str, *, cleared: bool) -> Sequence[Frame]:
        return [f"{'cleared' if cleared else 'played'} {name}"]

    def tell(self, what: Happening) -> Sequence[Frame]:
        return [what.name]

    def stop(self) -> Sequence[Frame]:
        return ["stop"]


class Toy:
    """Answers and does what the test says; `life` is told of the end."""

    def __init__(self, call: LiveCall, begin: "Callable[[LiveCall], Awaitable[Step | None]]", life: list[str]) -> None:
        self._call = call
        self._begin = begin
        self._life = life

    async def begin(self) -> Step | None:
        return await self._begin(self._call)

    async def over(self) -> None:
        self._life.append(f"over: {self._call.report.call.ended_by}")


def toy(begin: Callable[[LiveCall], Awaitable[Step | None]], life: list[str]) -> Carrier:
    """Return a carrier whose calls begin so."""
    return Carrier(
        name="toy",
        dialect=lambda call: Toy(call, begin, life),
        new_id=_new_id,
        keys=lambda settings: {},
        settings={},
    )


def _new_id(rng: random.Random) -> str:
    return f"call-{rng.getrandbits(32)}"
