"""Reads and writes the links of a batch of codes: each read, and each change, is one statement for all.

A link is locked before its keys and codes are read, so that what another server has just used up is seen;
what stands in the statement that locks it may be older. Its account is locked after it, and for an accepted
code alone: by wrong ones no site holds up what others do for a person. What a change of the account may have
put out by then is looked at once more.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, FromClause, Integer, String, Table, and_, select, type_coerce, update

from authy_grpc.domain.keys import totp_secret
from authy_grpc.domain.limits import Guesses
from authy_grpc.domain.totp import Seed
from authy_grpc.domain.verification import Codes
from authy_grpc.store.bulk import Bulk, table
from authy_grpc.store.columns import to_millis
from authy_grpc.store.device import DEVICE_SECRET
from authy_grpc.store.link import CUSTOM_USER_ID
from authy_grpc.store.tables import AccountRow, ApplicationRow, DeviceRow, LinkRow, SiteKeyRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

SEED = "link.seed"
# The seed of a link that has one of its own, and no device behind it.
GENERIC = ""

_REMEMBERED = 20_000
_LINK, _KEY, _DEVICE = table(LinkRow), table(SiteKeyRow), table(DeviceRow)
_ACCOUNT, _APPLICATION = table(AccountRow), table(ApplicationRow)

# A site, and the name that it has for a user.
Name = tuple[str, str]


@dataclass(slots=True)
class LinkState:
    """A link that is locked, and what may take its codes. Times are kept milliseconds since 1970.

    Attributes:
        is_active: whether there is an owner; where not, backup codes alone are accepted until the site is
            told.
        codes: what may take a code; it fills as keys, sent codes and backup codes are read.
        device_names: sealed, with the device's id, by `kid`.
        changed: whether the link itself is to be saved.
    """

    site_id: str
    application_id: str
    authy_id: str
    account_id: str | None
    custom_user_id: str = field(repr=False)
    site_name: str
    is_active: bool
    codes: Codes
    seed_last_step: int
    push_misses: int
    push_frozen_until: int | None
    last_use_time: int | None
    last_verify_time: int | None
    device_names: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    changed: bool = False

    def holds_back(self, now: datetime) -> bool:
        """Whether wrong codes or refused questions stop something now."""
        locked_until, frozen_until = self.codes.guesses.locked_until, self.push_frozen_until
        return (locked_until is not None and now < locked_until) or (
            frozen_until is not None and to_millis(now) < frozen_until
        )

    def succeeded(self, now: datetime) -> None:
        """Note an accepted code: it lifts what refused questions brought about, too."""
        self.push_misses, self.push_frozen_until = 0, None
        self.last_use_time = self.last_verify_time = to_millis(now)
        self.changed = True


class LinkStates:
    """Reads and saves the links of a batch.

    Secrets of devices are remembered: deriving one takes longer than all else about a code, and
    whoever reads this memory finds the keyset in it too.

    Args:
        vault: opens seeds and secrets.
    """

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._secret = lru_cache(_REMEMBERED)(self._derive)

    def lock(
        self, tx: Tx, names: Collection[Name], typed: Collection[Name], *, accounts: bool = False
    ) -> Callable[[], dict[Name, LinkState]]:
        """The links that sites know by these names, of those that there are, locked in one order.

        They are asked for, and waited for when they are wanted.

        Args:
            tx: of the work.
            names: of the links.
            typed: of those for which a code was typed that a device may have made: with their keys.
            accounts: whether to lock their accounts, too: before the links, as everywhere.
        """
        rows = list(names)
        if accounts and tx.postgres:
            _HOLDERS.ask(tx, rows)
        links = _LINKS.ask(tx, rows)
        # After the links are locked: what stood in that statement may be older.
        keys = _KEYS.ask(tx, list(typed))

        def wait() -> dict[Name, LinkState]:
            found = {link.site_id: link for link in map(self._state, links())}
            self._add_keys(found, keys())
            return {(link.application_id, link.authy_id): link for link in found.values()}

        return wait

    def hold(self, tx: Tx, accepted: Collection[tuple[LinkState, str]]) -> tuple[set[str], set[str]]:
        """Lock the accounts of locked links, each with the key that made its code, or `GENERIC`.

        Returns:
            Of the accounts those that somebody else holds. They are not waited for: who holds an account may
            wait for one of its links. And of the keys those that have ended since they were read, or their
            devices: until the accounts were locked another server could put a device out, and a code of it
            is not to be accepted afterwards.
        """
        accounts = {link.account_id for link, _ in accepted if link.account_id is not None}
        kids = {kid for _, kid in accepted if kid != GENERIC}
        if not tx.postgres:
            return set(), set()
        free = _FREE.ask(tx, [(each,) for each in accounts])
        acting = _ACTING.ask(tx, [(each,) for each in kids])
        return accounts - {each for (each,) in free()}, kids - {each for (each,) in acting()}

    def _add_keys(self, links: dict[str, LinkState], rows: Iterable[Sequence[Any]]) -> None:
        """Add the soft tokens of devices: of their ACTIVE keys, and void where the device itself is not.

        What is void is read and evaluated as before, so that time tells a site nothing that it was not told.
        """
        for kid, last_step, sealed_name, device_state, site_id, device_id, *secret in rows:
            if (link := links.get(site_id)) is None:
                # It was made a user since.
                continue
            counts = link.is_active and device_state == "ACTIVE"
            seeds = link.codes.seeds if counts else link.codes.void
            seeds.append(Seed(kid, self._secret(site_id, device_id, *secret), last_step))
            link.device_names[kid] = device_id, sealed_name

    def save(self, tx: Tx, links: Iterable[LinkState]) -> None:
        """Write counts, locks and the steps that were used up."""
        counts: list[Sequence[Any]] = []
        steps: list[Sequence[Any]] = []
        for link in links:
            if link.changed:
                counts.append(_counts(link))
            steps += [step for step in link.codes.steps.items() if step[0] != GENERIC]
        _UPDATE_LINKS.run(tx, counts)
        _UPDATE_KEYS.run(tx, steps)

    def _state(self, row: Any) -> LinkState:
        (
            site_id,
            application_id,
            authy_id,
            account_id,
            sealed_custom_user_id,
            state,
            sealed_seed,
            failures,
            locked_until,
            seed_last_step,
            *pushes_and_times,
            site_name,
            digits,
            period,
        ) = row
        codes = Codes(digits=digits, period=period, guesses=Guesses(failures, locked_until))
        is_active = state == "ACTIVE"
        if is_active and sealed_seed is not None:
            seed = Seed(GENERIC, self._vault.open(SEED, site_id, sealed_seed), seed_last_step)
            codes.seeds.append(seed)
        return LinkState(
            site_id,
            application_id,
            authy_id,
            account_id,
            self._vault.open(CUSTOM_USER_ID, site_id, sealed_custom_user_id).decode(),
            site_name,
            is_active,
            codes,
            seed_last_step,
            *pushes_and_times,
        )

    def _derive(
        self, site_id: str, device_id: str, agreement_key: bytes, server_agreement_key: bytes, sealed: bytes
    ) -> bytes:
        """All that a secret is made from is an argument: a changed row never finds an old secret."""
        return totp_secret(
            self._vault.open(DEVICE_SECRET, device_id, sealed),
            site_id=site_id,
            device_id=device_id,
            agreement_key=agreement_key,
            server_agreement_key=server_agreement_key,
        )


def _same_name(names: FromClause) -> Any:
    return and_(_LINK.c.application_id == names.c.application_id, _LINK.c.authy_id == names.c.authy_id)


def _select_holders(names: FromClause) -> Any:
    return (
        select(_ACCOUNT.c.account_id)
        .select_from(names)
        .join(_LINK, _same_name(names))
        .join(_ACCOUNT, _ACCOUNT.c.account_id == _LINK.c.account_id)
        .order_by(_ACCOUNT.c.account_id)
        .with_for_update(of=_ACCOUNT, key_share=True)
    )


def _select_free(account_ids: FromClause) -> Any:
    return (
        select(_ACCOUNT.c.account_id)
        .select_from(account_ids)
        .join(_ACCOUNT, _ACCOUNT.c.account_id == account_ids.c.account_id)
        .with_for_update(of=_ACCOUNT, key_share=True, skip_locked=True)
    )


def _select_links(names: FromClause) -> Any:
    link, application = _LINK.c, _APPLICATION.c
    passed_on = ("push_misses", "push_frozen_until", "last_use_time", "last_verify_time")
    return (
        select(
            link.site_id,
            link.application_id,
            link.authy_id,
            link.account_id,
            link.sealed_custom_user_id,
            link.state,
            link.sealed_seed,
            link.failures,
            link.locked_until,
            link.seed_last_step,
            *[type_coerce(link[name], BigInteger) for name in passed_on],
            application.name,
            application.code_digits,
            application.code_period_seconds,
        )
        .select_from(names)
        .join(_LINK, _same_name(names))
        .join(_APPLICATION, application.application_id == link.application_id)
        .where(link.state != "AWAITING")
        .order_by(link.site_id)
        .with_for_update(of=_LINK)
    )


def _select_keys(names: FromClause) -> Any:
    key, device = _KEY.c, _DEVICE.c
    return (
        select(
            key.kid,
            key.last_step,
            device.sealed_name,
            device.state,
            key.site_id,
            key.device_id,
            device.agreement_key,
            device.server_agreement_key,
            device.sealed_secret,
        )
        .select_from(names)
        .join(_LINK, _same_name(names))
        .join(_KEY, key.site_id == _LINK.c.site_id)
        .join(_DEVICE, device.device_id == key.device_id)
        .where(key.state == "ACTIVE")
    )


def _select_acting(kids: FromClause) -> Any:
    return (
        select(_KEY.c.kid)
        .select_from(kids)
        .join(_KEY, _KEY.c.kid == kids.c.kid)
        .join(_DEVICE, _DEVICE.c.device_id == _KEY.c.device_id)
        .where(_KEY.c.state == "ACTIVE", _DEVICE.c.state == "ACTIVE")
    )


def _update(changed: Table, given: FromClause, key: str) -> Any:
    values = {name: column for name, column in given.c.items() if name != key}
    return update(changed).values(values).where(changed.c[key] == given.c[key])


def _counts(link: LinkState) -> Sequence[Any]:
    guesses = link.codes.guesses
    return (
        link.site_id,
        guesses.failures,
        None if guesses.locked_until is None else to_millis(guesses.locked_until),
        link.push_misses,
        link.push_frozen_until,
        link.codes.steps.get(GENERIC, link.seed_last_step),
        link.last_use_time,
        link.last_verify_time,
    )


_NAMES = Bulk(application_id=String, authy_id=String)
_HOLDERS, _LINKS = _NAMES.statement(_select_holders), _NAMES.statement(_select_links)
_KEYS = _NAMES.statement(_select_keys)
_FREE = Bulk(account_id=String).statement(_select_free)
_ACTING = Bulk(kid=String).statement(_select_acting)
_UPDATE_LINKS = Bulk(
    site_id=String,
    failures=Integer,
    locked_until=BigInteger,
    push_misses=Integer,
    push_frozen_until=BigInteger,
    seed_last_step=BigInteger,
    last_use_time=BigInteger,
    last_verify_time=BigInteger,
).statement(lambda given: _update(_LINK, given, "site_id"))
_UPDATE_KEYS = Bulk(kid=String, last_step=BigInteger).statement(lambda given: _update(_KEY, given, "kid"))
