"""What whoever has a device's token, and not its key, can change: every device call, in every table."""

from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import SQLModel

from authy_grpc.store.tx import Tx
from authy_grpc.v1 import account_pb2 as account
from authy_grpc.v1 import authenticator_pb2 as authenticator
from authy_grpc.v1.approval_pb2 import CreateApprovalRequest
from tests.e2e.methods import UNBUILT, path
from tests.e2e.rehearsing import kinds
from tests.e2e.test_limited_device import device_calls
from tests.forging import reason
from tests.harness import ORIGIN, Service
from tests.household import Asking, Household

# What a token alone is for, and the tables in which it shows.
CHANGES = {
    "AccountService/UpdateDevice": {"device", "account", "activity", "event", "budget"},
    "AccountService/DeleteSession": {"session", "event"},
    "AuthenticatorService/OpenEnrollment": {"enrollment", "event"},
    "AuthenticatorService/RejectEnrollment": {"enrollment", "event", "account", "activity"},
}
READS = {
    "AccountService/GetAccount",
    "AccountService/ListDevices",
    *(f"AuthenticatorService/{name}" for name in ("ListSites", "GetLogo", "ListActivity", "WatchInbox")),
}
# Written of every call, and of no consequence.
SEEN = {"last_seen_time"}


@pytest.fixture
async def home(service: Service) -> Household:
    home = await Household.of(service)
    await service.core.workers.stop()
    return home


async def rows(home: Household) -> dict[str, list[Any]]:
    def work(tx: Tx) -> dict[str, list[Any]]:
        return {
            name: [
                {column: value for column, value in row._mapping.items() if column not in SEEN}
                for row in tx.connection().execute(select(table).order_by(*table.primary_key)).all()
            ]
            for name, table in SQLModel.metadata.tables.items()
        }

    return await home.service.core.database.read(work)


async def requests(home: Household, name: str) -> Any:
    """A call about what there is, as its owner would make it but for what a key signs."""
    service, _, method = name.partition("/")
    stub: Any = home.own.account if service == "AccountService" else home.own.authenticator
    call = getattr(stub, method)
    request: Any = kinds(path(name))[0]()
    fields = set(request.DESCRIPTOR.fields_by_name)
    if name == "AccountService/UpdateDevice":
        request = account.UpdateDeviceRequest(device_id=home.own.device_id, name="Mine")
    elif "proof" in fields and name not in UNBUILT:
        request.CopyFrom(Asking(home, name).request)
    elif "token" in fields:
        made = await home.begin(f"for {method}")
        request.token = made.qr.uri.removeprefix(f"{ORIGIN}/app/#/e/")
        if method == "AcceptEnrollment":
            request = authenticator.AcceptEnrollmentRequest(
                token=request.token, **home.own.site_key(request.token, signed_by=home.stranger.signing)
            )
    elif method == "AddSiteKey":
        key = home.own.site_key(home.site_id, signed_by=home.stranger.signing)
        request = authenticator.AddSiteKeyRequest(site_id=home.site_id, **key)
    elif method == "RespondApproval":
        ask = CreateApprovalRequest(authy_id=home.authy_id, message="Log in?")
        asked = (await home.site.client.approvals.CreateApproval(ask)).approval
        request = authenticator.RespondApprovalRequest(approval_id=asked.approval_id, receipt="a.b.c")
    elif method == "GetLogo":
        request.logo_id = "none"
    return call, request


async def test_a_token_alone_changes_what_is_listed_and_no_more(home: Household) -> None:
    assert CHANGES.keys() | READS <= set(device_calls())
    for name in sorted(device_calls(), key=lambda name: name.endswith("/DeleteSession")):
        home.service.clock.turn(seconds=31)
        call, request = await requests(home, name)
        before = await rows(home)
        if name.endswith("/WatchInbox"):
            stream = call(request, metadata=(("authorization", f"Bearer {home.own.token}"),))
            answer = await reason(anext(aiter(stream)))
            stream.cancel()
        else:
            answer = await reason(home.own.call(call, request))
        after = await rows(home)
        changed = {table for table in before if before[table] != after[table]}
        assert changed == CHANGES.get(name, set()), (name, answer)
        if name in CHANGES or name in READS:
            assert answer in ("OK", "NOT_FOUND"), (name, answer)
        else:
            assert answer not in ("OK", "INTERNAL", "NOT_FOUND"), (name, answer)


async def test_a_token_alone_keeps_nobody_from_what_takes_a_proof(home: Household) -> None:
    """Its names are counted by themselves: the owner can still name the device what it is."""
    own, owner = home.own, home.second

    async def name(name: str) -> str:
        request = account.UpdateDeviceRequest(device_id=own.device_id, name=name)
        return await reason(own.call(own.account.UpdateDevice, request))

    answers = [await name(f"Mine {number}") for number in range(31)]
    assert answers == ["OK"] * 30 + ["RATE_LIMITED"]
    proof = owner.proof("AccountService/UpdateDevice", own.device_id, "Stolen")
    request = account.UpdateDeviceRequest(device_id=own.device_id, name="Stolen", proof=proof)
    assert await reason(owner.call(owner.account.UpdateDevice, request)) == "OK"
