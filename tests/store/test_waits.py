"""A database from before posts waited has them marked, and those of webhooks that are no more go in steps."""

from alembic import command
from sqlalchemy import Connection, text

from authy_grpc.store import retention, schema
from authy_grpc.store.database import Database
from authy_grpc.store.engine import connect
from authy_grpc.store.tx import Tx
from tests.clock import TurnedClock

NOW = TurnedClock().now
INSERT = """
INSERT INTO delivery (
    delivery_id, webhook_id, event_id, event_type, subject_id, due_time, create_time,
    state, attempts, failures, http_status, error, duration_millis
) VALUES (:name, :webhook, :name, 'user.locked', :subject, 1, 1, :state, 0, 0, 0, '', 0)
"""


def add(connection: Connection, *posts: str, webhook: str = "whk_1") -> None:
    """Add posts, each a subject and the first letter of its state."""
    states = {"p": "PENDING", "d": "DELIVERED", "f": "FAILED"}
    for number, (subject, state) in enumerate(each.split() for each in posts):
        name = f"{webhook} {number}"
        given = {"name": name, "webhook": webhook, "subject": subject, "state": states[state]}
        connection.execute(text(INSERT), given)


def test_a_migration_marks_what_waits(blank_url: str) -> None:
    engine = connect(blank_url, writes=True, connections=1)
    with engine.begin() as connection:
        command.upgrade(schema.config(connection), "0002")
        add(connection, "a d", "a p", "b f", "b p", "a p", "b p", "a f", "a p", "c d")
        add(connection, "a p", "a p", webhook="whk_2")
    schema.upgrade(blank_url)
    with engine.begin() as connection:
        rows = connection.execute(text("SELECT delivery_id FROM delivery WHERE waits ORDER BY sequence"))
        assert [row[0] for row in rows] == ["whk_1 4", "whk_1 5", "whk_1 7", "whk_2 1"]
    engine.dispose()


async def test_posts_of_webhooks_that_are_no_more_go_in_steps(database: Database) -> None:
    def fill(tx: Tx) -> None:
        connection = tx.connection()
        # Of an age at which no others go.
        millis = int(NOW.timestamp() * 1000)
        for number in range(3):
            add(connection, *["a d"] * 300, webhook=f"whk_{number}")
        connection.execute(text(f"UPDATE delivery SET create_time = {millis}"))
        connection.execute(
            text(f"""
            INSERT INTO application (application_id, name, origin, logo, logo_id, code_digits,
                code_period_seconds, match_digits, phone_codes, require_code, create_time)
            VALUES ('app_1', '', '', '', '', 6, 30, 6, true, false, {millis})""")
        )
        connection.execute(
            text(f"""
            INSERT INTO webhook (webhook_id, application_id, sealed_url, types, state, disabled_reason,
                sealed_secret, failures, turn_time, create_time)
            VALUES ('whk_1', 'app_1', '', '[]', 'DISABLED', '', '', 0, {millis}, {millis})""")
        )

    await database.write(fill)
    went = [await database.write(lambda tx: retention.prune(tx)) for _ in range(3)]
    assert went == [retention.STEP, 600 - retention.STEP, 0]
    count = text("SELECT webhook_id, count(*) FROM delivery GROUP BY webhook_id")
    left = await database.read(lambda tx: tx.connection().execute(count).all())
    assert [tuple(row) for row in left] == [("whk_1", 300)]
