"""Serves EnrollmentService."""

from authy_grpc.domain.enrollment import Enrollment, EnrollmentMethod
from authy_grpc.rpc import auth, encode
from authy_grpc.rpc.call import Context
from authy_grpc.rpc.streams import Streams
from authy_grpc.service.enrollment import Draft, Enrollments
from authy_grpc.service.qr import QrFormat
from authy_grpc.v1 import enrollment_pb2 as pb
from authy_grpc.v1.enrollment_pb2_grpc import EnrollmentServiceServicer

_CREATE = "EnrollmentService/CreateEnrollment"
_METHODS = {
    pb.ENROLLMENT_METHOD_UNSPECIFIED: EnrollmentMethod.AUTHENTICATOR,
    pb.ENROLLMENT_METHOD_AUTHENTICATOR: EnrollmentMethod.AUTHENTICATOR,
    pb.ENROLLMENT_METHOD_GENERIC_TOTP: EnrollmentMethod.GENERIC_TOTP,
}
_FORMATS = {
    pb.QR_CODE_FORMAT_UNSPECIFIED: None,
    pb.QR_CODE_FORMAT_PNG: QrFormat.PNG,
    pb.QR_CODE_FORMAT_SVG: QrFormat.SVG,
    pb.QR_CODE_FORMAT_TEXT: QrFormat.TEXT,
}


class EnrollmentServicer(EnrollmentServiceServicer):
    """The enrollments of a relying site's users."""

    def __init__(self, enrollments: Enrollments, streams: Streams) -> None:
        self._enrollments = enrollments
        self._streams = streams

    async def CreateEnrollment(
        self, request: pb.CreateEnrollmentRequest, context: Context
    ) -> pb.CreateEnrollmentResponse:
        call = encode.request_of(_CREATE, request)
        created, qr = await self._enrollments.create(auth.site(), call, _draft(request))
        return pb.CreateEnrollmentResponse(
            enrollment=encode.enrollment(created),
            qr=pb.QrCode(uri=qr.uri, image=qr.image, media_type=qr.media_type),
        )

    async def GetEnrollment(
        self, request: pb.GetEnrollmentRequest, context: Context
    ) -> pb.GetEnrollmentResponse:
        found = await self._enrollments.get(auth.site(), request.enrollment_id)
        return pb.GetEnrollmentResponse(enrollment=encode.enrollment(found))

    async def WatchEnrollment(  # type: ignore[override]
        self, request: pb.WatchEnrollmentRequest, context: Context
    ) -> None:
        states = self._enrollments.watch(
            auth.site(), request.enrollment_id, request.after_revision, heartbeat=request.heartbeat
        )
        await self._streams.relay(context, states, _watched)

    async def ConfirmEnrollment(
        self, request: pb.ConfirmEnrollmentRequest, context: Context
    ) -> pb.ConfirmEnrollmentResponse:
        completed = await self._enrollments.confirm(auth.site(), request.enrollment_id, request.code)
        return pb.ConfirmEnrollmentResponse(enrollment=encode.enrollment(completed))

    async def CancelEnrollment(
        self, request: pb.CancelEnrollmentRequest, context: Context
    ) -> pb.CancelEnrollmentResponse:
        canceled = await self._enrollments.cancel(auth.site(), request.enrollment_id)
        return pb.CancelEnrollmentResponse(enrollment=encode.enrollment(canceled))


def _watched(state: Enrollment | None) -> pb.WatchEnrollmentResponse:
    return pb.WatchEnrollmentResponse(enrollment=encode.enrollment(state) if state else None)


def _draft(request: pb.CreateEnrollmentRequest) -> Draft:
    return Draft(
        custom_user_id=request.custom_user_id,
        method=_METHODS[request.method],
        ttl=encode.span_or_none(request, "ttl"),
        require_code=request.require_code if request.HasField("require_code") else None,
        replace_existing=request.replace_existing,
        account_label=request.account_label,
        format=_FORMATS[request.qr.format],
        module_size=request.qr.module_size,
    )
