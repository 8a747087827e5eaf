"""What the parts of one answered call have in common."""

import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from gateway.simulator.carrier.courier import Courier
from gateway.simulator.carrier.facts import CallFacts
from gateway.simulator.carrier.line import PhoneLine
from gateway.simulator.carrier.parts import NetworkParts
from gateway.simulator.carrier.report import CallReport

__all__ = ["Leg"]


@dataclass(slots=True, frozen=True, eq=False)
class Leg:
    """Made at the answer."""

    parts: NetworkParts
    facts: CallFacts
    report: CallReport
    line: PhoneLine
    courier: Courier
    rng: random.Random
    spawn: Callable[[Coroutine[None, None, None]], object]
    """Starts work that the call waits for before it is reported as over."""
