"""Owns what the owners of accounts see of accepted codes: an activity each, written for a batch at once.

Their devices are woken by the events of the codes themselves, which name the account.
"""

import json
from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import String, update

from authy_grpc.domain.ids import new_id
from authy_grpc.store.account import ACTIVITY
from authy_grpc.store.columns import to_millis
from authy_grpc.store.given import Given, inserted, table
from authy_grpc.store.statements import statement
from authy_grpc.store.tables import AccountRow, ActivityRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault
from authy_grpc.store.verification import LinkState

_DEVICE_NAME = "device.name"
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
        account, accounts = _ACCOUNT.c, self._accounts.c
        self._update = statement(
            update(_ACCOUNT)
            .values(activity_revision=account.activity_revision + 1)
            .where(account.account_id == accounts.account_id)
        )
        columns = ("activity_id", "account_id", "type", "sealed_body", "create_time")
        self._insert = inserted(postgres, _ACTIVITY, *columns)

    def save(self, tx: Tx, now: datetime, accepted: Sequence[tuple[LinkState, str]]) -> None:
        """Write which links had a code accepted, each with the `kid` of a soft token; empty for another's.

        Their accounts are locked already.
        """
        seen = [(link, kid, link.account_id) for link, kid in accepted if link.account_id is not None]
        if not seen:
            return
        accounts = {account_id for _, _, account_id in seen}
        self._update.run(tx, **self._accounts.bind([(each,) for each in accounts]))
        rows = []
        for link, kid, account_id in seen:
            activity_id = new_id("act", now, self._random)
            # Whoever is erased has no activity that says something.
            site_name = link.site_name if link.is_active else ""
            body = json.dumps({"site": site_name, "device": self._device_name(link, kid)}).encode()
            sealed = self._vault.seal(ACTIVITY, activity_id, body)
            rows.append((activity_id, account_id, "code.accepted", sealed, to_millis(now)))
        self._insert.run(tx, rows)

    def _device_name(self, link: LinkState, kid: str) -> str:
        if kid not in link.device_names:
            return ""
        return self._vault.open(_DEVICE_NAME, *link.device_names[kid]).decode()
