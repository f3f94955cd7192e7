"""A database is brought up to date, or said not to be."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlmodel import SQLModel

from authy_grpc.store import schema, tables
from authy_grpc.store.engine import connect
from authy_grpc.store.schema import SchemaError
from tests.threads import PATIENCE


def run(url: str, *statements: str) -> None:
    engine = connect(url, writes=True, connections=1)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def differences(url: str) -> list[object]:
    """What alembic would change to bring a database's tables to those of the code."""

    def compare(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        return list(compare_metadata(context, SQLModel.metadata))

    engine = connect(url, writes=False, connections=1)
    with engine.connect() as connection:
        found = compare(connection)
    engine.dispose()
    return found


def test_a_blank_database_is_not_up_to_date_until_it_is_brought_there(blank_url: str) -> None:
    with pytest.raises(SchemaError, match=r"schema none.*db upgrade"):
        schema.check(blank_url)
    version = schema.upgrade(blank_url)
    schema.check(blank_url)
    assert schema.upgrade(blank_url) == version


def test_the_migrations_make_the_tables_of_the_code(blank_url: str) -> None:
    schema.upgrade(blank_url)
    assert differences(blank_url) == []
    assert tables.MetaRow.metadata is SQLModel.metadata
    # The control: what is missing, and what is too much, is noticed.
    run(blank_url, "DROP TABLE answer", "CREATE TABLE extra (name TEXT)", "DROP INDEX event_feed")
    assert {str(change[0]) for change in differences(blank_url)} == {  # type: ignore[index]
        "add_table",
        "remove_table",
        "add_index",
    }


def test_places_of_removed_events_are_not_given_out_again_on_sqlite(sqlite_url: str) -> None:
    engine = connect(sqlite_url, writes=False, connections=1)
    with engine.connect() as connection:
        made = connection.execute(text("SELECT sql FROM sqlite_master WHERE name = 'event'")).scalar_one()
    engine.dispose()
    assert "AUTOINCREMENT" in made


def test_a_newer_database_is_refused_and_left_as_it_is(database_url: str) -> None:
    version = schema.upgrade(database_url)
    run(database_url, "UPDATE alembic_version SET version_num = '9999'")
    for ask in (schema.check, schema.upgrade):
        with pytest.raises(SchemaError, match=r"9999.*newer"):
            ask(database_url)
    run(database_url, f"UPDATE alembic_version SET version_num = '{version}'")
    schema.check(database_url)


def test_servers_that_start_at_once_wait_for_each_other(blank_url: str) -> None:
    start = threading.Barrier(4, timeout=PATIENCE)

    def upgrade() -> str:
        start.wait()
        return schema.upgrade(blank_url)

    with ThreadPoolExecutor(4) as pool:
        versions = {made.result() for made in [pool.submit(upgrade) for _ in range(4)]}
    assert len(versions) == 1
    schema.check(blank_url)


def test_questions_that_came_to_nothing_before_they_were_weighed_count_as_denials(blank_url: str) -> None:
    engine = connect(blank_url, writes=True, connections=1)
    with engine.begin() as connection:
        command.upgrade(schema.config(connection), "0003")
        connection.execute(
            text("""
            INSERT INTO application (application_id, name, origin, logo, logo_id, code_digits,
                code_period_seconds, match_digits, phone_codes, require_code, create_time)
            VALUES ('app', 'A', 'https://a.example', '', '', 6, 30, 6, (1 = 1), (1 = 1), 0)""")
        )
        for misses in (0, 2, 5):
            connection.execute(
                text("""
                INSERT INTO link (site_id, application_id, sealed_custom_user_id, state, seed_last_step,
                    phone_codes, failures, push_misses, create_time)
                VALUES (:name, 'app', '', 'ACTIVE', -1, (1 = 1), 0, :misses, 0)"""),
                {"name": f"sit_{misses}", "misses": misses},
            )
    schema.upgrade(blank_url)
    with engine.begin() as connection:
        found = connection.execute(text("SELECT push_misses FROM link ORDER BY site_id")).scalars().all()
    engine.dispose()
    assert found == [0, 4, 10]


def test_posts_that_came_to_nothing_before_forget_what_they_told_of_names_inside(blank_url: str) -> None:
    engine = connect(blank_url, writes=True, connections=1)
    with engine.begin() as connection:
        command.upgrade(schema.config(connection), "0003")
        for number, error in enumerate(("dns", "forbidden_address", "timeout", "")):
            connection.execute(
                text("""
                INSERT INTO delivery (sequence, delivery_id, webhook_id, event_id, event_type, subject_id,
                    state, attempts, failures, due_time, http_status, error, duration_millis, create_time)
                VALUES (:number, :name, 'whk', 'evt', 'user.locked', 's', 'FAILED', 1, 1, 0, 0, :error,
                    7, 0)"""),
                {"number": number, "name": f"dlv_{number}", "error": error},
            )
    schema.upgrade(blank_url)
    with engine.begin() as connection:
        read = text("SELECT error, duration_millis FROM delivery ORDER BY sequence")
        found = [tuple(row) for row in connection.execute(read)]
    engine.dispose()
    assert found == [("forbidden_address", 0), ("forbidden_address", 0), ("timeout", 7), ("", 7)]


@pytest.mark.parametrize(("there", "imported"), [(True, set()), (False, {"alembic", "mako"})])
def test_a_start_imports_what_changes_tables_only_where_they_change(
    sqlite_url: str, tmp_path: Path, there: bool, imported: set[str]
) -> None:
    url = sqlite_url if there else f"sqlite:///{tmp_path / 'new.db'}"
    code = (
        "import sys; import authy_grpc.bootstrap; from authy_grpc.store import schema;"
        f" schema.upgrade({url!r}); print(*{{'alembic', 'dns', 'mako'}} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(told.stdout.split()) == imported
