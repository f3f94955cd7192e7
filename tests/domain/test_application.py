from datetime import UTC, datetime

from authy_grpc.domain.application import DEFAULT_SCOPES, Application, Scope

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_an_application_begins_as_the_contract_says() -> None:
    application = Application(
        application_id="app_1", name="Shop", origin="https://shop.example", create_time=NOW
    )

    assert (application.code_digits, application.code_period_seconds, application.match_digits) == (6, 30, 6)
    assert application.phone_codes
    assert not application.require_code


def test_a_key_may_do_all_but_manage_where_nothing_is_said() -> None:
    assert set(Scope) - set(DEFAULT_SCOPES) == {Scope.MANAGE}


def test_a_logo_is_not_printed() -> None:
    application = Application(
        application_id="app_1", name="Shop", origin="https://shop.example", logo=b"canary", create_time=NOW
    )

    assert "canary" not in repr(application)
    assert "Shop" in repr(application)
