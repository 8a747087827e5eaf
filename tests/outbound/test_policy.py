"""Who may be called and when: vectors, then properties over random numbers, zones and instants."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneNumberType, shortnumberinfo, timezone

from gateway.errors import ConfigError, PolicyError
from gateway.outbound.policy import ALL_DAYS, CallingWindow, DialPolicy, check, mask

COUNTRIES = frozenset({"US", "GB", "AU", "IN", "DE", "CA", "FR"})
POLICY = DialPolicy(COUNTRIES)
AT_ANY_HOUR = DialPolicy(COUNTRIES, CallingWindow("00:00", "24:00"))
NOON_IN_LOS_ANGELES = datetime(2026, 6, 10, 19, 0, tzinfo=UTC)


def refusal(number: str, policy: DialPolicy = AT_ANY_HOUR, now: datetime = NOON_IN_LOS_ANGELES) -> PolicyError:
    with pytest.raises(PolicyError) as refused:
        check(number, policy, now)
    return refused.value


def test_an_ordinary_number_is_allowed_with_its_region_and_zone() -> None:
    allowed = check("+14155552671", POLICY, NOON_IN_LOS_ANGELES)
    assert (allowed.e164, allowed.region, allowed.zones) == ("+14155552671", "US", ("America/Los_Angeles",))


@pytest.mark.parametrize(
    "number",
    ["911", "112", "999", "000", "+911", "+1911", "+44999", "+44112", "+49112", "+91112", "00112", "011911", "9-1-1",
     "tel:911", "9 1 1", "+19116666666", "110", "+33112", "0112"],
)  # fmt: skip
def test_emergency_numbers_are_refused_with_and_without_prefix(number: str) -> None:
    assert refusal(number).rule == "emergency"


@pytest.mark.parametrize("number", ["988", "+1988", "62262", "411", "+1411", "9911", "0"])
def test_short_numbers_are_refused(number: str) -> None:
    assert refusal(number).rule in {"short", "emergency"}


@pytest.mark.parametrize(
    "number",
    ["", "+", "+1 415 555 2671", "4155552671", "14155552671", "+14155552671\n", "+１4155552671", "+1415555267",
     "+14155552671;ext=9", "+14155552671x9", "+01234567890", "+99912345678", "+447700900123", "٩١١", "²²²",
     "+" + "1" * 15, "1" * 4000, "+1415\x005552671"],
)  # fmt: skip
def test_what_is_not_a_valid_e164_number_is_refused(number: str) -> None:
    assert refusal(number).rule == "format"


@pytest.mark.parametrize(
    "number",
    ["+19005551234", "+449012345678", "+61131234", "+447012345678", "+14159761234", "+14155551212",
     "+88234567890", "+8835100012345", "+881612345678", "+870773111632", "+979123456789", "+80812345678",
     "+80012345678", "+878101234567890", "+888123456789"],
)  # fmt: skip
def test_costly_numbers_and_numbers_without_a_country_are_refused(number: str) -> None:
    assert refusal(number).rule == "premium"


@pytest.mark.parametrize("number", ["+18765551234", "+12423591234", "+41446681800", "+37120000000"])
def test_a_country_off_the_list_is_refused_even_behind_plus_one(number: str) -> None:
    assert refusal(number).rule == "country"


def test_an_empty_list_of_countries_allows_nothing() -> None:
    assert refusal("+14155552671", DialPolicy(frozenset())).rule == "country"


def at(zone: str, text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


@pytest.mark.parametrize(
    ("local", "allowed"),
    [
        ("2026-06-10T08:59:59.999999", False),
        ("2026-06-10T09:00:00", True),
        ("2026-06-10T19:59:59.999999", True),
        ("2026-06-10T20:00:00", False),
        ("2026-03-08T09:00:00", True),  # the day the clocks go forward: UTC-7
        ("2026-03-07T09:00:00", True),  # the day before: UTC-8
        ("2026-11-01T08:59:00", False),  # the day they go back
        ("2026-11-01T09:00:00", True),
    ],
)
def test_the_window_is_wall_time_at_the_callee(local: str, allowed: bool) -> None:
    now = at("America/Los_Angeles", local)
    if allowed:
        check("+14155552671", POLICY, now)
    else:
        assert refusal("+14155552671", POLICY, now).rule == "window"


def test_the_same_utc_instant_changes_sides_when_the_clocks_change() -> None:
    check("+14155552671", POLICY, datetime(2026, 3, 8, 16, 30, tzinfo=UTC))  # 09:30 PDT
    assert refusal("+14155552671", POLICY, datetime(2026, 3, 7, 16, 30, tzinfo=UTC)).rule == "window"  # 08:30 PST


@pytest.mark.parametrize("fold", [0, 1])
def test_both_passes_through_the_repeated_hour_count_the_same(fold: int) -> None:
    night = DialPolicy(COUNTRIES, CallingWindow("01:15", "01:45"))
    check("+14155552671", night, at("America/Los_Angeles", "2026-11-01T01:30:00", fold))
    assert refusal("+14155552671", night, at("America/Los_Angeles", "2026-11-01T01:50:00", fold)).rule == "window"


def test_a_number_of_two_zones_needs_the_window_in_both() -> None:
    assert timezone.time_zones_for_number(phonenumbers.parse("+19075552671")) == ("America/Adak", "America/Anchorage")
    check("+19075552671", POLICY, at("America/Adak", "2026-06-10T09:00:00"))
    assert refusal("+19075552671", POLICY, at("America/Adak", "2026-06-10T08:30:00")).rule == "window"
    assert refusal("+19075552671", POLICY, at("America/Anchorage", "2026-06-10T20:00:00")).rule == "window"


def test_a_given_zone_outranks_the_guess() -> None:
    nine_in_new_york = at("America/New_York", "2026-06-10T09:30:00")
    assert refusal("+14155552671", POLICY, nine_in_new_york).rule == "window"
    assert check("+14155552671", POLICY, nine_in_new_york, "America/New_York").zones == ("America/New_York",)


def test_a_zone_abroad_does_not_allow_a_call_that_home_would_not() -> None:
    noon_in_tokyo = at("Asia/Tokyo", "2026-06-10T12:00:00")
    with pytest.raises(PolicyError) as refused:
        check("+12127365000", POLICY, noon_in_tokyo, "Asia/Tokyo")
    assert refused.value.rule == "window"
    both_awake = at("Europe/London", "2026-06-10T16:00:00")
    assert check("+12127365000", POLICY, both_awake, "Europe/London").zones == ("Europe/London", "America/New_York")


@pytest.mark.parametrize(
    "zone", ["", "UTC", "Etc/Unknown", "Etc/GMT+5", "Factory", "Mars/Olympus", "../../etc/passwd", "/etc/localtime",
             "America", "America/", "right/Europe/Paris", "America/New_York\x00", "x/" * 5000]
)  # fmt: skip
def test_an_unknown_zone_is_refused(zone: str) -> None:
    with pytest.raises(PolicyError) as refused:
        check("+14155552671", AT_ANY_HOUR, NOON_IN_LOS_ANGELES, zone)
    assert refused.value.rule == "unknown_zone"


def test_a_toll_free_number_has_no_place_and_no_common_hour() -> None:
    for hour in range(24):
        assert refusal("+18005550199", POLICY, NOON_IN_LOS_ANGELES + timedelta(hours=hour)).rule == "window"


def test_a_day_that_is_not_allowed_is_the_callees_day() -> None:
    weekdays = DialPolicy(COUNTRIES, CallingWindow("00:00", "24:00"), days=frozenset(ALL_DAYS[:5]))
    saturday_in_sydney_friday_in_utc = datetime(2026, 6, 12, 15, 0, tzinfo=UTC)
    check("+14155552671", weekdays, saturday_in_sydney_friday_in_utc)
    with pytest.raises(PolicyError):
        check("+14155552671", weekdays, saturday_in_sydney_friday_in_utc, "Australia/Sydney")


def test_a_region_may_have_its_own_window() -> None:
    policy = DialPolicy(COUNTRIES, region_windows={"DE": CallingWindow("10:00", "12:00")})
    check("+4915112345678", policy, at("Europe/Berlin", "2026-06-10T10:00:00"))
    assert refusal("+4915112345678", policy, at("Europe/Berlin", "2026-06-10T12:00:00")).rule == "window"


def test_a_time_without_zone_is_our_own_bug() -> None:
    with pytest.raises(ValueError, match="aware"):
        check("+14155552671", POLICY, datetime(2026, 6, 10))  # noqa: DTZ001


@pytest.mark.parametrize(("start", "end"), [("9:00", "20:00"), ("09:00", "25:00"), ("20:00", "09:00"), ("", "")])
def test_a_window_that_makes_no_sense_is_a_config_error(start: str, end: str) -> None:
    with pytest.raises(ConfigError):
        CallingWindow(start, end)


def test_regions_and_days_that_do_not_exist_are_config_errors() -> None:
    with pytest.raises(ConfigError, match="UK"):
        DialPolicy(frozenset({"UK"}))
    with pytest.raises(ConfigError, match="monday"):
        DialPolicy(COUNTRIES, days=frozenset({"monday"}))


instants = st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC))
plus_numbers = st.one_of(
    st.from_regex(r"\+[1-9][0-9]{1,14}", fullmatch=True),
    st.builds(lambda area, rest: f"+1{area}{rest:07}", st.integers(200, 999), st.integers(2000000, 9999999)),
    st.builds(lambda head, rest: f"+{head}{rest}", st.sampled_from([44, 61, 49, 33, 91]), st.integers(10**6, 10**10)),
)
numbers = st.one_of(plus_numbers, st.text(alphabet="0123456789+ -()", max_size=18), st.text(max_size=20))
zones = st.none() | st.sampled_from(["America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Europe/London"])


@settings(max_examples=400, deadline=None)
@given(numbers, instants, zones)
def test_never_allowed_outside_the_window_in_any_candidate_zone(number: str, now: datetime, zone: str | None) -> None:
    try:
        allowed = check(number, POLICY, now, zone)
    except PolicyError:
        return
    guessed = timezone.time_zones_for_number(phonenumbers.parse(number))
    for name in allowed.zones:
        minutes = now.astimezone(ZoneInfo(name)).hour * 60 + now.astimezone(ZoneInfo(name)).minute
        assert 9 * 60 <= minutes < 20 * 60
    assert allowed.zones == tuple(guessed) if zone is None else zone in allowed.zones


@settings(max_examples=400, deadline=None)
@given(numbers, instants)
def test_never_an_emergency_costly_or_invalid_number(number: str, now: datetime) -> None:
    try:
        allowed = check(number, AT_ANY_HOUR, now)
    except PolicyError:
        return
    parsed = phonenumbers.parse(number)
    national = phonenumbers.national_significant_number(parsed)
    assert phonenumbers.is_valid_number(parsed)
    assert phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164) == allowed.e164 == number
    assert phonenumbers.number_type(parsed) not in {PhoneNumberType.PREMIUM_RATE, PhoneNumberType.SHARED_COST}
    assert not any(shortnumberinfo.is_emergency_number(national, region) for region in COUNTRIES)
    assert allowed.region in COUNTRIES


@settings(max_examples=300, deadline=None)
@given(plus_numbers, instants)
def test_a_refusal_shows_at_most_two_digits_of_the_number(number: str, now: datetime) -> None:
    try:
        check(number, POLICY, now)
    except PolicyError as refused:
        digits = number[1:]
        said = str(refused)
        assert not any(digits[at : at + 6] in said for at in range(len(digits) - 5))
        assert str(refused).count(number) == 0


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(phonenumbers.SUPPORTED_SHORT_REGIONS)), st.integers(0, 99999))
def test_every_emergency_number_of_every_region_is_refused(region: str, sample: int) -> None:
    code = phonenumbers.country_code_for_region(region)
    number = str(sample)
    if shortnumberinfo.is_emergency_number(number, region):
        for written in (number, f"+{number}", f"+{code}{number}", f"00{code}{number}"):
            assert refusal(written).rule == "emergency"


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_SHORT_REGIONS))
def test_the_known_emergency_numbers_of_a_region_are_refused(region: str) -> None:
    code = phonenumbers.country_code_for_region(region)
    for number in ("911", "112", "999", "000", "110", "119", "100", "101", "102", "108", "113", "115", "190"):
        if shortnumberinfo.is_emergency_number(number, region):
            assert refusal(number).rule == "emergency"
            assert refusal(f"+{code}{number}").rule == "emergency"


def test_a_mask_keeps_two_digits() -> None:
    assert mask("+14155552671") == "•••71"
    assert mask("911") == "•••"
