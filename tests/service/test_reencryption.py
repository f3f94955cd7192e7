"""A rotation from beginning to end, beside servers: nothing is lost, and nobody comes to be there twice."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session as Direct
from sqlmodel import SQLModel, func, select, update

from authy_grpc.client import AsyncClient
from authy_grpc.domain.errors import RateLimited
from authy_grpc.domain.phone import PhoneChannel, PhonePurpose
from authy_grpc.outbound.sms.number import Numbers
from authy_grpc.phone import Phone
from authy_grpc.service.caller import Nobody
from authy_grpc.service.phone_verification import PhoneVerifications
from authy_grpc.service.reencryption import Reencrypted, Reencryption
from authy_grpc.service.registration import Registrations
from authy_grpc.store import events
from authy_grpc.store import phone_verification as verifications
from authy_grpc.store import reencrypt as store
from authy_grpc.store import text as texts
from authy_grpc.store.account import number_columns
from authy_grpc.store.database import Database
from authy_grpc.store.engine import connect
from authy_grpc.store.tables import AccountRow, EnrollmentRow, TextRow
from authy_grpc.store.tx import Tools, Tx
from authy_grpc.store.vault import Vault
from authy_grpc.v1.approval_pb2 import ApprovalState, CreateApprovalRequest, GetApprovalRequest
from authy_grpc.v1.enrollment_pb2 import ENROLLMENT_METHOD_GENERIC_TOTP, CreateEnrollmentRequest
from authy_grpc.v1.event_pb2 import ListEventsRequest
from authy_grpc.v1.user_pb2 import GetUserRequest, ListUsersRequest
from authy_grpc.v1.verification_pb2 import CreateBackupCodesRequest, SendCodeRequest
from authy_grpc.v1.webhook_pb2 import CreateWebhookRequest, ListWebhooksRequest, RotateWebhookSecretRequest
from tests import rows
from tests.clock import TurnedClock
from tests.databases import watched
from tests.harness import NUMBER, ORIGIN, Service
from tests.registering import Handset, People
from tests.rotating import keysets, servers
from tests.rushing import became, reconnect, verdict

Figure = Callable[[int, int], int]
Random = Callable[[int], bytes]


def nothing(table: str, seen: int, made: int) -> None:
    """Nobody looks on."""


async def reencrypt(url: str, text: str, progress: Callable[[str, int, int], None] = nothing) -> Reencrypted:
    database = watched(url)
    try:
        return await Reencryption(database=database, vault=Vault(text), progress=progress).run()
    finally:
        await database.close()


async def count(url: str, model: type[SQLModel]) -> int:
    database = Database(url)
    try:
        return await database.read(lambda tx: len(rows.every(tx, model)))
    finally:
        await database.close()


class Life:
    """A site with a user, of whom all is kept that can be."""

    def __init__(self, service: Service, state: Path) -> None:
        self.service = service
        self._state = state

    async def begin(self) -> None:
        service = self.service
        self.site = await service.site()
        self.phone = await service.phone(state=self._state)
        enrollment, self.linked = await service.enroll(self.site, self.phone)
        self.authy_id = enrollment.authy_id
        await self.phone.rename_site(self.linked, "My shop")
        one = self.site.client
        created = await one.verification.CreateBackupCodes(CreateBackupCodesRequest(authy_id=self.authy_id))
        self.backups = list(created.codes)
        request = SendCodeRequest(authy_id=self.authy_id, action="pay", force=True)
        await one.verification.SendCode(request)
        self.generic = await one.enrollments.CreateEnrollment(
            CreateEnrollmentRequest(
                custom_user_id="bob",
                method=ENROLLMENT_METHOD_GENERIC_TOTP,
                account_label="bob",
                request_id="generic",
            )
        )
        self.hook = (
            await one.webhooks.CreateWebhook(CreateWebhookRequest(url="https://hook.example/"))
        ).webhook
        await one.webhooks.RotateWebhookSecret(RotateWebhookSecretRequest(webhook_id=self.hook.webhook_id))
        self.asked = await self.approval()
        self.events = await self.feed()

    async def approval(self) -> str:
        """One that is approved, with all that belongs to it."""
        request = CreateApprovalRequest(
            authy_id=self.authy_id, message="Pay?", hidden_details={"order": "4711"}
        )
        asked = (await self.site.client.approvals.CreateApproval(request)).approval
        await self.phone.approve(await self.phone.question(), asked.match_number)
        return asked.approval_id

    async def feed(self) -> list[Any]:
        request = ListEventsRequest(page_size=1000, cursor="")
        return list((await self.site.client.events.ListEvents(request)).events)

    async def go_on(self, keyset: str) -> None:
        """Restart the service with another keyset."""
        service = self.service
        service.secrets = replace(service.secrets, keyset=keyset)
        await service.restart()
        self.site = await reconnect(service, self.site)
        self.phone = Phone(service.channel(), origin=ORIGIN, clock=service.clock, state=self._state)

    async def works(self) -> None:
        """All that was kept is there, and more of it can be made."""
        one, service = self.site.client, self.service
        service.clock.turn(hours=1)
        user = (await one.users.GetUser(GetUserRequest(custom_user_id="ada"))).user
        assert (user.authy_id, user.custom_user_id) == (self.authy_id, "ada")
        users = (await one.users.ListUsers(ListUsersRequest())).users
        assert [each.custom_user_id for each in users] == ["ada"]
        again = CreateEnrollmentRequest(custom_user_id="ada")
        assert await became(one.enrollments.CreateEnrollment(again)) == "USER_EXISTS"
        code = await self.phone.code(self.linked)
        assert await verdict(one, self.authy_id, code) == "ACCEPTED"
        assert await verdict(one, self.authy_id, self.backups.pop()) == "ACCEPTED"
        for approval_id in (self.asked, await self.approval()):
            found = await one.approvals.GetApproval(GetApprovalRequest(approval_id=approval_id))
            assert found.approval.state == ApprovalState.APPROVAL_STATE_APPROVED
            assert found.approval.hidden_details == {"order": "4711"} and found.approval.receipt
        assert [each.label for each in await self.phone.sites()] == ["My shop"]
        assert (await self.phone.account()).phone_number == NUMBER
        assert len(await self.phone.activity()) > 2
        assert (await self.feed())[: len(self.events)] == self.events
        hooks = (await one.webhooks.ListWebhooks(ListWebhooksRequest())).webhooks
        assert [each.url for each in hooks] == [self.hook.url]
        rotate = RotateWebhookSecretRequest(webhook_id=self.hook.webhook_id)
        assert await became(one.webhooks.RotateWebhookSecret(rotate)) == "OK"
        await self.joins()

    async def joins(self) -> None:
        """Who proves the number joins the account that has it."""
        other = await self.service.phone(NUMBER, "Tablet")
        devices = await self.phone.devices()
        assert other.device_id in {each.device_id for each in devices}
        await self.phone.revoke_device(other.device_id)
        assert await count(self.service.url, AccountRow) == 1

    async def same_answer(self) -> None:
        """A call with a request_id gets the answer that it got."""
        request = CreateEnrollmentRequest(
            custom_user_id="bob",
            method=ENROLLMENT_METHOD_GENERIC_TOTP,
            account_label="bob",
            request_id="generic",
        )
        again = await self.site.client.enrollments.CreateEnrollment(request)
        assert again.enrollment.enrollment_id == self.generic.enrollment.enrollment_id
        assert again.qr == self.generic.qr


async def _fill(url: str, vault: Vault, clock: TurnedClock) -> set[str]:
    """Keep a message that waits; answers which sealed columns nothing is in."""
    database = Database(url, Tools(vault, clock, lambda size: bytes(size)))

    def work(tx: Tx) -> set[str]:
        later = clock() + timedelta(days=300)
        texts.add(tx, NUMBER, "1", PhoneChannel.SMS, later)
        tx.connection().execute(update(TextRow).values(due_time=later))
        empty = set()
        for table in store.TABLES:
            kept = rows.every(tx, table.model)
            empty |= {
                f"{table.name}.{name}" for name in table.places if not any(getattr(row, name) for row in kept)
            }
        return empty

    try:
        return await database.write(work)
    finally:
        await database.close()


async def test_a_rotation_from_beginning_to_end(
    database_url: str, clock: TurnedClock, random: Random, tmp_path: Path
) -> None:
    steps = keysets()
    (service,) = servers(database_url, clock, random, steps.old)
    async with service:
        life = Life(service, tmp_path / "phone.json")
        await life.begin()
        # Else it would not show whether each place is the right one.
        assert await _fill(database_url, Vault(steps.old), clock) == set()
        for keyset in (steps.added, steps.promoted):
            await life.go_on(keyset)
            await life.same_answer()
            await life.works()
        done = await reencrypt(database_url, steps.promoted)
        assert done.complete and all(done.rows.values())
        await life.same_answer()
        await life.works()
        again = await reencrypt(database_url, steps.promoted)
        assert again.complete and not any(again.rows.values())
        await life.go_on(steps.settled)
        await life.same_answer()
        await life.works()
        # What the dropped key made is taken from the rows that have it beside the other.
        cleared = await reencrypt(database_url, steps.settled)
        assert {name for name, rows in cleared.rows.items() if rows} == {"account", "link", "enrollment"}
        await life.works()


def _account(vault: Vault, account_id: str, number: str) -> AccountRow:
    kept = number_columns(vault, account_id, number)
    now = TurnedClock().now
    return AccountRow(account_id=account_id, new_device_policy="HOLD", create_time=now, **kept)


async def test_one_that_was_interrupted_goes_on(database_url: str) -> None:
    steps = keysets()
    old, count = Vault(steps.old), 2 * store.STEP + 1
    database = Database(database_url)
    accounts = [_account(old, f"acc_{each:05}", f"+49{each}") for each in range(count)]
    await database.write(lambda tx: rows.add(tx, *accounts))
    await database.close()

    class PulledPlug(BaseException):
        pass

    def pull(table: str, seen: int, made: int) -> None:
        if made:
            raise PulledPlug

    seen: list[tuple[str, int, int]] = []
    with pytest.raises(PulledPlug):
        await reencrypt(database_url, steps.promoted, pull)
    done = await reencrypt(database_url, steps.promoted, lambda *step: seen.append(step))

    assert done.complete and done.rows["account"] == count - store.STEP
    assert seen[:3] == [
        ("account", store.STEP, 0),
        ("account", 2 * store.STEP, store.STEP),
        ("account", count, store.STEP + 1),
    ]


async def test_a_server_that_writes_by_old_keys_is_noticed(database_url: str) -> None:
    steps = keysets()
    added = Vault(steps.added)
    engine = connect(database_url, writes=True, connections=1)
    names = iter(range(100))

    def write(table: str, seen: int, made: int) -> None:
        if table != "account":
            return
        name = str(next(names))
        row = _account(added, f"acc_{name}", f"+49{name}")
        with Direct(engine) as session:
            session.add(row)
            session.commit()

    try:
        write("account", 0, 0)
        assert not (await reencrypt(database_url, steps.promoted, write)).complete
        assert (await reencrypt(database_url, steps.promoted)).complete
    finally:
        engine.dispose()


# More than what may serve at once: that no more than one value comes of it holds all the same.
_TOGETHER = [("old", "added", "promoted"), ("added", "promoted", "settled")]


@pytest.mark.parametrize("together", _TOGETHER, ids="-".join)
async def test_a_number_opens_one_account_at_servers_with_other_keysets(
    database_url: str, clock: TurnedClock, random: Random, figure: Figure, together: tuple[str, ...]
) -> None:
    vaults = [keysets().vaults()[name] for name in together]
    databases = [watched(database_url, Tools(vault, clock, random)) for vault in vaults]
    try:
        opened = 0
        rounds = figure(15, 300)
        for database in databases:
            await database.write(events.begin_epoch)
        for each in range(rounds):
            calls = [
                await _ready(database, f"+49151{each:07}", f"pvn_{each}_{at}")
                for at, database in enumerate(databases)
            ]
            answers = await asyncio.gather(*[call() for call in calls])
            assert all(answers), "none is turned away"
            opened += sum(bool(answer.recovery_code) for answer in answers)
        assert await count(database_url, AccountRow) == opened == rounds
    finally:
        for database in databases:
            await database.close()


async def _ready(database: Database, number: str, verification_id: str) -> Callable[[], Any]:
    """A phone that has its code, and is about to register."""
    now = TurnedClock().now

    def work(tx: Tx) -> None:
        verifications.add(
            tx,
            verification_id,
            number=number,
            purpose=PhonePurpose.REGISTER_DEVICE,
            code="123456",
            expire_time=now + timedelta(hours=1),
        )

    await database.write(work)
    asked = Handset.new().asks(verification_id, "123456")
    registrations = Registrations(database=database)
    return lambda: registrations.register(Nobody("192.0.2.1"), asked)


@pytest.mark.parametrize("together", _TOGETHER, ids="-".join)
async def test_a_custom_user_id_is_enrolled_once_at_servers_with_other_keysets(
    database_url: str, clock: TurnedClock, random: Random, figure: Figure, together: tuple[str, ...]
) -> None:
    running = servers(database_url, clock, random, *[getattr(keysets(), name) for name in together])
    rounds = figure(10, 200)
    async with AsyncExitStack() as stack:
        for name, each in zip(together, running, strict=True):
            if name == "settled":
                assert (await reencrypt(database_url, keysets().promoted)).complete
            await stack.enter_async_context(each)
        site = await running[0].site()
        clients = [
            await stack.enter_async_context(AsyncClient(each.target, site.api_key)) for each in running
        ]
        came: Counter[str] = Counter()
        for each_round in range(rounds):
            request = CreateEnrollmentRequest(custom_user_id=f"user {each_round}")
            calls = [became(client.enrollments.CreateEnrollment(request)) for client in clients]
            came.update(await asyncio.gather(*calls))
        # A server that does not know the key of another one cannot read what it would have to cancel.
        assert came.keys() <= {"OK", "INTERNAL"}
        assert came["OK"] >= rounds
        assert await _open(running[0]) == rounds


async def _open(service: Service) -> int:
    statement = select(func.count()).select_from(EnrollmentRow).where(EnrollmentRow.state == "PENDING")
    return await service.core.database.read(lambda tx: int(rows.found(tx, statement)[0]))


async def test_a_number_has_one_budget_at_servers_with_other_keysets(
    database_url: str, clock: TurnedClock, random: Random
) -> None:
    async with People.opened(database_url, clock) as people:
        verifications_by = {
            name: PhoneVerifications(
                database=people.database,
                vault=vault,
                numbers=Numbers(""),
                host="auth.example",
            )
            for name, vault in keysets().vaults().items()
        }

        async def starts(name: str, number: str) -> bool:
            start = verifications_by[name].start
            try:
                await start(people.nobody(), number, PhoneChannel.SMS, PhonePurpose.REGISTER_DEVICE)
            except RateLimited:
                return False
            return True

        orders = ["old added", "promoted old", "added promoted", "promoted settled", "settled added"]
        for at, order in enumerate(orders):
            first, second = order.split()
            assert [await starts(name, f"+491511234560{at}") for name in (first, second)] == [True, False]
        # The control: of keysets that share no key each would have its own.
        assert [await starts(name, "+4915112345699") for name in ("old", "settled")] == [True, True]
