"""Approvals are kept sealed, each in its own row, and end with their link."""

from collections.abc import AsyncIterator

import pytest

from authy_grpc.domain.approval import ApprovalState, Detail
from authy_grpc.service.caller import Site
from authy_grpc.store import approval as store
from authy_grpc.store.tables import ApprovalRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import KeysetError
from tests.asking import Desk
from tests.clock import TurnedClock


@pytest.fixture
async def desk(database_url: str, clock: TurnedClock) -> AsyncIterator[Desk]:
    async with Desk.opened(database_url, clock) as opened:
        yield opened


async def _cancel_open(desk: Desk, site_id: str) -> None:
    def work(tx: Tx) -> None:
        store.cancel_open(tx, site_id)

    await desk.database.write(work)


async def _state(desk: Desk, site: Site, approval_id: str) -> ApprovalState:
    return (await desk.approvals.get(site, approval_id)).approval.state


async def test_the_open_question_of_a_link_that_ends_is_canceled(desk: Desk) -> None:
    site = await desk.site()
    (link, device), (other, _) = await desk.user(site), await desk.user(site)
    answered = await desk.ask(link)
    await desk.respond(link, device, answered)
    asked, kept = await desk.ask(link), await desk.ask(other)

    await _cancel_open(desk, link.site_id)
    await _cancel_open(desk, link.site_id)

    assert await _state(desk, site, answered.approval.approval_id) is ApprovalState.APPROVED
    assert await _state(desk, site, asked.approval.approval_id) is ApprovalState.CANCELED
    assert await _state(desk, site, kept.approval.approval_id) is ApprovalState.PENDING
    assert (await desk.types(site)).count("approval.canceled") == 1


async def test_one_whose_time_has_run_out_is_expired_then(desk: Desk) -> None:
    site = await desk.site()
    link, _ = await desk.user(site)
    await desk.ask(link)
    desk.clock.turn(seconds=90)
    await _cancel_open(desk, link.site_id)
    assert await desk.types(site) == ["approval.pending", "approval.expired"]
    assert await desk.approvals.expire_due() == 0


async def test_nothing_that_was_asked_stands_in_the_clear(desk: Desk) -> None:
    site = await desk.site()
    link, device = await desk.user(site)
    asked = await desk.ask(link, details=(Detail("Label", "Value"),), hidden_details={"Hidden": "Secret"})
    await desk.respond(link, device, asked)
    row = await desk.row(ApprovalRow, asked.approval.approval_id)
    kept = repr(row.model_dump())
    # With a control: what is kept in the clear is found.
    assert link.authy_id in kept
    for text in ("Pay 12 EUR?", "Label", "Value", "Hidden", "Secret", asked.match_number, "authy-approval"):
        assert text not in kept


@pytest.mark.parametrize(
    "column", ["sealed_question", "sealed_hidden_details", "sealed_match_number", "sealed_receipt"]
)
async def test_what_is_sealed_opens_in_its_own_row_alone(desk: Desk, column: str) -> None:
    site = await desk.site()
    rows = []
    for _ in range(2):
        link, device = await desk.user(site)
        asked = await desk.ask(link)
        await desk.respond(link, device, asked)
        rows.append(await desk.row(ApprovalRow, asked.approval.approval_id))
    one, two = rows
    await desk.approvals.get(site, one.approval_id)
    await desk.change(ApprovalRow, one.approval_id, **{column: getattr(two, column)})
    with pytest.raises(KeysetError):
        await desk.approvals.get(site, one.approval_id)
    await desk.approvals.get(site, two.approval_id)
