"""Telephone numbers of the agents file: who may dial in, and who callers may be handed to."""

import re
from collections.abc import Iterator
from typing import Annotated

import phonenumbers
from phonenumbers import PhoneNumberType, shortnumberinfo
from pydantic import AfterValidator, BeforeValidator

__all__ = ["E164", "TransferNumber"]

SHORT_DIGITS_MAX = 6
"""No emergency number of any numbering plan is longer, and no subscriber number with its country code is shorter."""
NOT_A_PLACE = frozenset({"800", "808", "870", "878", "881", "882", "883", "888", "979"})
"""Country codes that belong to no country (ITU-T E.164 annex): satellite, shared cost, premium, free phone."""
COSTLY = {
    PhoneNumberType.PREMIUM_RATE: "premium-rate",
    PhoneNumberType.SHARED_COST: "shared-cost",
    PhoneNumberType.PERSONAL_NUMBER: "follow-me",
    PhoneNumberType.PAGER: "pager",
    PhoneNumberType.VOICEMAIL: "voicemail",
}
NANP_CHARGED = re.compile(r"[2-9][0-9]{2}(?:976[0-9]{4}|5551212)")
"""North America: the pay-per-call exchange 976 and directory assistance; the plan calls both ordinary."""


def _e164(value: str) -> str:
    """Accept a complete international number only: a national one would reach different people in each country."""
    try:
        number = phonenumbers.parse(value, None)
    except phonenumbers.NumberParseException:
        raise ValueError('is not an international number; write it as "+14155550199"') from None
    if phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) != value:
        raise ValueError('must be + and digits only, such as "+14155550199"')
    if not phonenumbers.is_valid_number(number):
        raise ValueError("is not a valid number in its country")
    return value


def _no_service_number(value: object) -> object:
    """Name an emergency or short number as such before its form is judged: that is what the writer must learn."""
    digits = re.sub(r"[^0-9]", "", value) if isinstance(value, str) and len(value) <= 32 and value.isascii() else ""
    if any(_is_emergency(candidate) for candidate in (*_national(digits), *_national(digits.lstrip("0")))):
        raise ValueError("is an emergency number; callers are never transferred to those")
    if 0 < len(digits) <= SHORT_DIGITS_MAX:
        raise ValueError("is a short number; callers are never transferred to those")
    if digits[:3] in NOT_A_PLACE and str(value).startswith("+"):
        raise ValueError(f"+{digits[:3]} belongs to no country (satellite or special rate); it is never dialled")
    return value


def _national(digits: str) -> Iterator[str]:
    """Yield the digits, and what they are behind each country code that they may begin with."""
    yield digits
    for length in (1, 2, 3):
        code = digits[:length]
        if code and int(code) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            yield digits[length:]


def _is_emergency(digits: str) -> bool:
    if not 0 < len(digits) <= SHORT_DIGITS_MAX:
        return False
    return any(shortnumberinfo.is_emergency_number(digits, region) for region in phonenumbers.SUPPORTED_SHORT_REGIONS)


def _ordinary_rate(value: str) -> str:
    number = phonenumbers.parse(value, None)
    kind = COSTLY.get(phonenumbers.number_type(number))
    if kind is None and number.country_code == 1:
        national = phonenumbers.national_significant_number(number)
        kind = "pay-per-call" if NANP_CHARGED.fullmatch(national) else None
    if kind is not None:
        raise ValueError(f"is a {kind} number; callers are never transferred to those")
    return value


E164 = Annotated[str, AfterValidator(_e164)]
"""A valid number in international form, + and digits."""

TransferNumber = Annotated[E164, BeforeValidator(_no_service_number), AfterValidator(_ordinary_rate)]
"""A number that callers may be handed to: nothing that endangers anybody or costs more than an ordinary call."""
