"""Normalizes secrets that a person types: codes, checks, match digits, backup and recovery codes, numbers.

Keyboards, autofill and copied texts put spaces, dashes and invisible marks between digits, and write them in
any script. What is signed is never normalized: proofs and receipts verify the bytes as sent.
"""

from unicodedata import category, decimal

# Dashes that are not in the category Pd: hyphen bullet, minus, heavy minus, modifier minus, long vowel
# mark (which Japanese keyboards write for one).
_DASHES = frozenset("\u2043\u2212\u2796\u02d7\u30fc\uff70")
_PASSED_OVER = frozenset({"Cf", "Pd", "Zs", "Zl", "Zp"})
# U+FF01 to U+FF5E are ASCII's ! to ~ in full width.
_FULL_WIDTH = range(0xFF01, 0xFF5F)
_WRITTEN_IN_NUMBERS = str.maketrans("", "", "()./")
_TO_ASCII = 0xFF01 - ord("!")


def normalize(text: str) -> str:
    """Drops what stands between digits, and writes digits and full-width characters in ASCII.

    Args:
        text: as typed.

    Returns:
        The text without white space of any kind, format characters (Cf) and dashes, its decimal digits of any
        script (Nd) as 0 to 9. All else is unchanged.
    """
    if text.isascii() and text.isalnum():
        return text
    return "".join(map(_normal, text))


def normalize_number(text: str) -> str:
    """As `normalize`, and without the brackets, dots and slashes that people write in a phone number.

    Returns:
        E.164 where the text is a number with its country, such as `+1 (500) 555-0006`.
    """
    return normalize(text).translate(_WRITTEN_IN_NUMBERS)


def is_code(text: str, *lengths: int) -> bool:
    """Tells whether a text can be a code at all: what cannot is no guess.

    Args:
        text: as typed.
        lengths: how many digits a code may have.
    """
    digits = normalize(text)
    return len(digits) in lengths and digits.isascii() and digits.isdigit()


def _normal(character: str) -> str:
    digit = decimal(character, None)
    if digit is not None:
        return str(digit)
    if character.isspace() or character in _DASHES or category(character) in _PASSED_OVER:
        return ""
    return chr(ord(character) - _TO_ASCII) if ord(character) in _FULL_WIDTH else character
