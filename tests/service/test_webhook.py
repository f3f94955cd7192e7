"""What a site does with its webhooks: as many as it may, its own alone, and secrets that are told once."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier

from authy_grpc.domain.delivery import tail
from authy_grpc.domain.errors import BadField, ForbiddenAddress, NotFound, Quota, RateLimited, WrongState
from authy_grpc.domain.limits import WEBHOOK_RULES
from authy_grpc.domain.webhook import WebhookState
from authy_grpc.outbound.addresses import IPAddress, Unresolved
from authy_grpc.service.delivery import Post
from authy_grpc.store import budget, retention
from authy_grpc.store.database import Database
from authy_grpc.store.tables import BudgetRow, WebhookRow
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault
from tests import rows
from tests.clock import TurnedClock
from tests.leasing import URL, Office, events_of


@pytest.fixture
async def office(
    database: Database, vault: Vault, clock: TurnedClock, random: Callable[[int], bytes]
) -> Office:
    return Office(database, vault, clock, random)


async def test_a_webhook_is_read_as_it_was_made(office: Office) -> None:
    site = await office.site()
    made = await office.webhooks.create(site, URL, ["user.*", "code.sent"])
    assert made.secret.startswith("whsec_") and made.secret not in repr(made)
    assert (made.webhook.url, made.webhook.types) == (URL, ("user.*", "code.sent"))
    assert (made.webhook.state, made.webhook.disabled_reason) == (WebhookState.ENABLED, "")
    assert await office.webhooks.list_all(site) == [made.webhook]


async def test_the_twenty_first_is_refused_though_all_come_at_once(office: Office) -> None:
    site, other = await office.site(), await office.site("app_2")
    came = await asyncio.gather(*[office.hook(site) for _ in range(25)], return_exceptions=True)
    refused = [each for each in came if isinstance(each, Quota)]
    made = await office.webhooks.list_all(site)
    assert (len(refused), len(made)) == (5, 20) and {each.limit for each in refused} == {20}
    assert len({tail(each.webhook_id) for each in made}) == 20
    await office.hook(other)
    await office.webhooks.delete(site, made[0].webhook_id)
    await office.hook(site)


async def test_an_address_is_checked_when_it_is_given(office: Office) -> None:
    site = await office.site()
    with pytest.raises(ForbiddenAddress) as refused:
        await office.webhooks.create(site, "https://private.example", [])
    assert [each.field for each in refused.value.violations] == ["url"]
    webhook = await office.hook(site)
    with pytest.raises(ForbiddenAddress) as refused:
        await office.webhooks.update(site, webhook.webhook_id, {"url": "https://private.example"})
    assert [each.field for each in refused.value.violations] == ["webhook.url"]

    async def nowhere(url: str) -> list[IPAddress]:
        raise Unresolved

    office.webhooks._check = nowhere
    with pytest.raises(ForbiddenAddress) as refused:
        await office.webhooks.create(site, URL, [])
    assert [each.field for each in refused.value.violations] == ["url"]
    # Without a new address none is looked at.
    await office.webhooks.update(site, webhook.webhook_id, {"types": ["user.*"]})
    assert [each.url for each in await office.webhooks.list_all(site)] == [URL]


async def test_what_is_named_changes_and_nothing_else(office: Office) -> None:
    site = await office.site()
    webhook = await office.hook(site, "user.*")
    for changes in (
        {"types": ("code.sent",)},
        {"url": "https://other.example/"},
        {"state": WebhookState.DISABLED},
        {"types": (), "state": WebhookState.ENABLED},
    ):
        before = await office.one(site, webhook)
        changed = await office.webhooks.update(site, webhook.webhook_id, changes)
        assert changed == await office.one(site, webhook)
        assert {name: getattr(changed, name) for name in changes} == changes
        for name in {"url", "types", "state", "create_time", "last_success_time"} - set(changes):
            assert getattr(changed, name) == getattr(before, name)


@pytest.mark.parametrize("what", ["address", "state", "test", "redeliver", "anew"])
async def test_what_has_all_posted_at_once_may_be_done_so_often(office: Office, what: str) -> None:
    site = await office.site()
    own, calls = (await office.hook(site)).webhook_id, office.webhooks
    (event_id,) = await office.happen(site, "a")
    (post,) = await office.deliveries.take(10)
    await office.report(post)

    async def do(number: int) -> None:
        if what == "address":
            await calls.update(site, own, {"url": f"{URL}/{number}"})
        elif what == "state":
            for state in (WebhookState.DISABLED, WebhookState.ENABLED):
                await calls.update(site, own, {"state": state})
        elif what == "redeliver":
            assert await calls.redeliver(site, own, event_id=event_id) == 1
            await office.report((await office.deliveries.take(10))[0])
        elif what == "anew":
            made = await office.hook(site)
            try:
                await calls.test(site, made.webhook_id)
            finally:
                await calls.delete(site, made.webhook_id)
        else:
            await calls.test(site, own)

    for number in range(10):
        await do(number)
    before = await calls.list_all(site)
    with pytest.raises(RateLimited) as refused:
        await do(10)
    assert refused.value.retry_after == timedelta(minutes=1)
    if what == "state":
        # It can be turned off at any time.
        assert [each.state for each in await calls.list_all(site)] == [WebhookState.DISABLED]
    else:
        assert await calls.list_all(site) == before
    # What has nothing posted is free, another webhook of the site is not, and another site is.
    await calls.update(site, own, {"types": ["user.*"]})
    another = await office.hook(site)
    with pytest.raises(RateLimited):
        await calls.test(site, another.webhook_id)
    other = await office.site("app_2")
    await calls.test(other, (await office.hook(other)).webhook_id)
    office.clock.turn(minutes=1)
    await do(11)


async def test_a_site_makes_two_hundred_webhooks_a_day(office: Office) -> None:
    site, now = await office.site(), office.clock()

    def spend(tx: Tx) -> None:
        budget.keep(tx, f"webhooks:{site.application_id}", [now] * 199, WEBHOOK_RULES)

    await office.database.write(spend)
    made = await office.hook(site)
    await office.webhooks.delete(site, made.webhook_id)
    with pytest.raises(RateLimited):
        await office.hook(site)
    # The control: another site, and the next day.
    await office.hook(await office.site("app_2"))
    office.clock.turn(days=1)
    await office.hook(site)


async def test_an_address_has_a_budget_over_all_sites_and_names(office: Office) -> None:
    """Names differ, and all of them lead to one address; the last leads elsewhere."""

    async def lead(url: str) -> list[IPAddress]:
        return [IPv4Address("93.184.215.15" if "elsewhere" in url else "93.184.215.14")]

    office.webhooks._check = lead
    sites = [await office.site(f"app_{number}") for number in range(4)]
    hooks = [await office.hook(site, url=f"https://{site.application_id[4:]}.example/") for site in sites]
    for site, hook in zip(sites[:3], hooks, strict=False):
        for _ in range(10):
            await office.webhooks.test(site, hook.webhook_id)
    with pytest.raises(RateLimited) as refused:
        await office.webhooks.test(sites[3], hooks[3].webhook_id)
    assert refused.value.retry_after == timedelta(minutes=1)
    elsewhere = await office.hook(sites[3], url="https://elsewhere.example/")
    await office.webhooks.test(sites[3], elsewhere.webhook_id)

    kept = await office.database.read(lambda tx: rows.every(tx, BudgetRow))
    assert not [row for row in kept if "93.184" in row.name]


async def test_what_changes_nothing_of_a_webhook_costs_and_writes_nothing(office: Office) -> None:
    site = await office.site()
    webhook = await office.hook(site, "user.*")
    same = {"url": webhook.url, "types": webhook.types, "state": webhook.state}

    async def sealed() -> bytes:
        return await office.database.read(lambda tx: rows.one(tx, WebhookRow, webhook.webhook_id).sealed_url)

    before = await sealed()
    for _ in range(20):
        assert await office.webhooks.update(site, webhook.webhook_id, same) == webhook
    assert await sealed() == before
    # With a control: a change is written anew.
    await office.webhooks.update(site, webhook.webhook_id, {"url": f"{URL}/other"})
    assert await sealed() != before


async def test_another_sites_webhook_is_not_there(office: Office) -> None:
    ours, theirs = await office.site("app_1"), await office.site("app_2")
    webhook = await office.hook(theirs)
    (event_id,) = await office.happen(theirs, "ada")
    own, calls = webhook.webhook_id, office.webhooks
    for webhook_id in (own, f"whk_{'0' * 26}"):
        for call in (
            calls.update(ours, webhook_id, {"state": WebhookState.DISABLED}),
            calls.delete(ours, webhook_id),
            calls.rotate_secret(ours, webhook_id, None),
            calls.test(ours, webhook_id),
            calls.list_deliveries(ours, webhook_id, 10, ""),
            calls.redeliver(ours, webhook_id, event_id=event_id),
            calls.redeliver(ours, webhook_id, failed_since=office.clock()),
        ):
            with pytest.raises(NotFound):
                await call
    assert await calls.list_all(ours) == []
    assert await office.one(theirs, webhook) == webhook
    assert len(await office.log(theirs, webhook)) == 1


def verifies(secret: str, post: Post) -> bool:
    """Whether a receiver with this secret takes the post for ours, whatever the time is."""
    body, now = post.body.decode(), int(post.headers["webhook-timestamp"])
    signed = Verifier(secret).sign(post.headers["webhook-id"], datetime.fromtimestamp(now, UTC), body)
    return signed in post.headers["webhook-signature"].split(" ")


async def test_two_secrets_sign_while_they_overlap_and_never_three(office: Office) -> None:
    site = await office.site()
    made = await office.webhooks.create(site, URL, [])
    own, secrets = made.webhook.webhook_id, [made.secret]

    async def signing() -> list[int]:
        """By number, which secrets sign a post that goes out now."""
        await office.webhooks.test(site, own)
        (post,) = await office.deliveries.take(10)
        await office.report(post)
        assert len(post.headers["webhook-signature"].split(" ")) <= 2
        return [number for number, each in enumerate(secrets) if verifies(each, post)]

    assert await signing() == [0]
    secrets.append(await office.webhooks.rotate_secret(site, own, None))
    assert await signing() == [0, 1]
    office.clock.turn(hours=24, seconds=-0.001)
    assert await signing() == [0, 1]
    office.clock.turn(seconds=0.001)
    assert await signing() == [1]
    secrets.append(await office.webhooks.rotate_secret(site, own, timedelta(hours=1)))
    secrets.append(await office.webhooks.rotate_secret(site, own, timedelta(hours=1)))
    assert await signing() == [2, 3]
    secrets.append(await office.webhooks.rotate_secret(site, own, timedelta(0)))
    assert await signing() == [4]


async def test_a_test_goes_to_one_webhook_whatever_its_types(office: Office) -> None:
    site = await office.site()
    webhook, other = await office.hook(site, "code.sent"), await office.hook(site)
    event_id = await office.webhooks.test(site, webhook.webhook_id)
    (post,) = await office.deliver_all()
    assert post.headers["webhook-id"] == event_id and b'"type":"webhook.test"' in post.body
    assert await office.log(site, other) == [] and await office.types() == ["webhook.test"]
    await office.webhooks.update(site, webhook.webhook_id, {"state": WebhookState.DISABLED})
    with pytest.raises(WrongState):
        await office.webhooks.test(site, webhook.webhook_id)


async def test_what_waits_is_kept_while_disabled_and_dropped_with_the_webhook(office: Office) -> None:
    site = await office.site()
    webhook, other = await office.hook(site), await office.hook(site)
    before = await office.happen(site, "a", "b")
    await office.webhooks.update(site, webhook.webhook_id, {"state": WebhookState.DISABLED})
    assert events_of(await office.deliver_all()) == before  # to the other one
    missed = await office.happen(site, "c")
    assert events_of(await office.deliver_all()) == missed
    assert [each.event_id for each in await office.log(site, webhook)] == before[::-1]
    await office.webhooks.update(site, webhook.webhook_id, {"state": WebhookState.ENABLED})
    assert events_of(await office.deliver_all()) == before
    await office.happen(site, "d")
    (leased, _) = await office.deliveries.take(10)
    await office.webhooks.delete(site, webhook.webhook_id)
    # Its posts are nobody's, though they go later, in steps.
    assert {each.webhook_id for each in await office.rows()} > {other.webhook_id}
    for status in (500, 200):
        await office.report(leased, status)
    office.clock.turn(minutes=1)
    assert {post.delivery_id[-4:] for post in await office.deliver_all()} <= {tail(other.webhook_id)}
    with pytest.raises(NotFound):
        await office.webhooks.redeliver(site, webhook.webhook_id, event_id=before[0])
    await office.database.write(lambda tx: retention.prune(tx))
    assert {each.webhook_id for each in await office.rows()} == {other.webhook_id}
    assert {each.state for each in await office.rows()} == {"DELIVERED"}


async def test_deliveries_are_listed_in_pages_newest_first(office: Office) -> None:
    site, stranger = await office.site(), await office.site("app_2")
    webhook, other = await office.hook(site), await office.hook(site)
    happened = [event_id for _ in range(5) for event_id in await office.happen(site, "ada", "bob")]
    found, token, sizes = [], "", []
    while True:
        page, token = await office.webhooks.list_deliveries(site, webhook.webhook_id, 4, token)
        found += [each.event_id for each in page]
        sizes.append(len(page))
        if not token:
            break
        last = token
    assert found == happened[::-1] and sizes == [4, 4, 2]
    for caller, webhook_id in ((site, other.webhook_id), (stranger, webhook.webhook_id)):
        with pytest.raises(BadField):
            await office.webhooks.list_deliveries(caller, webhook_id, 4, last)


async def test_what_has_been_posted_is_posted_again(office: Office) -> None:
    site = await office.site()
    webhook, other = await office.hook(site), await office.hook(site, "code.*")
    event_id, _ = await office.happen(site, "ada", "bob")
    assert len(await office.deliver_all()) == 2
    redeliver: Any = office.webhooks.redeliver
    assert await redeliver(site, webhook.webhook_id, event_id=event_id) == 1
    (post,) = await office.deliver_all()
    assert (events_of([post]), post.attempt) == ([event_id], 2)
    # The other one was to get no such event, and nobody gets one that is not there.
    for webhook_id, asked in ((other.webhook_id, event_id), (webhook.webhook_id, f"evt_{'0' * 26}")):
        with pytest.raises(NotFound):
            await redeliver(site, webhook_id, event_id=asked)
    # An id that only begins the same is another.
    with pytest.raises(NotFound):
        await redeliver(
            site, webhook.webhook_id, event_id=event_id[:-1] + ("1" if event_id[-1] != "1" else "2")
        )


async def test_what_was_given_up_since_a_time_is_posted_again(office: Office) -> None:
    site = await office.site()
    webhook = await office.hook(site)
    given_up = []
    for _ in range(3):
        given_up += await office.happen(site, "ada")
        for _ in range(11):
            office.clock.turn(hours=30)
            # Its successes keep the webhook in use.
            await office.webhooks.test(site, webhook.webhook_id)
            for post in await office.deliveries.take(10):
                await office.report(post, 200 if b"webhook.test" in post.body else 500)
    log = [each for each in await office.log(site, webhook) if each.event_id in given_up]
    assert [each.state for each in log] == ["FAILED"] * 3
    since = log[1].last_attempt_time
    assert await office.webhooks.redeliver(site, webhook.webhook_id, failed_since=since) == 2
    again = [each for each in events_of(await office.deliver_all()) if each in given_up]
    assert again == given_up[1:]
    assert await office.webhooks.redeliver(site, webhook.webhook_id, failed_since=since) == 0
