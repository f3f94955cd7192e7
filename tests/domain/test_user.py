from dataclasses import replace
from datetime import UTC, datetime

from pydantic import TypeAdapter

from authy_grpc.domain.limits import FOREVER
from authy_grpc.domain.user import Factor, SiteKey, User

NOW = datetime(2026, 1, 1, tzinfo=UTC)
USER = User(
    authy_id="1234567",
    custom_user_id="canary",
    factors=(Factor.SOFT_TOKEN, Factor.PUSH),
    create_time=NOW,
    locked_until=FOREVER,
    keys=(SiteKey("kid", "{}", NOW), SiteKey("old", "{}", NOW, revoke_time=NOW)),
)


def test_a_user_survives_json() -> None:
    adapter = TypeAdapter(User)

    assert adapter.validate_json(adapter.dump_json(USER)) == USER
    assert adapter.validate_json(adapter.dump_json(USER)) != replace(USER, locked_until=None)


def test_the_sites_reference_is_not_printed() -> None:
    assert "canary" not in repr(USER)
    assert "1234567" in repr(USER)
