"""For carriers that say nothing when the caller hangs up, but close the media socket in order.

A socket that breaks is closed with another code, or none: that call may be resumed. One that the carrier closes with
1000 is over, like one that ends with a message in other formats; a transfer under way goes on, as there.
"""

from gateway.carriers.base import Leg, LiveCall
from gateway.carriers.sockets import Claim
from gateway.carriers.stream import Started
from gateway.core.audio import AudioFormat
from gateway.core.events import Event, LegEnd, LegEnded

__all__ = ["by_clean_close"]

IN_ORDER = "closed with 1000"
"""How a leg tells of it."""


def by_clean_close(claim: Claim) -> Claim:
    """Return a claim whose calls take the orderly close of their stream for the caller's hanging up."""
    return lambda started: _claimed(claim, started)


def _claimed(claim: Claim, started: Started) -> LiveCall:
    return _Ended(claim(started))


class _Ended:
    """Stands between a leg and its call."""

    def __init__(self, call: LiveCall) -> None:
        self._call = call

    def attach(self, leg: Leg, stream_id: str, audio: AudioFormat = AudioFormat.PCMU) -> None:
        """See `LiveCall.attach`."""
        self._call.attach(leg, stream_id, audio)

    def feed(self, event: Event) -> None:
        """See `LiveCall.feed`."""
        if type(event) is LegEnded and event.reason is LegEnd.SOCKET_LOST and event.detail == IN_ORDER:
            event = LegEnded(LegEnd.CALLER_HANGUP, IN_ORDER)
        self._call.feed(event)
