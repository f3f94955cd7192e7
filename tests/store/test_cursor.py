"""A cursor is a place in one application's feed, and says nothing of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authy_grpc.domain.errors import BadField, CursorExpired
from authy_grpc.store.cursor import open_cursor, seal_cursor
from authy_grpc.store.position import EARLIEST, Position, pack, unpack
from authy_grpc.store.vault import Vault, new_keyset

VAULT = Vault(new_keyset())
_SIGNED = st.integers(-(2**63), 2**63 - 1)
POSITIONS = st.builds(Position, _SIGNED, _SIGNED, _SIGNED)


@given(POSITIONS)
def test_a_place_comes_back_and_all_are_as_long_as_each_other(position: Position) -> None:
    assert unpack(pack(position)) == position
    cursor = seal_cursor(VAULT, "app_1", position)
    assert open_cursor(VAULT, "app_1", cursor) == position
    assert len(cursor) == 76


def test_the_earliest_is_before_all_that_can_happen() -> None:
    assert EARLIEST < Position(0, 0, 0) < Position(0, 0, 1) < Position(0, 1, -1) < Position(1, 0, 0)


def test_it_is_of_one_application_and_of_no_other_use() -> None:
    cursor = seal_cursor(VAULT, "app_1", EARLIEST)
    with pytest.raises(BadField):
        open_cursor(VAULT, "app_2", cursor)
    # The site did no wrong: it may begin again.
    with pytest.raises(CursorExpired):
        open_cursor(Vault(new_keyset()), "app_1", cursor)


@given(st.text())
def test_what_was_made_up_does_not_open(cursor: str) -> None:
    with pytest.raises(BadField) as refused:
        open_cursor(VAULT, "app_1", cursor)
    assert refused.value.violations[0].field == "cursor"
