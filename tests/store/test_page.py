"""A page token goes on where it was made for, and nowhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authy_grpc.domain.errors import BadField
from authy_grpc.store import page
from authy_grpc.store.vault import Vault, new_keyset

VAULT = Vault(new_keyset())


@pytest.mark.parametrize(("asked", "size"), [(0, 100), (1, 1), (100, 100), (1000, 1000), (1001, 1000)])
def test_a_page_has_100_where_unset_and_1000_at_most(asked: int, size: int) -> None:
    assert page.size(asked) == size


@given(st.text(), st.text(st.characters(exclude_characters="\n")), st.text())
def test_a_token_opens_to_its_key(key: str, owner: str, method: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in key + owner + method):
        return
    token = page.seal_token(VAULT, owner, method, key)
    assert page.open_token(VAULT, owner, method, token) == key


def test_an_empty_token_is_the_beginning() -> None:
    assert page.open_token(VAULT, "app_1", "ListUsers", "") == ""


@pytest.mark.parametrize(
    ("owner", "method"), [("app_2", "ListUsers"), ("app_1", "ListDevices"), ("app_1", "ListUsers\nfilter")]
)
def test_a_token_is_of_one_owner_and_list(owner: str, method: str) -> None:
    token = page.seal_token(VAULT, "app_1", "ListUsers", "key")
    with pytest.raises(BadField) as refused:
        page.open_token(VAULT, owner, method, token)
    assert refused.value.violations[0].field == "page_token"


@given(st.text())
def test_what_was_made_up_does_not_open(token: str) -> None:
    if token:
        with pytest.raises(BadField):
            page.open_token(VAULT, "app_1", "ListUsers", token)


def test_each_spelling_but_one_is_refused() -> None:
    token = page.seal_token(VAULT, "app_1", "ListUsers", "key")
    for other in (token + "=", token[:-1], " " + token, token + "A", token.swapcase(), token + "\n"):
        with pytest.raises(BadField):
            page.open_token(VAULT, "app_1", "ListUsers", other)


def test_a_token_does_not_show_its_key() -> None:
    token = page.seal_token(VAULT, "app_1", "ListUsers", "key")
    assert token != page.seal_token(VAULT, "app_1", "ListUsers", "key")
    assert "key" not in token
