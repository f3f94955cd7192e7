"""A site has its events posted, as site, gateway and receiver see it on the wire."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from sqlmodel import SQLModel
from standardwebhooks import Webhook as Verifier

from authy_grpc.client import AuthyError
from authy_grpc.store.tables import DeliveryRow, WebhookRow
from authy_grpc.v1.application_pb2 import CreateApiKeyRequest, DeleteApplicationRequest
from authy_grpc.v1.event_pb2 import Event
from authy_grpc.v1.webhook_pb2 import (
    CreateWebhookRequest,
    DeliveryState,
    LeaseDeliveriesRequest,
    LeaseDeliveriesResponse,
    ListDeliveriesRequest,
    ListWebhooksRequest,
    ReportDeliveryRequest,
)
from tests import rows
from tests.e2e.cast import partner
from tests.e2e.methods import REQUESTS, URL, path
from tests.e2e.wire import Party
from tests.harness import Service
from tests.rushing import became, connect


def gateway(service: Service) -> Party:
    return Party(service.channel(), service.secrets.gateway_key)


def signed_by(secret: str, post: LeaseDeliveriesResponse) -> bool:
    """Whether a receiver with this secret takes a post, at the time that it was signed."""
    at = datetime.fromtimestamp(int(post.headers["webhook-timestamp"]), UTC)
    made = Verifier(secret).sign(post.headers["webhook-id"], at, post.body.decode())
    return made in post.headers["webhook-signature"].split(" ")


async def test_each_event_is_posted_as_the_feed_has_it(service: Service) -> None:
    site, phone, carrier = await partner(service, "Shop"), await service.phone(), gateway(service)
    made = await site.client.webhooks.CreateWebhook(CreateWebhookRequest(url=URL))
    stream: Any = carrier.deliveries.LeaseDeliveries(LeaseDeliveriesRequest(max_in_flight=1))
    await service.enroll(site.site, phone, "zoë 😀")
    feed, posted = await site.listed(service), []
    for _ in feed:
        post = await anext(stream)
        assert signed_by(made.secret, post) and post.url == URL and post.attempt == 1
        body = json.loads(post.body)
        event = ParseDict(body["data"], Event())
        assert (body["type"], post.headers["webhook-id"]) == (event.type, event.event_id)
        posted.append(event)
        report = ReportDeliveryRequest(delivery_id=post.delivery_id, attempt=post.attempt, http_status=204)
        await carrier.deliveries.ReportDelivery(report)
    stream.cancel()
    assert posted == feed and len({event.type for event in feed}) > 1
    request = ListDeliveriesRequest(webhook_id=made.webhook.webhook_id)
    log = (await site.client.webhooks.ListDeliveries(request)).deliveries
    assert [each.event_id for each in log] == [event.event_id for event in feed][::-1]
    assert {each.state for each in log} == {DeliveryState.DELIVERY_STATE_DELIVERED}
    assert {(each.attempts, each.http_status) for each in log} == {(1, 204)}
    (listed,) = (await site.client.webhooks.ListWebhooks(ListWebhooksRequest())).webhooks
    assert listed.last_success_time.ToDatetime(UTC) == service.clock()


async def test_each_call_is_for_one_kind_of_caller(service: Service) -> None:
    site = await service.site()
    request = CreateApiKeyRequest(application_id=site.application.application_id, name="without MANAGE")
    usual = (await service.operator.applications.CreateApiKey(request)).secret
    keys = {
        "site": site.api_key,
        "usual": usual,
        "operator": service.secrets.operator_key,
        "gateway": service.secrets.gateway_key,
    }
    parties = {name: Party(service.channel(), key) for name, key in keys.items()}
    for name, sent in REQUESTS.items():
        if not name.startswith(("WebhookService/", "DeliveryService/")):
            continue
        may = "gateway" if name.startswith("DeliveryService/") else "site"
        for caller, party in parties.items():
            if caller != may:
                exchange = await party.send(path(name), sent)
                assert exchange.code == "PERMISSION_DENIED", (name, caller)
    with pytest.raises(AuthyError) as refused:
        await (await connect(service, usual)).webhooks.ListWebhooks(ListWebhooksRequest())
    assert refused.value.metadata["scope"] == "MANAGE"


@pytest.mark.parametrize(
    ("url", "answer"),
    [
        (URL, "OK"),
        ("http://127.0.0.1:9999/hook", "OK"),  # in development
        ("http://example.com/hook", "FORBIDDEN_ADDRESS"),
        ("https://10.0.0.1/", "FORBIDDEN_ADDRESS"),
        ("https://169.254.169.254/latest/meta-data", "FORBIDDEN_ADDRESS"),
        ("https://user:secret@example.com/", "FORBIDDEN_ADDRESS"),
        ("ftp://example.com/", "FORBIDDEN_ADDRESS"),
        ("hook", "FORBIDDEN_ADDRESS"),
        ("", "BAD_FIELD"),
    ],
)
async def test_an_address_is_checked(service: Service, url: str, answer: str) -> None:
    site = await service.site()
    assert await became(site.client.webhooks.CreateWebhook(CreateWebhookRequest(url=url))) == answer


async def test_a_refusal_names_the_field_and_repeats_nothing(service: Service) -> None:
    site = await service.site()
    request = CreateWebhookRequest(url="https://canary.internal/canary")
    with pytest.raises(AuthyError) as refused:
        await site.client.webhooks.CreateWebhook(request)
    ((field, description),) = refused.value.fields
    assert field == "url" and "canary" not in f"{description} {refused.value}"


async def test_a_site_that_ends_takes_its_webhooks_along(service: Service) -> None:
    sites = [await service.site(name) for name in ("One", "Two")]
    phone = await service.phone()
    for site in sites:
        await site.client.webhooks.CreateWebhook(CreateWebhookRequest(url=URL))
        await service.enroll(site, phone)

    async def count(table: type[SQLModel]) -> int:
        return len(await service.core.database.read(lambda tx: rows.every(tx, table)))

    before = await count(DeliveryRow)
    own = DeleteApplicationRequest(application_id=sites[0].application.application_id)
    await service.operator.applications.DeleteApplication(own)
    assert await count(WebhookRow) == 1
    # What was to be posted goes later, in steps.
    await service.due()
    assert await count(DeliveryRow) == before // 2
