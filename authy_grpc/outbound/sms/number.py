"""Tells which phone numbers messages may go to."""

from enum import Enum, auto

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

# A deny-list: the type of many good numbers is not known, and test numbers are PERSONAL_NUMBER.
_DENIED = frozenset(
    {
        PhoneNumberType.PREMIUM_RATE,
        PhoneNumberType.SHARED_COST,
        PhoneNumberType.TOLL_FREE,
        PhoneNumberType.UAN,
        PhoneNumberType.PAGER,
        PhoneNumberType.VOICEMAIL,
    }
)


class Judgement(Enum):
    """Whether a number is sent to, and why not."""

    SERVED = auto()
    NO_NUMBER = auto()
    OTHER_KIND = auto()
    OTHER_COUNTRY = auto()


class Numbers:
    """Tells which numbers may be sent to.

    Args:
        countries: ISO 3166 codes, comma-separated; all where empty.

    Raises:
        ValueError: a code is not known.
    """

    def __init__(self, countries: str = "") -> None:
        self._countries = frozenset(code.strip().upper() for code in countries.split(",") if code.strip())
        if unknown := self._countries - phonenumbers.SUPPORTED_REGIONS:
            raise ValueError(f"AUTHY_SMS_COUNTRIES has unknown country codes: {', '.join(sorted(unknown))}")

    def allow(self, number: str) -> bool:
        """Whether a text is a phone number in its one E.164 spelling, and one that may be sent to."""
        return self.judge(number) is Judgement.SERVED

    def judge(self, number: str) -> Judgement:
        """Whether a text is a phone number in its one E.164 spelling, and whether that is sent to."""
        try:
            parsed = phonenumbers.parse(number, None)
        except phonenumbers.NumberParseException:
            return Judgement.NO_NUMBER
        if phonenumbers.format_number(parsed, PhoneNumberFormat.E164) != number:
            return Judgement.NO_NUMBER
        if not phonenumbers.is_valid_number(parsed):
            return Judgement.NO_NUMBER
        if phonenumbers.number_type(parsed) in _DENIED:
            return Judgement.OTHER_KIND
        if self._countries and phonenumbers.region_code_for_number(parsed) not in self._countries:
            return Judgement.OTHER_COUNTRY
        return Judgement.SERVED
