"""Writes bytes as text: base64url and Crockford's base32. Knows nothing of what they mean."""

import base64

from authy_grpc.domain.typed import normalize

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# Ten bits at a time: `base64.b32encode`, which is Python too, and a translation take twice as long.
_PAIRS = [first + second for first in CROCKFORD for second in CROCKFORD]

# ASCII alone is raised: `str.upper` would make letters of others, such as U+017F.
_FOLD = str.maketrans(
    "abcdefghijklmnopqrstuvwxyzOIL",
    "ABCDEFGH1JK1MN0PQRSTUVWXYZ011",
)


def base64url(data: bytes) -> str:
    """Encodes by RFC 4648 section 5, without padding.

    Args:
        data: any bytes.

    Returns:
        4 characters for 3 bytes, no `=`.
    """
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def base64url_decode(text: str) -> bytes:
    """Decodes the one spelling that `base64url` writes.

    Args:
        text: base64url without padding.

    Returns:
        The bytes.

    Raises:
        ValueError: text has another alphabet, padding, junk, or stray bits in its last character.
    """
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    # Python passes over junk and stray bits: a signature would have 16 spellings.
    if base64url(data) != text:
        raise ValueError("not base64url in its one spelling")
    return data


def base32(data: bytes) -> str:
    """Encodes in Crockford's base32, as one big-endian stream of bits.

    Args:
        data: any bytes; those of one length sort as their texts do.

    Returns:
        Upper case without padding: 10 bytes make 16 characters, 16 make 26, 32 make 52.
    """
    characters = -(-len(data) * 8 // 5)
    pairs = -(-characters // 2)
    bits = int.from_bytes(data, "big") << pairs * 10 - len(data) * 8
    text = "".join([_PAIRS[bits >> place & 1023] for place in range(pairs * 10 - 10, -1, -10)])
    return text[:characters]


def fold(text: str) -> str:
    """Brings base32 that a person typed to the form in which it was made.

    Args:
        text: in either case, O for 0 and I or L for 1, with all that `typed.normalize` passes over.

    Returns:
        Upper case, digits for the letters that stand for them, nothing between them. What is not
        base32 stays in it.
    """
    return normalize(text).translate(_FOLD)
