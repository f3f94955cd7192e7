"""What the shop keeps, in SQLite. Of a second factor: `authy_id`, public keys, and what was signed."""

import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from authy_grpc.v1.user_pb2 import SiteKey

Row = Any


class Store:
    """The file. Statements are short, and run on the event loop."""

    def __init__(self, path: Path) -> None:
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.row_factory = sqlite3.Row
        self.db.executescript(Path(__file__).with_name("schema.sql").read_text())

    def all(self, sql: str, *values: Any) -> list[Row]:
        return self.db.execute(sql, values).fetchall()

    def one(self, sql: str, *values: Any) -> Row:
        return self.db.execute(sql, values).fetchone()

    def do(self, sql: str, *values: Any) -> int:
        """Change rows; how many."""
        return self.db.execute(sql, values).rowcount

    def setting(self, name: str, value: str = "") -> str:
        """A value of the shop's own; set where one is given."""
        if value:
            self.do("INSERT OR REPLACE INTO settings VALUES (?, ?)", name, value)
        row = self.one("SELECT value FROM settings WHERE name = ?", name)
        return str(row["value"]) if row else ""

    def proof(self, proof_id: str, *, used: bool) -> Row:
        """A second factor that was asked for in the last five minutes; None where there is none."""
        sql = "SELECT * FROM proofs WHERE id = ? AND used = ? AND begun > ?"
        return self.one(sql, proof_id, used, time.time() - 300)

    def keys(self, authy_id: str | None) -> list[SiteKey]:
        """The public keys of a user's devices, the revoked ones too."""
        rows = self.all("SELECT key FROM keys WHERE authy_id = ?", authy_id)
        return [SiteKey.FromString(row["key"]) for row in rows]

    def learn(self, authy_id: str, keys: Iterable[SiteKey]) -> None:
        """Keep keys. One that was revoked stays so, in whatever order events come."""
        for key in keys:
            known = "REPLACE" if key.HasField("revoke_time") else "IGNORE"
            row = (key.kid, authy_id, key.SerializeToString())
            self.do(f"INSERT OR {known} INTO keys VALUES (?, ?, ?)", *row)

    def forget(self, authy_id: str) -> None:
        """Drop a second factor that was switched off, here or by the phone's owner."""
        self.do("UPDATE users SET authy_id = NULL, backup_codes = 0 WHERE authy_id = ?", authy_id)
        self.do("DELETE FROM keys WHERE authy_id = ?", authy_id)
