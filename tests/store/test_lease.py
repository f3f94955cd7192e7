"""A look for what is due reads a few rows, however many wait: of one subject, or of thousands."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import (
    Connection,
    Select,
    String,
    TextClause,
    and_,
    bindparam,
    exists,
    insert,
    literal,
    or_,
    select,
    text,
    update,
)

from authy_grpc.store import lease, waiting
from authy_grpc.store.bulk import table
from authy_grpc.store.engine import connect
from authy_grpc.store.tables import ApplicationRow, DeliveryRow, WebhookRow
from tests.clock import TurnedClock

NOW = TurnedClock().now
MANY, FEW = 3000, 60
# Of SQLite's virtual machine; to pass over a row takes it five or more.
FEW_STEPS = 1500
_D, _W = table(DeliveryRow), table(WebhookRow)
FOREMOST = and_(_D.c.state == "PENDING", _D.c.waits.is_(False))
LATER = NOW + timedelta(hours=1)
LOOKS: dict[str, Select[Any] | TextClause] = {
    "any": lease._ANY_WORK,
    "with work": lease._WITH_WORK,
    "due": lease._NEXT.where(lease._DUE),
    "at all": lease._NEXT,
    "left": select(waiting._NEXT_OF),
    "left of none": select(waiting.first_left(bindparam("webhook_id", type_=String), literal("usr_"))),
    "forgotten": waiting._FORGOTTEN,
}


@dataclass
class Post:
    """One row: what differs."""

    subject_id: str
    waits: bool = False
    state: str = "PENDING"


def of_one() -> list[Post]:
    """All of one subject: the first is on its own."""
    return [Post("usr_1", number > 0) for number in range(MANY)]


def of_many() -> list[Post]:
    """Each of a subject of its own."""
    return [Post(f"usr_{number}") for number in range(MANY)]


def of_one_long_since() -> list[Post]:
    """All of one subject: most have been posted."""
    return [Post("usr_1", state="DELIVERED") for _ in range(MANY)] + of_one()[:30]


def fill(connection: Connection, posts: list[Post], webhook_id: str = "whk_1") -> None:
    """Add a webhook whose posts wait."""
    if not connection.execute(select(table(ApplicationRow).c.application_id)).first():
        connection.execute(
            insert(table(ApplicationRow)),
            {
                "application_id": "app_1",
                "name": "Example",
                "origin": "https://example.com",
                "logo": b"",
                "logo_id": "",
                "code_digits": 6,
                "code_period_seconds": 30,
                "match_digits": 6,
                "phone_codes": True,
                "require_code": False,
                "create_time": NOW,
            },
        )
    hook: dict[str, Any] = {
        "webhook_id": webhook_id,
        "application_id": "app_1",
        "sealed_url": b"",
        "types": "[]",
    }
    hook |= {"state": "ENABLED", "disabled_reason": "", "sealed_secret": b"", "failures": 0}
    connection.execute(insert(_W), {**hook, "turn_time": NOW, "create_time": NOW})
    row: dict[str, Any] = {"event_type": "user.locked", "attempts": 0, "failures": 0, "due_time": NOW}
    row |= {"http_status": 0, "error": "", "duration_millis": 0, "create_time": NOW, "webhook_id": webhook_id}
    connection.execute(
        insert(_D),
        [
            {
                **row,
                "delivery_id": f"dlv_{webhook_id}_{number}",
                "event_id": f"evt_{number}",
                "subject_id": post.subject_id,
                "waits": post.waits,
                "state": post.state,
            }
            for number, post in enumerate(posts)
        ],
    )


@contextmanager
def filled(url: str, posts: list[Post]) -> Iterator[Connection]:
    """A store with posts, whose statistics are known, in a transaction that is given up."""
    engine = connect(url, writes=True, connections=1)
    with engine.begin() as connection:
        fill(connection, posts)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("VACUUM ANALYZE"))
    try:
        with engine.connect() as connection:
            yield connection
            connection.rollback()
    finally:
        engine.dispose()


def rows_read(node: dict[str, Any]) -> int:
    """How many rows the scans of a plan of PostgreSQL have read, in all their turns."""
    read = 0.0
    if "Relation Name" in node:
        removed = sum(value for name, value in node.items() if name.startswith("Rows Removed by"))
        read = (node["Actual Rows"] + removed) * node["Actual Loops"]
    return int(read) + sum(rows_read(each) for each in node.get("Plans", []))


def written(connection: Connection, statement: Select[Any] | TextClause) -> str:
    """A look as the database gets it, with what it asks for in its text."""
    names = statement.compile().params
    given = {"now": NOW, "limit": 10, "webhook_id": "whk_1", "of_webhook_id": "whk_1"}
    given |= {"of_subject_id": "usr_1", "subject_id": "", "steps": 5}
    asked = statement.params({name: given[name] for name in names if name in given})
    return str(asked.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True}))


def reads_few(connection: Connection, statement: Select[Any] | TextClause) -> bool:
    """Whether a look reads few rows, as the database tells it."""
    asked = written(connection, statement)
    if connection.dialect.name == "postgresql":
        explained = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {asked}").scalar_one()
        return rows_read(explained[0]["Plan"]) < FEW
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    driver: Any = connection.connection.driver_connection
    driver.set_progress_handler(step, 1)
    connection.exec_driver_sql(asked).all()
    driver.set_progress_handler(None, 1)
    plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked}")]
    return steps < FEW_STEPS and not any(each.startswith("SCAN delivery") for each in plan)


def later(connection: Connection) -> None:
    """What is not behind another waits for its next attempt."""
    connection.execute(update(_D).where(FOREMOST).values(due_time=LATER, failures=1))


def spared(connection: Connection) -> None:
    """Nothing is due, and a probe may go out."""
    later(connection)
    connection.execute(update(_W).values(next_probe_time=NOW, failures=5))


def under_way(connection: Connection) -> None:
    """The first five are leased."""
    first = select(_D.c.sequence).where(FOREMOST).order_by(_D.c.sequence).limit(5)
    connection.execute(update(_D).where(_D.c.sequence.in_(first)).values(lease_until=LATER, attempts=1))


def as_it_is(connection: Connection) -> None:
    """All is due."""


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("change", [as_it_is, later, spared, under_way])
@pytest.mark.parametrize("posts", [of_one, of_many, of_one_long_since])
def test_a_look_reads_few_rows(
    database_url: str,
    posts: Callable[[], list[Post]],
    change: Callable[[Connection], None],
    look: str,
) -> None:
    with filled(database_url, posts()) as connection:
        change(connection)
        assert reads_few(connection, LOOKS[look])


def test_the_control_without_the_hint_all_of_a_subject_is_read(database_url: str) -> None:
    with filled(database_url, [Post("usr_1") for _ in range(MANY)]) as connection:
        under_way(connection)
        assert not reads_few(connection, LOOKS["any"])
        assert not reads_few(connection, LOOKS["due"])


def test_the_control_asked_by_exists_postgresql_reads_all(postgres_url: str) -> None:
    other = _D.alias("other")
    same = select(other.c.sequence).where(
        other.c.webhook_id == _D.c.webhook_id, other.c.subject_id == _D.c.subject_id
    )
    first = same.where(other.c.state == waiting.PENDING).order_by(other.c.sequence).limit(1)
    on_its_way = same.where(other.c.lease_until > NOW).limit(1)
    of_webhook = (
        select(_D.c.sequence)
        .where(
            _D.c.webhook_id == _W.c.webhook_id,
            _D.c.state == waiting.PENDING,
            or_(_D.c.lease_until.is_(None), _D.c.lease_until <= NOW),
            _D.c.sequence == first.correlate(_D).scalar_subquery(),
            on_its_way.correlate(_D).scalar_subquery().is_(None),
        )
        .correlate(_W)
    )
    due, probes = exists(of_webhook.where(_D.c.due_time <= NOW)), exists(of_webhook)
    has_work = or_(
        and_(_W.c.next_probe_time.is_(None), lease._IN_FLIGHT < 10, due),
        and_(_W.c.next_probe_time.is_not(None), _W.c.next_probe_time <= NOW, probes),
    )
    asked = select(_W.c.webhook_id).where(_W.c.state == "ENABLED", has_work).limit(1)
    with filled(postgres_url, of_many()) as connection:
        assert not reads_few(connection, asked)
        assert reads_few(connection, LOOKS["any"])
