"""Owns what the owners of accounts see of accepted codes: an activity each, written for a batch at once.

Their devices are woken by the events of the codes themselves, which name the account.
"""

import json
from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import String, select, update
from sqlmodel import Session

from authy_grpc.domain.ids import new_id
from authy_grpc.store.account import ACTIVITY
from authy_grpc.store.given import Given, Inserted, table
from authy_grpc.store.tables import AccountRow, ActivityRow
from authy_grpc.store.vault import Vault

_ACCOUNT, _ACTIVITY = table(AccountRow), table(ActivityRow)


class Logins:
    """Writes activities.

    Args:
        vault: seals the names in them.
        random: source of random bytes.
        postgres: whether the store is PostgreSQL.
    """

    def __init__(self, vault: Vault, random: Callable[[int], bytes], *, postgres: bool) -> None:
        self._vault = vault
        self._random = random
        self._accounts = Given(postgres, account_id=String)
        account = _ACCOUNT.c
        # In one order, so that two servers do not wait for each other.
        locked = (
            select(account.account_id)
            .select_from(self._accounts.rows)
            .join(_ACCOUNT, account.account_id == self._accounts.c.account_id)
            .order_by(account.account_id)
            .with_for_update(of=_ACCOUNT, key_share=True)
            .cte("locked")
        )
        self._update = (
            update(_ACCOUNT)
            .values(activity_revision=account.activity_revision + 1)
            .where(account.account_id == locked.c.account_id)
        )
        columns = ("activity_id", "account_id", "type", "sealed_body", "create_time")
        self._insert = Inserted(postgres, _ACTIVITY, *columns)

    def save(self, session: Session, now: datetime, accepted: Sequence[tuple[str, str]]) -> None:
        """Write that codes were accepted: each of an account, with the name of the site."""
        if not accepted:
            return
        accounts = sorted({account_id for account_id, _ in accepted})
        session.connection().execute(self._update, self._accounts.bind([(each,) for each in accounts]))
        rows = []
        for account_id, site_name in accepted:
            activity_id = new_id("act", now, self._random)
            body = json.dumps({"site": site_name, "device": ""}).encode()
            rows.append(
                (activity_id, account_id, "code.accepted", self._vault.seal(ACTIVITY, activity_id, body), now)
            )
        self._insert.run(session, rows)
