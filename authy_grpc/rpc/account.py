"""Serves AccountService."""

from authy_grpc.domain.account import Account
from authy_grpc.domain.device import Device, DevicePlatform, NewDevicePolicy, Proof
from authy_grpc.domain.phone import PhoneChannel, PhonePurpose
from authy_grpc.rpc import auth, encode
from authy_grpc.rpc.call import Context
from authy_grpc.service.account import OwnAccount
from authy_grpc.service.device import Devices
from authy_grpc.service.phone_verification import PhoneVerifications
from authy_grpc.service.registration import NewDevice, Registrations
from authy_grpc.service.session import Sessions
from authy_grpc.v1 import account_pb2 as pb
from authy_grpc.v1.account_pb2_grpc import AccountServiceServicer


class AccountServicer(AccountServiceServicer):
    """A person's account and the devices on it."""

    def __init__(
        self,
        *,
        phone_verifications: PhoneVerifications,
        registrations: Registrations,
        sessions: Sessions,
        account: OwnAccount,
        devices: Devices,
    ) -> None:
        self._phone_verifications = phone_verifications
        self._registrations = registrations
        self._sessions = sessions
        self._account = account
        self._devices = devices

    async def StartPhoneVerification(
        self, request: pb.StartPhoneVerificationRequest, context: Context
    ) -> pb.StartPhoneVerificationResponse:
        if request.purpose == pb.PHONE_PURPOSE_CHANGE_NUMBER:
            # No code goes out that nothing takes: ChangePhone is not built.
            super().StartPhoneVerification(request, context)  # type: ignore[arg-type]
        voice = request.channel == pb.PHONE_CHANNEL_VOICE
        started = await self._phone_verifications.start(
            auth.nobody(),
            request.phone_number,
            PhoneChannel.VOICE if voice else PhoneChannel.SMS,
            PhonePurpose.REGISTER_DEVICE,
        )
        return pb.StartPhoneVerificationResponse(
            verification_id=started.verification_id,
            expire_time=encode.timestamp(started.expire_time),
            retry_delay=encode.duration(started.retry_delay),
        )

    async def RegisterDevice(
        self, request: pb.RegisterDeviceRequest, context: Context
    ) -> pb.RegisterDeviceResponse:
        added = await self._registrations.register(auth.nobody(), _new_device(request))
        return pb.RegisterDeviceResponse(
            device=_device(added.device),
            server_agreement_key=added.server_agreement_key,
            other_devices=added.other_devices,
            account_create_time=encode.timestamp(added.account_create_time),
            recovery_code=added.recovery_code,
        )

    async def CreateSession(
        self, request: pb.CreateSessionRequest, context: Context
    ) -> pb.CreateSessionResponse:
        made = await self._sessions.create(auth.nobody(), request.device_id, proof(request.proof))
        return pb.CreateSessionResponse(
            device_token=made.device_token,
            expire_time=encode.timestamp(made.expire_time),
            server_time=encode.timestamp(made.server_time),
        )

    async def DeleteSession(
        self, request: pb.DeleteSessionRequest, context: Context
    ) -> pb.DeleteSessionResponse:
        await self._sessions.delete(auth.device())
        return pb.DeleteSessionResponse()

    async def GetAccount(self, request: pb.GetAccountRequest, context: Context) -> pb.GetAccountResponse:
        return pb.GetAccountResponse(account=_account(await self._account.get(auth.device())))

    async def UpdateAccount(
        self, request: pb.UpdateAccountRequest, context: Context
    ) -> pb.UpdateAccountResponse:
        named, asked = set(request.update_mask.paths), request.account
        on = asked.phone_codes or not asked.HasField("phone_codes")
        changed = await self._account.update(
            auth.device(),
            proof(request.proof),
            new_device_policy=_POLICIES[asked.new_device_policy] if "new_device_policy" in named else None,
            phone_codes=on if "phone_codes" in named else None,
        )
        return pb.UpdateAccountResponse(account=_account(changed))

    async def DeleteAccount(
        self, request: pb.DeleteAccountRequest, context: Context
    ) -> pb.DeleteAccountResponse:
        await self._account.delete(auth.device(), proof(request.proof))
        return pb.DeleteAccountResponse()

    async def ListDevices(self, request: pb.ListDevicesRequest, context: Context) -> pb.ListDevicesResponse:
        found = await self._devices.list_all(auth.device())
        return pb.ListDevicesResponse(devices=[_device(each) for each in found])

    async def UpdateDevice(
        self, request: pb.UpdateDeviceRequest, context: Context
    ) -> pb.UpdateDeviceResponse:
        renamed = await self._devices.rename(
            auth.device(), request.device_id, request.name, proof(request.proof)
        )
        return pb.UpdateDeviceResponse(device=_device(renamed))

    async def AcknowledgeDevice(
        self, request: pb.AcknowledgeDeviceRequest, context: Context
    ) -> pb.AcknowledgeDeviceResponse:
        waiting = await self._devices.acknowledge(auth.device(), request.device_id, proof(request.proof))
        return pb.AcknowledgeDeviceResponse(device=_device(waiting))

    async def ApproveDevice(
        self, request: pb.ApproveDeviceRequest, context: Context
    ) -> pb.ApproveDeviceResponse:
        let_in = await self._devices.approve(
            auth.device(), request.device_id, request.check, proof(request.proof)
        )
        return pb.ApproveDeviceResponse(device=_device(let_in))

    async def RevokeDevice(
        self, request: pb.RevokeDeviceRequest, context: Context
    ) -> pb.RevokeDeviceResponse:
        await self._devices.revoke(auth.device(), request.device_id, proof(request.proof))
        return pb.RevokeDeviceResponse()


def proof(message: pb.DeviceProof) -> Proof:
    """A DeviceProof; one that is missing has no signature."""
    return Proof(message.time_millis, message.signature)


def _new_device(request: pb.RegisterDeviceRequest) -> NewDevice:
    return NewDevice(
        verification_id=request.verification_id,
        code=request.code,
        name=request.name,
        platform=_PLATFORMS[request.platform],
        signing_key=request.signing_key,
        agreement_key=request.agreement_key,
        signature=request.signature,
    )


def _account(value: Account) -> pb.Account:
    return pb.Account(
        phone_number=value.phone_number,
        new_device_policy=pb.NewDevicePolicy.Value(f"NEW_DEVICE_POLICY_{value.new_device_policy}"),
        create_time=encode.timestamp(value.create_time),
        phone_codes=value.phone_codes,
    )


def _device(value: Device) -> pb.Device:
    return pb.Device(
        device_id=value.device_id,
        name=value.name,
        platform=pb.DevicePlatform.Value(f"DEVICE_PLATFORM_{value.platform}"),
        state=pb.DeviceState.Value(f"DEVICE_STATE_{value.state}"),
        create_time=encode.timestamp(value.create_time),
        last_seen_time=encode.timestamp(value.last_seen_time),
        release_time=encode.timestamp(value.release_time),
        current=value.current,
        check=value.check,
        limited_until=encode.timestamp(value.limited_until),
    )


_POLICIES: dict[int, NewDevicePolicy] = {
    pb.NewDevicePolicy.Value(f"NEW_DEVICE_POLICY_{each}"): each for each in NewDevicePolicy
}
_PLATFORMS: dict[int, DevicePlatform] = {
    pb.DevicePlatform.Value(f"DEVICE_PLATFORM_{each}"): each for each in DevicePlatform
}
