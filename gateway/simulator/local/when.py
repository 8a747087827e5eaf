"""Dates and times of day in what was heard.

A time without am or pm is taken as office hours: 8 to 11 in the morning, 12 to 7 in the afternoon.
"""

import re
from datetime import date, timedelta

__all__ = ["MONTHS", "WEEKDAYS", "dates", "say_date", "times", "without_times"]

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = tuple("january february march april may june july august september october november december".split())
UNIT_ORDINALS = "first second third fourth fifth sixth seventh eighth ninth".split()
ORDINAL_WORDS = {word: number for number, word in enumerate(UNIT_ORDINALS, 1)} | {
    word: number
    for number, word in enumerate(
        "tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth".split(), 10
    )
}
HOURS = {word: n for n, word in enumerate("one two three four five six seven eight nine ten eleven twelve".split(), 1)}
MINUTES = {"fifteen": 15, "twenty": 20, "thirty": 30, "forty five": 45, "forty-five": 45, "ten": 10}

MONTH = "|".join(MONTHS)
DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
DATE = re.compile(
    r"(?P<iso>\d{4}-\d\d-\d\d)|(?P<near>day after tomorrow|tomorrow|today|tonight)"
    rf"|\b(?P<weekday>{'|'.join(WEEKDAYS)})\b"
    rf"|\b(?:{MONTH})\s+(?:the\s+)?{DAY}\b|\b(?:the\s+)?{DAY}\s+(?:of\s+)?(?:{MONTH})\b|\bthe\s+(?P<bare>\d{{1,2}})(?:st|nd|rd|th)\b"
)
HOUR = r"(?P<hour>\d{1,2}|" + "|".join(HOURS) + ")"
TIME = re.compile(
    r"\b(?P<fixed>noon|midday|midnight)\b"
    rf"|\b(?P<part>half past|quarter past|quarter to)\s+(?P<whole>\d{{1,2}}|{'|'.join(HOURS)})\b"
    rf"|\b{HOUR}(?:[:. ]?(?P<minute>[0-5]\d|{'|'.join(MINUTES)}))?\s*(?:(?P<clock>o'?clock)|(?P<half>[ap])\.?\s?m\b)"
    rf"|\b(?P<hour2>\d{{1,2}}):(?P<minute2>[0-5]\d)\b"
    rf"|\b(?:at|around|by|about)\s+(?P<hour3>\d{{1,2}}|{'|'.join(HOURS)})"
    rf"(?:[: .]?(?P<minute3>[0-5]\d|{'|'.join(MINUTES)}))?\b(?!\s*\d)"
    rf"|\b(?P<hour4>{'|'.join(HOURS)})\s+(?P<minute4>fifteen|thirty|forty[ -]five)\b"
)


def dates(text: str, today: date) -> list[str]:
    """Return the dates in the text as ISO strings, without those said to be wrong ("not Tuesday")."""
    lower = _ordinals(text.lower())
    found: list[str] = []
    for match in DATE.finditer(lower):
        if re.search(r"\bnot(?: on)?(?: the)?\s*$", lower[: match.start()]):
            continue
        # In "the 14th of March to the 21st" the second is in March too.
        if day := _date(match, date.fromisoformat(found[-1]) if match["bare"] and found else today):
            found.append(day.isoformat())
    return found


def times(text: str) -> list[str]:
    """Return the times of day as HH:MM."""
    lower = text.lower()
    late = bool(re.search(r"\b(?:afternoon|evening|tonight)\b", lower))
    found = [_time(match, late) for match in TIME.finditer(lower)]
    return [time for time in found if time]


def without_times(text: str) -> str:
    """Return the text with dates and times cut out, so that their digits are not taken for quantities."""
    return TIME.sub(" , ", DATE.sub(" , ", _ordinals(text.lower())))


def say_date(day: date) -> str:
    """Return the date as one says it: "Tuesday, November 24th"."""
    suffix = "th" if 11 <= day.day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th")
    return f"{WEEKDAYS[day.weekday()].capitalize()}, {MONTHS[day.month - 1].capitalize()} {day.day}{suffix}"


def _ordinals(text: str) -> str:
    tens = {"twenty": 20, "thirty": 30}
    text = re.sub(
        rf"\b(twenty|thirty)[ -]({'|'.join(UNIT_ORDINALS)})\b",
        lambda found: f"{tens[found[1]] + ORDINAL_WORDS[found[2]]}th",
        text,
    )
    text = re.sub(
        r"\b(twentieth|thirtieth)\b", lambda found: {"twentieth": "20th", "thirtieth": "30th"}[found[1]], text
    )
    return re.sub(rf"\b({'|'.join(ORDINAL_WORDS)})\b", lambda found: f"{ORDINAL_WORDS[found[1]]}th", text)


def _date(match: re.Match[str], today: date) -> date | None:
    try:
        if match["iso"]:
            return date.fromisoformat(match["iso"])
        if match["near"]:
            return today + timedelta(days={"tomorrow": 1, "day after tomorrow": 2}.get(match["near"], 0))
        if match["weekday"]:
            ahead = (WEEKDAYS.index(match["weekday"]) - today.weekday()) % 7
            return today + timedelta(days=ahead or 7)
        return _day_of_month(match[0], today)
    except ValueError:
        return None


def _day_of_month(text: str, today: date) -> date:
    """Return the next such day; one without a month is of this month or the next."""
    number = re.search(r"\d+", text)
    assert number is not None
    day = int(number[0])
    named = next((at for at, month in enumerate(MONTHS, 1) if month in text), 0)
    if named:
        this_year = date(today.year, named, day)
        return this_year if this_year >= today else date(today.year + 1, named, day)
    if day >= today.day:
        return date(today.year, today.month, day)
    return date(today.year + today.month // 12, today.month % 12 + 1, day)


def _time(match: re.Match[str], late: bool) -> str:
    if match["fixed"]:
        return "00:00" if match["fixed"] == "midnight" else "12:00"
    if match["part"]:
        hour = _hour(match["whole"], "", late)
        minute = {"half past": 30, "quarter past": 15, "quarter to": 45}[match["part"]]
        hour -= match["part"] == "quarter to"
    else:
        said = match["hour"] or match["hour2"] or match["hour3"] or match["hour4"]
        hour = _hour(said, match["half"] or "", late)
        minutes = match["minute"] or match["minute2"] or match["minute3"] or match["minute4"] or "0"
        minute = int(minutes) if minutes.isdecimal() else MINUTES[minutes]
    return f"{hour:02d}:{minute:02d}" if 0 <= hour <= 23 else ""


def _hour(said: str, half: str, late: bool) -> int:
    hour = int(said) if said.isdecimal() else HOURS[said]
    if half == "a":
        return hour % 12
    if hour < 12 and (half == "p" or late or 1 <= hour <= 7):
        return hour + 12
    return hour
