"""Validates text that people approve or choose by: an allow-list of Unicode categories, nothing invisible.

Letters, marks, numbers, punctuation, symbols and spaces are taken. Controls, format characters, private-use
and unassigned code points are not, and nothing of Default_Ignorable_Code_Point: they hide the end of a
question, reorder its digits, or make two names look the same. ZWJ and ZWNJ are taken between letters of
scripts that join, ZWJ between emoji, and U+FE0F after a symbol that it turns into an emoji: between or after
others, such as currencies, they would make two amounts or names look the same.
"""

import re
from unicodedata import category

# Default_Ignorable_Code_Point, which `unicodedata` lacks (DerivedCoreProperties.txt of Unicode 14 to 15.1).
IGNORABLE = (
    (0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5),
    (0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164),
    (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
# Letters and symbols without a picture: Braille blank, null notehead, blank hieroglyphs, Khitan filler, and
# what stands for an object that is not there.
BLANK = frozenset("\u2800\U0001d159\U00013441\U00013442\U00016fe4\ufffc")
# Assigned in Unicode 15.0 and 15.1: what may be said must not hang on the Python that runs (3.11 knows 14.0).
MARKS_SINCE_14 = (
    (0xCF3, 0xCF3), (0xECE, 0xECE), (0x10EFD, 0x10EFF), (0x11241, 0x11241), (0x11F00, 0x11F01),
    (0x11F03, 0x11F03), (0x11F34, 0x11F3A), (0x11F3E, 0x11F42), (0x13440, 0x13440),
    (0x13447, 0x13455), (0x1E08F, 0x1E08F), (0x1E4EC, 0x1E4EF),
)  # fmt: skip
SEEN_SINCE_14 = (
    (0x2FFC, 0x2FFF), (0x31EF, 0x31EF), (0x1123F, 0x11240), (0x11B00, 0x11B09), (0x11F02, 0x11F02),
    (0x11F04, 0x11F10), (0x11F12, 0x11F33), (0x11F43, 0x11F59), (0x1342F, 0x1342F),
    (0x13441, 0x13446), (0x1B132, 0x1B132), (0x1B155, 0x1B155), (0x1D2C0, 0x1D2D3),
    (0x1DF25, 0x1DF2A), (0x1E030, 0x1E06D), (0x1E4D0, 0x1E4EB), (0x1E4F0, 0x1E4F9),
    (0x1F6DC, 0x1F6DC), (0x1F774, 0x1F776), (0x1F77B, 0x1F77F), (0x1F7D9, 0x1F7D9),
    (0x1FA75, 0x1FA77), (0x1FA87, 0x1FA88), (0x1FAAD, 0x1FAAF), (0x1FABB, 0x1FABD),
    (0x1FABF, 0x1FABF), (0x1FACE, 0x1FACF), (0x1FADA, 0x1FADB), (0x1FAE8, 0x1FAE8),
    (0x1FAF7, 0x1FAF8), (0x2B739, 0x2B739), (0x2EBF0, 0x2EE5D), (0x31350, 0x323AF),
)  # fmt: skip
# Scripts whose letters join: Arabic and its kin, those of India and around, Khmer, Mongolian, Adlam.
_JOINING = (
    (0x600, 0x109F), (0x1780, 0x1CFF), (0xA800, 0xAAFF), (0xABC0, 0xABFF), (0xFB50, 0xFDFF),
    (0xFE70, 0xFEFE), (0x10A00, 0x11FFF), (0x1E900, 0x1E95F),
)  # fmt: skip
_ZWNJ, _ZWJ, _EMOJI, _KEYCAP = "\u200c", "\u200d", "\ufe0f", "\u20e3"
_KEYS = frozenset("0123456789#*")
# What has an emoji beside its text form (emoji-variation-sequences.txt), the blocks of pictures as a whole.
_PICTURES = (
    (0x2194, 0x2199), (0x21A9, 0x21AA), (0x231A, 0x231B), (0x2328, 0x2328), (0x23CF, 0x23CF),
    (0x23E9, 0x23FA), (0x24C2, 0x24C2), (0x25AA, 0x25AB), (0x25B6, 0x25B6), (0x25C0, 0x25C0),
    (0x25FB, 0x25FE), (0x2600, 0x27BF), (0x2934, 0x2935), (0x2B05, 0x2B07), (0x2B1B, 0x2B1C),
    (0x2B50, 0x2B50), (0x2B55, 0x2B55), (0x3297, 0x3297), (0x3299, 0x3299), (0x1F000, 0x1FAFF),
)  # fmt: skip
# Of both kinds, but joined to no other.
_MORE_PICTURES = frozenset("\u00a9\u00ae\u203c\u2049\u2122\u2139\u3030\u303d")
# Bengali's khanda ta and Malayalam's chillus in the spelling of old keyboards: also at the end of a word.
_FINAL_FORM = frozenset("\u09cd\u0d4d")
_BREAKS = frozenset("\u2028\u2029")


def _one_of(ranges: tuple[tuple[int, int], ...]) -> str:
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


_HIDDEN = re.compile(f"[{_one_of(IGNORABLE)}{''.join(BLANK)}]")
_MARK, _SEEN = re.compile(f"[{_one_of(MARKS_SINCE_14)}]"), re.compile(f"[{_one_of(SEEN_SINCE_14)}]")
_JOINS = re.compile(f"[{_one_of(_JOINING)}]")
_PICTURE = re.compile(f"[{_one_of(_PICTURES)}]")


def wrong_in(text: str) -> str | None:
    """What keeps a text from being shown to people, in words; None where nothing does.

    Args:
        text: any, of a bounded length. An empty one is nothing to see and right.
    """
    if text.isascii() and text.isprintable():
        return None if text.strip() or not text else "must have something to see"
    kinds = [_kind(character) for character in text]
    for index, kind in enumerate(kinds):
        if kind == "Cc" or text[index] in _BREAKS:
            return "must have no control characters"
        if kind[0] == "C" and not _in_a_word(text, kinds, index):
            return "must have no characters that cannot be seen, or that are in no alphabet"
    return None if any(kind[0] in "LNPS" for kind in kinds) else "must have something to see"


def _kind(character: str) -> str:
    """The general category; Cf for all that cannot be seen."""
    if _HIDDEN.match(character) or character in _BREAKS:
        return "Cf"
    kind = category(character)
    if kind == "Cn":
        return "Mn" if _MARK.match(character) else "So" if _SEEN.match(character) else kind
    return kind


def _in_a_word(text: str, kinds: list[str], index: int) -> bool:
    """Whether one that cannot be seen has its place in a word: one of three, between what needs it."""
    character, before, after = text[index], text[index - 1 : index], text[index + 1 : index + 2]
    if not before:
        return False
    if character == _EMOJI:
        if before in _KEYS:
            return after == _KEYCAP
        return _is_picture(before) or before in _MORE_PICTURES
    if character == _ZWJ and before in _FINAL_FORM:
        return True
    if character not in (_ZWJ, _ZWNJ) or not after:
        return False
    if _JOINS.match(before) and _JOINS.match(after):
        return kinds[index - 1][0] in "LM" and kinds[index + 1][0] in "LM"
    is_emoji = before == _EMOJI or _is_picture(before)
    return character == _ZWJ and is_emoji and _is_picture(after)


def _is_picture(character: str) -> bool:
    return _PICTURE.match(character) is not None
