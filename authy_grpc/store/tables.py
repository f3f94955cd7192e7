"""The tables. Columns `sealed_…` hold ciphertext, `…_digest` and `…_hash` one-way values.

Where there is a `…_digest_odd` the keys of a keyset take turns: the first one ever writes `…_digest`,
the next one `…_digest_odd`, the one after it `…_digest` again. So a key has one column for as long as it
lives, and servers that share any key meet in the unique index of its column, whatever other keys they know.
Adding a sealed column or a digest means adding it to `reencrypt.py`.
"""

from datetime import datetime

from sqlalchemy import Index, UniqueConstraint, false, text
from sqlmodel import Field, SQLModel

from authy_grpc.store.columns import Sequence, big, moment, moment_or_none


class MetaRow(SQLModel, table=True):
    """What the database knows of itself: the keyset's check, the feed's epoch."""

    __tablename__ = "meta"

    name: str = Field(primary_key=True)
    value: bytes


class ApplicationRow(SQLModel, table=True):
    __tablename__ = "application"

    application_id: str = Field(primary_key=True)
    name: str
    origin: str
    logo: bytes = b""
    logo_id: str = Field(default="", index=True)
    code_digits: int
    code_period_seconds: int
    match_digits: int
    phone_codes: bool
    require_code: bool
    create_time: datetime = moment()


class ApiKeyRow(SQLModel, table=True):
    __tablename__ = "api_key"

    api_key_id: str = Field(primary_key=True)
    application_id: str = Field(foreign_key="application.application_id", index=True)
    name: str
    scopes: str
    secret_hash: bytes = Field(unique=True)
    create_time: datetime = moment()
    last_use_time: datetime | None = moment_or_none()
    expire_time: datetime | None = moment_or_none()
    revoke_time: datetime | None = moment_or_none()


class OperatorKeyRow(SQLModel, table=True):
    """A key of whoever runs the service, beside the one among the secrets."""

    __tablename__ = "operator_key"
    __table_args__ = (
        Index(
            "operator_key_name",
            "name",
            unique=True,
            sqlite_where=text("revoke_time IS NULL"),
            postgresql_where=text("revoke_time IS NULL"),
        ),
    )

    operator_key_id: str = Field(primary_key=True)
    name: str
    secret_hash: bytes = Field(unique=True)
    create_time: datetime = moment()
    last_use_time: datetime | None = moment_or_none()
    revoke_time: datetime | None = moment_or_none()


class AccountRow(SQLModel, table=True):
    """A person with a phone number."""

    __tablename__ = "account"

    account_id: str = Field(primary_key=True)
    sealed_number: bytes | None = None
    number_digest: bytes | None = Field(default=None, unique=True)
    number_digest_odd: bytes | None = Field(default=None, unique=True)
    new_device_policy: str
    phone_codes: bool = True
    recovery_hash: bytes | None = None
    # No device is let in by time before this.
    release_blocked_until: datetime | None = moment_or_none()
    sites_revision: int = big(default=1)
    devices_revision: int = big(default=1)
    activity_revision: int = big(default=1)
    create_time: datetime = moment()


class DeviceRow(SQLModel, table=True):
    __tablename__ = "device"

    device_id: str = Field(primary_key=True)
    account_id: str = Field(foreign_key="account.account_id", index=True)
    sealed_name: bytes
    platform: str
    state: str
    signing_key: bytes
    agreement_key: bytes
    server_agreement_key: bytes
    # The x coordinate that both agreement keys make: the root of this device's codes.
    sealed_secret: bytes
    last_proof_millis: int = big(default=0)
    create_time: datetime = moment()
    last_seen_time: datetime | None = moment_or_none()
    # When another device first acknowledged, while it waited, that its owner was shown it.
    shown_time: datetime | None = moment_or_none()
    release_time: datetime | None = moment_or_none(index=True)
    limited_until: datetime | None = moment_or_none()
    revoke_time: datetime | None = moment_or_none(index=True)


class SessionRow(SQLModel, table=True):
    """A device token."""

    __tablename__ = "session"

    session_id: str = Field(primary_key=True)
    device_id: str = Field(foreign_key="device.device_id", index=True)
    token_hash: bytes = Field(unique=True)
    create_time: datetime = moment()
    expire_time: datetime = moment(index=True)


class PhoneVerificationRow(SQLModel, table=True):
    __tablename__ = "phone_verification"

    verification_id: str = Field(primary_key=True)
    sealed_number: bytes
    number_digest: bytes = Field(index=True)
    purpose: str
    sealed_code: bytes
    failures: int = 0
    # Of the RegisterDevice that used it: the same call again answers the same.
    request_hash: bytes | None = None
    device_id: str | None = None
    sealed_answer: bytes | None = None
    use_time: datetime | None = moment_or_none()
    create_time: datetime = moment()
    expire_time: datetime = moment(index=True)


class LinkRow(SQLModel, table=True):
    """One user of one site. `state`: AWAITING (a first code), ACTIVE, ENDED (and the site is not told yet).

    What the site may see is told by this row and its keys alone, so that a change on the account
    shows only once it is told.
    """

    __tablename__ = "link"
    __table_args__ = (
        UniqueConstraint("application_id", "authy_id"),
        # A page of a site's users, oldest first.
        Index("link_page", "application_id", "create_time", "site_id"),
        Index(
            "link_one_user",
            "application_id",
            "custom_user_digest",
            unique=True,
            sqlite_where=text("state <> 'AWAITING'"),
            postgresql_where=text("state <> 'AWAITING'"),
        ),
        Index(
            "link_one_user_odd",
            "application_id",
            "custom_user_digest_odd",
            unique=True,
            sqlite_where=text("state <> 'AWAITING'"),
            postgresql_where=text("state <> 'AWAITING'"),
        ),
    )

    site_id: str = Field(primary_key=True)
    application_id: str = Field(foreign_key="application.application_id")
    account_id: str | None = Field(default=None, index=True)
    authy_id: str | None = None
    sealed_custom_user_id: bytes
    custom_user_digest: bytes | None = None
    custom_user_digest_odd: bytes | None = None
    state: str
    sealed_label: bytes | None = None
    # GENERIC_TOTP alone: the seed in the QR code, and its last accepted step.
    sealed_seed: bytes | None = None
    seed_last_step: int = big(default=-1)
    # Whether the site has been told that codes can be sent to the phone.
    phone_codes: bool = True
    failures: int = 0
    locked_until: datetime | None = moment_or_none()
    push_misses: int = 0
    push_frozen_until: datetime | None = moment_or_none()
    create_time: datetime = moment()
    last_use_time: datetime | None = moment_or_none()
    last_verify_time: datetime | None = moment_or_none()


class SpentAuthyIdRow(SQLModel, table=True):
    """Every authy_id ever given out: it outlives its user and is not given out again."""

    __tablename__ = "spent_authy_id"

    application_id: str = Field(primary_key=True)
    authy_id: str = Field(primary_key=True)


class SpentKeyRow(SQLModel, table=True):
    """The thumbprint of every key that was ever brought: one seen before is refused."""

    __tablename__ = "spent_key"

    thumbprint: str = Field(primary_key=True)


class SiteKeyRow(SQLModel, table=True):
    """A device's key for a link. `state`: ACTIVE, REVOKED (and told)."""

    __tablename__ = "site_key"

    kid: str = Field(primary_key=True)
    site_id: str = Field(foreign_key="link.site_id", index=True)
    device_id: str = Field(index=True)
    point: bytes
    state: str
    # The last step whose code this device had accepted at this link.
    last_step: int = big(default=-1)
    create_time: datetime = moment()
    revoke_time: datetime | None = moment_or_none()


class EnrollmentRow(SQLModel, table=True):
    __tablename__ = "enrollment"
    __table_args__ = (
        # A new one of the same user ends the one that is open.
        Index(
            "enrollment_one_open",
            "application_id",
            "custom_user_digest",
            unique=True,
            sqlite_where=text("state IN ('PENDING', 'SCANNED', 'AWAITING_CODE')"),
            postgresql_where=text("state IN ('PENDING', 'SCANNED', 'AWAITING_CODE')"),
        ),
        Index(
            "enrollment_one_open_odd",
            "application_id",
            "custom_user_digest_odd",
            unique=True,
            sqlite_where=text("state IN ('PENDING', 'SCANNED', 'AWAITING_CODE')"),
            postgresql_where=text("state IN ('PENDING', 'SCANNED', 'AWAITING_CODE')"),
        ),
        Index("enrollment_due", "state", "expire_time"),
    )

    enrollment_id: str = Field(primary_key=True)
    application_id: str = Field(foreign_key="application.application_id")
    sealed_custom_user_id: bytes
    custom_user_digest: bytes | None = None
    custom_user_digest_odd: bytes | None = None
    method: str
    state: str
    require_code: bool
    replace_existing: bool
    token_hash: bytes | None = Field(default=None, unique=True)
    # The first account to open it holds it.
    account_id: str | None = Field(default=None, index=True)
    # The device that accepted, and the key that it brought.
    device_id: str | None = None
    point: bytes | None = None
    # The link that it made, waits to make, or renews.
    site_id: str | None = Field(default=None, index=True)
    authy_id: str = ""
    # Of the ConfirmEnrollment that completed it: the same call again answers the same.
    confirm_hash: bytes | None = None
    revision: int = big(default=1)
    create_time: datetime = moment()
    update_time: datetime = moment()
    expire_time: datetime = moment()


class SentCodeRow(SQLModel, table=True):
    """A code that was sent to the phone, one for each action of a link."""

    __tablename__ = "sent_code"

    site_id: str = Field(primary_key=True, foreign_key="link.site_id")
    action: str = Field(primary_key=True)
    channel: str
    sealed_code: bytes
    failures: int = 0
    used: bool = False
    create_time: datetime = moment()
    expire_time: datetime = moment(index=True)


class BackupCodeRow(SQLModel, table=True):
    __tablename__ = "backup_code"

    site_id: str = Field(primary_key=True, foreign_key="link.site_id")
    code_hash: bytes = Field(primary_key=True)


class ApprovalRow(SQLModel, table=True):
    __tablename__ = "approval"
    __table_args__ = (Index("approval_due", "state", "expire_time"),)

    approval_id: str = Field(primary_key=True)
    application_id: str = Field(foreign_key="application.application_id")
    site_id: str = Field(index=True)
    account_id: str | None = Field(default=None, index=True)
    authy_id: str
    state: str
    # `question` of the contract: message and details are read from it.
    sealed_question: bytes
    sealed_hidden_details: bytes
    sealed_match_number: bytes | None = None
    match_digits: int
    require_user_verification: bool
    # JSON: what each receipt that was seen was answered, by the hash of what it signs.
    answers: str = "{}"
    sealed_receipt: bytes | None = None
    deny_reason: str | None = None
    revision: int = big(default=1)
    create_time: datetime = moment()
    expire_time: datetime = moment()
    respond_time: datetime | None = moment_or_none()


class TextRow(SQLModel, table=True):
    """A text message or call that waits to be handed to the carrier."""

    __tablename__ = "text"

    text_id: str = Field(primary_key=True)
    # JSON: number, body, channel.
    sealed_message: bytes
    # The link whose code it carries; none for what goes to an unknown caller.
    site_id: str | None = Field(default=None, index=True)
    factor: str = ""
    attempts: int = 0
    due_time: datetime = moment(index=True)
    expire_time: datetime = moment()


class BudgetRow(SQLModel, table=True):
    """When something with a limit was last done, by whom: a kind and an id or digest."""

    __tablename__ = "budget"

    name: str = Field(primary_key=True)
    # JSON: milliseconds since 1970.
    times: str
    expire_time: datetime = moment(index=True)


class AnswerRow(SQLModel, table=True):
    """What a call with a `request_id` was answered."""

    __tablename__ = "answer"

    application_id: str = Field(primary_key=True)
    method: str = Field(primary_key=True)
    request_id: str = Field(primary_key=True)
    request_digest: bytes
    sealed_body: bytes
    expire_time: datetime = moment(index=True)


class EventRow(SQLModel, table=True):
    """What happened. Rows without an application only wake: they stand in no site's feed.

    Feeds are in the order of (epoch, xid, sequence): see `events.py`.
    """

    __tablename__ = "event"
    __table_args__ = (
        Index("event_feed", "application_id", "epoch", "xid", "sequence"),
        Index("event_order", "epoch", "xid", "sequence"),
        # SQLite would give the numbers of removed rows out again, and cursors would skip what has them.
        {"sqlite_autoincrement": True},
    )

    sequence: int | None = Field(default=None, primary_key=True, sa_type=Sequence)
    epoch: int = 0
    # The transaction that wrote it; SQLite has one writer, and leaves it 0.
    xid: int = big(default=0)
    event_id: str = Field(unique=True)
    application_id: str | None = None
    account_id: str | None = None
    subject_id: str
    type: str
    revision: int = big(default=0)
    sealed_body: bytes
    create_time: datetime = moment()


class WebhookRow(SQLModel, table=True):
    """Where a site has its events posted, and how its receiver does."""

    __tablename__ = "webhook"

    webhook_id: str = Field(primary_key=True)
    application_id: str = Field(foreign_key="application.application_id", index=True)
    sealed_url: bytes
    # JSON: a list.
    types: str
    state: str
    disabled_reason: str = ""
    sealed_secret: bytes
    # The one before, as long as posts are signed with both.
    sealed_old_secret: bytes | None = None
    old_secret_until: datetime | None = moment_or_none()
    failures: int = 0
    first_failure_time: datetime | None = moment_or_none()
    next_probe_time: datetime | None = moment_or_none()
    # When posts of it were last handed to a gateway: who was longest without is next.
    turn_time: datetime = moment()
    create_time: datetime = moment()
    last_success_time: datetime | None = moment_or_none()


class DeliveryRow(SQLModel, table=True):
    """The post of one event to one webhook, in the order of the events. It says nothing: the event does.

    It refers to no other row, so that a webhook which is being deleted is in no event's way.
    """

    __tablename__ = "delivery"
    __table_args__ = (
        Index("delivery_log", "webhook_id", "sequence"),
        Index(
            "delivery_due",
            "webhook_id",
            "due_time",
            "sequence",
            sqlite_where=text("state = 'PENDING' AND NOT waits"),
            postgresql_where=text("state = 'PENDING' AND NOT waits"),
        ),
        Index(
            "delivery_subject",
            "webhook_id",
            "subject_id",
            "sequence",
            sqlite_where=text("state = 'PENDING'"),
            postgresql_where=text("state = 'PENDING'"),
        ),
        Index(
            "delivery_in_flight",
            "webhook_id",
            "subject_id",
            sqlite_where=text("lease_until IS NOT NULL"),
            postgresql_where=text("lease_until IS NOT NULL"),
        ),
        Index(
            "delivery_failed",
            "webhook_id",
            "last_attempt_time",
            sqlite_where=text("state = 'FAILED'"),
            postgresql_where=text("state = 'FAILED'"),
        ),
    )

    sequence: int | None = Field(default=None, primary_key=True, sa_type=Sequence)
    delivery_id: str = Field(unique=True)
    webhook_id: str
    event_id: str
    event_type: str
    subject_id: str
    state: str
    # How often it was leased: the number of its last lease.
    attempts: int = 0
    # Of those that its schedule asked for.
    failures: int = 0
    due_time: datetime = moment()
    # Set from the lease until it is reported.
    lease_until: datetime | None = moment_or_none()
    # It was behind another of its subject when it was last looked at: a hint, see `waiting.py`.
    waits: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    http_status: int = 0
    error: str = ""
    duration_millis: int = big(default=0)
    last_attempt_time: datetime | None = moment_or_none()
    create_time: datetime = moment(index=True)


class TellingRow(SQLModel, table=True):
    """What a site is told later than it took effect, see `service/telling.py`."""

    __tablename__ = "telling"

    telling_id: str = Field(primary_key=True)
    site_id: str = Field(foreign_key="link.site_id", index=True)
    kind: str
    kid: str | None = None
    due_time: datetime = moment(index=True)


class ActivityRow(SQLModel, table=True):
    __tablename__ = "activity"

    activity_id: str = Field(primary_key=True)
    account_id: str = Field(index=True)
    type: str
    # JSON: the names of site and device.
    sealed_body: bytes
    create_time: datetime = moment(index=True)
