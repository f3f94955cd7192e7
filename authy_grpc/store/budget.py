"""Keeps rate limits: when things that have a limit were last done."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from authy_grpc.domain.errors import RateLimited
from authy_grpc.domain.limits import CHANGE_RULES, Rule, spend
from authy_grpc.store.columns import from_millis, to_millis
from authy_grpc.store.reserve import reserve
from authy_grpc.store.rows import Rows
from authy_grpc.store.tables import BudgetRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

# One name, or while keys are changed one by each key: a kind and an id or digest, such as `link:sit_…`.
Name = str | tuple[str, ...]


@dataclass(slots=True)
class Kept:
    """A budget as it is kept: `BudgetRow`."""

    name: str
    times: str
    expire_time: datetime


ROWS = Rows(Kept, BudgetRow)


def names(vault: Vault, purpose: str, value: bytes) -> tuple[str, ...]:
    """The names of a budget of something secret: by each key, so that servers with other keysets share it."""
    return tuple(f"{purpose}:{each.hex()}" for each in vault.by_age(purpose, value).values())


def spent(tx: Tx, name: Name) -> tuple[datetime, ...]:
    """When a budget was spent before, and not so long ago that no rule looks at it.

    Args:
        tx: of the work.
        name: of the budget; several in an order that is the same everywhere, since each is locked.
    """
    times = Counter[datetime]()
    for each in _names(name):
        # Not the sum: what was spent stands by each name.
        times |= Counter(_spent(tx, each))
    return tuple(sorted(times.elements()))


def _names(name: Name) -> tuple[str, ...]:
    return (name,) if isinstance(name, str) else name


def _spent(tx: Tx, name: str) -> tuple[datetime, ...]:
    row = ROWS.find(tx, name, lock=True)
    if row is None and reserve(tx, name):
        row = ROWS.find(tx, name, lock=True)
    return tuple(from_millis(each) for each in json.loads(row.times)) if row else ()


def allow(tx: Tx, name: Name, rules: Sequence[Rule]) -> tuple[datetime, ...]:
    """What a budget will be when it is spent once more now; `keep` writes it.

    Raises:
        RateLimited: not before its `retry_after`.
    """
    return spend(spent(tx, name), tx.now(), rules)


def spend_on(tx: Tx, name: Name, rules: Sequence[Rule]) -> RateLimited | None:
    """Spend a budget once, or answer its refusal: for works that have written something before."""
    try:
        times = allow(tx, name, rules)
    except RateLimited as refusal:
        return refusal
    keep(tx, name, times, rules)
    return None


def change(tx: Tx, kind: str, account_id: str) -> RateLimited | None:
    """Spend an account's budget of changes that its devices are told of; the account is locked before.

    Each kind has its own: what a stolen token may do must not keep the owner from what takes a proof.
    """
    return spend_on(tx, f"{kind}:{account_id}", CHANGE_RULES)


def keep(tx: Tx, name: Name, times: Sequence[datetime], rules: Sequence[Rule]) -> None:
    """Write what `allow` answered, once all that may refuse has been asked."""
    expire_time = max(times) + max(rule.window for rule in rules)
    text = json.dumps([to_millis(each) for each in times])
    for each in _names(name):
        ROWS.put(tx, Kept(each, text, expire_time))
