"""What a device that was let in by time may call: all device calls, as the contract has them."""

from typing import Any

import pytest
from google.protobuf import descriptor_pool

from authy_grpc.rpc.auth import NEEDS
from authy_grpc.service.caller import Device as DeviceCaller
from authy_grpc.v1 import account_pb2 as account
from authy_grpc.v1 import options_pb2
from tests.e2e.methods import REQUESTS, UNBUILT, path
from tests.e2e.rehearsing import PROVEN, kinds
from tests.forging import Device, reason
from tests.harness import Service
from tests.household import Household


@pytest.fixture
async def home(service: Service) -> Household:
    home = await Household.of(service)
    service.clock.turn(days=7)
    await service.due()
    for device in (home.own, home.waiting):
        await device.open()
    return home


def device_calls() -> list[str]:
    """Every method that a device's token is for, built or not."""
    return sorted(name.removeprefix(path("")) for name, need in NEEDS.items() if need.kind is DeviceCaller)


async def became(device: Device, name: str) -> str:
    """What a well-formed request that finds nothing is answered, with a right proof where it takes one."""
    service, _, method = name.partition("/")
    stub = device.account if service == "AccountService" else device.authenticator
    request: Any = kinds(path(name))[0]()
    if name in REQUESTS:
        request.CopyFrom(REQUESTS[name])
    if path(name) in PROVEN:
        request.proof.CopyFrom(device.proof(name, *PROVEN[path(name)](request)))
    call = getattr(stub, method)
    metadata = (("authorization", f"Bearer {device.token}"),)
    if name.endswith("/WatchInbox"):
        stream = call(request, metadata=metadata)
        answer = await reason(anext(aiter(stream)))
        stream.cancel()
        return answer
    return await reason(call(request, metadata=metadata))


def access_to(name: str) -> options_pb2.Access:
    """What the contract says of who may make a call."""
    method = descriptor_pool.Default().FindMethodByName(path(name)[1:].replace("/", "."))
    return method.GetOptions().Extensions[options_pb2.access]


def listed() -> set[str]:
    """What the contract refuses to a limited device, of itself or of another."""
    return {
        name.partition("/")[2]
        for name in device_calls()
        if not (access := access_to(name)).limited or access.itself_alone
    }


async def test_a_limited_device_may_call_what_the_contract_marks_and_no_more(home: Household) -> None:
    refused = listed()
    # What takes a proof is what is refused: a new call that takes one is refused or fails here.
    proven = {
        name.partition("/")[2]
        for name in device_calls()
        if "proof" in kinds(path(name))[0].DESCRIPTOR.fields_by_name
    }
    assert proven == refused
    # The last would end what the others need.
    for name in sorted(device_calls(), key=lambda name: name.endswith("/DeleteSession")):
        method, answer = name.partition("/")[2], await became(home.waiting, name)
        if name in UNBUILT:
            assert answer == "UNIMPLEMENTED", name
        else:
            assert (answer == "DEVICE_HELD") == (method in refused), (name, answer)


async def test_the_control_is_a_device_that_was_approved(home: Household) -> None:
    for name in sorted(device_calls(), key=lambda name: name.endswith("/DeleteSession")):
        if not name.endswith("/DeleteAccount"):
            assert await became(home.own, name) != "DEVICE_HELD", name


async def test_a_limited_device_may_name_itself(home: Household) -> None:
    assert {name for name in device_calls() if access_to(name).itself_alone} == {
        "AccountService/RevokeDevice",
        "AccountService/UpdateDevice",
    }
    own = home.waiting
    rename = account.UpdateDeviceRequest(device_id=own.device_id, name="Mine")
    assert await reason(own.call(own.account.UpdateDevice, rename)) == "OK"
    proof = own.proof("AccountService/RevokeDevice", own.device_id)
    revoke = account.RevokeDeviceRequest(device_id=own.device_id, proof=proof)
    assert await reason(own.call(own.account.RevokeDevice, revoke)) == "OK"
