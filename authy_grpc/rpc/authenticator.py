"""Serves AuthenticatorService. Questions and activity are in `answer.py`."""

from authy_grpc.domain.site import NewKey, Site
from authy_grpc.rpc import auth, encode
from authy_grpc.rpc.account import proof
from authy_grpc.rpc.answer import AnswerCalls
from authy_grpc.rpc.call import Context
from authy_grpc.rpc.streams import Streams
from authy_grpc.service.answer import Answers
from authy_grpc.service.inbox import Inbox
from authy_grpc.service.scan import Scans
from authy_grpc.service.site import Sites
from authy_grpc.store.fair import in_slices
from authy_grpc.v1 import authenticator_pb2 as pb


class AuthenticatorServicer(AnswerCalls):
    """What an authenticator does for its owner."""

    def __init__(
        self, *, scans: Scans, sites: Sites, answers: Answers, inbox: Inbox, streams: Streams
    ) -> None:
        super().__init__(answers, inbox, streams)
        self._scans = scans
        self._sites = sites

    async def OpenEnrollment(
        self, request: pb.OpenEnrollmentRequest, context: Context
    ) -> pb.OpenEnrollmentResponse:
        offer = await self._scans.open(auth.device(), request.token)
        return pb.OpenEnrollmentResponse(
            site_name=offer.site_name,
            logo_id=offer.logo_id,
            origin=offer.origin,
            create_time=encode.timestamp(offer.create_time),
            expire_time=encode.timestamp(offer.expire_time),
            requires_code=offer.requires_code,
        )

    async def AcceptEnrollment(
        self, request: pb.AcceptEnrollmentRequest, context: Context
    ) -> pb.AcceptEnrollmentResponse:
        linked = await self._scans.accept(auth.device(), request.token, _key(request))
        return pb.AcceptEnrollmentResponse(site=_site(linked))

    async def RejectEnrollment(
        self, request: pb.RejectEnrollmentRequest, context: Context
    ) -> pb.RejectEnrollmentResponse:
        await self._scans.reject(auth.device(), request.token)
        return pb.RejectEnrollmentResponse()

    async def ListSites(self, request: pb.ListSitesRequest, context: Context) -> pb.ListSitesResponse:
        found = await self._sites.list_sites(auth.device())
        return pb.ListSitesResponse(sites=await in_slices(_site, found))

    async def GetLogo(self, request: pb.GetLogoRequest, context: Context) -> pb.GetLogoResponse:
        return pb.GetLogoResponse(logo=await self._sites.get_logo(auth.device(), request.logo_id))

    async def AddSiteKey(self, request: pb.AddSiteKeyRequest, context: Context) -> pb.AddSiteKeyResponse:
        keyed = await self._sites.add_key(auth.device(), request.site_id, _key(request))
        return pb.AddSiteKeyResponse(site=_site(keyed))

    async def UpdateSite(self, request: pb.UpdateSiteRequest, context: Context) -> pb.UpdateSiteResponse:
        signed = proof(request.proof)
        named = await self._sites.update(auth.device(), request.site_id, request.label, signed)
        return pb.UpdateSiteResponse(site=_site(named))

    async def RemoveSite(self, request: pb.RemoveSiteRequest, context: Context) -> pb.RemoveSiteResponse:
        await self._sites.remove(auth.device(), request.site_id, proof(request.proof))
        return pb.RemoveSiteResponse()


def _key(request: pb.AcceptEnrollmentRequest | pb.AddSiteKeyRequest) -> NewKey:
    return NewKey(request.site_key, request.site_key_proof, request.signature)


def _site(value: Site) -> pb.Site:
    return pb.Site(
        site_id=value.site_id,
        name=value.name,
        logo_id=value.logo_id,
        code_digits=value.code_digits,
        code_period_seconds=value.code_period_seconds,
        create_time=encode.timestamp(value.create_time),
        last_use_time=encode.timestamp(value.last_use_time),
        has_key=value.has_key,
        label=value.label,
        awaiting_code=value.awaiting_code,
        origin=value.origin,
    )
