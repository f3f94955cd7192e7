"""What a device signs counts for that device, for that call, for now, and once; and so do keys."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from authy_grpc.phone.state import new_key
from authy_grpc.v1 import account_pb2 as account
from authy_grpc.v1 import authenticator_pb2 as authenticator
from authy_grpc.v1.account_pb2 import DeviceProof
from tests.forging import Device, flipped, millis, reason, twin
from tests.harness import Service
from tests.test_contract import methods, path

Call = Callable[[DeviceProof], Awaitable[Any]]
OTHER_NUMBER = "+4915112345679"


class Scene:
    """Two devices of one account, a third that waits, one of another account, and a link."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.own, self.second = Device(service), Device(service)
        self.waiting, self.stranger = Device(service), Device(service)
        self.site_id = ""

    async def set_up(self) -> None:
        clock = self.service.clock
        await self.stranger.register(OTHER_NUMBER)
        await self.own.register()
        for device in (self.second, self.waiting):
            clock.turn(minutes=10)
            await device.register()
        self.site_id = (await self.own.accept(await self.offer())).site_id
        clock.turn(seconds=1)

    async def offer(self) -> str:
        """The QR code of an enrollment at a site of its own."""
        site = await self.service.site()
        from authy_grpc.v1.enrollment_pb2 import CreateEnrollmentRequest

        made = await site.client.enrollments.CreateEnrollment(CreateEnrollmentRequest(custom_user_id="ada"))
        return made.qr.uri

    async def check(self) -> str:
        """What the waiting device shows."""
        answer = await self.waiting.call(self.waiting.account.ListDevices, account.ListDevicesRequest())
        return str(answer.devices[0].check)
