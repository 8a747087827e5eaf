"""The order of states, in which a recorded one only moves forward.

Status callbacks are independent requests: they repeat and overtake each other (Twilio, *StatusCallback*). A state is
written only over one of lower rank; the terminal ones share the highest, so the first terminal state is final.
"""

from collections.abc import Mapping
from types import MappingProxyType

__all__ = [
    "ATTEMPT_RANKS",
    "CALLBACK_STATES",
    "CALL_RANKS",
    "DELIVERY_STATES",
    "FINAL_INVOCATION",
    "INVOCATION_RANKS",
    "WAITING",
    "below",
]

_TERMINAL = 90

CALL_RANKS: Mapping[str, int] = MappingProxyType(
    {"queued": 10, "initiated": 20, "ringing": 30, "in-progress": 40}
    | dict.fromkeys(("completed", "busy", "failed", "no-answer", "canceled"), _TERMINAL)
)

ATTEMPT_RANKS: Mapping[str, int] = MappingProxyType(
    {"dialing": 0, "unknown": 1, "placed": 2} | dict(CALL_RANKS) | {"refused": _TERMINAL}
)
"""`dialing`: intent committed; `unknown`: asked, no answer seen; `placed`: the carrier named a call; `refused`: it
will not."""

INVOCATION_RANKS: Mapping[str, int] = MappingProxyType(
    {"intended": 0, "pending": 1, "unknown": 2} | dict.fromkeys(("done", "failed"), _TERMINAL)
)
"""`intended`: committed, perhaps sent; `pending`: the business works on it; `unknown`: nobody can say; it may still
turn out to be `done` or `failed`, which are final."""
FINAL_INVOCATION = frozenset({"done", "failed"})

WAITING = "waiting"
"""Deliveries and callbacks change only while they wait; every other state of theirs is final."""
DELIVERY_STATES = frozenset({WAITING, "delivered", "dead"})
CALLBACK_STATES = frozenset({WAITING, "placed", "failed", "dropped"})


def below(ranks: Mapping[str, int], state: str) -> list[str]:
    """Return the states that `state` may be written over."""
    return [other for other, rank in ranks.items() if rank < ranks[state]]
