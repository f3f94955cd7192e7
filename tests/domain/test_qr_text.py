import base64
from urllib.parse import parse_qs, unquote, urlsplit

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from authy_grpc.domain.errors import BadField
from authy_grpc.domain.qr_text import otpauth_uri, read_token, token_uri

ORIGIN = "https://authy.example"
TOKEN = "AbCdEfGhIjKlMnOpQr-_12"
SEED = bytes(range(20))


@pytest.mark.parametrize("text", [TOKEN, f"{ORIGIN}/app/#/e/{TOKEN}"])
def test_a_token_is_read_bare_or_as_it_was_scanned(text: str) -> None:
    assert token_uri(ORIGIN, TOKEN) == f"{ORIGIN}/app/#/e/{TOKEN}"
    assert read_token(ORIGIN, text) == TOKEN


@pytest.mark.parametrize(
    "text",
    [
        "",
        TOKEN[:-1],
        TOKEN + "A",
        TOKEN + "\n",
        TOKEN[:-1] + "=",
        TOKEN[:-1] + "é",
        f"http://authy.example/app/#/e/{TOKEN}",
        f"https://authy.example.evil/app/#/e/{TOKEN}",
        f"{ORIGIN}/app/#/x/{TOKEN}",
        f"{ORIGIN}/app/#/e/{TOKEN}/",
        f"{ORIGIN}/app/#/e/{ORIGIN}/app/#/e/{TOKEN}",
        "otpauth://totp/Example?secret=AAAA",
    ],
)
def test_what_is_not_of_this_service_is_refused(text: str) -> None:
    with pytest.raises(BadField) as refused:
        read_token(ORIGIN, text)
    assert [each.field for each in refused.value.violations] == ["token"]


def test_any_app_reads_the_seed() -> None:
    uri = otpauth_uri(SEED, issuer="Ann & Bob's Café", label="work laptop", digits=8, period=60)
    read = pyotp.parse_uri(uri)
    assert isinstance(read, pyotp.TOTP)
    assert base64.b32decode(read.secret) == SEED
    assert (read.issuer, read.name) == ("Ann & Bob's Café", "work laptop")
    assert (read.digits, read.interval) == (8, 60)
    assert parse_qs(urlsplit(uri).query)["algorithm"] == ["SHA1"]


def test_without_a_label_the_site_is_the_label() -> None:
    read = pyotp.parse_uri(otpauth_uri(SEED, issuer="Example", label="", digits=6, period=30))
    assert (read.issuer, read.name) == ("Example", "Example")


def _as_most_apps_read(uri: str) -> tuple[str | None, str]:
    """They unescape first, and part the label at its first colon."""
    path = unquote(urlsplit(uri).path[1:])
    issuer, colon, name = path.partition(":")
    return (issuer, name) if colon else (None, path)


@given(st.text("ab:/?&=%# é", min_size=1, max_size=12), st.text("ab:/?&=%# é", max_size=12))
def test_a_colon_does_not_make_two_issuers(issuer: str, label: str) -> None:
    uri = otpauth_uri(SEED, issuer=issuer, label=label, digits=6, period=30)
    read = pyotp.parse_uri(uri)
    prefix, name = _as_most_apps_read(uri)
    assert read.issuer == issuer
    assert prefix in (None, issuer)
    assert name == read.name == (label or issuer).replace(":", "-")
