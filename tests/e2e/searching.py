"""The search for a value in bytes, in every form that it may have taken on its way there."""

import base64
import json
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, quote_plus

import psycopg

from authy_grpc.domain.encoding import CROCKFORD
from tests.e2e.wire import Party

_RFC_4648 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_TO_CROCKFORD = bytes.maketrans(_RFC_4648, CROCKFORD.encode())
# Ids, times and hashes: six digits stand in one of them now and then.
_LONG_RUNS = re.compile(rb"[0-9]{9,}|[0-9a-f]{16,}")

_PAGE = 4096
_ZEROS = re.compile(rb"\0{2,}")


@dataclass(frozen=True)
class Canary:
    """A planted value.

    Attributes:
        known_to: the places where it is to be found, and none else.
    """

    name: str
    value: bytes = field(repr=False)
    known_to: frozenset[str]

    @property
    def digits(self) -> bool:
        """Whether it is so short a number that it may stand in a longer one by chance."""
        return self.value.isdigit() and len(self.value) < 9


@dataclass(frozen=True)
class Place:
    """Where things may turn up.

    Attributes:
        text: whether a number stands apart in it from what is not of it. In messages it does not.
        ids: numbers by chance, in which digits may stand by chance.
    """

    name: str
    content: bytes = field(repr=False)
    text: bool = False
    ids: tuple[bytes, ...] = ()

    def found(self, canary: Canary) -> set[str]:
        """The forms in which it is here."""
        found = {form for needle, form in forms(canary.value).items() if needle in self.content}
        return found - {"raw"} if canary.digits and not self._has_number(canary.value) else found

    def _has_number(self, number: bytes) -> bool:
        if self.text:
            return (
                re.search(rb"(?<![0-9])%s(?![0-9])" % number, _LONG_RUNS.sub(b" ", self.content)) is not None
            )
        content = self.content
        for each in self.ids:
            if each != number:
                content = content.replace(each, b" ")
        return number in _LONG_RUNS.sub(b" ", content)


@lru_cache(1000)
def forms(value: bytes) -> dict[bytes, str]:
    """Every form of a value, each with its name."""
    spelled = dict(_spelled(value))
    found: dict[bytes, str] = {}
    for spelling, name in spelled.items():
        found |= {made: f"{form} of {name}" for form, made in _in_base64(spelling)}
    found |= {made: form for form, made in _in_base32(value)}
    return found | {value.hex().encode(): "hex", value.hex().upper().encode(): "HEX"} | spelled


def _spelled(value: bytes) -> Iterator[tuple[bytes, str]]:
    yield quote_plus(value).encode(), "form"
    yield quote(value, safe="").encode(), "URL"
    with suppress(UnicodeDecodeError):
        yield json.dumps(value.decode())[1:-1].encode(), "JSON"
        yield json.dumps(value.decode(), ensure_ascii=False)[1:-1].encode(), "JSON in UTF-8"
    yield value, "raw"


def _in_base64(value: bytes) -> Iterator[tuple[str, bytes]]:
    for shift in range(3):
        core = _core(base64.b64encode(bytes(shift) + value + bytes(3)), shift, len(value), 6)
        yield f"base64+{shift}", core
        yield f"base64url+{shift}", core.replace(b"+", b"-").replace(b"/", b"_")


def _in_base32(value: bytes) -> Iterator[tuple[str, bytes]]:
    for shift in range(5):
        core = _core(base64.b32encode(bytes(shift) + value + bytes(5)), shift, len(value), 5)
        for name, made in (("base32", core), ("Crockford", core.translate(_TO_CROCKFORD))):
            yield f"{name}+{shift}", made
            yield f"{name}+{shift} in lower case", made.lower()


def _core(encoded: bytes, shift: int, length: int, bits: int) -> bytes:
    """The characters that are made of the value alone, wherever it stands."""
    return encoded[-(-8 * shift // bits) : 8 * (shift + length) // bits]


def of_parties(parties: dict[str, Party], ids: Iterable[str]) -> list[Place]:
    """What each party received."""
    known = tuple(each.encode() for each in ids)
    return [Place(name, party.received, ids=known) for name, party in parties.items()]


def of_metrics(text: str) -> bytes:
    """Metrics, with the numbers apart that measure something."""
    return "\n".join(line.rpartition(" ")[0] for line in text.splitlines()).encode()


def database(url: str) -> list[bytes]:
    """Every byte of a database: the pages of its files, where there are any, and each value of each row."""
    return list(dict.fromkeys(_sqlite(url) if url.startswith("sqlite") else _postgres(url)))


def _sqlite(url: str) -> Iterator[bytes]:
    file = Path(url.removeprefix("sqlite:///"))
    yield from _pages(file.read_bytes(), 0, 0)
    # SQLite file format, section 4.1: a header, and frames of a header and a page.
    yield from _pages(file.with_name(f"{file.name}-wal").read_bytes(), 32, 24)
    connection = sqlite3.connect(file)
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (table,) in tables:
        for row in connection.execute(f'SELECT * FROM "{table}"'):
            yield from map(_value, row)
    connection.close()


def _pages(content: bytes, begin: int, header: int) -> Iterator[bytes]:
    for at in range(begin + header, len(content), header + _PAGE):
        # Most of most pages is empty.
        yield _ZEROS.sub(b"\0", content[at : at + _PAGE])


def _postgres(url: str) -> Iterator[bytes]:
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            for row in connection.execute(f'SELECT * FROM "{table}"'.encode()):
                yield from map(_value, row)
            # As pg_dump writes it.
            with connection.cursor().copy(f'COPY "{table}" TO STDOUT'.encode()) as copy:
                yield from (bytes(block) for block in copy)


def _value(value: object) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
