"""Writes what the owners of accounts see of accepted codes: an activity each, for a batch at once.

Their devices are woken by the events of the codes themselves, which name the account.
"""

import json
from collections.abc import Sequence

from sqlalchemy import String, update

from authy_grpc.domain.ids import new_id
from authy_grpc.store.account import ACTIVITY
from authy_grpc.store.bulk import Bulk, Inserted, table
from authy_grpc.store.columns import to_millis
from authy_grpc.store.tables import AccountRow, ActivityRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault
from authy_grpc.store.verification import LinkState

_DEVICE_NAME = "device.name"
_ACCOUNT, _ACTIVITY = table(AccountRow), table(ActivityRow)


_RAISE = Bulk(account_id=String).statement(
    lambda accounts: (
        update(_ACCOUNT)
        .values(activity_revision=_ACCOUNT.c.activity_revision + 1)
        .where(_ACCOUNT.c.account_id == accounts.c.account_id)
    )
)
_INSERT = Inserted(_ACTIVITY, "activity_id", "account_id", "type", "sealed_body", "create_time")


def save(tx: Tx, accepted: Sequence[tuple[LinkState, str]]) -> None:
    """Write which links had a code accepted, each with the `kid` of a soft token; empty for another's.

    Their accounts are locked already.
    """
    now = tx.now()
    seen = [(link, kid, link.account_id) for link, kid in accepted if link.account_id is not None]
    if not seen:
        return
    accounts = {account_id for _, _, account_id in seen}
    _RAISE.run(tx, [(each,) for each in accounts])
    rows = []
    for link, kid, account_id in seen:
        activity_id = new_id("act", now, tx.random)
        # Whoever is erased has no activity that says something.
        site_name = link.site_name if link.is_active else ""
        body = json.dumps({"site": site_name, "device": _device_name(tx.vault, link, kid)}).encode()
        sealed = tx.vault.seal(ACTIVITY, activity_id, body)
        rows.append((activity_id, account_id, "code.accepted", sealed, to_millis(now)))
    _INSERT.run(tx, rows)


def _device_name(vault: Vault, link: LinkState, kid: str) -> str:
    if kid not in link.device_names:
        return ""
    return vault.open(_DEVICE_NAME, *link.device_names[kid]).decode()
