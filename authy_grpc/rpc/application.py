"""Serves ApplicationService."""

from datetime import UTC, datetime
from typing import Any

from authy_grpc.domain.application import Application
from authy_grpc.rpc import auth, encode
from authy_grpc.rpc.call import Context
from authy_grpc.service.application import Applications
from authy_grpc.store.fair import in_slices
from authy_grpc.v1 import application_pb2 as pb
from authy_grpc.v1.application_pb2_grpc import ApplicationServiceServicer

_UNSET = datetime(1970, 1, 1, tzinfo=UTC)


class ApplicationServicer(ApplicationServiceServicer):
    """The relying sites that this installation serves."""

    def __init__(self, applications: Applications) -> None:
        self._applications = applications

    async def CreateApplication(
        self, request: pb.CreateApplicationRequest, context: Context
    ) -> pb.CreateApplicationResponse:
        made = await self._applications.create(auth.operator(), _draft(request.application))
        return pb.CreateApplicationResponse(application=encode.application(made))

    async def GetApplication(
        self, request: pb.GetApplicationRequest, context: Context
    ) -> pb.GetApplicationResponse:
        found = await self._applications.get(auth.operator(), request.application_id)
        return pb.GetApplicationResponse(application=encode.application(found))

    async def GetCurrentApplication(
        self, request: pb.GetCurrentApplicationRequest, context: Context
    ) -> pb.GetCurrentApplicationResponse:
        found = await self._applications.current(auth.site())
        return pb.GetCurrentApplicationResponse(application=encode.application(found))

    async def ListApplications(
        self, request: pb.ListApplicationsRequest, context: Context
    ) -> pb.ListApplicationsResponse:
        found, token = await self._applications.list_page(
            auth.operator(), request.page_size, request.page_token
        )
        return pb.ListApplicationsResponse(
            applications=await in_slices(encode.application, found), next_page_token=token
        )

    async def UpdateApplication(
        self, request: pb.UpdateApplicationRequest, context: Context
    ) -> pb.UpdateApplicationResponse:
        changed = await self._applications.update(
            auth.operator(), request.application.application_id, _changes(request)
        )
        return pb.UpdateApplicationResponse(application=encode.application(changed))

    async def DeleteApplication(
        self, request: pb.DeleteApplicationRequest, context: Context
    ) -> pb.DeleteApplicationResponse:
        await self._applications.delete(auth.operator(), request.application_id)
        return pb.DeleteApplicationResponse()

    async def CreateApiKey(
        self, request: pb.CreateApiKeyRequest, context: Context
    ) -> pb.CreateApiKeyResponse:
        made = await self._applications.create_key(
            auth.operator(),
            request.application_id,
            request.name,
            encode.scopes(request.scopes),
            encode.time_or_none(request, "expire_time"),
        )
        return pb.CreateApiKeyResponse(api_key=encode.api_key(made.api_key), secret=made.secret)

    async def ListApiKeys(self, request: pb.ListApiKeysRequest, context: Context) -> pb.ListApiKeysResponse:
        found = await self._applications.list_keys(auth.operator(), request.application_id)
        return pb.ListApiKeysResponse(api_keys=await in_slices(encode.api_key, found))

    async def RevokeApiKey(
        self, request: pb.RevokeApiKeyRequest, context: Context
    ) -> pb.RevokeApiKeyResponse:
        await self._applications.revoke_key(auth.operator(), request.api_key_id)
        return pb.RevokeApiKeyResponse()


def _draft(message: pb.Application) -> Application:
    return Application(
        application_id="",
        name=message.name,
        origin=message.origin,
        logo=message.logo,
        code_digits=message.code_digits or 6,
        code_period_seconds=message.code_period_seconds or 30,
        create_time=_UNSET,
        **_optional(message),
    )


def _changes(request: pb.UpdateApplicationRequest) -> dict[str, Any]:
    """What the mask names; of a field that is named and unset, the value that a new site would have."""
    message = request.application
    values = {"name": message.name, "origin": message.origin, "logo": message.logo, **_optional(message)}
    return {path: values[path] for path in request.update_mask.paths}


def _optional(message: pb.Application) -> dict[str, Any]:
    return {
        "match_digits": message.match_digits if message.HasField("match_digits") else 6,
        "phone_codes": message.phone_codes if message.HasField("phone_codes") else True,
        "require_code": message.require_code,
    }
