"""May this number be called now?

Pure: no clock, no network, nothing kept between calls. `check` answers with the number, its region and its
time zones, or refuses with one rule. What a caller must be protected from comes first: an emergency number is
named as such even when it is malformed, because that is what the operator has to learn from the refusal.

Sources: the plans and time zones of phonenumbers (libphonenumber); calling hours after 47 CFR 64.1200(c)(1)
(8:00-21:00 at the called party), here narrower because the zone of a number is a guess by its prefix.
Some US states allow less; see README.md beside this file for what that means.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberType, shortnumberinfo, timezone

from gateway.errors import ConfigError, PolicyError

__all__ = ["ALL_DAYS", "Allowed", "CallingWindow", "DialPolicy", "check", "mask", "next_allowed", "reachable"]

ALL_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_WALL_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00")
_SEPARATORS = re.compile(r"[\s().\-/]|^tel:")
_INTERNATIONAL_PREFIX = re.compile(r"^(?:\+|00|011)")
_EMERGENCY_DIGITS_MAX = 6
"""No emergency number of any numbering plan is longer."""
_SHORT_DIGITS_MAX = 6
"""Shorter than any subscriber number with its country code."""
_NUMBER_CHARACTERS_MAX = 32

_NOT_A_PLACE = frozenset({"800", "808", "870", "878", "881", "882", "883", "888", "979"})
"""Country codes that belong to no country (ITU-T E.164 annex): satellite, shared cost, premium, free phone."""
_COSTLY = {
    PhoneNumberType.PREMIUM_RATE: "premium rate",
    PhoneNumberType.SHARED_COST: "shared cost",
    PhoneNumberType.PERSONAL_NUMBER: "follow-me",
    PhoneNumberType.PAGER: "pager",
    PhoneNumberType.VOICEMAIL: "voicemail access",
}
_NANP_CHARGED = re.compile(r"[2-9][0-9]{2}(?:976[0-9]{4}|5551212)")
"""North America: the pay-per-call exchange 976 and directory assistance; the plan calls both ordinary."""

_DAYS_AHEAD = 9
"""Today and the eight days after it: every day of the week, and one more for zones that are a day ahead."""

_COUNTRY_CODES = frozenset(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)


@dataclass(frozen=True, slots=True)
class CallingWindow:
    """Wall-clock hours in the callee's zone; `start` is inside, `end` is not, and it does not span midnight."""

    start: str = "09:00"
    end: str = "20:00"

    def __post_init__(self) -> None:
        for value in (self.start, self.end):
            if not _WALL_TIME.fullmatch(value):
                raise ConfigError(f"calling window: {value!r} is not a time of day such as 09:00")
        if self.start >= self.end:
            raise ConfigError(f"calling window: start {self.start} must be before end {self.end}")

    def contains(self, local: datetime) -> bool:
        return self.start <= f"{local.hour:02}:{local.minute:02}" < self.end


@dataclass(frozen=True, slots=True)
class DialPolicy:
    """The rules that the operator chose; an empty `countries` allows no call at all."""

    countries: frozenset[str]
    """ISO 3166 regions that may be called, such as US. +1 covers 25 of them: allowing US does not allow JM."""
    window: CallingWindow = CallingWindow()
    days: frozenset[str] = frozenset(ALL_DAYS)
    """Days on which calls may be placed, by the callee's calendar."""
    region_windows: Mapping[str, CallingWindow] = field(default_factory=lambda: MappingProxyType({}))
    """Other hours for some regions, in place of `window`."""

    def __post_init__(self) -> None:
        for region in (*self.countries, *self.region_windows):
            if region not in phonenumbers.SUPPORTED_REGIONS:
                raise ConfigError(f"dial policy: {region!r} is not an ISO 3166 region such as US")
        for day in self.days:
            if day not in ALL_DAYS:
                raise ConfigError(f"dial policy: {day!r} is not a day; write one of {', '.join(ALL_DAYS)}")

    def window_of(self, region: str) -> CallingWindow:
        return self.region_windows.get(region, self.window)


@dataclass(frozen=True, slots=True)
class Allowed:
    """The answer yes, with what it was based on."""

    e164: str
    region: str
    zones: tuple[str, ...]


def mask(number: str) -> str:
    """Return what may be shown of a number: its last two digits."""
    digits = "".join(character for character in number if character.isdigit())
    return f"•••{digits[-2:]}" if len(digits) >= _SHORT_DIGITS_MAX else "•••"


def check(number: str, policy: DialPolicy, now: datetime, zone: str | None = None) -> Allowed:
    """Return the number's facts if it may be called at `now`; raises `PolicyError` naming one rule.

    Rules in this order: format (length), emergency, short, premium (no country), format, premium, country,
    unknown_zone, window. `zone` is the callee's IANA zone when it is known: within the number's country it
    outranks the guess by prefix, abroad the call must be allowed at home too.
    Check again after every wait: an answer is good only for its instant.
    """
    if now.tzinfo is None:
        raise ValueError("now must be an aware datetime")
    allowed = reachable(number, policy, zone)
    _refuse_outside_window(allowed.zones, policy.window_of(allowed.region), policy.days, now)
    return allowed


def next_allowed(number: str, policy: DialPolicy, after: datetime, zone: str | None = None) -> datetime | None:
    """Return the first instant from `after` on at which `check` says yes; None when there is none within eight days.

    Raises `PolicyError` when the number may never be called.
    """
    allowed = reachable(number, policy, zone)
    window = policy.window_of(allowed.region)
    for instant in (after, *_openings(allowed.zones, window, after)):
        try:
            _refuse_outside_window(allowed.zones, window, policy.days, instant)
        except PolicyError:
            continue
        return instant
    return None


def reachable(number: str, policy: DialPolicy, zone: str | None = None) -> Allowed:
    """Return the number's facts if it may be called at some time of day; raises `PolicyError` as `check` does."""
    if len(number) > _NUMBER_CHARACTERS_MAX:
        raise PolicyError("the number is not E.164: too long", rule="format")
    _refuse_service_numbers(number)
    parsed = _parse(number)
    region = _refuse_costly(parsed)
    if region not in policy.countries:
        raise PolicyError(f"{mask(number)}: calls to {region} are not on the list of allowed countries", rule="country")
    return Allowed(number, region, _zones(parsed, region, zone))


def _refuse_service_numbers(number: str) -> None:
    dialled = _SEPARATORS.sub("", number)
    if not dialled.isascii():
        return
    digits = _INTERNATIONAL_PREFIX.sub("", dialled)
    for candidate in {dialled, digits, dialled.lstrip("0"), digits.lstrip("0")} | _without_country_code(digits):
        if _is_emergency(candidate):
            raise PolicyError("emergency numbers are never called", rule="emergency")
    if digits.isdigit() and len(digits) <= _SHORT_DIGITS_MAX:
        raise PolicyError("short numbers and service codes are never called", rule="short")
    if dialled.startswith("+") and dialled[1:4] in _NOT_A_PLACE:
        raise PolicyError(f"+{dialled[1:4]} belongs to no country: satellite or special-rate", rule="premium")


def _without_country_code(digits: str) -> set[str]:
    return {digits[n:] for n in (1, 2, 3) if digits[:n].isdigit() and int(digits[:n]) in _COUNTRY_CODES}


def _is_emergency(digits: str) -> bool:
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _EMERGENCY_DIGITS_MAX):
        return False
    return any(shortnumberinfo.is_emergency_number(digits, region) for region in phonenumbers.SUPPORTED_SHORT_REGIONS)


def _parse(number: str) -> PhoneNumber:
    """Parse strictly: the library alone would take extensions, letters and full-width digits."""
    if not _E164.fullmatch(number):
        raise PolicyError("the number is not E.164: write + and digits only, country code first", rule="format")
    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException as error:
        raise PolicyError("the number is not E.164: no such country code", rule="format") from error
    if phonenumbers.is_valid_number(parsed):
        return parsed
    national = phonenumbers.national_significant_number(parsed)
    for region in phonenumbers.region_codes_for_country_code(parsed.country_code or 0):
        if shortnumberinfo.connects_to_emergency_number(national, region):
            raise PolicyError("emergency numbers are never called", rule="emergency")
        if shortnumberinfo.is_valid_short_number_for_region(parsed, region):
            raise PolicyError("short numbers and service codes are never called", rule="short")
    raise PolicyError(f"{mask(number)}: no such number in its country's numbering plan", rule="format")


def _refuse_costly(parsed: PhoneNumber) -> str:
    """Return the region of a number that costs what a call there usually costs."""
    kind = phonenumbers.number_type(parsed)
    if kind in _COSTLY:
        raise PolicyError(f"{_COSTLY[kind]} numbers are never called", rule="premium")
    if parsed.country_code == 1 and _NANP_CHARGED.fullmatch(phonenumbers.national_significant_number(parsed)):
        raise PolicyError("pay-per-call and directory numbers are never called", rule="premium")
    return phonenumbers.region_code_for_number(parsed) or "unknown"


def _zones(parsed: PhoneNumber, region: str, given: str | None) -> tuple[str, ...]:
    """Return the zones in all of which the call must be allowed."""
    guessed = tuple(timezone.time_zones_for_number(parsed))
    known = bool(guessed) and "Etc/Unknown" not in guessed
    if given is not None:
        _place(given)
        at_home = given in guessed or given in _zones_of_region(region)
        # A zone abroad is where the callee travels, or a mistake that rings at night: home must allow the call too.
        return (given,) if at_home or not known else (given, *guessed)
    if not known:
        raise PolicyError("the callee's time zone is not known: give it with the request", rule="unknown_zone")
    return guessed


@cache
def _zones_of_region(region: str) -> frozenset[str]:
    """Return the zones of a country (IANA tz database, zone.tab)."""
    lines = files("tzdata").joinpath("zoneinfo", "zone.tab").read_text(encoding="utf-8").splitlines()
    return frozenset(line.split("\t")[2] for line in lines if line.startswith(f"{region}\t"))


def _place(zone: str) -> ZoneInfo:
    """Return the zone; only zones of places count, since UTC and Etc/ are where lost data ends up."""
    if "/" in zone and len(zone) <= 64 and not zone.startswith(("Etc/", "posix/", "right/")):
        try:
            return ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # ValueError: a path; OSError: a directory
            pass
    raise PolicyError("the given time zone is not a place's IANA name such as America/New_York", rule="unknown_zone")


def _openings(zones: tuple[str, ...], window: CallingWindow, after: datetime) -> list[datetime]:
    """Return when the window opens in any of the zones in the eight days to come, in order.

    What is allowed in all of them begins where it opens in one.
    """
    hour, minute = (int(part) for part in window.start.split(":"))
    instants = []
    for zone in (_place(name) for name in zones):
        first = after.astimezone(zone).replace(hour=hour, minute=minute, second=0, microsecond=0)
        instants += [(first + timedelta(days=days)).astimezone(UTC) for days in range(_DAYS_AHEAD)]
    return sorted(instant for instant in instants if instant > after)


def _refuse_outside_window(zones: tuple[str, ...], window: CallingWindow, days: frozenset[str], now: datetime) -> None:
    for name in zones:
        local = now.astimezone(_place(name))
        if not window.contains(local) or ALL_DAYS[local.weekday()] not in days:
            raise PolicyError(
                f"outside calling hours: it is {local:%H:%M} on a {local:%A} in {name}, "
                f"allowed is {window.start} to {window.end}",
                rule="window",
            )
