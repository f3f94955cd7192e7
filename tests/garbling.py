"""Calls that are broken in their bytes and their metadata, by a seeded chance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

Metadata = tuple[tuple[str, str | bytes], ...]

VARINT, _FIXED64, BYTES, _GROUP, _END, _FIXED32 = range(6)
_DEEP = 150


@dataclass(frozen=True)
class Attempt:
    """A call that is made to see what becomes of it."""

    path: str
    request: bytes = b""
    metadata: Metadata = ()

    def __str__(self) -> str:
        return f"{self.path} {self.request.hex()[:4096]} {self.metadata!r:.2000}"


def varint(value: int) -> bytes:
    """A number on the wire, modulo 2^64."""
    value %= 2**64
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def tagged(number: int, wire: int, payload: bytes) -> bytes:
    """A field on the wire."""
    length = varint(len(payload)) if wire == BYTES else b""
    return varint(number << 3 | wire) + length + payload


def _flip(chance: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    made = bytearray(raw or b"\x00")
    made[chance.randrange(len(made))] ^= 1 << chance.randrange(8)
    return bytes(made)


def _cut(chance: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    return raw[: chance.randrange(len(raw) + 1)]


def _twice(chance: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    return raw + raw


def _spliced(chance: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    other = chance.choice(others)
    return raw[: chance.randrange(len(raw) + 1)] + other[chance.randrange(len(other) + 1) :]


def _unknown(chance: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    number = chance.choice((0, 15, 100, 19_000, 2**29 - 1, 2**29))
    wire, payload = chance.choice(
        (
            (VARINT, b"\x01"), (VARINT, b"\xff" * 9 + b"\x01"), (VARINT, b"\xff" * 11),
            (BYTES, b"\xff\xfe"), (_FIXED64, bytes(8)), (_FIXED32, bytes(4)),
            (_GROUP, b""), (_END, b""), (6, b""), (7, b""),
        )
    )  # fmt: skip
    return raw + tagged(number, wire, payload)


def _mistyped(chance: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    number, wire = chance.randrange(1, 10), chance.choice((VARINT, _FIXED64, BYTES, _FIXED32))
    payload = {VARINT: b"\x05", _FIXED64: bytes(8), _FIXED32: bytes(4)}.get(wire, b"\x08\x01")
    return raw + tagged(number, wire, payload)


def _nested(chance: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    number = chance.choice((1, 2, 3, 100))
    if chance.random() < 0.5:
        return raw + tagged(number, _GROUP, b"") * _DEEP + tagged(number, _END, b"") * _DEEP
    inner = b""
    for _depth in range(_DEEP):
        inner = tagged(number, BYTES, inner)
    return raw + inner


def _overlong(chance: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    return raw + varint(chance.randrange(1, 10) << 3 | BYTES) + varint(chance.choice((5, 2**31, 2**63)))


def _noise(chance: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    return chance.randbytes(chance.randrange(40))


BREAKS: tuple[Callable[[Random, bytes, Sequence[bytes]], bytes], ...] = (
    _flip, _flip, _cut, _twice, _spliced, _unknown, _mistyped, _nested, _overlong, _noise,
)  # fmt: skip


def garbage(chance: Random, good: Metadata, credentials: Sequence[str]) -> Metadata:
    """Metadata in the place of good metadata.

    Args:
        chance: by which it is chosen.
        good: what belongs there.
        credentials: of all kinds.
    """
    other = chance.choice(credentials)
    return chance.choice(_METADATA)(chance, good, other)


def _bearer(value: Any) -> Metadata:
    return (("authorization", value),)


_JUNK = (
    "",
    " ",
    "Bearer",
    "Bearer ",
    "Basic YTpi",
    "bearer  ak_",
    "Bearer " + "a" * 7000,
    "Bearer op_%00",
    "~" * 99,
)
_PEERS = (
    "203.0.113.9", "::1", "::ffff:203.0.113.9", "", "localhost", "fe80::1%eth0", "a" * 300,
    "1.2.3.4, 5.6.7.8",
)  # fmt: skip
_METADATA: tuple[Callable[[Random, Metadata, str], Metadata], ...] = (
    lambda chance, good, other: (),
    lambda chance, good, other: _bearer(chance.choice(_JUNK)),
    lambda chance, good, other: _bearer(f"Bearer {other}"),
    lambda chance, good, other: _bearer(f"bEARER   {other}  "),
    lambda chance, good, other: _bearer(f"Bearer {other[: chance.randrange(len(other) + 1)]}"),
    lambda chance, good, other: _bearer(f"Bearer {other[:-1]}{chance.choice('0O1IlZz~')}"),
    lambda chance, good, other: (*good, *_bearer(f"Bearer {other}")),
    lambda chance, good, other: (*good, ("authorization-bin", chance.randbytes(20))),
    lambda chance, good, other: (*good, ("x-request-id", chance.choice(("", "a" * 5000, "';--", "0" * 16)))),
    lambda chance, good, other: (*good, ("x-request-id-bin", b"\xff\x00\xfe")),
    lambda chance, good, other: (*good, ("grpc-status-details-bin", chance.randbytes(40))),
    lambda chance, good, other: (*good, ("x-authy-peer", chance.choice(_PEERS)), ("x-authy-gateway", other)),
    lambda chance, good, other: (*good, ("x-junk", "j" * chance.choice((100, 15_000, 16_384, 40_000)))),
    lambda chance, good, other: (*good, *((f"x-{index}", "j") for index in range(200))),
)  # fmt: skip
