"""Use cases of a site that has its events posted."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from authy_grpc.domain.delivery import Delivery, Health, delivery_id, tail
from authy_grpc.domain.errors import ForbiddenAddress, NotFound, Quota, WrongState
from authy_grpc.domain.event import WebhookEvent, WebhookEventType
from authy_grpc.domain.ids import new_id
from authy_grpc.domain.limits import ADDRESS_RULES, POST_RULES, WEBHOOK_RULES, Rule
from authy_grpc.domain.networks import subscriber
from authy_grpc.domain.webhook import MOST_WEBHOOKS, OVERLAP, Webhook, WebhookState, new_webhook_secret
from authy_grpc.outbound import addresses
from authy_grpc.outbound.addresses import IPAddress
from authy_grpc.service.caller import Site
from authy_grpc.store import application as applications
from authy_grpc.store import budget, page
from authy_grpc.store import delivery as deliveries
from authy_grpc.store import webhook as store
from authy_grpc.store.database import Database
from authy_grpc.store.events import NewEvent
from authy_grpc.store.tx import Tx
from authy_grpc.store.vault import Vault

_LIST = "ListDeliveries"

_Spent = tuple[budget.Name, tuple[datetime, ...], tuple[Rule, ...]]


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """A webhook that was just made: the one time that its secret is told."""

    webhook: Webhook
    secret: str = field(repr=False)


class Webhooks:
    """What a site does with its webhooks.

    Args:
        database: keeps them.
        vault: seals addresses, secrets and page tokens.
        check: the addresses that a URL leads to, told what is open to the application; raises where it
            must not be called, or leads nowhere.
        opened_to: what the operator has opened for an application's webhooks.
    """

    def __init__(
        self,
        *,
        database: Database,
        vault: Vault,
        check: Callable[..., Awaitable[Sequence[IPAddress]]],
        opened_to: Callable[[str], Sequence[str]] = lambda _: (),
    ) -> None:
        self._database = database
        self._vault = vault
        self._check = check
        self._opened_to = opened_to

    async def create(self, caller: Site, url: str, types: Sequence[str]) -> NewWebhook:
        """Have events posted.

        Args:
            caller: the site.
            url: where to.
            types: whole types, or beginnings that end in `*`; none for all.

        Raises:
            ForbiddenAddress: the URL must not be called, or leads nowhere.
            Quota: the site has 20.
            RateLimited: the site has made too many.
        """
        application_id = caller.application_id
        await self._check_url(application_id, "url", url)

        def work(tx: Tx) -> NewWebhook:
            # One at a time, so that the count is right.
            applications.lock(tx, application_id)
            others = {tail(row.webhook_id) for row in store.of_site(tx, application_id)}
            if len(others) >= MOST_WEBHOOKS:
                raise Quota(MOST_WEBHOOKS)
            now = tx.now()
            made = f"webhooks:{application_id}"
            budget.keep(tx, made, budget.allow(tx, made, WEBHOOK_RULES), WEBHOOK_RULES)
            webhook = Webhook(
                webhook_id=_new_id(tx, others),
                url=url,
                types=tuple(types),
                state=WebhookState.ENABLED,
                disabled_reason="",
                create_time=now,
                last_success_time=None,
            )
            secret = new_webhook_secret(tx.random)
            store.add(tx, application_id, webhook, secret)
            return NewWebhook(webhook, secret)

        return await self._database.write(work, by=caller.application_id)

    async def list_all(self, caller: Site) -> list[Webhook]:
        """The site's webhooks, oldest first."""

        def work(tx: Tx) -> list[Webhook]:
            rows = store.of_site(tx, caller.application_id)
            return [store.to_webhook(tx.vault, row) for row in rows]

        return await self._database.read(work, by=caller.application_id, pages=True)

    async def update(self, caller: Site, webhook_id: str, changes: Mapping[str, Any]) -> Webhook:
        """Change a webhook. What waits is kept while it is disabled, and posted when it is enabled again.

        Args:
            caller: the site.
            webhook_id: which.
            changes: new values by field: url, types, state.

        Raises:
            ForbiddenAddress: the URL must not be called, or leads nowhere.
            NotFound: the site has no such webhook.
            RateLimited: the site, or whoever has us post there, asked for too many posts.
        """
        leads_to: Sequence[IPAddress] = ()
        if "url" in changes:
            leads_to = await self._check_url(caller.application_id, "webhook.url", changes["url"])
        elif changes.get("state") is WebhookState.ENABLED:
            leads_to = await self._leads_to(caller, webhook_id)

        def work(tx: Tx) -> Webhook:
            row = store.find(tx, caller.application_id, webhook_id, lock=True)
            if not self._differs(row, changes):
                return store.to_webhook(tx.vault, row)
            begins_anew, _now = self._begins_anew(row, changes), tx.now()
            if begins_anew:
                self._keep(tx, self._allow(tx, caller, leads_to))
                # Whether its receiver was well says nothing of the one to come.
                store.change(tx, row, changes, **asdict(Health()))
                deliveries.begin_anew(tx, webhook_id)
            else:
                store.change(tx, row, changes)
            return store.to_webhook(tx.vault, row)

        return await self._database.write(work, by=caller.application_id)

    async def delete(self, caller: Site, webhook_id: str) -> None:
        """End a webhook; what waits is dropped.

        Raises:
            NotFound: the site has no such webhook.
        """

        def work(tx: Tx) -> None:
            # What was to be posted to it is nobody's then: it goes by `retention.py`, in steps.
            store.ROWS.remove(tx, store.find(tx, caller.application_id, webhook_id, lock=True))

        await self._database.write(work, by=caller.application_id)

    async def rotate_secret(self, caller: Site, webhook_id: str, overlap: timedelta | None) -> str:
        """Make a new secret.

        Args:
            caller: the site.
            webhook_id: which.
            overlap: how long posts are signed with the present one too: 24 h where None.

        Raises:
            NotFound: the site has no such webhook.
        """

        def work(tx: Tx) -> str:
            row = store.find(tx, caller.application_id, webhook_id, lock=True)
            secret = new_webhook_secret(tx.random)
            store.rotate(tx, row, secret, OVERLAP if overlap is None else overlap)
            return secret

        return await self._database.write(work, by=caller.application_id)

    async def test(self, caller: Site, webhook_id: str) -> str:
        """Post a `webhook.test` event to one webhook, whatever its types; answers the event's id.

        Raises:
            NotFound: the site has no such webhook.
            WrongState: it is disabled.
            RateLimited: the site, or whoever has us post there, asked for too many posts.
        """
        leads_to = await self._leads_to(caller, webhook_id)

        def work(tx: Tx) -> str:
            row = store.find(tx, caller.application_id, webhook_id, lock=True)
            if row.state != WebhookState.ENABLED.value:
                raise WrongState(row.state)
            tx.now()
            self._keep(tx, self._allow(tx, caller, leads_to))
            event = NewEvent(
                type=WebhookEventType.TEST.value,
                subject_id=webhook_id,
                application_id=caller.application_id,
                body=WebhookEvent(webhook_id=webhook_id),
                webhook_id=webhook_id,
            )
            (event_id,) = tx.record(event)
            return event_id

        return await self._database.write(work, by=caller.application_id)

    async def list_deliveries(
        self, caller: Site, webhook_id: str, page_size: int, page_token: str
    ) -> tuple[list[Delivery], str]:
        """A page of what was posted and is to be, newest first, and the token of the next; empty on the last.

        Raises:
            NotFound: the site has no such webhook.
            BadField: the token is not of this list.
        """
        owner, method = caller.application_id, f"{_LIST} {webhook_id}"
        before = page.open_token(self._vault, owner, method, page_token)
        size = page.size(page_size)

        def work(tx: Tx) -> list[tuple[int, Delivery]]:
            store.find(tx, owner, webhook_id)
            return deliveries.listed(tx, webhook_id, int(before) if before else None, size + 1)

        found = await self._database.read(work, by=owner, pages=True)
        shown = [each for _, each in found[:size]]
        if len(found) <= size:
            return shown, ""
        # Of one length, since how many posts others get is not to be seen.
        return shown, page.seal_token(self._vault, owner, method, f"{found[size - 1][0]:020}")

    async def redeliver(
        self, caller: Site, webhook_id: str, *, event_id: str = "", failed_since: datetime | None = None
    ) -> int:
        """Post an event again, or all that were given up since a time; answers how many.

        Args:
            caller: the site.
            webhook_id: which.
            event_id: of an event that was to be posted to this webhook, whatever became of it.
            failed_since: where there is no `event_id`.

        Raises:
            NotFound: the site has no such webhook, or it was to get no such event.
            RateLimited: the site, or whoever has us post there, asked for too many posts.
        """
        leads_to = await self._leads_to(caller, webhook_id)

        def work(tx: Tx) -> int:
            store.find(tx, caller.application_id, webhook_id, lock=True)
            _now, one = tx.now(), delivery_id(event_id, webhook_id) if event_id else ""
            if one and not deliveries.is_of(tx, webhook_id, one, event_id):
                raise NotFound
            spent = self._allow(tx, caller, leads_to)
            if failed_since is None:
                count = deliveries.post_again(tx, webhook_id, one)
            else:
                count = deliveries.post_failed_again(tx, webhook_id, failed_since)
            if count:
                self._keep(tx, spent)
            return count

        return await self._database.write(work, by=caller.application_id)

    async def _leads_to(self, caller: Site, webhook_id: str) -> Sequence[IPAddress]:
        """The addresses to which a webhook is posted now; none where a post would come to nothing."""

        def work(tx: Tx) -> str:
            return store.url(tx.vault, store.find(tx, caller.application_id, webhook_id))

        url = await self._database.read(work, by=caller.application_id)
        with suppress(addresses.ForbiddenAddress, addresses.Unresolved):
            return await self._find(caller.application_id, url)
        return ()

    async def _find(self, application_id: str, url: str) -> Sequence[IPAddress]:
        allow = self._opened_to(application_id)
        return await (self._check(url, allow) if allow else self._check(url)) or ()

    async def _check_url(self, application_id: str, name: str, url: str) -> Sequence[IPAddress]:
        try:
            return await self._find(application_id, url)
        except addresses.ForbiddenAddress as error:
            raise ForbiddenAddress.one(name, f"must not be called: {error.why}") from error
        except addresses.Unresolved as error:
            # As one that leads inside: what names there are within is nobody's business.
            raise ForbiddenAddress.one(name, f"must not be called: {addresses.NO_PUBLIC_ADDRESS}") from error

    def _begins_anew(self, row: store.Kept, changes: Mapping[str, Any]) -> bool:
        """Whether something else is behind a webhook after some changes, to which all is posted at once."""
        url, state = store.url(self._vault, row), row.state
        after = changes.get("url", url), changes["state"].value if "state" in changes else state
        return after[1] == WebhookState.ENABLED.value and after != (url, state)

    def _differs(self, row: store.Kept, changes: Mapping[str, Any]) -> bool:
        now = store.to_webhook(self._vault, row)
        # To turn off what was turned off for its failures says that the site itself wants it so.
        said = row.disabled_reason and "state" in changes
        return bool(said) or any(
            getattr(now, name) != (tuple(value) if name == "types" else value)
            for name, value in changes.items()
        )

    def _allow(self, tx: Tx, caller: Site, leads_to: Sequence[IPAddress]) -> list[_Spent]:
        """What the budgets will be of whoever asks for posts, and of where they go; `_keep` writes it."""
        budgets: list[tuple[budget.Name, tuple[Rule, ...]]] = [
            (f"posts:{caller.application_id}", POST_RULES),
            *((name, ADDRESS_RULES) for name in sorted(set(map(self._address_budget, leads_to)))),
        ]
        return [(name, budget.allow(tx, name, rules), rules) for name, rules in budgets]

    def _keep(self, tx: Tx, spent: list[_Spent]) -> None:
        for name, times, rules in spent:
            budget.keep(tx, name, times, rules)

    def _address_budget(self, address: IPAddress) -> tuple[str, ...]:
        host = subscriber(address).network_address
        return budget.names(self._vault, "peer", b"post\n" + host.packed)


def _new_id(tx: Tx, tails: set[str]) -> str:
    """An id whose tail no other webhook of the site has: posts are named by it."""
    while True:
        made = new_id("whk", tx.now(), tx.random)
        if tail(made) not in tails:
            return made
