"""Serves ApprovalService."""

from authy_grpc.domain.approval import Detail
from authy_grpc.rpc import auth, encode
from authy_grpc.rpc.call import Context
from authy_grpc.rpc.streams import Streams
from authy_grpc.service.approval import Approvals, Ask, Asked
from authy_grpc.v1 import approval_pb2 as pb
from authy_grpc.v1.approval_pb2_grpc import ApprovalServiceServicer

_CREATE = "ApprovalService/CreateApproval"


class ApprovalServicer(ApprovalServiceServicer):
    """The questions of a relying site to its users."""

    def __init__(self, approvals: Approvals, streams: Streams) -> None:
        self._approvals = approvals
        self._streams = streams

    async def CreateApproval(
        self, request: pb.CreateApprovalRequest, context: Context
    ) -> pb.CreateApprovalResponse:
        call = encode.request_of(_CREATE, request)
        asked = await self._approvals.create(auth.site(), call, _ask(request))
        return pb.CreateApprovalResponse(approval=_approval(asked))

    async def GetApproval(self, request: pb.GetApprovalRequest, context: Context) -> pb.GetApprovalResponse:
        asked = await self._approvals.get(auth.site(), request.approval_id)
        return pb.GetApprovalResponse(approval=_approval(asked))

    async def WatchApproval(  # type: ignore[override]
        self, request: pb.WatchApprovalRequest, context: Context
    ) -> None:
        states = self._approvals.watch(
            auth.site(), request.approval_id, request.after_revision, heartbeat=request.heartbeat
        )
        await self._streams.relay(context, states, _watched)

    async def CancelApproval(
        self, request: pb.CancelApprovalRequest, context: Context
    ) -> pb.CancelApprovalResponse:
        asked = await self._approvals.cancel(auth.site(), request.approval_id)
        return pb.CancelApprovalResponse(approval=_approval(asked))


def _ask(request: pb.CreateApprovalRequest) -> Ask:
    return Ask(
        authy_id=request.authy_id,
        message=request.message,
        details=tuple(Detail(each.label, each.value) for each in request.details),
        hidden_details=dict(request.hidden_details),
        ttl=encode.span_or_none(request, "ttl"),
        match_digits=request.match_digits if request.HasField("match_digits") else None,
        require_user_verification=request.require_user_verification,
    )


def _watched(asked: Asked | None) -> pb.WatchApprovalResponse:
    return pb.WatchApprovalResponse(approval=_approval(asked) if asked else None)


def _approval(asked: Asked) -> pb.Approval:
    return encode.approval(asked.approval, asked.match_number)
