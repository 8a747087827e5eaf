"""What a promise to call back must know of the outbound rules, before anything is promised."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from gateway.errors import PolicyError
from gateway.outbound.policy import DialPolicy, check, next_allowed, reachable

__all__ = ["NumberRules"]


@dataclass(frozen=True, slots=True)
class NumberRules:
    """The rules of `policy` for a number of which nothing else is known."""

    policy: DialPolicy

    def zone_of(self, number: str, at: datetime) -> str:
        """Return the IANA zone that a local time `at` is meant in.

        Raises `PolicyError`: rule `unknown_zone` when the number may lie in places where the clocks differ then, else
        why the number may never be called.
        """
        zones = reachable(number, self.policy).zones
        offsets = {at.replace(tzinfo=ZoneInfo(zone)).utcoffset() for zone in zones}
        if len(offsets) > 1:
            raise PolicyError("the number may lie in more than one time zone", rule="unknown_zone")
        return zones[0]

    def require(self, number: str, at: datetime) -> None:
        """Raise `PolicyError` when the number may not be called at `at`."""
        check(number, self.policy, at)

    def next_allowed(self, number: str, after: datetime) -> datetime | None:
        """Return when it may be called next. Raises `PolicyError` when it never may."""
        return next_allowed(number, self.policy, after)
