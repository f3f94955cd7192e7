"""Makes rows that say as little as their tables allow, for tests of the store alone."""

from datetime import datetime

from authy_grpc.store.tables import ApplicationRow, ApprovalRow, EnrollmentRow


def application(create_time: datetime) -> ApplicationRow:
    """The application `app_1`."""
    return ApplicationRow(
        application_id="app_1",
        name="Example",
        origin="https://example.com",
        code_digits=6,
        code_period_seconds=30,
        match_digits=6,
        phone_codes=True,
        require_code=False,
        create_time=create_time,
    )


def enrollment(state: str, expire_time: datetime, *, name: str = "enr_1") -> EnrollmentRow:
    """An enrollment of `app_1` that has stood in a state since it was to expire."""
    return EnrollmentRow(
        enrollment_id=name,
        application_id="app_1",
        sealed_custom_user_id=b"",
        custom_user_digest=name.encode(),
        method="AUTHENTICATOR",
        state=state,
        require_code=False,
        replace_existing=False,
        create_time=expire_time,
        update_time=expire_time,
        expire_time=expire_time,
    )


def approval(state: str, expire_time: datetime, *, name: str = "apr_1") -> ApprovalRow:
    """A question of `app_1`."""
    return ApprovalRow(
        approval_id=name,
        application_id="app_1",
        site_id="sit_1",
        authy_id="1234567",
        state=state,
        sealed_question=b"",
        sealed_hidden_details=b"",
        match_digits=6,
        require_user_verification=False,
        create_time=expire_time,
        expire_time=expire_time,
    )
