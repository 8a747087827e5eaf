"""Which streams were asked for, which may be opened, and which is a call's now."""

import secrets
from collections import OrderedDict

from starlette.requests import HTTPConnection

from gateway.carriers.base import LiveCall, Switchboard
from gateway.carriers.stream import Started
from gateway.carriers.upgradetokens import UpgradeTokens
from gateway.carriers.vonage.context import Context

__all__ = ["Streams"]

KEPT = 5000


class Streams:
    """Of this process. An event may be late: what tells of a stream that another has followed means nothing."""

    def __init__(self, calls: Switchboard, *, allow_unsigned: bool) -> None:
        self._calls = calls
        self._allow_unsigned = allow_unsigned
        self._tokens = UpgradeTokens()
        self._asked: OrderedDict[str, Context] = OrderedDict()
        """The newest stream of each call."""
        self._claimed: OrderedDict[str, str] = OrderedDict()
        """Which stream each call has."""

    def ask(self, token: str, context: Context) -> Context:
        """A stream is asked for; return the context of its events."""
        self._tokens.add(token)
        known = self._asked.get(context.call)
        same = known is not None and known.again == context.again and self._claimed.get(context.call) != known.stream
        stream = known.stream if known is not None and same else secrets.token_hex(4)
        asked = context.but(stream=stream)
        self._asked.pop(context.call, None)
        self._asked[context.call] = asked
        while len(self._asked) > KEPT:
            self._asked.popitem(last=False)
        return asked

    def newest(self, call: str) -> Context | None:
        """Return what the newest stream of a call was asked for with."""
        return self._asked.get(call)

    def admits(self, upgrade: HTTPConnection) -> bool:
        """Tell whether a socket brings a token of ours, before it is one."""
        authorization = upgrade.headers.get("authorization")
        if authorization is None:
            return self._allow_unsigned
        scheme, _, token = authorization.partition(" ")
        return scheme.lower() == "bearer" and self._tokens.knows(token)

    def claim(self, started: Started) -> LiveCall:
        """Claim the call of a stream that has started; see `Switchboard.claim`."""
        call = self._calls.claim(started.token, started.carrier_call_id, started.account_id)
        asked = self._asked.get(started.carrier_call_id)
        self._claimed.pop(started.carrier_call_id, None)
        self._claimed[started.carrier_call_id] = asked.stream if asked is not None else ""
        while len(self._claimed) > KEPT:
            self._claimed.popitem(last=False)
        return call

    def is_late(self, context: Context) -> bool:
        """Tell whether an event's stream has been followed by another that the call has now."""
        newest = self._claimed_newest(context.call)
        return newest is not None and newest.stream != context.stream

    def has(self, context: Context) -> bool:
        """Tell whether the call has a stream already that was offered this time, or later."""
        newest = self._claimed_newest(context.call)
        return newest is not None and newest.again >= context.again

    def _claimed_newest(self, call: str) -> Context | None:
        newest = self._asked.get(call)
        return newest if newest is not None and self._claimed.get(call) == newest.stream else None
