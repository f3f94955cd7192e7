"""A relying site can be deleted whatever it has begun, and nothing of it is left."""

import pytest

from authy_grpc.client import AuthyError
from authy_grpc.phone import PhoneError
from authy_grpc.v1.application_pb2 import DeleteApplicationRequest, GetApplicationRequest
from authy_grpc.v1.approval_pb2 import CreateApprovalRequest
from authy_grpc.v1.enrollment_pb2 import (
    ENROLLMENT_METHOD_GENERIC_TOTP,
    CreateEnrollmentRequest,
    CreateEnrollmentResponse,
)
from tests.harness import Service, Site


async def begin(site: Site, custom_user_id: str, **fields: object) -> CreateEnrollmentResponse:
    request = CreateEnrollmentRequest(custom_user_id=custom_user_id, **fields)  # type: ignore[arg-type]
    return await site.client.enrollments.CreateEnrollment(request)


async def test_a_site_with_all_that_can_be_open(service: Service) -> None:
    site, phone = await service.site(), await service.phone()
    enrollment, _ = await service.enroll(site, phone)
    await site.client.approvals.CreateApproval(
        CreateApprovalRequest(authy_id=enrollment.authy_id, message="Log in?")
    )
    await begin(site, "pending")
    scanned = await phone.open((await begin(site, "scanned")).qr.uri)
    await phone.accept(await phone.open((await begin(site, "awaiting", require_code=True)).qr.uri))
    await begin(site, "generic", method=ENROLLMENT_METHOD_GENERIC_TOTP)
    assert len(await phone.sites()) == 2
    application_id = site.application.application_id
    calls = service.operator.applications
    await calls.DeleteApplication(DeleteApplicationRequest(application_id=application_id))
    with pytest.raises(AuthyError) as gone:
        await calls.GetApplication(GetApplicationRequest(application_id=application_id))
    assert gone.value.reason == "NOT_FOUND"
    with pytest.raises(PhoneError) as refused:
        await phone.accept(scanned)
    assert refused.value.reason == "NOT_FOUND"
    assert await phone.sites() == []
