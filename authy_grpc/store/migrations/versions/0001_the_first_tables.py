"""The first tables."""

import sqlalchemy as sa
from alembic import op

from authy_grpc.store.columns import Moment

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("sealed_number", sa.LargeBinary(), nullable=True),
        sa.Column("number_digest", sa.LargeBinary(), nullable=True),
        sa.Column("number_digest_odd", sa.LargeBinary(), nullable=True),
        sa.Column("new_device_policy", sa.String(), nullable=False),
        sa.Column("phone_codes", sa.Boolean(), nullable=False),
        sa.Column("recovery_hash", sa.LargeBinary(), nullable=True),
        sa.Column("release_blocked_until", Moment(), nullable=True),
        sa.Column("sites_revision", sa.BigInteger(), nullable=False),
        sa.Column("devices_revision", sa.BigInteger(), nullable=False),
        sa.Column("activity_revision", sa.BigInteger(), nullable=False),
        sa.Column("create_time", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("account_id"),
        sa.UniqueConstraint("number_digest"),
        sa.UniqueConstraint("number_digest_odd"),
    )
    op.create_table(
        "activity",
        sa.Column("activity_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("sealed_body", sa.LargeBinary(), nullable=False),
        sa.Column("create_time", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("activity_id"),
    )
    with op.batch_alter_table("activity", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_activity_account_id"), ["account_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_activity_create_time"), ["create_time"], unique=False)

    op.create_table(
        "answer",
        sa.Column("application_id", sa.String(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("request_digest", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_body", sa.LargeBinary(), nullable=False),
        sa.Column("expire_time", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("application_id", "method", "request_id"),
    )
    with op.batch_alter_table("answer", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_answer_expire_time"), ["expire_time"], unique=False)

    op.create_table(
        "application",
        sa.Column("application_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("logo", sa.LargeBinary(), nullable=False),
        sa.Column("logo_id", sa.String(), nullable=False),
        sa.Column("code_digits", sa.Integer(), nullable=False),
        sa.Column("code_period_seconds", sa.Integer(), nullable=False),
        sa.Column("match_digits", sa.Integer(), nullable=False),
        sa.Column("phone_codes", sa.Boolean(), nullable=False),
        sa.Column("require_code", sa.Boolean(), nullable=False),
        sa.Column("create_time", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("application_id"),
    )
    with op.batch_alter_table("application", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_application_logo_id"), ["logo_id"], unique=False)

    op.create_table(
        "budget",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("times", sa.String(), nullable=False),
        sa.Column("expire_time", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    with op.batch_alter_table("budget", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_budget_expire_time"), ["expire_time"], unique=False)

    op.create_table(
        "event",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("xid", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("application_id", sa.String(), nullable=True),
        sa.Column("account_id", sa.String(), nullable=True),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("sealed_body", sa.LargeBinary(), nullable=False),
        sa.Column("create_time", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("sequence"),
        sa.UniqueConstraint("event_id"),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.create_index("event_feed", ["application_id", "epoch", "xid", "sequence"], unique=False)
        batch_op.create_index("event_order", ["epoch", "xid", "sequence"], unique=False)

    op.create_table(
        "meta",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "phone_verification",
        sa.Column("verification_id", sa.String(), nullable=False),
        sa.Column("sealed_number", sa.LargeBinary(), nullable=False),
        sa.Column("number_digest", sa.LargeBinary(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("sealed_code", sa.LargeBinary(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=True),
        sa.Column("device_id", sa.String(), nullable=True),
        sa.Column("sealed_answer", sa.LargeBinary(), nullable=True),
        sa.Column("use_time", Moment(), nullable=True),
        sa.Column("create_time", Moment(), nullable=False),
        sa.Column("expire_time", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("verification_id"),
    )
    with op.batch_alter_table("phone_verification", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_phone_verification_expire_time"), ["expire_time"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_phone_verification_number_digest"), ["number_digest"], unique=False
        )

    op.create_table(
        "spent_authy_id",
        sa.Column("application_id", sa.String(), nullable=False),
        sa.Column("authy_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("application_id", "authy_id"),
    )
    op.create_table(
        "spent_key",
        sa.Column("thumbprint", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("thumbprint"),
    )
    op.create_table(
        "text",
        sa.Column("text_id", sa.String(), nullable=False),
        sa.Column("sealed_message", sa.LargeBinary(), nullable=False),
        sa.Column("site_id", sa.String(), nullable=True),
        sa.Column("factor", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_time", Moment(), nullable=False),
        sa.Column("expire_time", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("text_id"),
    )
    with op.batch_alter_table("text", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_text_due_time"), ["due_time"], unique=False)
        batch_op.create_index(batch_op.f("ix_text_site_id"), ["site_id"], unique=False)

    op.create_table(
        "api_key",
        sa.Column("api_key_id", sa.String(), nullable=False),
        sa.Column("application_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("scopes", sa.String(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("create_time", Moment(), nullable=False),
        sa.Column("last_use_time", Moment(), nullable=True),
        sa.Column("expire_time", Moment(), nullable=True),
        sa.Column("revoke_time", Moment(), nullable=True),
        sa.ForeignKeyConstraint(
            ["application_id"],
            ["application.application_id"],
        ),
        sa.PrimaryKeyConstraint("api_key_id"),
        sa.UniqueConstraint("secret_hash"),
    )
    with op.batch_alter_table("api_key", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_api_key_application_id"), ["application_id"], unique=False)

    op.create_table(
        "approval",
        sa.Column("approval_id", sa.String(), nullable=False),
        sa.Column("application_id", sa.String(), nullable=False),
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=True),
        sa.Column("authy_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("sealed_question", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_hidden_details", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_match_number", sa.LargeBinary(), nullable=True),
        sa.Column("match_digits", sa.Integer(), nullable=False),
        sa.Column("require_user_verification", sa.Boolean(), nullable=False),
        sa.Column("answers", sa.String(), nullable=False),
        sa.Column("sealed_receipt", sa.LargeBinary(), nullable=True),
        sa.Column("deny_reason", sa.String(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("create_time", Moment(), nullable=False),
        sa.Column("expire_time", Moment(), nullable=False),
        sa.Column("respond_time", Moment(), nullable=True),
        sa.ForeignKeyConstraint(
            ["application_id"],
            ["application.application_id"],
        ),
        sa.PrimaryKeyConstraint("approval_id"),
    )
    with op.batch_alter_table("approval", schema=None) as batch_op:
        batch_op.create_index("approval_due", ["state", "expire_time"], unique=False)
        batch_op.create_index(batch_op.f("ix_approval_account_id"), ["account_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_approval_site_id"), ["site_id"], unique=False)

    op.create_table(
        "device",
        sa.Column("device_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("sealed_name", sa.LargeBinary(), nullable=False),
        sa.Column("platform", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("signing_key", sa.LargeBinary(), nullable=False),
        sa.Column("agreement_key", sa.LargeBinary(), nullable=False),
        sa.Column("server_agreement_key", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_secret", sa.LargeBinary(), nullable=False),
        sa.Column("last_proof_millis", sa.BigInteger(), nullable=False),
        sa.Column("create_time", Moment(), nullable=False),
        sa.Column("last_seen_time", Moment(), nullable=True),
        sa.Column("shown_time", Moment(), nullable=True),
        sa.Column("release_time", Moment(), nullable=True),
        sa.Column("limited_until", Moment(), nullable=True),
        sa.Column("revoke_time", Moment(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.account_id"],
        ),
        sa.PrimaryKeyConstraint("device_id"),
    )
    with op.batch_alter_table("device", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_device_account_id"), ["account_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_device_release_time"), ["release_time"], unique=False)
        batch_op.create_index(batch_op.f("ix_device_revoke_time"), ["revoke_time"], unique=False)

    op.create_table(
        "enrollment",
        sa.Column("enrollment_id", sa.String(), nullable=False),
        sa.Column("application_id", sa.String(), nullable=False),
        sa.Column("sealed_custom_user_id", sa.LargeBinary(), nullable=False),
        sa.Column("custom_user_digest", sa.LargeBinary(), nullable=True),
        sa.Column("custom_user_digest_odd", sa.LargeBinary(), nullable=True),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("require_code", sa.Boolean(), nullable=False),
        sa.Column("replace_existing", sa.Boolean(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=True),
        sa.Column("account_id", sa.String(), nullable=True),
        sa.Column("device_id", sa.String(), nullable=True),
        sa.Column("point", sa.LargeBinary(), nullable=True),
        sa.Column("site_id", sa.String(), nullable=True),
        sa.Column("authy_id", sa.String(), nullable=False),
        sa.Column("confirm_hash", sa.LargeBinary(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("create_time", Moment(), nullable=False),
        sa.Column("update_time", Moment(), nullable=False),
        sa.Column("expire_time", Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["application_id"],
            ["application.application_id"],
        ),
        sa.PrimaryKeyConstraint("enrollment_id"),
        sa.UniqueConstraint("token_hash"),
    )
    with op.batch_alter_table("enrollment", schema=None) as batch_op:
        batch_op.create_index("enrollment_due", ["state", "expire_time"], unique=False)
        batch_op.create_index(
            "enrollment_one_open",
            ["application_id", "custom_user_digest"],
            unique=True,
            sqlite_where=sa.text("state IN ('PENDING', 'SCANNED', 'AWAITING_CODE')"),
            postgresql_where=sa.text("state IN ('PENDING', 'SCANNED', 'AWAITING_CODE')"),
        )
        batch_op.create_index(
            "enrollment_one_open_odd",
            ["application_id", "custom_user_digest_odd"],
            unique=True,
            sqlite_where=sa.text("state IN ('PENDING', 'SCANNED', 'AWAITING_CODE')"),
            postgresql_where=sa.text("state IN ('PENDING', 'SCANNED', 'AWAITING_CODE')"),
        )
        batch_op.create_index(batch_op.f("ix_enrollment_account_id"), ["account_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_enrollment_site_id"), ["site_id"], unique=False)

    op.create_table(
        "link",
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("application_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=True),
        sa.Column("authy_id", sa.String(), nullable=True),
        sa.Column("sealed_custom_user_id", sa.LargeBinary(), nullable=False),
        sa.Column("custom_user_digest", sa.LargeBinary(), nullable=True),
        sa.Column("custom_user_digest_odd", sa.LargeBinary(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("sealed_label", sa.LargeBinary(), nullable=True),
        sa.Column("sealed_seed", sa.LargeBinary(), nullable=True),
        sa.Column("seed_last_step", sa.BigInteger(), nullable=False),
        sa.Column("phone_codes", sa.Boolean(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("locked_until", Moment(), nullable=True),
        sa.Column("push_misses", sa.Integer(), nullable=False),
        sa.Column("push_frozen_until", Moment(), nullable=True),
        sa.Column("create_time", Moment(), nullable=False),
        sa.Column("last_use_time", Moment(), nullable=True),
        sa.Column("last_verify_time", Moment(), nullable=True),
        sa.ForeignKeyConstraint(
            ["application_id"],
            ["application.application_id"],
        ),
        sa.PrimaryKeyConstraint("site_id"),
        sa.UniqueConstraint("application_id", "authy_id"),
    )
    with op.batch_alter_table("link", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_link_account_id"), ["account_id"], unique=False)
        batch_op.create_index(
            "link_one_user",
            ["application_id", "custom_user_digest"],
            unique=True,
            sqlite_where=sa.text("state <> 'AWAITING'"),
            postgresql_where=sa.text("state <> 'AWAITING'"),
        )
        batch_op.create_index(
            "link_one_user_odd",
            ["application_id", "custom_user_digest_odd"],
            unique=True,
            sqlite_where=sa.text("state <> 'AWAITING'"),
            postgresql_where=sa.text("state <> 'AWAITING'"),
        )

    op.create_table(
        "backup_code",
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["site_id"],
            ["link.site_id"],
        ),
        sa.PrimaryKeyConstraint("site_id", "code_hash"),
    )
    op.create_table(
        "sent_code",
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("sealed_code", sa.LargeBinary(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("used", sa.Boolean(), nullable=False),
        sa.Column("create_time", Moment(), nullable=False),
        sa.Column("expire_time", Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["site_id"],
            ["link.site_id"],
        ),
        sa.PrimaryKeyConstraint("site_id", "action"),
    )
    with op.batch_alter_table("sent_code", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_sent_code_expire_time"), ["expire_time"], unique=False)

    op.create_table(
        "session",
        sa.Column("session_id", sa.String(), nullable=False),
        sa.Column("device_id", sa.String(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("create_time", Moment(), nullable=False),
        sa.Column("expire_time", Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"],
            ["device.device_id"],
        ),
        sa.PrimaryKeyConstraint("session_id"),
        sa.UniqueConstraint("token_hash"),
    )
    with op.batch_alter_table("session", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_session_device_id"), ["device_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_session_expire_time"), ["expire_time"], unique=False)

    op.create_table(
        "site_key",
        sa.Column("kid", sa.String(), nullable=False),
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("device_id", sa.String(), nullable=False),
        sa.Column("point", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("create_time", Moment(), nullable=False),
        sa.Column("revoke_time", Moment(), nullable=True),
        sa.ForeignKeyConstraint(
            ["site_id"],
            ["link.site_id"],
        ),
        sa.PrimaryKeyConstraint("kid"),
    )
    with op.batch_alter_table("site_key", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_site_key_device_id"), ["device_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_site_key_site_id"), ["site_id"], unique=False)

    op.create_table(
        "telling",
        sa.Column("telling_id", sa.String(), nullable=False),
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("kid", sa.String(), nullable=True),
        sa.Column("due_time", Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["site_id"],
            ["link.site_id"],
        ),
        sa.PrimaryKeyConstraint("telling_id"),
    )
    with op.batch_alter_table("telling", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_telling_due_time"), ["due_time"], unique=False)
        batch_op.create_index(batch_op.f("ix_telling_site_id"), ["site_id"], unique=False)
