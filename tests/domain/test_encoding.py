"""Spellings: one for each value, and the forgiving one for what people type."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authy_grpc.domain.encoding import CROCKFORD, base32, base64url, base64url_decode, fold


@given(st.binary(max_size=200))
def test_base64url_round_trip(data: bytes) -> None:
    text = base64url(data)
    assert text == base64.urlsafe_b64encode(data).decode().replace("=", "")
    assert base64url_decode(text) == data


@pytest.mark.parametrize(
    "text",
    [
        *(
            "Zg==",
            "Zg=",
            "Z",
            "Zh",
            "Zm9=",
            "Zm9vZ",
            "Z g",
            " Zg",
            "Zg\n",
            "Zg\r\n",
            "Zg.",
            "Z!g",
            "=",
            "====",
        ),
        *("+_--", "/w", "Zg\x00", "\ufeffZg", "Żg", "\uff3a\uff47", "\ud800", "Zg\u2028"),
    ],
)
def test_base64url_refuses_every_other_spelling(text: str) -> None:
    assert base64url_decode("Zg") == b"f"
    with pytest.raises(ValueError):  # noqa: PT011 -- of several libraries
        base64url_decode(text)


@given(st.integers(0, 255), st.integers(0, 255))
def test_one_spelling_a_value(first: int, second: int) -> None:
    data = bytes([first, second])
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    text = base64url(data)
    taken = []
    for last in alphabet:
        try:
            base64url_decode(text[:-1] + last)
        except ValueError:
            continue
        taken.append(last)
    assert len(taken) == 16
    assert text[-1] in taken


@pytest.mark.parametrize(("size", "characters"), [(0, 0), (1, 2), (10, 16), (16, 26), (32, 52)])
def test_base32_length(size: int, characters: int) -> None:
    assert len(base32(bytes(size))) == characters


@given(st.binary(max_size=64))
def test_base32_is_one_stream_of_bits(data: bytes) -> None:
    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 5)
    assert base32(data) == "".join(CROCKFORD[int(bits[at : at + 5], 2)] for at in range(0, len(bits), 5))


@given(st.lists(st.binary(min_size=16, max_size=16), max_size=20))
def test_base32_sorts_as_bytes(values: list[bytes]) -> None:
    assert [base32(value) for value in sorted(values)] == sorted(base32(value) for value in values)


@given(st.binary(max_size=40))
def test_what_was_made_folds_to_itself_however_it_is_typed(data: bytes) -> None:
    made = base32(data)
    typed = "-".join(made.lower()[at : at + 4] for at in range(0, len(made), 4)).replace("0", "o")
    assert fold(made) == made
    assert fold(typed) == made
    assert fold(typed.replace("1", "l")) == made
    assert fold(typed.replace("1", "I").replace("o", "O")) == made


def test_fold_raises_ascii_alone() -> None:
    assert fold(" ab\u00a0c \u2013-oO\tiIlL") == "ABC001111"
    assert fold("\u017fß\u0131é") == "\u017fß\u0131é"
