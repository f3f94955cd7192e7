"""What the shop keeps, in SQLite. Of a second factor: `authy_id`, public keys, and what was signed."""

import hashlib
import hmac
import json
import secrets
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from authy_grpc.v1.event_pb2 import Event
from authy_grpc.v1.user_pb2 import SiteKey

_TABLES = Path(__file__).with_name("schema.sql")
PROOF_SECONDS = 300
_SCRYPT = {"n": 2**14, "r": 8, "p": 1}
Row = Any


def hash_password(password: str, salt: str = "") -> str:
    """Salt and scrypt hash."""
    salt = salt or secrets.token_hex(16)
    return f"{salt}:{hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), **_SCRYPT).hex()}"


def is_password(password: str, kept: str) -> bool:
    """Whether it is the one kept; takes as long where none is."""
    return hmac.compare_digest(hash_password(password, kept.partition(":")[0]), kept)


class Store:
    """The file. Statements are short, and run on the event loop."""

    def __init__(self, path: str | Path) -> None:
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.row_factory = sqlite3.Row
        self.db.executescript(_TABLES.read_text())

    def one(self, sql: str, *values: Any) -> Row:
        """The first row, or None."""
        return self.db.execute(sql, values).fetchone()

    def all(self, sql: str, *values: Any) -> list[Row]:
        """All rows."""
        return self.db.execute(sql, values).fetchall()

    def do(self, sql: str, *values: Any) -> int:
        """Change rows; how many."""
        return self.db.execute(sql, values).rowcount

    def setting(self, name: str, value: str | None = None) -> str:
        """A value of the shop's own; set where one is given."""
        if value is not None:
            self.do("INSERT OR REPLACE INTO settings VALUES (?, ?)", name, value)
        row = self.one("SELECT value FROM settings WHERE name = ?", name)
        return str(row["value"]) if row else ""

    def may_try(self, who: str, limit: int, seconds: float = 600) -> bool:
        """Whether somebody may try a password again; counts it."""
        self.do("DELETE FROM attempts WHERE time < ?", time.time() - seconds)
        self.do("INSERT INTO attempts VALUES (?, ?)", who, time.time())
        return bool(self.one("SELECT count(*) AS tries FROM attempts WHERE who = ?", who)["tries"] <= limit)

    def keys(self, authy_id: str | None) -> list[SiteKey]:
        """The public keys of a user's devices, the revoked ones too."""
        rows = self.all("SELECT key FROM keys WHERE authy_id = ?", authy_id)
        return [json_format.Parse(row["key"], SiteKey()) for row in rows]

    def learn(self, authy_id: str, keys: Iterable[SiteKey]) -> None:
        """Keep keys of a user's devices. One that was revoked stays so, in whatever order events come."""
        for key in keys:
            text = json_format.MessageToJson(key, indent=None)
            known = "REPLACE" if key.HasField("revoke_time") else "IGNORE"
            self.do(f"INSERT OR {known} INTO keys VALUES (?, ?, ?)", key.kid, authy_id, text)

    def forget(self, authy_id: str) -> None:
        """Drop a second factor that was switched off, here or by the phone's owner."""
        self.do("UPDATE users SET authy_id = NULL, backup_codes = 0 WHERE authy_id = ?", authy_id)
        self.do("DELETE FROM keys WHERE authy_id = ?", authy_id)

    def begin(self, user: Row, purpose: str, message: str, detail: str) -> str:
        """Ask for a second factor; its id is known to this browser's session alone."""
        values = (secrets.token_urlsafe(16), user["id"], purpose, message, detail, time.time())
        fields = "(id, user_id, purpose, message, detail, begun)"
        self.do(f"INSERT INTO proofs {fields} VALUES (?, ?, ?, ?, ?, ?)", *values)
        return values[0]

    def pending(self, proof_id: str) -> Row:
        """A second factor that is asked for, unused and of the last five minutes; or None."""
        sql = "SELECT * FROM proofs WHERE id = ? AND NOT used AND begun > ?"
        return self.one(sql, proof_id, time.time() - PROOF_SECONDS)

    def remember(self, event: Event, authy_id: str) -> bool:
        """Note an event; False where it has come before, by the stream or by the webhook."""
        sql = "INSERT OR IGNORE INTO events (id, authy_id, type, time) VALUES (?, ?, ?, ?)"
        return bool(self.do(sql, event.event_id, authy_id, event.type, event.create_time.seconds))

    def known(self, user: Row) -> str:
        """All that the shop knows about a user, as JSON."""
        sql = "SELECT detail FROM proofs WHERE user_id = ? AND purpose = 'pay' AND used"
        tables = {
            "users": [dict(user) | {"password": "(a salted scrypt hash)"}],
            "keys": [json_format.MessageToDict(key) for key in self.keys(user["authy_id"])],
            "orders": [row["detail"] for row in self.all(sql, user["id"])],
        }
        return json.dumps(tables, indent=2, ensure_ascii=False)
