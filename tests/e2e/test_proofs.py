"""A device's proof counts for that device, for that call, for now, and once; faults are told in one order."""

import asyncio
from collections import Counter
from collections.abc import Callable
from random import Random

import grpc
import pytest

from authy_grpc.phone import PhoneError
from authy_grpc.rpc.contract import PACKAGE
from authy_grpc.v1 import account_pb2 as account
from authy_grpc.v1.account_pb2 import DeviceProof
from tests.forging import flipped, millis, reason, twin
from tests.harness import Service
from tests.household import Asking, Household
from tests.test_contract import methods, path

Figure = Callable[[int, int], int]
MINUTE = 60_000


# In an order in which each leaves the others possible.
CALLS = (
    "AccountService/CreateSession",
    "AccountService/UpdateAccount",
    "AccountService/UpdateDevice",
    "AccountService/AcknowledgeDevice",
    "AccountService/ApproveDevice",
    "AccountService/RevokeDevice",
    "AuthenticatorService/UpdateSite",
    "AuthenticatorService/RemoveSite",
    "AccountService/DeleteAccount",
)
# They stay UNIMPLEMENTED for now, see tests/e2e/test_secrets.py.
LATER = {"AccountService/ChangePhone", "AccountService/SetPushSubscription"}


@pytest.fixture
async def home(service: Service) -> Household:
    return await Household.of(service)


def test_every_call_that_takes_a_proof_is_tried() -> None:
    taking = {
        path(method).removeprefix(PACKAGE)
        for method in methods()
        if (field := method.input_type.fields_by_name.get("proof")) is not None
        and field.message_type is DeviceProof.DESCRIPTOR
    }
    assert taking == {*CALLS, *LATER}


def forgeries(home: Household, asking: Asking, good: DeviceProof, bits: int) -> dict[str, DeviceProof | None]:
    """What is no proof for a call: most are of the present time, and well signed for something else."""
    method, names, own, at = asking.method, asking.names, home.own, good.time_millis
    forged = {
        "none": None,
        "no signature": DeviceProof(time_millis=at),
        "another time than was signed": DeviceProof(time_millis=at + 1, signature=good.signature),
        "another key of the device": asking.proof(key=own.agreement),
        "another device, for this one": asking.proof(key=home.second.signing),
        "another device, for itself": home.second.proof(method, *names),
        "a device of another account": home.stranger.proof(method, *names),
        "this device's key, for another": asking.proof(device_id=home.second.device_id),
        "more names": own.proof(method, *names, "-"),
        "other names": own.proof(method, *names[:-1], "apr_01"),
        "r and s swapped": DeviceProof(time_millis=at, signature=good.signature[32:] + good.signature[:32]),
        "zeros": DeviceProof(time_millis=at, signature=bytes(64)),
    }
    forged |= {f"for {call}": own.proof(call, *names) for call in (*CALLS, *LATER) if call != method}
    return forged | {
        f"bit {bit}": DeviceProof(time_millis=at, signature=flipped(good.signature, bit))
        for bit in Random(method).sample(range(512), bits)
    }


async def test_what_is_no_proof_for_a_call(home: Household, figure: Figure) -> None:
    for method in CALLS:
        home.service.clock.turn(seconds=1)
        asking = Asking(home, method)
        good = asking.proof()
        for name, proof in forgeries(home, asking, good, figure(10, 512)).items():
            assert await asking(proof) == "BAD_CREDENTIAL", (method, name)
            # A proof that is wrong in both ways is told of the signature alone.
            late = DeviceProof(time_millis=1, signature=proof.signature if proof else b"")
            assert await asking(late) == "BAD_CREDENTIAL", (method, name)
        # The control: the proof that they were made of is taken, and was not used up by them.
        assert await asking(good) == "OK", method


async def test_a_proof_is_of_now_and_later_than_the_last(home: Household) -> None:
    own = home.own
    for method in CALLS:
        asking = Asking(home, method)
        home.service.clock.turn(minutes=2)
        assert await reason(own.open()) == "OK"
        last = own.last
        home.service.clock.turn(seconds=30)
        now = millis(home.service.clock())
        for at in (now - MINUTE - 1, now + MINUTE + 1, last, last - 1, 0, 2**62):
            assert await asking(asking.proof(at=at)) == "CLOCK_SKEW", (method, at - now)
            # The order holds: who cannot sign learns nothing of the clock.
            assert await asking(asking.proof(at=at, key=home.stranger.signing)) == "BAD_CREDENTIAL"
        assert await asking(asking.proof(at=now + MINUTE)) == "OK", method


async def test_a_clock_that_is_off_is_told_the_time(home: Household) -> None:
    now = millis(home.service.clock())
    proof = home.own.proof("AccountService/CreateSession", at=now - MINUTE - 1)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await home.own.account.CreateSession(
            account.CreateSessionRequest(device_id=home.own.device_id, proof=proof)
        )
    assert PhoneError.read(caught.value).metadata == {"server_time": str(now)}


async def test_a_proof_is_taken_once(home: Household, figure: Figure) -> None:
    for method in ("AccountService/CreateSession", "AccountService/UpdateAccount"):
        asking = Asking(home, method)
        # Of many sessions of a device the oldest ends.
        await home.own.open()
        for _ in range(figure(2, 50)):
            home.service.clock.turn(seconds=1)
            proof = asking.proof()
            again = DeviceProof(time_millis=proof.time_millis, signature=twin(proof.signature))
            tries = [asking(each) for each in [proof, again] * 20]
            assert Counter(await asyncio.gather(*tries)) == {"OK": 1, "CLOCK_SKEW": len(tries) - 1}
        home.service.clock.turn(seconds=1)
        earlier, later = asking.proof(), asking.proof()
        assert await asking(later) == "OK"
        assert await asking(earlier) == "CLOCK_SKEW"


async def test_a_proof_is_looked_at_before_what_it_is_for(home: Household) -> None:
    """And is used up by what is refused afterwards."""
    for method in CALLS[2:-1]:
        asking = Asking(home, method)
        name, unknown = "device_id", home.stranger.device_id
        if method.startswith("AuthenticatorService/"):
            name, unknown = "site_id", "sit_" + "0" * 26
        assert await asking(asking.proof(), **{name: unknown}) == "BAD_CREDENTIAL"
        proof = home.own.proof(method, unknown, *asking.names[1:])
        assert await asking(proof, **{name: unknown}) == "NOT_FOUND"
        assert await asking(proof, **{name: unknown}) == "CLOCK_SKEW"
        assert await asking(asking.proof()) == "OK"


async def test_a_device_that_is_out_signs_for_nothing(home: Household) -> None:
    session = Asking(home, "AccountService/CreateSession")
    update = Asking(home, "AccountService/UpdateAccount")
    revoke = Asking(home, "AccountService/RevokeDevice")
    own_id = home.own.device_id
    assert await revoke(home.own.proof(revoke.method, own_id), device_id=own_id) == "OK"
    for asking in (session, update, revoke):
        assert await asking(asking.proof()) == "BAD_CREDENTIAL"
