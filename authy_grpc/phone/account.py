"""The account's side of a phone: registration, the account's settings and its devices."""

import grpc
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from google.protobuf.field_mask_pb2 import FieldMask

from authy_grpc.domain import keys
from authy_grpc.domain.errors import BadSignature
from authy_grpc.phone.errors import PhoneError
from authy_grpc.phone.session import Session, send
from authy_grpc.phone.state import State, new_key
from authy_grpc.v1 import account_pb2
from authy_grpc.v1.account_pb2_grpc import AccountServiceStub


class AccountCalls:
    """What a phone asks of AccountService. Every call may raise PhoneError."""

    def __init__(self, channel: grpc.aio.Channel, session: Session) -> None:
        self._account = AccountServiceStub(channel)
        self._session = session
        self._new_keys: dict[str, tuple[EllipticCurvePrivateKey, EllipticCurvePrivateKey]] = {}

    @property
    def device_id(self) -> str:
        """Of this phone; a PhoneError before registration."""
        return self._session.keeper.state.device_id

    @property
    def registered(self) -> bool:
        """Whether this phone is a device of an account."""
        return self._session.keeper.registered

    async def start(
        self,
        number: str,
        *,
        channel: "account_pb2.PhoneChannel.ValueType" = account_pb2.PHONE_CHANNEL_SMS,
        locale: str = "",
        registration_proof: str = "",
    ) -> account_pb2.StartPhoneVerificationResponse:
        """Has a code sent to a number, E.164 such as +15005550006."""
        return await send(
            self._account.StartPhoneVerification,
            account_pb2.StartPhoneVerificationRequest(
                phone_number=number,
                channel=channel,
                locale=locale,
                purpose=account_pb2.PHONE_PURPOSE_REGISTER_DEVICE,
                registration_proof=registration_proof,
            ),
        )

    async def register(
        self,
        verification: account_pb2.StartPhoneVerificationResponse,
        code: str,
        name: str,
        *,
        platform: "account_pb2.DevicePlatform.ValueType" = account_pb2.DEVICE_PLATFORM_DESKTOP,
        fresh_account: bool = False,
        recovery_code: str = "",
    ) -> account_pb2.RegisterDeviceResponse:
        """Makes this phone a device of the number's account, and opens a session.

        Called again for the same verification it brings the same keys, so that a lost answer costs nothing.

        Args:
            verification: what `start` answered.
            code: as it came to the number.
            name: of the device, 1 to 60 characters.
            platform: what the device says it runs on.
            fresh_account: leave the number's earlier account to its devices and open an empty one.
            recovery_code: of the account; lets the device in at once.

        Returns:
            The answer as it came. A `recovery_code` in it is kept nowhere: it is the owner's to write down.
        """
        if self.registered:
            raise PhoneError("this phone is registered already")
        verification_id = verification.verification_id
        signing, agreement = self._new_keys.setdefault(verification_id, (new_key(), new_key()))
        points = keys.public_point(signing), keys.public_point(agreement)
        response = await send(
            self._account.RegisterDevice,
            account_pb2.RegisterDeviceRequest(
                verification_id=verification_id,
                code=code,
                name=name,
                platform=platform,
                signing_key=points[0],
                agreement_key=points[1],
                signature=keys.sign(signing, keys.registration_message(verification_id, *points)),
                fresh_account=fresh_account,
                recovery_code=recovery_code,
            ),
        )
        _check_point(response.server_agreement_key)
        self._session.keeper.create(
            State(response.device.device_id, signing, agreement, response.server_agreement_key)
        )
        self._new_keys.clear()
        await self._session.open()
        return response

    async def account(self) -> account_pb2.Account:
        """The account, its number included."""
        response = await self._session.call(self._account.GetAccount, account_pb2.GetAccountRequest())
        return response.account

    async def update_account(
        self,
        *,
        new_device_policy: "account_pb2.NewDevicePolicy.ValueType | None" = None,
        phone_codes: bool | None = None,
    ) -> account_pb2.Account:
        """Changes what is given: how new devices are let in, whether sites may send codes to the number."""
        request = account_pb2.UpdateAccountRequest(update_mask=FieldMask())
        names = ["-", "-"]
        if new_device_policy is not None:
            request.account.new_device_policy = new_device_policy
            request.update_mask.paths.append("new_device_policy")
            names[0] = str(new_device_policy)
        if phone_codes is not None:
            request.account.phone_codes = phone_codes
            request.update_mask.paths.append("phone_codes")
            names[1] = str(int(phone_codes))
        response = await self._session.prove(
            self._account.UpdateAccount, "AccountService/UpdateAccount", request, *names
        )
        return response.account

    async def delete_account(self) -> None:
        """Erases the account, and all that this phone keeps."""
        await self._session.prove(
            self._account.DeleteAccount, "AccountService/DeleteAccount", account_pb2.DeleteAccountRequest()
        )
        self._forget()

    async def devices(self) -> list[account_pb2.Device]:
        """The account's devices, the revoked ones of the last 30 days too."""
        response = await self._session.call(self._account.ListDevices, account_pb2.ListDevicesRequest())
        return list(response.devices)

    async def rename_device(self, device_id: str, name: str) -> account_pb2.Device:
        """Gives a device another name, 1 to 60 characters."""
        request = account_pb2.UpdateDeviceRequest(device_id=device_id, name=name)
        if device_id == self.device_id:
            response = await self._session.call(self._account.UpdateDevice, request)
        else:
            response = await self._session.prove(
                self._account.UpdateDevice, "AccountService/UpdateDevice", request, device_id, name
            )
        return response.device

    async def acknowledge_device(self, device_id: str) -> account_pb2.Device:
        """Says that the owner was shown a device that waits, which is let in 24 h after the first time.

        For callers that have just shown it, and not for such as only list devices.
        """
        response = await self._session.prove(
            self._account.AcknowledgeDevice,
            "AccountService/AcknowledgeDevice",
            account_pb2.AcknowledgeDeviceRequest(device_id=device_id),
            device_id,
        )
        return response.device

    async def approve_device(self, device_id: str, check: str) -> account_pb2.Device:
        """Lets in a device that waits; `check` are the six digits that it shows."""
        response = await self._session.prove(
            self._account.ApproveDevice,
            "AccountService/ApproveDevice",
            account_pb2.ApproveDeviceRequest(device_id=device_id, check=check),
            device_id,
            check,
        )
        return response.device

    async def revoke_device(self, device_id: str) -> None:
        """Puts a device out. Where it is this phone, all that the phone keeps goes too."""
        await self._session.prove(
            self._account.RevokeDevice,
            "AccountService/RevokeDevice",
            account_pb2.RevokeDeviceRequest(device_id=device_id),
            device_id,
        )
        if device_id == self.device_id:
            self._forget()

    async def sign_out(self) -> None:
        """Ends the session, its open streams too. The keys stay: the next call opens another."""
        await self._session.call(self._account.DeleteSession, account_pb2.DeleteSessionRequest())
        self._session.forget()

    def _forget(self) -> None:
        self._session.keeper.erase()
        self._session.forget()


def _check_point(point: bytes) -> None:
    try:
        keys.load_point(point)
    except BadSignature:
        raise PhoneError("the service's agreement key is none") from None
