"""What people type is read as the digits that they mean, whatever keyboards and copying put between them."""

import pytest

from authy_grpc.domain.typed import is_code, normalize

_SAME = [
    "123456",
    "123 456",
    " 1 2 3-4 5 6\t\r\n",
    "123\u00a0456\u3000",
    "123\u2028456\u2029",
    "123\x0b\x0c\x1c\x85456",
    "\ufeff123\u200b456\u2060",
    "\u2067123456\u2069\u200f",
    "12\u00ad34\u200d56",
    "123\u2011456",
    "123\u2212456",
    "123\ufe63456\uff0d",
    "123\u30fc456",
    "\uff11\uff12\uff13\uff14\uff15\uff16",
    "\u0661\u0662\u0663\u0664\u0665\u0666",
    "\u0967\u0968\u0969\u096a\u096b\u096c",
    "\U0001d7cf\U0001d7d0\U0001d7d1456",
]


@pytest.mark.parametrize("typed", _SAME)
def test_spellings_of_one_code(typed: str) -> None:
    assert normalize(typed) == "123456"
    assert is_code(typed, 6) and not is_code(typed, 7, 8)


@pytest.mark.parametrize(
    "typed", ["12O456", "123_456", "123.456", "12345\u00b2", "\u2460\u2461\u2462456", "12\x00456"]
)
def test_nothing_else_is_passed_over_or_read(typed: str) -> None:
    assert normalize(typed) == typed
    assert not is_code(typed, 6)


def test_full_width_is_ascii() -> None:
    assert normalize("\uff0b\uff14\uff19 \uff21\uff22\uff3a") == "+49ABZ"


@pytest.mark.parametrize("typed", ["", " ", "12345", "1234567", "\u200b"])
def test_another_number_of_digits_is_no_code(typed: str) -> None:
    assert not is_code(typed, 6)
