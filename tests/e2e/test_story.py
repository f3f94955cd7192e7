"""The whole way of one user: enroll, watch, verify, approve."""

from authy_grpc.client import Decision, verify_receipt
from authy_grpc.v1.approval_pb2 import ApprovalState, CreateApprovalRequest, Detail
from authy_grpc.v1.enrollment_pb2 import EnrollmentState
from authy_grpc.v1.verification_pb2 import CodeResult, VerifyCodeRequest
from tests.harness import Service


async def test_from_a_qr_code_to_a_signed_approval(service: Service) -> None:
    site = await service.site()
    phone = await service.phone()
    enrollment, linked = await service.enroll(site, phone)
    assert enrollment.state == EnrollmentState.ENROLLMENT_STATE_COMPLETED
    authy_id, keys = enrollment.authy_id, enrollment.keys

    code = await phone.code(linked)
    verify = site.client.verification.VerifyCode
    answers = [await verify(VerifyCodeRequest(authy_id=authy_id, code=code)) for _ in range(2)]
    assert [each.result for each in answers] == [
        CodeResult.CODE_RESULT_ACCEPTED,
        CodeResult.CODE_RESULT_REPLAYED,
    ]

    request = CreateApprovalRequest(
        authy_id=authy_id, message="Log in?", details=[Detail(label="City", value="Paris")]
    )
    asked = (await site.client.approvals.CreateApproval(request)).approval
    await phone.approve(await phone.question(), asked.match_number)
    states = [each async for each in site.client.watch_approval(asked.approval_id)]
    assert states[-1].state == ApprovalState.APPROVAL_STATE_APPROVED
    verified = verify_receipt(states[-1], asked, site.application.origin, keys)
    assert verified.decision is Decision.APPROVE
