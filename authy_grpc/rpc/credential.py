"""Serves CredentialService: tells gateways whether a credential may make a call, before they read a body."""

from collections.abc import Awaitable, Callable

from authy_grpc.domain.errors import BadCredential, DeviceHeld, MissingScope
from authy_grpc.rpc.call import Context
from authy_grpc.rpc.errors import to_status
from authy_grpc.v1 import credential_pb2 as pb
from authy_grpc.v1.credential_pb2_grpc import CredentialServiceServicer

# Raises what a call by its path, with an `authorization` header, would be refused with.
Judge = Callable[[str, str], Awaitable[None]]


class CredentialServicer(CredentialServiceServicer):
    """Answers gateways."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    async def Check(self, request: pb.CheckRequest, context: Context) -> pb.CheckResponse:
        try:
            await self._judge(request.method, request.credential)
        except (BadCredential, MissingScope, DeviceHeld) as refusal:
            return pb.CheckResponse(refusal=to_status(refusal))
        return pb.CheckResponse()
