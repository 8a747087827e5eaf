"""Functions that the gateway carries out beside the call: to promise a call, and to note that none is wanted.

Only the number of the person on the line is ever promised a call or taken off: it comes from the carrier, never from
the model. A promise is made only for a time at which the outbound rules allow the call, and once it is committed. Both
functions are done once however often the same call of them is carried out: what they write is known by its key.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from gateway.agents.around import Callbacks
from gateway.agents.functions import MAX_CALLBACK_MINUTES, OPT_OUT, SCHEDULE_CALLBACK
from gateway.core.toolcalls import error_output
from gateway.errors import PolicyError
from gateway.store.rows import CallbackRow, StoredCallback, StoreError
from gateway.tools.request import CallFacts, ToolOutcome, ToolRequest

__all__ = ["CallRules", "LocalTools", "WishStore"]

E164 = re.compile(r"\+[1-9][0-9]{6,14}")
NOT_NUMBERS = frozenset({"+266696687", "+7378742833", "+2562533", "+8656696", "+86282452253"})
"""How a carrier writes a number that is withheld: ANONYMOUS, RESTRICTED, BLOCKED, UNKNOWN, UNAVAILABLE on a keypad."""
INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
"""ISO 8601, in the forms that models write."""

NEVER_CALLED = "this number cannot be called back; offer another way"
ASK_FOR_ZONE = (
    "it is not certain in which time zone they are: ask for the city, and give `at` with its offset from UTC, or "
    "`in_minutes`"
)


class CallRules(Protocol):
    """When a number may be called (`gateway.outbound.hours`). All raise `PolicyError` for one that never may."""

    def zone_of(self, number: str, at: datetime) -> str:
        """Return the IANA zone of a local time; `PolicyError` of rule `unknown_zone` when it is not certain."""

    def require(self, number: str, at: datetime) -> None:
        """Raise `PolicyError` when the number may not be called at `at`; rule `window` when only the time is wrong."""

    def next_allowed(self, number: str, after: datetime) -> datetime | None:
        """Return when it may be called next; None when that is not soon."""


class WishStore(Protocol):
    """The part of the store that holds what callers asked for (`gateway.store.ports`)."""

    async def add_callback(self, row: CallbackRow) -> bool: ...

    async def get_callback(self, callback_id: str) -> StoredCallback | None: ...

    def drop_callbacks(self, agent: str, to_number: str, detail: str, keep: str = "") -> None: ...

    async def add_opt_out(self, number: str, source: str, at: datetime) -> bool: ...

    async def opted_out(self, number: str) -> bool: ...


class _Refused(Exception):
    """It cannot be done; the message is a sentence that the model can tell."""

    def __init__(self, message: str, detail: str) -> None:
        super().__init__(message)
        self.detail = detail


class LocalTools:
    """The executor of `ToolKind.LOCAL`."""

    def __init__(
        self,
        store: WishStore,
        rules: CallRules | None,
        callbacks: Callable[[str], Callbacks | None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`rules` is None when this gateway places no calls. `callbacks` returns what an agent may promise."""
        self._store = store
        self._rules = rules
        self._callbacks = callbacks
        self._clock = clock

    async def invoke(self, request: ToolRequest) -> ToolOutcome:
        """Carry out one function call; raises nothing but cancellation."""
        try:
            async with asyncio.timeout(request.tool.policy.timeout_s):
                if request.tool.name == SCHEDULE_CALLBACK:
                    return await self._schedule_callback(request)
                if request.tool.name == OPT_OUT:
                    return await self._opt_out(request)
                return _failed("there is no such function", "no such local function")
        except _Refused as refused:
            return _failed(str(refused), refused.detail)
        except (StoreError, TimeoutError):
            message = "it cannot be put on record at the moment, so nothing was arranged; do not promise it"
            return _failed(message, "the store does not answer")

    async def _opt_out(self, request: ToolRequest) -> ToolOutcome:
        call = request.call
        number = _number(call, "so it cannot be noted; they may call again with their number shown, or write")
        new = await self._store.add_opt_out(number, f"call {call.call_id}", self._clock())
        return _done({"status": "noted: this number is not called any more"}, "noted" if new else "was noted before")

    async def _schedule_callback(self, request: ToolRequest) -> ToolOutcome:
        call = request.call
        promised = self._callbacks(call.agent)
        if self._rules is None or promised is None:
            raise _Refused("no calls can be arranged here; offer another way", "callbacks are not set up")
        number = _number(call, "so they cannot be called back; ask them to call again, or offer another way")
        callback_id = f"cb_{hashlib.sha256(request.key.encode()).hexdigest()[:32]}"
        known = await self._store.get_callback(callback_id)
        if known is not None:  # the same function call once more, after a crash: what was promised stays
            return self._promised(number, known.due_at)
        if await self._store.opted_out(number):
            raise _Refused("this number asked not to be called any more, so it is not called", "opted out")
        due_at = self._due(number, request.arguments, promised)
        row = CallbackRow(
            callback_id=callback_id,
            call_id=call.call_id,
            agent=promised.agent or call.agent,
            to_number=number,
            from_number=call.from_number if call.direction == "outbound" else call.to_number,
            due_at=due_at,
            reason=str(request.arguments.get("reason", ""))[:500],
            zone=self._zone(number, due_at),
            created_at=self._clock(),
            tries=promised.attempts,
        )
        await self._store.add_callback(row)
        self._store.drop_callbacks(row.agent, number, "another time was agreed", keep=callback_id)
        return self._promised(number, due_at)

    def _promised(self, number: str, due_at: datetime) -> ToolOutcome:
        return _done({"status": "arranged", "time": self._spoken(number, due_at)}, "arranged")

    def _due(self, number: str, arguments: Mapping[str, object], promised: Callbacks) -> datetime:
        """Return the time that was asked for. Raises `_Refused` when nobody can be called then."""
        assert self._rules is not None
        now = self._clock()
        due_at = self._asked(number, arguments, now)
        if due_at <= now:
            raise _Refused(f"that time is over: it is now {self._spoken(number, now)}", "in the past")
        if due_at - now > timedelta(days=promised.max_days):
            message = f"calls can be arranged for the next {promised.max_days} days only; it is now "
            raise _Refused(message + self._spoken(number, now), "too far ahead")
        try:
            self._rules.require(number, due_at)
        except PolicyError as error:
            if error.rule != "window":
                raise _Refused(NEVER_CALLED, f"refused: {error.rule}") from None
            at = self._rules.next_allowed(number, due_at)
            offer = f"; the next time is {self._spoken(number, at)}" if at is not None else ""
            message = f"that is outside the hours in which calls are allowed{offer}"
            raise _Refused(message, "outside calling hours") from None
        return due_at

    def _asked(self, number: str, arguments: Mapping[str, object], now: datetime) -> datetime:
        at, minutes = arguments.get("at"), arguments.get("in_minutes")
        if (at is None) == (minutes is None):
            raise _Refused("give either `at` or `in_minutes`", "bad arguments")
        if isinstance(minutes, int | float) and 0 < minutes <= MAX_CALLBACK_MINUTES:
            return now + timedelta(minutes=minutes)
        if not isinstance(at, str) or not INSTANT.fullmatch(at):
            raise _Refused("`at` must be a date and time such as 2026-11-23T15:00", "bad arguments")
        try:
            instant = datetime.fromisoformat(at)
            if instant.tzinfo is None:
                instant = instant.replace(tzinfo=self._zone_of_caller(number, instant))
            return instant.astimezone(UTC)
        except (ValueError, OverflowError):
            raise _Refused("there is no such date or time; write it like 2026-11-23T15:00", "bad arguments") from None

    def _zone_of_caller(self, number: str, at: datetime) -> ZoneInfo:
        assert self._rules is not None
        try:
            return ZoneInfo(self._rules.zone_of(number, at))
        except PolicyError as error:
            message = NEVER_CALLED if error.rule != "unknown_zone" else ASK_FOR_ZONE
            raise _Refused(message, f"refused: {error.rule}") from None

    def _zone(self, number: str, at: datetime) -> str | None:
        try:
            return self._rules.zone_of(number, at.replace(tzinfo=None)) if self._rules is not None else None
        except PolicyError:
            return None

    def _spoken(self, number: str, at: datetime) -> str:
        zone = self._zone(number, at)
        local = at.astimezone(ZoneInfo(zone)) if zone is not None else at.astimezone(UTC)
        place = f"local time there ({zone})" if zone is not None else "UTC"
        return f"{local:%A, %d %B %Y, %H:%M} {place}"


def _number(call: CallFacts, otherwise: str) -> str:
    """Return the number of the person on the line."""
    number = call.to_number if call.direction == "outbound" else call.from_number
    if not E164.fullmatch(number) or number in NOT_NUMBERS:
        raise _Refused(f"their number is withheld, {otherwise}", "the number is withheld")
    return number


def _done(result: Mapping[str, str], detail: str) -> ToolOutcome:
    return ToolOutcome(True, json.dumps(result), detail)


def _failed(message: str, detail: str) -> ToolOutcome:
    return ToolOutcome(False, error_output(message), detail)
