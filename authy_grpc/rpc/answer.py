"""Serves the part of AuthenticatorService that is about questions and what has happened."""

from authy_grpc.rpc import auth, encode
from authy_grpc.rpc.call import Context
from authy_grpc.rpc.streams import Streams
from authy_grpc.service.answer import Answers
from authy_grpc.service.inbox import Inbox, InboxState
from authy_grpc.store.activity import Activity
from authy_grpc.store.fair import in_slices
from authy_grpc.v1 import approval_pb2
from authy_grpc.v1 import authenticator_pb2 as pb
from authy_grpc.v1.authenticator_pb2_grpc import AuthenticatorServiceServicer


class AnswerCalls(AuthenticatorServiceServicer):
    """What waits for a device's owner, what they answer, and what has happened."""

    def __init__(self, answers: Answers, inbox: Inbox, streams: Streams) -> None:
        self._answers = answers
        self._inbox = inbox
        self._streams = streams

    async def WatchInbox(  # type: ignore[override]
        self, request: pb.WatchInboxRequest, context: Context
    ) -> None:
        await self._streams.relay(context, self._inbox.watch(auth.device()), _state)

    async def RespondApproval(
        self, request: pb.RespondApprovalRequest, context: Context
    ) -> pb.RespondApprovalResponse:
        answered = await self._answers.respond(auth.device(), request.approval_id, request.receipt)
        return pb.RespondApprovalResponse(
            state=approval_pb2.ApprovalState.Value(f"APPROVAL_STATE_{answered.state}"),
            attempts_remaining=answered.attempts_remaining,
        )

    async def ListActivity(
        self, request: pb.ListActivityRequest, context: Context
    ) -> pb.ListActivityResponse:
        found, token = await self._inbox.list_activity(auth.device(), request.page_size, request.page_token)
        return pb.ListActivityResponse(activities=await in_slices(_activity, found), next_page_token=token)


def _state(value: InboxState) -> pb.WatchInboxResponse:
    return pb.WatchInboxResponse(
        approvals=[
            pb.PendingApproval(
                approval_id=each.approval_id,
                site_id=each.site_id,
                question=each.question,
                match_digits=each.match_digits,
                expire_time=encode.timestamp(each.expire_time),
            )
            for each in value.approvals
        ],
        sites_revision=value.sites_revision,
        devices_revision=value.devices_revision,
        activity_revision=value.activity_revision,
        server_time=encode.timestamp(value.server_time),
    )


def _activity(value: Activity) -> pb.Activity:
    return pb.Activity(
        type=value.type,
        site_name=value.site_name,
        device_name=value.device_name,
        time=encode.timestamp(value.time),
    )
