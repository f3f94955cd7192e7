"""A webhook of a site beside the service: open to its application alone, from CreateWebhook to the post."""

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from authy_grpc.client import AsyncClient, AuthyError
from authy_grpc.outbound.web import Addresses, Web
from authy_grpc.v1.webhook_pb2 import CreateWebhookRequest, UpdateWebhookRequest, Webhook
from tests.gateway.receiving import receiver
from tests.gateway.test_webhooks import delivering, happen, settled
from tests.harness import Service, Site


async def test_what_the_operator_opens_is_posted_to(service: Service) -> None:
    one, two = await service.site("One"), await service.site("Two")
    service.options = {"dev": False, "webhook_allow": f"{one.application.application_id}=127.0.0.0/8"}
    await service.restart()
    one, two = [
        Site(
            await service.stack.enter_async_context(AsyncClient(service.target, site.api_key)),
            site.application,
            site.api_key,
        )
        for site in (one, two)
    ]
    async with receiver(service.clock) as there:
        url = f"http://127.0.0.1:{there.port}/hook"
        made = await one.client.webhooks.CreateWebhook(CreateWebhookRequest(url=url))
        there.secrets.append(made.secret)
        public = CreateWebhookRequest(url="https://example.com/hook")
        other = (await two.client.webhooks.CreateWebhook(public)).webhook
        for call in (
            two.client.webhooks.CreateWebhook(CreateWebhookRequest(url=url)),
            two.client.webhooks.UpdateWebhook(
                UpdateWebhookRequest(
                    webhook=Webhook(webhook_id=other.webhook_id, url=url),
                    update_mask=FieldMask(paths=["url"]),
                )
            ),
            one.client.webhooks.CreateWebhook(CreateWebhookRequest(url="http://169.254.169.254/")),
            one.client.webhooks.CreateWebhook(CreateWebhookRequest(url=f"http://{service.target}/")),
        ):
            with pytest.raises(AuthyError) as refused:
                await call
            assert refused.value.reason == "FORBIDDEN_ADDRESS"
        async with delivering(service, web=Web(Addresses(), service.clock)) as deliverer:
            await happen(one, 1)
            await settled(service, deliverer)
        assert len(there.taken) == 1 and made.webhook.url == url
