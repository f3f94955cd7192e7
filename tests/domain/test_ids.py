"""Ids sort by time; numbers are drawn evenly; secrets have the stated size."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from authy_grpc.domain import ids

NOW = datetime(2026, 3, 4, 5, 6, 7, 891_999, tzinfo=UTC)
CROCKFORD = "[0-9A-HJKMNP-TV-Z]"


def scripted(*draws: bytes) -> Callable[[int], bytes]:
    left = list(draws)

    def random(size: int) -> bytes:
        draw = left.pop(0)
        assert len(draw) == size
        return draw

    return random


def test_an_id_has_its_time_and_chance() -> None:
    made = ids.new_id("apr", NOW, scripted(b"\xff" * 10))
    millis = int(NOW.timestamp() * 1000)
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    bits = "".join(f"{alphabet.index(character):05b}" for character in made.removeprefix("apr_"))
    assert re.fullmatch(f"apr_{CROCKFORD}{{26}}", made)
    assert int(bits[:48], 2) == millis
    assert bits[48:] == "1" * 80 + "00"


def test_ids_sort_by_time() -> None:
    later = [ids.new_id("evt", NOW + timedelta(milliseconds=n), os.urandom) for n in range(500)]
    assert later == sorted(later)


def test_ids_of_one_moment_differ() -> None:
    assert len({ids.new_id("evt", NOW, os.urandom) for _ in range(1_000)}) == 1_000


def test_a_draw_that_would_favour_small_numbers_is_thrown_away() -> None:
    unfair, fair = (2**64 - 1).to_bytes(8, "big"), (1_000_007).to_bytes(8, "big")
    assert ids.below(1_000_000, scripted(unfair, fair)) == 7
    edge = 2**64 - 2**64 % 1_000_000
    assert ids.below(1_000_000, scripted((edge - 1).to_bytes(8, "big"))) == 999_999
    assert ids.below(1_000_000, scripted(edge.to_bytes(8, "big"), fair)) == 7
    assert ids.below(2**64, scripted(unfair)) == 2**64 - 1
    assert ids.below(1, scripted(unfair)) == 0


def test_each_number_is_drawn_about_as_often() -> None:
    counts = Counter(ids.below(10, os.urandom) for _ in range(20_000))
    assert set(counts) == set(range(10))
    assert all(1_700 < count < 2_300 for count in counts.values())


@pytest.mark.parametrize(("draw", "authy_id"), [(0, "1000000"), (2**31 - 1_000_001, str(2**31 - 1))])
def test_authy_id_from_first_to_last(draw: int, authy_id: str) -> None:
    assert ids.new_authy_id(scripted(draw.to_bytes(8, "big"))) == authy_id


def test_secrets_have_their_size() -> None:
    secret = ids.new_secret("ak", os.urandom)
    assert re.fullmatch(f"ak_{CROCKFORD}{{52}}", secret)
    assert ids.hash_secret(secret) == hashlib.sha256(secret.encode()).digest()
    assert re.fullmatch("[A-Za-z0-9_-]{22}", ids.enrollment_token(os.urandom))
    assert ids.new_secret("dt", os.urandom) != ids.new_secret("dt", os.urandom)
