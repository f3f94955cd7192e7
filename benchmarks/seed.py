"""Seeds a database: a site with an API key, and persons linked to it, as rows."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection, insert
from sqlmodel import SQLModel

from authy_grpc.domain import keys, totp
from authy_grpc.domain.application import DEFAULT_SCOPES
from authy_grpc.domain.ids import hash_secret, new_authy_id, new_id, new_secret
from authy_grpc.domain.webhook import Webhook, WebhookState, new_webhook_secret
from authy_grpc.phone.state import State
from authy_grpc.store import account, device, keyset, link, webhook
from authy_grpc.store.bulk import table
from authy_grpc.store.engine import connect
from authy_grpc.store.tables import AccountRow, ApiKeyRow, ApplicationRow, DeviceRow, LinkRow, SiteKeyRow
from authy_grpc.store.tx import Tools, Tx
from authy_grpc.store.vault import Vault

PERIOD = 30
_DIGITS = 6


@dataclass(frozen=True)
class Person:
    """A user of the site, whose device can make codes and answer questions."""

    authy_id: str
    site_id: str
    secret: bytes
    state: State

    def code(self, now: datetime) -> str:
        """The code of a moment."""
        return totp.code(self.secret, totp.step_at(now, PERIOD), _DIGITS)

    def repeats(self, now: datetime) -> bool:
        """Whether the code of a moment is by chance that of the step before: one in a million is."""
        return self.code(now) == self.code(now - timedelta(seconds=PERIOD))

    def wrong_code(self, now: datetime) -> str:
        """A code that is none of a moment, nor of those around it."""
        step = totp.step_at(now, PERIOD)
        near = {totp.code(self.secret, each, _DIGITS) for each in range(step - 2, step + 3)}
        return next(code for code in map(str, range(100_000, 100_006)) if code not in near)


@dataclass(frozen=True)
class Seeded:
    """What was written.

    Attributes:
        api_key: of the site, with all usual scopes.
    """

    api_key: str
    persons: Sequence[Person]


def seed(url: str, vault: Vault, count: int, webhooks: Sequence[str] = (), *, first: int = 0) -> Seeded:
    """Write a site and its users into a database.

    Args:
        url: of the database, whose schema is up to date.
        vault: of the service that will run on it.
        count: how many users.
        webhooks: where the site has the events about codes posted, be they more than a site may have.
        first: the number of its first user: each has a phone number of its own.
    """
    now = datetime.now(UTC) - timedelta(hours=1)
    engine = connect(url, writes=True, connections=1)
    with engine.begin() as connection:
        tx = Tx(connection, Tools(vault, lambda: now, os.urandom))
        keyset.check(tx, vault)
        application_id, api_key = new_id("app", now, os.urandom), new_secret("ak", os.urandom)
        for row in _site(application_id, api_key, now):
            _insert(connection, [row])
        for number, each in enumerate(webhooks):
            _add_webhook(tx, application_id, number, each, now)
        made = [_person(vault, application_id, number, now) for number in range(first, first + count)]
        # Row by row of a kind: a foreign key asks for what it points to.
        for rows in zip(*[rows for _, rows in made], strict=True):
            _insert(connection, rows)
    engine.dispose()
    return Seeded(api_key, [person for person, _ in made])


def _insert(connection: Connection, rows: Sequence[SQLModel]) -> None:
    connection.execute(insert(table(type(rows[0]))), [row.model_dump() for row in rows])


def _site(application_id: str, api_key: str, now: datetime) -> Iterator[Any]:
    yield ApplicationRow(
        application_id=application_id,
        name="Benchmark",
        origin="https://benchmark.example",
        code_digits=_DIGITS,
        code_period_seconds=PERIOD,
        match_digits=6,
        phone_codes=True,
        require_code=False,
        create_time=now,
    )
    yield ApiKeyRow(
        api_key_id=new_id("key", now, os.urandom),
        application_id=application_id,
        name="backend",
        scopes=" ".join(DEFAULT_SCOPES),
        secret_hash=hash_secret(api_key),
        create_time=now,
    )


def _add_webhook(tx: Tx, application_id: str, number: int, url: str, now: datetime) -> None:
    # Their tails tell the webhooks of a site apart.
    made = Webhook(
        webhook_id=f"{new_id('whk', now, os.urandom)[:26]}{number:04d}",
        url=url,
        types=("code.*",),
        state=WebhookState.ENABLED,
        disabled_reason="",
        create_time=now,
        last_success_time=None,
    )
    webhook.add(tx, application_id, made, new_webhook_secret(os.urandom))


def _person(vault: Vault, application_id: str, number: int, now: datetime) -> tuple[Person, list[Any]]:
    own = {name: keys.new_private_key(os.urandom) for name in ("signing", "agreement", "server", "site")}
    points = {name: keys.public_point(key) for name, key in own.items()}
    shared = keys.agree(own["server"], points["agreement"])
    account_id, device_id = new_id("acc", now, os.urandom), new_id("dev", now, os.urandom)
    owner = AccountRow(
        account_id=account_id,
        new_device_policy="HOLD",
        create_time=now,
        **account.number_columns(vault, account_id, f"+4915{number:09d}"),
    )
    phone = DeviceRow(
        device_id=device_id,
        account_id=owner.account_id,
        sealed_name=device.seal_name(vault, device_id, "Pocket"),
        platform="ANDROID",
        state="ACTIVE",
        signing_key=points["signing"],
        agreement_key=points["agreement"],
        server_agreement_key=points["server"],
        sealed_secret=device.seal_secret(vault, device_id, shared),
        create_time=now,
    )
    user = _link(vault, application_id, owner.account_id, f"user-{number}", now)
    site_key = SiteKeyRow(
        kid=keys.thumbprint(points["site"]),
        site_id=user.site_id,
        device_id=phone.device_id,
        point=points["site"],
        state="ACTIVE",
        create_time=now,
    )
    return _as_seen(user, phone, shared, own), [owner, phone, user, site_key]


def _link(vault: Vault, application_id: str, account_id: str, custom_user_id: str, now: datetime) -> LinkRow:
    site_id = new_id("sit", now, os.urandom)
    return LinkRow(
        site_id=site_id,
        application_id=application_id,
        account_id=account_id,
        authy_id=new_authy_id(os.urandom),
        sealed_custom_user_id=vault.seal(link.CUSTOM_USER_ID, site_id, custom_user_id.encode()),
        custom_user_digest=vault.digest("custom_user_id", link.subject(application_id, custom_user_id)),
        state="ACTIVE",
        create_time=now,
    )


def _as_seen(
    user: LinkRow, phone: DeviceRow, shared: bytes, own: dict[str, ec.EllipticCurvePrivateKey]
) -> Person:
    secret = keys.totp_secret(
        shared,
        site_id=user.site_id,
        device_id=phone.device_id,
        agreement_key=phone.agreement_key,
        server_agreement_key=phone.server_agreement_key,
    )
    state = State(
        device_id=phone.device_id,
        signing_key=own["signing"],
        agreement_key=own["agreement"],
        server_agreement_key=phone.server_agreement_key,
        site_keys={user.site_id: own["site"]},
    )
    return Person(user.authy_id or "", user.site_id, secret, state)
