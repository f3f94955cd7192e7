"""Measures what nothing can be faster than: rows committed to the same disk, and the cryptography."""

import os
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg

from authy_grpc.domain import keys, totp
from authy_grpc.store.postgres import plain
from authy_grpc.store.vault import Vault, new_keyset
from benchmarks.control import Target
from benchmarks.load import measure

_GROUP = 64
_ROW = (b"x" * 32, "evt_0123456789ABCDEFGHJKMNPQRS", 1_700_000_000_000, b"x" * 200)
_CREATE = "CREATE TABLE benchmark (digest {bytes}, name TEXT, time BIGINT, body {bytes})"


@dataclass(frozen=True)
class Floor:
    """How long one thing takes by itself.

    Attributes:
        micros: microseconds, each.
        bare: how long an empty call took at the same time, one at a time.
    """

    name: str
    micros: float
    bare: float

    def as_json(self) -> dict[str, object]:
        """For machines."""
        return {"name": self.name, "micros": self.micros, "of_bare": self.micros / self.bare}


async def floors(target: Target, url: str, folder: Path, seconds: float) -> list[Floor]:
    """Measure commits to the database's disk, sealing, and checking a signature and a code."""

    async def nothing(count: int) -> list[Callable[[], object]]:
        return [target.bare_call] * count

    beside = await measure(target, "", nothing, at_once=1, seconds=seconds, batch=256)  # type: ignore[arg-type]
    bare = 1e6 / beside.bare.rate
    commit = _postgres(url) if url.startswith("postgresql") else _sqlite(folder / "floor.db")
    vault, private = Vault(new_keyset()), keys.new_private_key(os.urandom)
    point, message = keys.public_point(private), b"x" * 200
    signature = keys.sign(private, message)
    sealed = vault.seal("benchmark", "row", message)
    done: dict[str, Callable[[], object]] = {
        "commit of 1 row": lambda: commit(1),
        f"commit of {_GROUP} rows": lambda: commit(_GROUP),
        "seal 200 bytes": lambda: vault.seal("benchmark", "row", message),
        "open them": lambda: vault.open("benchmark", "row", sealed),
        "verify a P-256 signature": lambda: keys.verify(point, message, signature),
        "make a code": lambda: totp.code(message[:20], 1, 6),
    }
    return [Floor(name, _micros(each, seconds / 2), bare) for name, each in done.items()]


def _micros(work: Callable[[], object], seconds: float) -> float:
    work()
    begin = now = time.perf_counter()
    count = 0
    while now - begin < seconds:
        for _ in range(10):
            work()
        count += 10
        now = time.perf_counter()
    return (now - begin) / count * 1e6


def _sqlite(path: Path) -> Callable[[int], None]:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(_CREATE.format(bytes="BLOB"))

    def commit(rows: int) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO benchmark VALUES (?, ?, ?, ?)", [_ROW] * rows)
        connection.execute("COMMIT")

    return commit


def _postgres(url: str) -> Callable[[int], None]:
    connection = psycopg.connect(plain(url))
    connection.execute(_CREATE.format(bytes="BYTEA"))
    connection.commit()
    columns = [[value] * _GROUP for value in _ROW]

    def commit(rows: int) -> None:
        statement = (
            "INSERT INTO benchmark SELECT * FROM unnest(%s::bytea[], %s::text[], %s::bigint[], %s::bytea[])"
        )
        connection.execute(statement, [each[:rows] for each in columns])
        connection.commit()

    return commit
