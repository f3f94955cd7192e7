"""What a message that brings a code says."""

from datetime import timedelta

import pytest

from authy_grpc.domain.code_text import code_text
from authy_grpc.domain.user import Factor

_MINUTES = timedelta(minutes=5)


def _text(action: str = "", locale: str = "", factor: Factor = Factor.SMS, left: timedelta = _MINUTES) -> str:
    return code_text("Acme", "012345", action, factor, locale, left)


def test_it_names_site_code_and_purpose() -> None:
    assert _text() == "Acme: 012345 is your code. Good for 5 min. Share it with nobody."
    assert _text("login") == "Acme: 012345 is your code to sign in. Good for 5 min. Share it with nobody."


def test_a_site_puts_no_words_of_its_own_into_it() -> None:
    text = _text("call_0900_123456_now")
    assert "0900" not in text
    assert text.startswith("Acme: 012345 is your code to confirm an action.")


def test_the_time_that_is_left_is_told() -> None:
    assert "for 4 min" in _text(left=timedelta(minutes=4, seconds=59))
    assert "for 1 min" in _text(left=timedelta(seconds=1))


def test_a_voice_says_one_digit_after_the_other() -> None:
    assert "0 1 2 3 4 5" in _text(factor=Factor.VOICE)


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        ("de", "Anmelden"),
        ("de-CH", "Anmelden"),
        ("DE-at", "Anmelden"),
        ("es-MX", "iniciar sesión"),
        ("fr", "connexion"),
        ("en-GB", "to sign in"),
        ("xx", "to sign in"),
        ("", "to sign in"),
    ],
)
def test_it_speaks_the_language_that_was_asked_for(locale: str, words: str) -> None:
    assert words in _text("login", locale)


@pytest.mark.parametrize("locale", ["en", "de", "es", "fr"])
def test_an_unknown_purpose_has_words_in_every_language(locale: str) -> None:
    texts = {_text(action, locale) for action in ("", "login", "payment", "transfer", "password", "else")}
    assert len(texts) == 6
    assert all(len(text) <= 160 for text in texts)
