"""The devices of a test that forges, and the calls by which a device signs for something."""

from dataclasses import dataclass
from typing import Any, Self

from google.protobuf.field_mask_pb2 import FieldMask

from authy_grpc.v1 import account_pb2 as account
from authy_grpc.v1 import authenticator_pb2 as authenticator
from authy_grpc.v1.enrollment_pb2 import CreateEnrollmentRequest, CreateEnrollmentResponse
from authy_grpc.v1.user_pb2 import GetUserRequest, User
from tests.forging import Device, reason
from tests.harness import Service, Site


@dataclass
class Household:
    """Two devices of one account, one that waits to join them, and one of another account; a link."""

    service: Service
    own: Device
    second: Device
    waiting: Device
    stranger: Device
    site: Site
    authy_id: str = ""
    site_id: str = ""
    check: str = ""

    @classmethod
    async def of(cls, service: Service) -> Self:
        """Set all up; it takes a minute of the turned clock."""
        own, second, waiting, stranger = [Device(service) for _ in range(4)]
        home = cls(service, own, second, waiting, stranger, await service.site())
        await stranger.register("+4915112345679")
        await own.register()
        service.clock.turn(seconds=30)
        check = (await second.register()).device.check
        request = account.ApproveDeviceRequest(
            device_id=second.device_id,
            check=check,
            proof=own.proof("AccountService/ApproveDevice", second.device_id, check),
        )
        await own.call(own.account.ApproveDevice, request)
        service.clock.turn(seconds=30)
        home.check = (await waiting.register()).device.check
        made = await home.begin("ada")
        home.site_id = (await own.accept(made.qr.uri)).site_id
        home.authy_id = (await home.user()).authy_id
        return home

    async def begin(self, custom_user_id: str, **fields: Any) -> CreateEnrollmentResponse:
        """An enrollment at the site."""
        request = CreateEnrollmentRequest(custom_user_id=custom_user_id, **fields)
        return await self.site.client.enrollments.CreateEnrollment(request)

    async def user(self, custom_user_id: str = "ada", site: Site | None = None) -> User:
        """A user as a site sees it."""
        request = GetUserRequest(custom_user_id=custom_user_id)
        return (await (site or self.site).client.users.GetUser(request)).user


class Asking:
    """One call that takes a proof: what the proof names, and the request around it."""

    def __init__(self, home: Household, method: str) -> None:
        self.method, self.own = method, home.own
        device_id = home.waiting.device_id
        mask = FieldMask(paths=["phone_codes"])
        stubs, self.names, self.request = {
            "CreateSession": (
                self.own.account,
                (),
                account.CreateSessionRequest(device_id=self.own.device_id),
            ),
            "UpdateAccount": (
                self.own.account,
                ("-", "0"),
                account.UpdateAccountRequest(account=account.Account(phone_codes=False), update_mask=mask),
            ),
            "DeleteAccount": (self.own.account, (), account.DeleteAccountRequest()),
            "UpdateDevice": (
                self.own.account,
                (device_id, "Stranger's"),
                account.UpdateDeviceRequest(device_id=device_id, name="Stranger's"),
            ),
            "AcknowledgeDevice": (
                self.own.account,
                (device_id,),
                account.AcknowledgeDeviceRequest(device_id=device_id),
            ),
            "ApproveDevice": (
                self.own.account,
                (device_id, home.check),
                account.ApproveDeviceRequest(device_id=device_id, check=home.check),
            ),
            "RevokeDevice": (
                self.own.account,
                (device_id,),
                account.RevokeDeviceRequest(device_id=device_id),
            ),
            "UpdateSite": (
                self.own.authenticator,
                (home.site_id, "Mine"),
                authenticator.UpdateSiteRequest(site_id=home.site_id, label="Mine"),
            ),
            "RemoveSite": (
                self.own.authenticator,
                (home.site_id,),
                authenticator.RemoveSiteRequest(site_id=home.site_id),
            ),
        }[method.partition("/")[2]]
        self._call: Any = getattr(stubs, method.partition("/")[2])

    async def __call__(self, proof: account.DeviceProof | None, **fields: Any) -> str:
        """OK, or why it is refused; with other fields than the right ones where they are given."""
        request: Any = type(self.request)()
        request.CopyFrom(self.request)
        for name, value in fields.items():
            setattr(request, name, value)
        if proof is not None:
            request.proof.CopyFrom(proof)
        return await reason(self.own.call(self._call, request))

    def proof(self, **other: Any) -> account.DeviceProof:
        """A right proof, or one that differs in something."""
        return self.own.proof(self.method, *self.names, **other)
