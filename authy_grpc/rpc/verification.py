"""Serves VerificationService."""

from authy_grpc.domain.user import Factor
from authy_grpc.rpc import auth, encode
from authy_grpc.rpc.call import Context
from authy_grpc.service.verification import Verifications, Wish
from authy_grpc.v1 import verification_pb2 as pb
from authy_grpc.v1.verification_pb2_grpc import VerificationServiceServicer

_VERIFY = "VerificationService/VerifyCode"
_SEND = "VerificationService/SendCode"


class VerificationServicer(VerificationServiceServicer):
    """The codes that users type into a relying site."""

    def __init__(self, verifications: Verifications) -> None:
        self._verifications = verifications

    async def VerifyCode(self, request: pb.VerifyCodeRequest, context: Context) -> pb.VerifyCodeResponse:
        checked = await self._verifications.verify_code(
            auth.site(),
            encode.request_of(_VERIFY, request),
            request.authy_id,
            request.code,
            request.action,
        )
        return pb.VerifyCodeResponse(
            result=pb.CodeResult.Value(f"CODE_RESULT_{checked.result}"),
            factor=encode.factor(checked.factor),
            attempts_remaining=checked.attempts_remaining,
        )

    async def SendCode(self, request: pb.SendCodeRequest, context: Context) -> pb.SendCodeResponse:
        sending = await self._verifications.send_code(
            auth.site(), encode.request_of(_SEND, request), _wish(request)
        )
        return pb.SendCodeResponse(
            sent=sending.sent,
            expire_time=encode.timestamp(sending.expire_time),
            retry_delay=None if sending.retry_delay is None else encode.duration(sending.retry_delay),
        )

    async def CreateBackupCodes(
        self, request: pb.CreateBackupCodesRequest, context: Context
    ) -> pb.CreateBackupCodesResponse:
        codes = await self._verifications.create_backup_codes(auth.site(), request.authy_id)
        return pb.CreateBackupCodesResponse(codes=codes)


def _wish(request: pb.SendCodeRequest) -> Wish:
    return Wish(
        authy_id=request.authy_id,
        factor=Factor.VOICE if request.channel == pb.CODE_CHANNEL_VOICE else Factor.SMS,
        action=request.action,
        locale=request.locale,
        force=request.force,
    )
