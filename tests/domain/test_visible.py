"""What people approve by can be seen: allowed categories, and a table held against Unicode's data."""

import sys
import unicodedata
from unicodedata import category

import pytest

from authy_grpc.domain.visible import BLANK, IGNORABLE, MARKS_SINCE_14, SEEN_SINCE_14, wrong_in

_UNSEEN = "must have no characters that cannot be seen, or that are in no alphabet"
_IGNORED = {code for first, last in IGNORABLE for code in range(first, last + 1)}
# Format characters that have a picture: not ignorable, and not taken either.
_DRAWN = {
    *range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, *range(0xFFF9, 0xFFFC), 0x110BD, 0x110CD,
    *range(0x13430, 0x13440),
}  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Log in?",
        "Zahlung über 12,50 €?",
        "Crème brûlée",
        "cre\u0301me",
        "日本語　東京",
        "שלום עולם",
        "می\u200cخواهم",  # noqa: RUF001
        "क्\u200dष",
        "র\u200d্য",
        "👩\u200d👩\u200d👧 us",
        "👩🏽\u200d⚕\ufe0f",
        "I ❤\ufe0f you",
        "❤\ufe0f\u200d🔥",
        "1\ufe0f\u20e3",
        "\u2139\ufe0f",
        "🙂\u200d↔\ufe0f 🏳\ufe0f\u200d🌈 🏴\u200d☠\ufe0f 🧑🏻\u200d🤝\u200d🧑🏿 🟩 ⛓\ufe0f\u200d💥",
        "©\ufe0f ™\ufe0f Ⓜ\ufe0f ㊗\ufe0f 🅰\ufe0f ▶\ufe0f ⬛ #\ufe0f\u20e3 〽\ufe0f",
        "അവന്\u200d",
        "ত্\u200d",
        "\U0001fae8 \U000323af",
        "...",
    ],
)
def test_what_people_write_is_taken(text: str) -> None:
    assert wrong_in(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "\u200b", "\u3164", "Shop\u200f", "Sh\u2060op", "\U000e0041\U000e0042", "a\u202eb", "a\u061cb",
        "a\u00adb", "a\u2800b", "\u200dPay", "Pay\u200d", "Pay \u200d Pal", "Pay\u200dPal", "Pay\u200cPal",
        "P\ufe0fay", "1\ufe0f0", "\ufe0fa", "می\u200c", "می\u200c\u200cخ", "❤\ufe0f\ufe0f", "a\ufe00b",
        "+\u200d+", "$\u200d€", "5\u200d€", "€\ufe0f", "─\u200d─", "─\ufe0f", "$\ufe0f\u20e3", "☎\ufe0e",
        "😀\u200c😀", "a\ue000b", "a\u0378b", "a\ud800b", "a\ufeffb", "a\u0600b",
        "\U0001d159", "a\U0010ffffb", "a\u115f",
    ],
)  # fmt: skip
def test_what_cannot_be_seen_is_refused(text: str) -> None:
    assert wrong_in(text) == _UNSEEN


@pytest.mark.parametrize("text", ["a\nb", "a\tb", "a\x1b[2Jb", "a\x85b", "\x00", "a\u2028b", "\x7f"])
def test_controls_are_refused(text: str) -> None:
    assert wrong_in(text) == "must have no control characters"


@pytest.mark.parametrize("text", [" ", "\u3000\u00a0", "\u0301", " \u0301\u20dd "])
def test_blanks_and_marks_alone_are_nothing_to_see(text: str) -> None:
    assert wrong_in(text) == "must have something to see"


def test_the_table_of_ignorable_characters_agrees_with_this_pythons_data() -> None:
    formats = {code for code in range(sys.maxunicode + 1) if category(chr(code)) == "Cf"}
    assert formats - _DRAWN <= _IGNORED
    others = {0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), 0x3164, 0xFFA0}
    others |= {*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}
    assert {code for code in _IGNORED - formats if category(chr(code)) != "Cn"} <= others


def test_the_tables_of_later_characters_agree_with_what_this_python_knows_of_them() -> None:
    for table, kinds in ((MARKS_SINCE_14, "M"), (SEEN_SINCE_14, "LNPS")):
        found = {category(chr(code)) for first, last in table for code in range(first, last + 1)}
        # What a Python with an earlier Unicode does not know has no category there.
        assert {each[0] for each in found - {"Cn"}} <= set(kinds)
        assert "Cn" not in found or unicodedata.unidata_version < "15.1"


def test_every_code_point_by_itself_is_taken_by_its_category() -> None:
    later = {code for first, last in (*MARKS_SINCE_14, *SEEN_SINCE_14) for code in range(first, last + 1)}
    # Between lie letters of China, planes without characters, and those for private use.
    for code in (
        *range(0x34_00),
        *range(0xA0_00, 0xE1_00),
        *range(0xF8_00, 0x2_00_00),
        *range(0xE_00_00, 0xE_10_10),
    ):
        character = chr(code)
        seen = category(character)[0] in "LMNPSZ" or code in later
        seen &= code not in _IGNORED and character not in BLANK and character not in "\u2028\u2029"
        assert (wrong_in(f"a{character}b") is None) is seen, hex(code)
