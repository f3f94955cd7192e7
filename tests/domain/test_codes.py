"""Drawn codes: their sizes, their zeros, and how they may be typed."""

import os
import re
from collections import Counter

import pytest

from authy_grpc.domain import codes
from authy_grpc.domain.encoding import fold


def zeros(size: int) -> bytes:
    return bytes(size)


def test_a_sent_code_keeps_its_zeros() -> None:
    assert codes.sent_code(zeros) == "000000"
    assert codes.sent_code(lambda size: (1_000_042).to_bytes(size, "big")) == "000042"
    assert all(re.fullmatch("[0-9]{6}", codes.sent_code(os.urandom)) for _ in range(1_000))


def test_each_digit_comes_about_as_often_at_each_place() -> None:
    drawn = [codes.sent_code(os.urandom) for _ in range(10_000)]
    for place in range(6):
        counts = Counter(code[place] for code in drawn)
        assert len(counts) == 10
        assert all(800 < count < 1_200 for count in counts.values())


@pytest.mark.parametrize("digits", [0, 2, 6, 8])
def test_a_match_number_has_its_digits(digits: int) -> None:
    assert codes.match_number(zeros, digits) == "0" * digits
    assert re.fullmatch(f"[0-9]{{{digits}}}", codes.match_number(os.urandom, digits))


def test_ten_backup_codes_of_16_characters() -> None:
    made = codes.backup_codes(os.urandom)
    assert len(set(made)) == 10
    assert all(codes.is_backup_shape(code) and len(code) == 16 for code in made)
    assert codes.backup_codes(zeros) == ["0" * 16] * 10


def test_a_recovery_code_has_80_bits() -> None:
    assert codes.recovery_code(lambda size: b"\xff" * size) == "Z" * 16
    assert codes.is_backup_shape(codes.recovery_code(os.urandom))


@pytest.mark.parametrize(
    "typed",
    ["0123456789ABCDEF", "o123-4567-89ab-cdef", "OI23 4567 89AB CDEF", "1234567890123456", "\u0661" * 16],
)
def test_the_shape_of_a_backup_code(typed: str) -> None:
    assert codes.is_backup_shape(typed)


def test_backup_code_typed_by_hand_is_the_one_made() -> None:
    assert fold("oi23 4567-89ab cdel") == "0123456789ABCDE1"


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "123456",
        "0123456789ABCDE",
        "0123456789ABCDEFG",
        "0123456789ABCDEU",
        "0123456789ABCDE\u0130",
    ],
)
def test_not_the_shape_of_a_backup_code(typed: str) -> None:
    assert not codes.is_backup_shape(typed)
