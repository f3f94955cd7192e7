"""The shape of ids, of `authy_id` and of secrets. Keeps none, and draws no chance of its own."""

import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from authy_grpc.domain.encoding import CROCKFORD, base32, base64url

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_FIRST_AUTHY_ID = 1_000_000
_DRAW_BYTES = 8
_ID = re.compile(f"([a-z]+)_[{CROCKFORD}]{{26}}", re.ASCII)
_SECRET = re.compile(f"([a-z]+)_[{CROCKFORD}]{{52}}", re.IGNORECASE | re.ASCII)


def below(limit: int, random: Callable[[int], bytes]) -> int:
    """Draws a number, each as likely as the others.

    Args:
        limit: 1 to 2^64; one more than the largest number.
        random: gives that many random bytes.

    Returns:
        0 to limit - 1.
    """
    draws = 1 << 8 * _DRAW_BYTES
    # The last, incomplete run of `limit` draws would favour the small numbers.
    fair = draws - draws % limit
    while True:
        draw = int.from_bytes(random(_DRAW_BYTES), "big")
        if draw < fair:
            return draw % limit


def new_id(prefix: str, now: datetime, random: Callable[[int], bytes]) -> str:
    """Makes an id, such as `apr_` and 26 base32 characters. Later ones sort behind earlier ones.

    Args:
        prefix: without the underscore, such as `apr`.
        now: aware, 1970 or later.
        random: gives that many random bytes.

    Returns:
        The prefix, an underscore, and 48 bits of milliseconds since 1970 with 80 random ones.
    """
    millis = (now - _EPOCH) // _MILLISECOND
    return f"{prefix}_{base32(millis.to_bytes(6, 'big') + random(10))}"


def is_id(prefix: str, text: str) -> bool:
    """Whether a text has the form of an id, as `new_id` makes it.

    Args:
        prefix: what kind it must be, without the underscore, such as `app`.
        text: may be anything.
    """
    found = _ID.fullmatch(text)
    return found is not None and found[1] == prefix


def new_authy_id(random: Callable[[int], bytes]) -> str:
    """Draws an `authy_id`. Whether the application has it already is for the caller to see.

    Args:
        random: gives that many random bytes.

    Returns:
        A decimal number from 1,000,000 to 2^31-1.
    """
    return str(_FIRST_AUTHY_ID + below(2**31 - _FIRST_AUTHY_ID, random))


def new_secret(prefix: str, random: Callable[[int], bytes]) -> str:
    """Makes a bearer credential of 256 random bits.

    Args:
        prefix: what kind it is, without the underscore, such as `ak`.
        random: gives that many random bytes.

    Returns:
        The prefix, an underscore and 52 base32 characters.
    """
    return f"{prefix}_{base32(random(32))}"


def is_secret(prefix: str, text: str) -> bool:
    """Whether a text has the form of a bearer credential, as `new_secret` makes it.

    Args:
        prefix: what kind it must be, without the underscore, such as `op`.
        text: may be anything.
    """
    found = _SECRET.fullmatch(text)
    return found is not None and found[1] == prefix


def enrollment_token(random: Callable[[int], bytes]) -> str:
    """Makes the token of a QR code: 128 random bits.

    Args:
        random: gives that many random bytes.

    Returns:
        22 base64url characters.
    """
    return base64url(random(16))


def hash_secret(secret: str) -> bytes:
    """Digests a secret of 128 random bits or more, so that the secret itself need not be kept.

    Args:
        secret: such as an API key. What a person can guess needs a keyed hash instead.

    Returns:
        Its SHA-256, 32 bytes.
    """
    return hashlib.sha256(secret.encode()).digest()
