"""What a person's account is to its owner."""

from dataclasses import dataclass, field
from datetime import datetime

from authy_grpc.domain.device import Device, NewDevicePolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account, as its own devices see it.

    Attributes:
        phone_number: E.164.
        phone_codes: whether sites may have codes sent to the number.
    """

    phone_number: str = field(repr=False)
    new_device_policy: NewDevicePolicy
    phone_codes: bool
    create_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What a new device is told, once.

    Attributes:
        server_agreement_key: the service's for this device, an uncompressed point.
        other_devices: how many ACTIVE ones the account has.
        account_create_time: of the account, which may be older than the device.
        recovery_code: with an account's first device; else empty.
    """

    device: Device
    server_agreement_key: bytes
    other_devices: int
    account_create_time: datetime
    recovery_code: str = field(default="", repr=False)
