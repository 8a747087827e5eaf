"""What all calls of one simulated network share."""

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from gateway.simulator.carrier.plan import CallbackFaults, LineModel
from gateway.simulator.carrier.switchboard import Switchboard
from gateway.simulator.carrier.webhooks import Router, Webhooks
from gateway.wire import TextSocket

__all__ = ["Connector", "NetworkParts"]

Connector: TypeAlias = Callable[[str, Mapping[str, str]], Awaitable[TextSocket]]
"""Opens a socket: real address and headers in, `UpgradeRefused` or `OSError` out."""


@dataclass(slots=True, frozen=True)
class NetworkParts:
    """Made once by `TwilioNetwork`."""

    webhooks: Webhooks
    router: Router
    connect: Connector
    line: LineModel
    faults: CallbackFaults
    rng: random.Random
    wall: Callable[[], datetime]
    """The time of day, moved on by the event loop's clock."""
    switchboard: Switchboard
    allow_loopback_ws: bool = False
    """Also take `ws://` stream URLs of this machine, for a gateway in development."""
